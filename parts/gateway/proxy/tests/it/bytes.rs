//! Bytes from 0x80 on, padded frames, and headers on several lines.

use purlin_traffic::model::{Action, BackendProtocol, ValueMatch};

use crate::backend::{Backend, scripted};
use crate::frames::{self, Client, Field, frame, request};
use crate::rig::{Reply, Rig, rule, share, talk};

/// The answer to a request over HTTP/1.1, whose head is closed here.
async fn h1(rig: &Rig, line: &[u8], headers: &[u8]) -> Reply {
    let request = [line, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", headers, b"\r\n"].concat();
    let got = talk(rig.at, &request).await;
    Reply::parse_all(&String::from_utf8_lossy(&got)).into_iter().next().unwrap()
}

#[tokio::test]
async fn in_a_request_over_http1() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    for target in [&b"/\x80"[..], b"/\xff", b"/\xc3\xa9", b"/?\xff", b"/?q=\xc3\xa9", b"http://a\xc3\xa9/", b"\xff"] {
        let line = [b"GET ", target].concat();
        assert_eq!(h1(&rig, &line, b"").await.status, 400, "{target:?}");
    }
    assert_eq!(h1(&rig, b"G\xffT /", b"").await.status, 400);
    for header in [&b"x-\xc3\xa9: 1\r\n"[..], b"x-\xff: 1\r\n", b"Host\xa0: b\r\n", b"\x80: 1\r\n"] {
        assert_eq!(h1(&rig, b"GET /", header).await.status, 400, "{header:?}");
    }
    let hosts = [&b"a\xc3\xa9"[..], b"\xff", b"a\xa0"];
    for host in hosts {
        let got = talk(rig.at, &[b"GET / HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"].concat()).await;
        assert!(got.starts_with(b"HTTP/1.1 400 "), "{host:?}");
    }
    for length in [&b"\xb2"[..], b"1\xa0"] {
        let header = [b"Content-Length: ", length, b"\r\n"].concat();
        assert_eq!(h1(&rig, b"POST /", &header).await.status, 400, "{length:?}");
    }
    assert_eq!(h1(&rig, b"POST /", b"Transfer-Encoding: chunked\xa0\r\n").await.status, 400);
    assert!(backend.seen.lock().is_empty());
    // In other values they are text that nobody here has to understand.
    let reply = h1(&rig, b"GET /", b"X-Name: \xc3\xa9\r\nX-Raw: \xff\x80\r\n").await;
    assert!(reply.body.contains("\nx-name: é\n") && reply.body.contains("\nx-raw: \u{fffd}\u{fffd}\n"), "{reply:?}");
}

#[tokio::test]
async fn in_a_value_are_passed_on_as_they_are() {
    let reply = b"HTTP/1.1 200 OK\r\nX-Raw: \xff\xc3\xa9\x80\r\nContent-Length: 0\r\n\r\n".to_vec();
    let rig = Rig::simple(scripted(reply).await).await;
    let got = talk(rig.at, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(got.windows(8).any(|w| w == b": \xff\xc3\xa9\x80\r\n"), "{got:?}");
}

#[tokio::test]
async fn in_a_request_over_http2() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let cases: [(&[u8], &[Field]); 7] = [
        (b"/\xff", &[]),
        (b"/\xc3\xa9", &[]),
        (b"/", &[(b"x-\xc3\xa9", b"1")]),
        (b"/", &[(b"\xff", b"1")]),
        (b"/", &[(b"X-Upper", b"1")]),
        (b"/", &[(b"host", b"a\xff")]),
        (b"/", &[(b"content-length", b"\xb2")]),
    ];
    for (path, more) in cases {
        let mut client = Client::connect(rig.at).await;
        client.send(&frame(frames::HEADERS, 5, 1, &request("GET", path, more))).await;
        let answer = client.until(&[frames::HEADERS, frames::RST_STREAM, frames::GOAWAY]).await;
        // 400 is 0x8c in the static table.
        let refused = if answer.kind == frames::HEADERS { answer.payload[0] == 0x8c } else { answer.code() == 1 };
        assert!(refused, "{path:?} {more:?} {answer:?}");
    }
    assert!(backend.seen.lock().is_empty());
    let mut client = Client::connect(rig.at).await;
    client.send(&frame(frames::HEADERS, 5, 1, &request("GET", b"/", &[(b"x-raw", b"\xff\xc3\xa9")]))).await;
    let (status, body) = client.response(1).await;
    assert!(status == 200 && String::from_utf8_lossy(&body).contains("\nx-raw: \u{fffd}é\n"), "{body:?}");
}

/// A payload with its padding.
fn padded(payload: &[u8], padding: u8) -> Vec<u8> {
    [&[padding], payload, &vec![0; usize::from(padding)]].concat()
}

#[tokio::test]
async fn padding_of_frames_is_no_content() {
    let backend = Backend::start("one").await;
    let rig = Rig::simple(backend.at).await;
    let head = request("POST", b"/p", &[(b"content-length", b"6")]);
    let with_priority = [&[0, 0, 0, 0, 15][..], &head].concat();
    let heads = [
        frame(frames::HEADERS, frames::END_HEADERS | frames::PADDED, 1, &padded(&head, 255)),
        frame(frames::HEADERS, frames::END_HEADERS | frames::PADDED, 1, &padded(&head, 0)),
        frame(frames::HEADERS, frames::END_HEADERS | frames::PADDED | frames::PRIORITY, 1, &padded(&with_priority, 7)),
        [
            frame(frames::HEADERS, frames::PADDED, 1, &padded(&head[..10], 9)),
            frame(frames::CONTINUATION, frames::END_HEADERS, 1, &head[10..]),
        ]
        .concat(),
    ];
    let data = [
        frame(frames::DATA, frames::PADDED, 1, &padded(b"abc", 200)),
        frame(frames::DATA, frames::PADDED, 1, &padded(b"", 255)),
        frame(frames::DATA, frames::PADDED | frames::END_STREAM, 1, &padded(b"def", 0)),
    ]
    .concat();
    for head in heads {
        let mut client = Client::connect(rig.at).await;
        client.send(&[head, data.clone()].concat()).await;
        let (status, body) = client.response(1).await;
        let body = String::from_utf8(body).unwrap();
        assert!(status == 200 && body.contains("\ncontent-length: 6\n") && body.ends_with("\n\nabcdef"), "{body}");
    }
    backend.seen.lock().clear();
    // More padding than frame ends the connection; padding that stands for content ends the stream.
    let head = frame(frames::HEADERS, frames::END_HEADERS, 1, &head);
    for (bad, kind) in [
        (frame(frames::HEADERS, frames::END_HEADERS | frames::PADDED, 1, &[9, 1, 2]), frames::GOAWAY),
        ([head.clone(), frame(frames::DATA, frames::PADDED, 1, &[4, b'a', b'b', b'c'])].concat(), frames::GOAWAY),
        ([head.clone(), frame(frames::DATA, 9, 1, &padded(b"abc", 3))].concat(), frames::RST_STREAM),
        ([head, frame(frames::DATA, 9, 1, &padded(b"abcdefg", 0))].concat(), frames::RST_STREAM),
    ] {
        let mut client = Client::connect(rig.at).await;
        client.send(&bad).await;
        let ended = client.until(&[frames::GOAWAY, frames::RST_STREAM, frames::DATA]).await;
        assert_eq!((ended.kind, ended.code()), (kind, frames::PROTOCOL_ERROR), "{bad:?}");
    }
}

/// Which rule takes a request with these header lines: that of the match, or the one for all else.
async fn check_match(matches: &[(&str, ValueMatch)], cases: &[(&[u8], bool)]) {
    let (hit, miss) = (Backend::start("hit").await, Backend::start("miss").await);
    let mut special = rule("/", "hit");
    special.matches.headers = matches.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    special.action = Action::Forward(vec![share(1, Some("hit"))]);
    let h1_backend = BackendProtocol::Http1;
    let clusters = [("hit", h1_backend, &[hit.at][..]), ("miss", h1_backend, &[miss.at][..])];
    let rig = Rig::new(vec![special, rule("/", "miss")], &clusters).await;
    for (headers, is_hit) in cases {
        let reply = h1(&rig, b"GET /", headers).await;
        let expected = if *is_hit { "hit" } else { "miss" };
        assert_eq!(reply.header("x-backend"), Some(expected), "{matches:?} {}", headers.escape_ascii());
    }
}

#[tokio::test]
async fn lines_of_a_header_are_matched_as_one_list() {
    let exact = |text: &str| ValueMatch::Exact(text.into());
    let regex = |text: &str| ValueMatch::Regex(text.into());
    check_match(
        &[("x-role", exact("a,b"))],
        &[
            (b"X-Role: a\r\nX-Role: b\r\n", true),
            (b"X-Role: a\r\nOther: x\r\nx-role: b\r\n", true),
            (b"X-Role: a,b\r\n", true),
            (b"X-Role: b\r\nX-Role: a\r\n", false),
            (b"X-Role: a\r\n", false),
            (b"X-Role: a\r\nX-Role: b\r\nX-Role: c\r\n", false),
            (b"X-Role: a\r\nX-Role:\r\nX-Role: b\r\n", false),
        ],
    )
    .await;
    // A second line neither hides behind the first nor hides it.
    check_match(&[("x-role", exact("a"))], &[(b"X-Role: a\r\n", true), (b"X-Role: a\r\nX-Role: b\r\n", false)]).await;
    check_match(
        &[("x-role", regex("(.*,)?admin(,.*)?"))],
        &[
            (b"X-Role: admin\r\n", true),
            (b"X-Role: x\r\nX-Role: admin\r\n", true),
            (b"X-Role: admin\r\nX-Role: x\r\n", true),
            (b"X-Role: x\r\nX-Role: administrator\r\n", false),
            (b"X-Role: x\r\n", false),
        ],
    )
    .await;
    // Text is compared as UTF-8; what is not text is no value.
    check_match(
        &[("x-name", exact("é"))],
        &[(b"X-Name: \xc3\xa9\r\n", true), (b"X-Name: \xe9\r\n", false), (b"X-Name: e\r\n", false)],
    )
    .await;
    check_match(
        &[("x-name", regex(".*"))],
        &[(b"X-Name: \xc3\xa9\r\n", true), (b"X-Name: \xff\r\n", false), (b"X-Name: a\r\nX-Name: \xff\r\n", false)],
    )
    .await;
}
