//! The line for streams, with a connection whose bytes nobody writes, and the turns of a driver.

use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use purlin_load_model::arrivals::Shard;
use purlin_load_model::plan::{Pace, Plan, Protocol, Target, Tls};
use purlin_load_wire::hpack::Head;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::driver::Done;
use crate::connect::Dialer;
use crate::prepare::Prepared;

use super::*;

/// A link with so many places whose server has told nothing yet.
fn link(places: usize) -> (Link, Rc<Conn>) {
    let link = Link::default();
    let conn = Rc::new(Conn { state: RefCell::new(State::new()), task: Cell::new(None) });
    *link.current.borrow_mut() = Some(conn.clone());
    for place in 0..places {
        assert_eq!(link.desk.borrow_mut().add(), place);
    }
    (link, conn)
}

fn request() -> Http2Request {
    Http2Request { head: Arc::new(Head::new("GET", "http", "a", "/")), body: Bytes::new(), kind: Kind::Http }
}

/// What the driver does with bytes from the server.
fn feed(link: &Link, conn: &Rc<Conn>, input: &[u8]) {
    let (state, desk) = (&mut *conn.state.borrow_mut(), &mut *link.desk.borrow_mut());
    let (codec, places) = (state.codec.as_mut().unwrap(), &state.places);
    codec.feed(input, &mut |event| desk.note(conn, places, &event)).unwrap();
    desk.let_in(conn, state);
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Settings that allow so many streams.
fn allows(streams: u8) -> Vec<u8> {
    frame(4, 0, 0, &[0, 3, 0, 0, 0, streams])
}

/// The places whose streams are open, in the order of their streams.
fn open(link: &Link, conn: &Conn) -> Vec<usize> {
    let desk = link.desk.borrow();
    let mut open: Vec<(u32, usize)> =
        (0..).map_while(|place| desk.stream(place)).enumerate().filter_map(|(n, id)| Some((id?.id(), n))).collect();
    open.sort_unstable();
    assert_eq!(open.len(), conn.state.borrow().codec.as_ref().unwrap().streams());
    open.into_iter().map(|(_, place)| place).collect()
}

fn ended(link: &Link, place: usize) -> Poll<Option<Ended>> {
    link.poll(place, &Context::from_waker(Waker::noop()))
}

#[test]
fn first_come_first_served_and_never_more_than_allowed() {
    let (link, conn) = link(5);
    let ask = |place, again| link.ask(place, &request(), Keeps::default(), again);
    (0..5).for_each(|place| ask(place, false));
    assert!(open(&link, &conn).is_empty());
    feed(&link, &conn, &allows(2));
    assert_eq!(open(&link, &conn), [0, 1]);

    // Stream 1 is answered. Its sender asks again, and is the last.
    feed(&link, &conn, &frame(1, 5, 1, &[0x88]));
    assert_eq!(ended(&link, 0), Poll::Ready(Some(Ended::Answered)));
    link.close(0);
    ask(0, false);
    assert_eq!(open(&link, &conn), [1, 2]);

    // Stream 3 is refused: its sender was there before the others, and is so still.
    feed(&link, &conn, &frame(3, 0, 3, &[0, 0, 0, 7]));
    assert_eq!(ended(&link, 1), Poll::Ready(Some(Ended::Refused)));
    link.close(1);
    ask(1, true);
    assert_eq!(open(&link, &conn), [2, 3]);

    // One that gives up leaves the line, or its stream, to others.
    link.close(4);
    link.close(3);
    feed(&link, &conn, &[]);
    assert_eq!(open(&link, &conn), [2, 1]);
    feed(&link, &conn, &allows(1));
    link.close(2);
    feed(&link, &conn, &[]);
    assert_eq!(open(&link, &conn), [1]);
    link.close(1);
    feed(&link, &conn, &[]);
    assert_eq!((open(&link, &conn), link.desk.borrow().is_free()), (vec![0], true));
}

#[test]
fn the_line_goes_on_where_a_connection_ends() {
    let (link, conn) = link(3);
    feed(&link, &conn, &allows(2));
    (0..3).for_each(|place| link.ask(place, &request(), Keeps::default(), false));
    // The server will answer stream 1, but not stream 3.
    feed(&link, &conn, &frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]));
    let found: Vec<_> = (0..3).map(|place| ended(&link, place)).collect();
    assert_eq!(found, [Poll::Pending, Poll::Ready(Some(Ended::Refused)), Poll::Ready(None)]);
    link.close(1);
    link.ask(1, &request(), Keeps::default(), true);

    let next = Rc::new(Conn { state: RefCell::new(State::new()), task: Cell::new(None) });
    *link.current.borrow_mut() = Some(next.clone());
    feed(&link, &next, &allows(1));
    // Stream 1 of the next connection is not that of the last one.
    feed(&link, &next, &frame(3, 0, 1, &[0, 0, 0, 8]));
    let found: Vec<_> = (0..3).map(|place| ended(&link, place)).collect();
    assert_eq!(found, [Poll::Pending, Poll::Ready(Some(Ended::Failed(ErrorKind::Closed))), Poll::Pending]);
    feed(&link, &conn, &frame(1, 5, 1, &[0x88]));
    assert_eq!(ended(&link, 0), Poll::Ready(Some(Ended::Answered)));
}

#[test]
fn requests_wait_in_the_line_and_not_in_the_output() {
    let places = 2000;
    let (link, conn) = link(places);
    feed(&link, &conn, &frame(4, 0, 0, &[]));
    let mut head = Head::new("GET", "http", "a", "/");
    head.push("x", &[b'#'; 1000]);
    let request = Http2Request { head: Arc::new(head), ..request() };
    let unwritten = || conn.state.borrow().codec.as_ref().unwrap().unwritten();
    for place in 0..places {
        link.ask(place, &request, Keeps::default(), false);
        assert!(unwritten() < ENOUGH + 2000);
    }
    let first = open(&link, &conn).len();
    assert!((1..places).contains(&first), "{first}");
    // Those that give up are told to the server, and make no room.
    (0..first).for_each(|place| drop(link.close(place)));
    feed(&link, &conn, &[]);
    assert!(open(&link, &conn).is_empty());
    // Once all is written, others follow.
    conn.state.borrow_mut().codec.as_mut().unwrap().output().clear();
    feed(&link, &conn, &[]);
    assert_eq!(open(&link, &conn).first(), Some(&first));
}

/// What senders to `port` share, though there are none.
async fn worker(port: u16) -> Rc<Worker> {
    let plan = Plan {
        target: Target { secure: false, host: "127.0.0.1".into(), port, authority: "a".into() },
        protocol: Protocol::Http2,
        pace: Pace::Closed { duration: Duration::ZERO },
        warm_up: Duration::ZERO,
        connections: 0,
        streams: 0,
        timeout: Duration::from_secs(60),
        workers: 1,
        seed: 0,
        scenarios: Vec::new(),
        data: None,
        trace_share: 0.0,
        tls: Tls::default(),
        descriptors: None,
    };
    let dialer = Dialer::new(&plan.target, plan.protocol, &plan.tls, plan.timeout).await.unwrap();
    let prepared = Prepared::new(&plan).unwrap();
    Rc::new(Worker::new(Arc::new(plan), Arc::new(prepared), Arc::new(dialer), Shard { index: 0, count: 1 }))
}

#[tokio::test]
async fn a_turn_is_short_whatever_the_server_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let worker = worker(listener.local_addr().unwrap().port()).await;
    let (link, conn) = link(1);
    link.ask(0, &request(), Keeps::default(), false);
    let (socket, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (socket, mut server) = (socket.unwrap(), accepted.unwrap().0);
    // More than a turn may read is there before it begins.
    *worker.buffer.borrow_mut() = vec![0; 1024].into();
    server.write_all(&[allows(1), frame(0x42, 0, 0, &[7; 255]).repeat(40)].concat()).await.unwrap();
    while socket.peek(&mut [0; 8192]).await.unwrap() < 8192 {}

    let mut driver = Driver::new(&conn, &link.desk, &worker, Socket::Plain(socket));
    let done = poll_fn(|cx| Poll::Ready(driver.turn(cx))).await;
    assert!(matches!(done, Done::Busy));
    let tally = worker.tally.borrow();
    assert_eq!(tally.bytes_received, 4096);
    // The request was let in meanwhile, and all that was to be said is written.
    assert_eq!(open(&link, &conn), [0]);
    assert!(tally.bytes_sent > 0 && conn.state.borrow().codec.as_ref().unwrap().unwritten() == 0);
}

#[test]
fn pauses_grow() {
    let pauses: Vec<u128> = [0, 1, 5, 9, 10, 100, u32::MAX].map(|n| pause(n).as_millis()).to_vec();
    assert_eq!(pauses, [1, 2, 32, 512, 1000, 1000, 1000]);
}
