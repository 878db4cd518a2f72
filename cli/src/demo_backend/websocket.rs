//! A WebSocket (RFC 6455) that echoes messages: enough to see one pass through a gateway.

use std::io;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The largest frame that is echoed.
const MAX_FRAME: u64 = 1 << 20;
/// What the protocol appends to the client's key (RFC 6455, 1.3).
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FINAL: u8 = 0x80;
/// A close frame that says "going away" (1001).
const GOING_AWAY: [u8; 4] = [FINAL | CLOSE, 2, 0x03, 0xe9];

/// Accepts a handshake, where `request` is one; the socket runs in `sockets` until `shutdown`.
pub(super) fn accept(
    request: &mut Request<Incoming>,
    sockets: &TaskTracker,
    shutdown: &CancellationToken,
) -> Option<Response<()>> {
    let key = key(request)?;
    let answer = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{KEY_SUFFIX}").as_bytes()));
    let (upgrade, shutdown) = (hyper::upgrade::on(request), shutdown.clone());
    sockets.spawn(async move {
        let echoed = async {
            let mut socket = TokioIo::new(upgrade.await.map_err(io::Error::other)?);
            echo(&mut socket, &shutdown).await
        };
        if let Err(error) = echoed.await {
            tracing::debug!(%error, "a WebSocket ended");
        }
    });
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&answer).ok()?);
    Some(response)
}

/// The client's key, where the request is a handshake.
fn key<B>(request: &Request<B>) -> Option<&str> {
    let value = |name| request.headers().get(name)?.to_str().ok();
    let is_websocket = value(header::UPGRADE)?.eq_ignore_ascii_case("websocket");
    let is_handshake = request.method() == Method::GET && request.version() == Version::HTTP_11 && is_websocket;
    is_handshake.then(|| value(header::SEC_WEBSOCKET_KEY))?
}

/// Sends each data frame back, answers pings, and ends with a close frame.
async fn echo<S>(socket: &mut S, shutdown: &CancellationToken) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let Some(frame) = shutdown.run_until_cancelled(read(socket)).await else {
            return socket.write_all(&GOING_AWAY).await;
        };
        let (first, payload) = frame?;
        match first & 0x0f {
            PONG => continue,
            PING => write(socket, FINAL | PONG, &payload).await?,
            CLOSE => {
                write(socket, FINAL | CLOSE, &payload).await?;
                return socket.shutdown().await;
            }
            _ => write(socket, first, &payload).await?,
        }
    }
}

/// A frame of the client: its first byte, and its payload unmasked.
async fn read<S: AsyncRead + Unpin>(socket: &mut S) -> io::Result<(u8, Vec<u8>)> {
    let [first, second] = bytes(socket).await?;
    if second & 0x80 == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a client's frame is not masked"));
    }
    let length = match second & 0x7f {
        126 => u16::from_be_bytes(bytes(socket).await?).into(),
        127 => u64::from_be_bytes(bytes(socket).await?),
        short => short.into(),
    };
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is too large to be echoed"));
    }
    let mask: [u8; 4] = bytes(socket).await?;
    let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    socket.read_exact(&mut payload).await?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((first, payload))
}

async fn bytes<S: AsyncRead + Unpin, const N: usize>(socket: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    socket.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn write<S: AsyncWrite + Unpin>(socket: &mut S, first: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..=125), _) => frame.push(short),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    socket.write_all(&frame).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(0x80 | short as u8),
            length @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// What comes back for `sent`, until the socket is closed.
    async fn echoed(sent: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let (mut client, mut server) = tokio::io::duplex(1 << 22);
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        let result = echo(&mut server, &CancellationToken::new()).await;
        drop(server);
        let mut back = Vec::new();
        client.read_to_end(&mut back).await.unwrap();
        (result, back)
    }

    #[tokio::test]
    async fn messages_are_echoed_unmasked() {
        for size in [0, 5, 125, 126, 65_535, 65_536] {
            let payload = vec![7; size];
            let (result, back) = echoed([masked(0x82, &payload), masked(0x88, &[3, 232])].concat()).await;
            result.unwrap();
            assert!(back.starts_with(&[0x82]) && back.ends_with(&[0x88, 2, 3, 232]), "{size}");
            assert_eq!(back.iter().filter(|byte| **byte == 7).count(), size);
        }
        let (_, back) = echoed([masked(0x8a, b"old"), masked(0x89, b"hi"), masked(0x88, b"")].concat()).await;
        assert_eq!(back, [&[0x8a, 2][..], b"hi", &[0x88, 0]].concat());
    }

    #[tokio::test]
    async fn what_breaks_the_protocol_ends_the_socket() {
        for sent in [vec![0x81, 1, b'x'], vec![0x81, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 1, 0, 0, 0, 0], vec![0x81]] {
            let (result, back) = echoed(sent).await;
            assert!(result.is_err() && back.is_empty());
        }
    }

    #[tokio::test]
    async fn a_drain_says_goodbye() {
        let (mut client, mut server) = tokio::io::duplex(64);
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        echo(&mut server, &shutdown).await.unwrap();
        drop(server);
        let mut back = Vec::new();
        client.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, GOING_AWAY);
    }

    #[test]
    fn only_a_handshake_is_one() {
        let check = |method: &str, headers: &[(&str, &str)], expected: Option<&str>| {
            let mut request = Request::builder().method(method).uri("/");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            assert_eq!(key(&request.body(()).unwrap()), expected, "{method} {headers:?}");
        };
        let handshake = [("upgrade", "WebSocket"), ("sec-websocket-key", "abc")];
        check("GET", &handshake, Some("abc"));
        check("POST", &handshake, None);
        check("GET", &handshake[..1], None);
        check("GET", &[("upgrade", "h2c"), ("sec-websocket-key", "abc")], None);
    }
}
