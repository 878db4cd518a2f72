//! A gRPC server by the `h2` crate, with reflection that sends no file that it is not asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use prost::Message as _;
use prost_reflect::DescriptorPool;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub(crate) const SERVICE: &str = "
    syntax = \"proto3\";
    package test;
    import \"text.proto\";
    service Echo {
      rpc Say(Text) returns (Text);
      rpc Meta(Text) returns (Text);
      rpc Count(Text) returns (stream Text);
      rpc Odd(Text) returns (Text);
      rpc Collect(stream Text) returns (Text);
    }";
pub(crate) const TEXT: &str = "
    syntax = \"proto3\";
    package test;
    import \"google/protobuf/wrappers.proto\";
    message Text { string text = 1; int64 count = 2; google.protobuf.StringValue more = 3; }";

#[derive(Clone, PartialEq, prost::Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(int64, tag = "2")]
    count: i64,
}

/// How the server answers to reflection.
#[derive(Clone, Debug)]
pub(crate) enum Reflection {
    /// In version `v1` or `v1alpha`, with these files.
    Serves(&'static str, DescriptorPool),
    /// Each file imports another one.
    Endless,
    /// With these messages whatever is asked.
    Says(Vec<Vec<u8>>),
    /// With this status.
    Refuses(&'static str),
}

/// A target on loopback, until it is dropped.
pub(crate) struct GrpcTarget {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many calls to `Odd` that would not end were given up by the client.
    pub given_up: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for GrpcTarget {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl GrpcTarget {
    /// Starts one.
    pub(crate) async fn start(reflection: Reflection) -> GrpcTarget {
        GrpcTarget::start_on(reflection, None).await
    }

    /// Starts one behind TLS.
    pub(crate) async fn start_secure(reflection: Reflection, tls: TlsAcceptor) -> GrpcTarget {
        GrpcTarget::start_on(reflection, Some(tls)).await
    }

    async fn start_on(reflection: Reflection, tls: Option<TlsAcceptor>) -> GrpcTarget {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reflection = Arc::new(reflection);
        let given_up = Arc::new(AtomicU64::new(0));
        let counter = given_up.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reflection, counter, tls) = (reflection.clone(), counter.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => serve(tls.accept(stream).await.ok()?, reflection, counter).await,
                        None => serve(stream, reflection, counter).await,
                    }
                });
            }
        });
        GrpcTarget { address, given_up, task }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    reflection: Arc<Reflection>,
    given_up: Arc<AtomicU64>,
) -> Option<()> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, reflection.clone(), given_up.clone()));
    }
    Some(())
}

/// A message with its prefix.
fn frame(message: &[u8]) -> Vec<u8> {
    [&[0], (message.len() as u32).to_be_bytes().as_slice(), message].concat()
}

fn text(text: &str) -> Vec<u8> {
    frame(&Text { text: text.to_owned(), count: 0 }.encode_to_vec())
}

/// What goes back: the data and the status in the trailers, if any.
type Reply = (Vec<u8>, Option<&'static str>);

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    reflection: Arc<Reflection>,
    given_up: Arc<AtomicU64>,
) -> Option<()> {
    let (head, mut body) = request.into_parts();
    let mut content = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        content.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).ok()?;
    }
    let response = Response::builder().header("content-type", "application/grpc");
    let (data, status) = match head.uri.path() {
        "/test.Echo/Say" => (content, Some("0")),
        "/test.Echo/Meta" => (text(&metadata(&head.headers)), Some("0")),
        "/test.Echo/Count" => {
            let count = Text::decode(content.get(5..)?).ok()?.count;
            ((1..=count).flat_map(|n| text(&n.to_string())).collect(), Some("0"))
        }
        "/test.Echo/Odd" => match Text::decode(content.get(5..)?).ok()?.text.as_str() {
            "trailers only" => {
                let response =
                    response.header("grpc-status", "5").header("grpc-message", "not%20here").body(()).ok()?;
                return respond.send_response(response, true).ok().map(drop);
            }
            "proxy" => {
                let response = Response::builder().status(503).body(()).ok()?;
                let mut send = respond.send_response(response, false).ok()?;
                return send.send_data(Bytes::from_static(b"<html>"), true).ok();
            }
            "compressed without end" => {
                let mut send = respond.send_response(response.body(()).ok()?, false).ok()?;
                send.send_data(Bytes::from_static(&[1, 0, 0, 0, 0]), false).ok()?;
                let reason = std::future::poll_fn(|cx| send.poll_reset(cx)).await.ok()?;
                given_up.fetch_add(u64::from(reason == h2::Reason::CANCEL), Ordering::Relaxed);
                return Some(());
            }
            odd => self::odd(odd),
        },
        path => reflect(path, &content, &reflection),
    };
    let mut send = respond.send_response(response.body(()).ok()?, false).ok()?;
    let Some(status) = status else { return send.send_data(data.into(), true).ok() };
    // In two pieces, the first of which ends within a prefix.
    let mut data = Bytes::from(data);
    let rest = data.split_off(data.len().min(3));
    send.send_data(data, false).ok()?;
    send.send_data(rest, false).ok()?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().ok()?);
    send.send_trailers(trailers).ok()
}

fn odd(odd: &str) -> Reply {
    match odd {
        "compressed" => (vec![1, 0, 0, 0, 0], Some("0")),
        "truncated" => (vec![0, 0, 0, 0, 9, 1], Some("0")),
        "nothing" => (Vec::new(), Some("0")),
        "two" => ([text("a"), text("b")].concat(), Some("0")),
        "wrong type" => (frame(&[0xff; 9]), Some("0")),
        "no status" => (text("a"), None),
        "no number" => (text("a"), Some("abc")),
        _ => (Vec::new(), Some("13")),
    }
}

fn metadata(headers: &HeaderMap) -> String {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    format!("{} {} {} {}", value("authorization"), value("x-bin"), value("te"), value("content-type"))
}

#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(string, optional, tag = "3")]
    file: Option<String>,
    #[prost(string, optional, tag = "4")]
    symbol: Option<String>,
    #[prost(string, optional, tag = "7")]
    list: Option<String>,
}

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// A `ServerReflectionResponse` with one file.
pub(crate) fn file_response(file: &[u8]) -> Vec<u8> {
    field(4, &field(1, file))
}

/// A file that imports another.
pub(crate) fn importing(name: &str, import: &str) -> Vec<u8> {
    [field(1, name.as_bytes()), field(3, import.as_bytes())].concat()
}

fn reflect(path: &str, content: &[u8], reflection: &Reflection) -> Reply {
    let version =
        path.strip_prefix("/grpc.reflection.").and_then(|path| path.split_once('.')).map(|(version, _)| version);
    if let Reflection::Refuses(status) = reflection {
        return (Vec::new(), Some(status));
    }
    if let Reflection::Serves(served, _) = reflection
        && version != Some(*served)
    {
        return (Vec::new(), Some("12"));
    }
    let mut rest = content;
    let mut answers = Vec::new();
    while let Some(([_, a, b, c, d], after)) = rest.split_first_chunk::<5>() {
        let (question, after) = after.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        rest = after;
        let question = Question::decode(question).unwrap();
        match reflection {
            Reflection::Serves(_, pool) => answers.extend(frame(&reply(&question, pool))),
            Reflection::Endless => {
                let name = question.file.unwrap_or_default();
                answers.extend(frame(&file_response(&importing(&name, &format!("{name}x")))));
            }
            Reflection::Says(messages) => {
                return (messages.iter().flat_map(|message| frame(message)).collect(), Some("0"));
            }
            Reflection::Refuses(_) => {}
        }
    }
    (answers, Some("0"))
}

fn reply(question: &Question, pool: &DescriptorPool) -> Vec<u8> {
    if question.list.is_some() {
        let names = pool.services().map(|service| field(1, &field(1, service.full_name().as_bytes())));
        return field(6, &names.collect::<Vec<_>>().concat());
    }
    let file = match (&question.file, &question.symbol) {
        // As with servers that have no files of protobuf's own.
        (Some(name), _) => pool.get_file_by_name(name).filter(|file| !file.name().starts_with("google/")),
        (None, Some(symbol)) => pool.get_service_by_name(symbol).map(|service| service.parent_file()),
        (None, None) => None,
    };
    match file {
        Some(file) => file_response(&file.encode_to_vec()),
        None => field(7, &[&[0x08, 5], field(2, b"not found").as_slice()].concat()),
    }
}
