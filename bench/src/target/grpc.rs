//! gRPC, as much as a target needs: `bench.Echo/Say` answers with what it was sent, and server reflection (v1, and
//! v1alpha for clients that still ask for that) tells its types.
//!
//! The messages are written by hand: three of them do not make a code generator worth its while.

use std::convert::Infallible;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::stream;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};

use super::Body;

/// A longer message is no request for reflection.
const MAX_MESSAGE: usize = 64 << 10;

/// Whether the path is that of server reflection.
pub(super) fn is_reflection(path: &str) -> bool {
    let service = path.strip_suffix("/ServerReflectionInfo");
    matches!(service, Some("/grpc.reflection.v1.ServerReflection" | "/grpc.reflection.v1alpha.ServerReflection"))
}

/// Answers with the message that came, and status 0.
pub(super) fn echo(message: Bytes) -> Response<Body> {
    let frames = [Ok::<_, Infallible>(Frame::data(message)), Ok(Frame::trailers(status_ok()))];
    response(StreamBody::new(stream::iter(frames)).boxed_unsync())
}

/// Answers each question about types with all that there are, as long as the client asks.
pub(super) fn reflect(questions: Incoming) -> Response<Body> {
    let answers = stream::unfold(Some((questions, BytesMut::new())), async |state| {
        let (mut questions, mut buffer) = state?;
        loop {
            if let Some(question) = take_message(&mut buffer) {
                return Some((Ok(Frame::data(framed(&answer(&question)))), Some((questions, buffer))));
            }
            match questions.frame().await {
                Some(Ok(frame)) if buffer.len() <= MAX_MESSAGE => buffer.extend(frame.into_data().ok()),
                _ => return Some((Ok::<_, Infallible>(Frame::trailers(status_ok())), None)),
            }
        }
    });
    response(StreamBody::new(answers).boxed_unsync())
}

fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn status_ok() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// A message with its length in front (gRPC over HTTP2, "Length-Prefixed-Message").
fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(message.len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    bytes.freeze()
}

fn take_message(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = u32::from_be_bytes(buffer.get(1..5)?.try_into().ok()?) as usize;
    if buffer.len() - 5 < length {
        return None;
    }
    buffer.advance(5);
    Some(buffer.split_to(length).freeze())
}

/// A `ServerReflectionResponse`: the list of services, or the file with all types.
fn answer(question: &[u8]) -> Vec<u8> {
    // `list_services` is the only question that is a field 7.
    const LIST_SERVICES: u8 = 7 << 3 | 2;
    let content = if question.first() == Some(&LIST_SERVICES) {
        field(6, &field(1, &field(1, b"bench.Echo")))
    } else {
        field(4, &field(1, &file()))
    };
    [field(2, question), content].concat()
}

/// The `FileDescriptorProto` of `message Text { string text = 1; }` and `service Echo { rpc Say(Text) returns (Text); }`.
fn file() -> Vec<u8> {
    // A label of 1 is optional, a type of 9 is string.
    let text = [field(1, b"text"), vec![3 << 3, 1, 4 << 3, 1, 5 << 3, 9], field(10, b"text")].concat();
    let message = [field(1, b"Text"), field(2, &text)].concat();
    let say = [field(1, b"Say"), field(2, b".bench.Text"), field(3, b".bench.Text")].concat();
    let service = [field(1, b"Echo"), field(2, &say)].concat();
    [field(1, b"bench.proto"), field(2, b"bench"), field(4, &message), field(6, &service), field(12, b"proto3")]
        .concat()
}

/// A field that has a length: text, bytes or a message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_where_they_end() {
        let mut buffer = BytesMut::from([framed(b"one"), framed(b"")].concat().as_slice());
        buffer.extend_from_slice(&[0, 0, 0, 0, 2, b'x']);
        assert_eq!(take_message(&mut buffer).as_deref(), Some(&b"one"[..]));
        assert_eq!(take_message(&mut buffer).as_deref(), Some(&b""[..]));
        assert_eq!(take_message(&mut buffer), None);
        assert_eq!(buffer.len(), 6);
    }

    #[test]
    fn long_fields_have_long_lengths() {
        assert_eq!(field(1, b"ab"), [0x0a, 2, b'a', b'b']);
        assert_eq!(field(4, &[0; 300])[..3], [0x22, 0xac, 0x02]);
    }

    #[test]
    fn questions_are_told_apart() {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        assert!(text(answer(&field(7, b""))).ends_with("bench.Echo"));
        assert!(text(answer(&field(4, b"bench.Echo"))).contains(".bench.Text"));
        assert!(is_reflection("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"));
        assert!(!is_reflection("/bench.Echo/Say"));
    }
}
