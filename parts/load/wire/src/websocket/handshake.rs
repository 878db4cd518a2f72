//! The handshake (RFC 6455, 4.1): a request of HTTP/1.1 that the server answers with 101 and a hash of our nonce.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::http1::{Request, RequestError, Response};

/// A handshake whose request was written, and whose answer is to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The `Sec-WebSocket-Accept` that only a WebSocket server sends.
    accept: String,
    /// The subprotocols that were offered.
    protocols: Vec<String>,
}

/// A handshake that failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The request cannot be written.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A header that the handshake sets, or that would offer an extension.
    #[error("header {0} belongs to the handshake itself: leave it out")]
    Reserved(String),
    /// The server did not change the protocol.
    #[error("the server answered the handshake with status {0} instead of 101")]
    Status(u16),
    /// A header of the answer is not what it must be.
    #[error("the header {0} of the answer to the handshake is missing or wrong: this is not a WebSocket server")]
    Header(&'static str),
    /// The server uses an extension.
    #[error("the server wants the extension `{0}`, but none was offered")]
    Extension(String),
    /// The server chose another subprotocol.
    #[error("the server chose the subprotocol `{0}`, which was not offered")]
    Protocol(String),
}

/// Headers that the handshake sets, and those that would change what comes after it.
const RESERVED: [&str; 6] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-accept",
    "sec-websocket-extensions",
];

impl Handshake {
    /// Appends the request to `out`. Its answer is read as one to a request with `upgrade` whose head is kept. The
    /// header `Sec-WebSocket-Protocol` may be given; `nonce` is random.
    pub fn write<'h>(
        out: &mut Vec<u8>,
        target: &str,
        authority: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h str)>,
        nonce: [u8; 16],
    ) -> Result<Handshake, HandshakeError> {
        let key = STANDARD.encode(nonce);
        let mut fields = vec![
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", &*key),
        ];
        let mut protocols = Vec::new();
        for (name, value) in headers {
            if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
                return Err(HandshakeError::Reserved(name.to_owned()));
            }
            if name.eq_ignore_ascii_case("sec-websocket-protocol") {
                protocols.extend(value.split(',').map(|protocol| protocol.trim().to_owned()));
            }
            fields.push((name, value));
        }
        Request { method: "GET", target, authority, body_len: None }.write(out, fields)?;
        Ok(Handshake { accept: accept(&key), protocols })
    }

    /// Checks the answer, whose head must have been kept.
    pub fn check(&self, response: &Response) -> Result<(), HandshakeError> {
        if response.status() != 101 {
            return Err(HandshakeError::Status(response.status()));
        }
        let all = |name: &'static str| {
            response.headers().filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
        };
        let lists = |name, token: &str| {
            let mut tokens = all(name).flat_map(|value| value.split(|byte| *byte == b','));
            let found = tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()));
            if found { Ok(()) } else { Err(HandshakeError::Header(name)) }
        };
        lists("Upgrade", "websocket")?;
        lists("Connection", "upgrade")?;
        if !all("Sec-WebSocket-Accept").eq([self.accept.as_bytes()]) {
            return Err(HandshakeError::Header("Sec-WebSocket-Accept"));
        }
        let text = |value: &[u8]| value.escape_ascii().to_string();
        if let Some(extension) = all("Sec-WebSocket-Extensions").next() {
            return Err(HandshakeError::Extension(text(extension)));
        }
        let offered = |chosen: &[u8]| self.protocols.iter().any(|protocol| protocol.as_bytes() == chosen);
        match all("Sec-WebSocket-Protocol").find(|chosen| !offered(chosen)) {
            Some(chosen) => Err(HandshakeError::Protocol(text(chosen))),
            None => Ok(()),
        }
    }
}

/// The answer to a key, which is no secret: SHA-1 is what the protocol says.
fn accept(key: &str) -> String {
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, [key, GUID].concat().as_bytes());
    STANDARD.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Sent;

    const NONCE: [u8; 16] = *b"the sample nonce";

    fn handshake(headers: &[(&str, &str)]) -> Result<(Handshake, String), HandshakeError> {
        let mut out = Vec::new();
        let handshake = Handshake::write(&mut out, "/chat", "server:80", headers.iter().copied(), NONCE)?;
        Ok((handshake, String::from_utf8(out).unwrap()))
    }

    #[test]
    fn handshakes_are_written() {
        let (_, request) = handshake(&[("Sec-WebSocket-Protocol", "chat")]).unwrap();
        assert_eq!(
            request,
            "GET /chat HTTP/1.1\r\nHost: server:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
        );
        for name in ["Connection", "upgrade", "Sec-WebSocket-Key", "sec-websocket-extensions"] {
            assert_eq!(handshake(&[(name, "a")]).unwrap_err(), HandshakeError::Reserved(name.to_owned()));
        }
        let error = HandshakeError::Request(RequestError::Value("a".to_owned()));
        assert_eq!(handshake(&[("a", "b\r\n")]).unwrap_err(), error);
    }

    #[test]
    fn answers_to_handshakes_are_checked() {
        // The example of RFC 6455, 1.3.
        const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        const UPGRADE: &str = "Upgrade: WebSocket\r\nConnection: x, upgrade";
        #[track_caller]
        fn check(status: u16, fields: &str, expected: Result<(), HandshakeError>) {
            let mut response = Response::default();
            response.begin(Sent { upgrade: true, keep_head: true, ..Sent::default() });
            response.feed(format!("HTTP/1.1 {status} \r\n{fields}\r\n\r\n").as_bytes()).unwrap();
            let (handshake, _) =
                handshake(&[("sec-websocket-protocol", "a, b"), ("SEC-WebSocket-Protocol", "c")]).unwrap();
            assert_eq!(handshake.check(&response), expected, "{fields:?}");
        }
        let good = format!("{UPGRADE}\r\n{ACCEPT}");
        check(101, &good, Ok(()));
        check(101, &good.replace("Connection: x", "connection: keep-alive\r\nCONNECTION: x"), Ok(()));
        check(200, &good, Err(HandshakeError::Status(200)));
        check(101, &good.replace("WebSocket\r", "h2c\r"), Err(HandshakeError::Header("Upgrade")));
        check(101, &good.replace("upgrade", "upgraded"), Err(HandshakeError::Header("Connection")));
        let accept = Err(HandshakeError::Header("Sec-WebSocket-Accept"));
        check(101, UPGRADE, accept.clone());
        check(101, &good.replace("s3p", "S3p"), accept.clone());
        check(101, &format!("{good}\r\n{ACCEPT}"), accept);
        let deflate = HandshakeError::Extension("permessage-deflate".to_owned());
        check(101, &format!("{good}\r\nSec-WebSocket-Extensions: permessage-deflate"), Err(deflate));
        for chosen in ["a", "b", "c"] {
            check(101, &format!("{good}\r\nSec-WebSocket-Protocol: {chosen}"), Ok(()));
        }
        check(
            101,
            &format!("{good}\r\nSec-WebSocket-Protocol: a, b"),
            Err(HandshakeError::Protocol("a, b".to_owned())),
        );
    }
}
