//! HTTP/2 against the server of the `h2` crate, over a pipe in memory that holds less than a window.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use purlin_load_wire::h2::{Code, Connection, Event, Settings, StreamId};
use purlin_load_wire::hpack::Head;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// What came of a stream.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    data: Vec<u8>,
    fields: Vec<(String, String)>,
    trailers: Vec<(String, String)>,
    ended: bool,
    error: Option<Code>,
}

struct Client {
    connection: Connection,
    io: DuplexStream,
    input: BytesMut,
    /// By slot: answers that are awaited.
    open: Vec<Answer>,
    /// Streams that ended since the last step.
    ended: Vec<(StreamId, Answer)>,
    goaway: Option<(u32, Code)>,
    most_open: usize,
}

impl Client {
    fn new(settings: Settings, io: DuplexStream) -> Client {
        Client {
            connection: Connection::new(settings),
            io,
            input: BytesMut::new(),
            open: Vec::new(),
            ended: Vec::new(),
            goaway: None,
            most_open: 0,
        }
    }

    fn open(&mut self, head: &Head, body: Bytes) -> StreamId {
        let stream = self.connection.open(head, body).expect("there is capacity");
        if self.open.len() <= stream.slot() {
            self.open.resize_with(stream.slot() + 1, Answer::default);
        }
        self.open[stream.slot()] = Answer::default();
        self.most_open = self.most_open.max(self.connection.streams());
        stream
    }

    /// Writes and reads what can be. Returns whether the server has closed the connection.
    async fn step(&mut self) -> bool {
        let Client { connection, io, input, open, ended, goaway, .. } = self;
        let (mut read, mut write) = tokio::io::split(io);
        let output = connection.output();
        tokio::select! {
            count = read.read_buf(input) => {
                if count.expect("reads") == 0 {
                    return true;
                }
            }
            count = write.write(output), if !output.is_empty() => {
                output.advance(count.expect("writes"));
                return false;
            }
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("stuck: {connection:?}"),
        }
        let taken = connection.feed(input, &mut |event| note(event, open, ended, goaway)).expect("keeps the rules");
        input.advance(taken);
        false
    }

    /// Waits until the server's settings have come.
    async fn ready(&mut self) {
        while self.connection.capacity() == 0 {
            self.step().await;
        }
    }

    /// The answer to the only request.
    async fn answer(&mut self) -> Answer {
        while self.ended.is_empty() {
            assert!(!self.step().await, "closed");
        }
        self.ended.remove(0).1
    }
}

fn note(event: Event<'_>, open: &mut [Answer], ended: &mut Vec<(StreamId, Answer)>, goaway: &mut Option<(u32, Code)>) {
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let (stream, end) = match event {
        Event::Head { stream, status, fields, end } => {
            let answer = &mut open[stream.slot()];
            answer.status = status;
            answer.fields = fields.iter().map(|(name, value)| (text(name), text(value))).collect();
            (stream, end)
        }
        Event::Data { stream, data, end } => {
            open[stream.slot()].data.extend_from_slice(data);
            (stream, end)
        }
        Event::Trailers { stream, fields } => {
            open[stream.slot()].trailers = fields.iter().map(|(name, value)| (text(name), text(value))).collect();
            (stream, true)
        }
        Event::Reset { stream, code } => {
            open[stream.slot()].error = Some(code);
            (stream, true)
        }
        Event::Failed { stream, error } => panic!("{stream:?}: {error}"),
        Event::GoAway { last, code, .. } => return *goaway = Some((last, code)),
    };
    if end {
        let mut answer = std::mem::take(&mut open[stream.slot()]);
        answer.ended = answer.error.is_none();
        ended.push((stream, answer));
    }
}

/// Serves `io` until the client closes it.
fn serve(io: DuplexStream) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(10_000).initial_connection_window_size(70_000).max_concurrent_streams(50);
    builder.header_table_size(100).max_send_buffer_size(1 << 20);
    tokio::spawn(async move {
        let mut connection = builder.handshake::<_, Bytes>(io).await.expect("shakes hands");
        while let Some(Ok((request, answer))) = connection.accept().await {
            match request.uri().path() {
                "/bye" => connection.graceful_shutdown(),
                "/abort" => connection.abrupt_shutdown(Reason::INTERNAL_ERROR),
                _ => {}
            }
            tokio::spawn(handle(request, answer));
        }
    });
}

async fn handle(request: Request<RecvStream>, mut answer: SendResponse<Bytes>) {
    let (head, body) = request.into_parts();
    match head.uri.path() {
        "/echo" => echo(body, answer).await,
        "/endless" => endless(answer).await,
        "/reset" => answer.send_reset(Reason::ENHANCE_YOUR_CALM),
        "/late-reset" => {
            let mut stream = answer.send_response(Response::new(()), false).expect("answers");
            stream.send_data("some".into(), false).expect("sends");
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        "/unread" => drop(answer.send_response(Response::builder().status(413).body(()).unwrap(), true)),
        "/status-only" => {
            let response = Response::builder().header("grpc-status", "12").header("grpc-message", "no such method");
            drop(answer.send_response(response.body(()).unwrap(), true));
        }
        "/hints" => {
            let hints = Response::builder().status(103).header("link", "</a>").body(()).unwrap();
            answer.send_informational(hints).expect("informs");
            drop(answer.send_response(Response::builder().status(204).body(()).unwrap(), true));
        }
        "/large-head" => {
            let response = Response::builder().header("x-large", "v#".repeat(20_000));
            drop(answer.send_response(response.body(()).unwrap(), true));
        }
        "/head" => {
            drop(answer.send_response(Response::builder().header("content-length", "5").body(()).unwrap(), true));
        }
        _ => drop(answer.send_response(Response::new(()), true)),
    }
}

/// Sends the body back as it comes, and its length after it.
async fn echo(mut body: RecvStream, mut answer: SendResponse<Bytes>) {
    let mut stream = answer.send_response(Response::new(()), false).expect("answers");
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data.expect("is sent whole");
        length += data.len();
        stream.send_data(data.clone(), false).expect("sends");
        body.flow_control().release_capacity(data.len()).expect("releases");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("x-length", length.into());
    stream.send_trailers(trailers).expect("sends trailers");
}

/// Sends until the client has enough.
async fn endless(mut answer: SendResponse<Bytes>) {
    // The client may have had enough before the first byte.
    let Ok(mut stream) = answer.send_response(Response::new(()), false) else { return };
    loop {
        stream.reserve_capacity(10_000);
        match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(Ok(room)) => drop(stream.send_data(Bytes::from(vec![b'x'; room]), false)),
            _ => return,
        }
    }
}

fn client(settings: Settings) -> Client {
    let (ours, theirs) = tokio::io::duplex(5000);
    serve(theirs);
    Client::new(settings, ours)
}

fn head(method: &str, path: &str) -> Head {
    Head::new(method, "http", "localhost", path)
}

#[tokio::test]
async fn bodies_larger_than_windows_go_both_ways_on_many_streams() {
    let settings = Settings { stream_window: 20_000, connection_window: 70_000, ..Settings::default() };
    let mut client = client(settings);
    client.ready().await;
    let (total, mut done) = (300, 0);
    let mut sent = Vec::new();
    while done < total {
        while sent.len() < total && client.connection.capacity() > 0 {
            let begun = sent.len();
            let length = if begun % 8 == 0 { 150_000 } else { begun * 37 % 5000 };
            let body: Bytes = (0..length).map(|n| (n * (begun + 1)) as u8).collect();
            let stream = client.open(&head("POST", "/echo"), body.clone());
            // Ids are 1, 3, 5 and so on.
            assert_eq!(stream.id() as usize / 2, begun);
            sent.push(body);
        }
        assert!(!client.step().await);
        for (stream, answer) in client.ended.drain(..) {
            assert_eq!(answer.status, 200, "{stream:?}");
            assert!(answer.data == sent[stream.id() as usize / 2], "{stream:?}");
            let trailers = [("grpc-status", "0".to_owned()), ("x-length", answer.data.len().to_string())];
            assert_eq!(answer.trailers, trailers.map(|(name, value)| (name.to_owned(), value)));
            done += 1;
        }
    }
    assert_eq!((client.most_open, client.connection.streams()), (50, 0));
}

#[tokio::test]
async fn answers_of_every_kind() {
    let mut client = client(Settings::default());
    client.ready().await;
    let mut check = async |method: &str, path: &str, body: usize, status: u16, fields: &[(&str, &str)]| {
        client.open(&head(method, path), vec![b'x'; body].into());
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.error), (status, None), "{path}");
        let seen: Vec<(&str, &str)> = answer.fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        assert_eq!(seen, fields, "{path}");
    };
    for _ in 0..3 {
        check("GET", "/", 0, 200, &[]).await;
        check("GET", "/status-only", 0, 200, &[("grpc-status", "12"), ("grpc-message", "no such method")]).await;
        check("GET", "/hints", 0, 204, &[]).await;
        check("HEAD", "/head", 0, 200, &[("content-length", "5")]).await;
        // The answer comes before the body has been sent.
        check("POST", "/unread", 1_000_000, 413, &[]).await;
        check("GET", "/large-head", 0, 200, &[("x-large", &"v#".repeat(20_000))]).await;
    }
    let mut large = head("GET", "/");
    large.push("x-large", "v#".repeat(7000).as_bytes());
    client.open(&large, Bytes::new());
    assert_eq!(client.answer().await.status, u16::from(StatusCode::OK));
}

#[tokio::test]
async fn resets_of_either_side_leave_the_others_alone() {
    let mut client = client(Settings { stream_window: 30_000, ..Settings::default() });
    client.ready().await;
    client.open(&head("POST", "/echo"), vec![b'x'; 2_000_000].into());
    for round in 0..50 {
        client.open(&head("GET", "/reset"), Bytes::new());
        client.open(&head("GET", "/late-reset"), Bytes::new());
        let endless = client.open(&head("GET", "/endless"), Bytes::new());
        while client.open[endless.slot()].data.len() < 1000 * round {
            client.step().await;
        }
        client.connection.reset(endless, Code::CANCEL);
        while client.ended.iter().filter(|(_, answer)| answer.error.is_some()).count() < 2 {
            client.step().await;
        }
        let mut codes: Vec<Code> = client.ended.iter().filter_map(|(_, answer)| answer.error).collect();
        codes.sort();
        assert_eq!(codes, [Code::INTERNAL_ERROR, Code::ENHANCE_YOUR_CALM]);
        client.ended.retain(|(_, answer)| answer.ended);
    }
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.data.len()), (200, 2_000_000));
}

#[tokio::test]
async fn a_server_that_goes_away_finishes_or_says_what_it_leaves() {
    let mut polite = client(Settings::default());
    polite.ready().await;
    polite.open(&head("POST", "/echo"), vec![b'x'; 300_000].into());
    polite.open(&head("GET", "/bye"), Bytes::new());
    while !polite.step().await {}
    assert_eq!((polite.goaway, polite.connection.is_closing()), (Some((3, Code::NO_ERROR)), true));
    let lengths: Vec<usize> = polite.ended.iter().filter(|(_, a)| a.ended).map(|(_, a)| a.data.len()).collect();
    assert_eq!(lengths, [0, 300_000]);

    let mut abrupt = client(Settings::default());
    abrupt.ready().await;
    abrupt.open(&head("GET", "/abort"), Bytes::new());
    while !abrupt.step().await {}
    assert_eq!(abrupt.goaway.map(|(_, code)| code), Some(Code::INTERNAL_ERROR));
    assert_eq!(abrupt.connection.capacity(), 0);
}

#[tokio::test]
async fn the_server_accepts_our_goodbye() {
    let mut client = client(Settings::default());
    client.ready().await;
    client.open(&head("POST", "/echo"), vec![b'x'; 100_000].into());
    client.connection.goaway(Code::NO_ERROR);
    assert_eq!(client.answer().await.data.len(), 100_000);
    while !client.step().await {}
}
