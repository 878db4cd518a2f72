//! What a sender sends through: a connection of its own, or a stream of one.

use std::rc::Rc;
use std::time::Instant;

use futures::StreamExt as _;
use purlin_load_model::plan::{MessageAction, Protocol};
use purlin_load_model::tally::ErrorKind;

use crate::http1::Http1;
use crate::http2::{Http2, Keeps, Link};
use crate::prepare::Step;
use crate::websocket::WebSocket;
use crate::wire::Wire;
use crate::worker::Worker;

/// What a sender sends through.
pub(crate) enum Client {
    /// A connection of HTTP/1.1.
    Http1(Http1),
    /// A stream of a connection of HTTP/2.
    Http2(Http2),
    /// A WebSocket, and what its handshake says.
    WebSocket(WebSocket, Rc<MessageAction>),
}

impl Client {
    /// Sends `wire` and reads the answer to its end; returns the status.
    pub(crate) async fn exchange(
        &mut self,
        worker: &Rc<Worker>,
        step: &Step,
        wire: &Wire,
        deadline: Instant,
    ) -> Result<u16, ErrorKind> {
        match (self, wire) {
            (Client::Http1(client), Wire::Http1(request)) => {
                client.exchange(worker, request, step.sent, deadline).await
            }
            (Client::Http2(client), Wire::Http2(request)) => {
                let keeps = Keeps { head: step.sent.keep_head, body: step.sent.keep_body };
                client.exchange(worker, request, keeps, deadline).await
            }
            (Client::WebSocket(client, handshake), Wire::Message { text, answers }) => {
                client.exchange(worker, handshake, text, *answers, deadline).await
            }
            // A plan has steps of its own protocol only.
            _ => Err(ErrorKind::Protocol),
        }
    }

    /// Ends its connection in good order, where the protocol has one.
    pub(crate) async fn finish(&mut self, worker: &Worker) {
        if let Client::WebSocket(client, _) = self {
            client.finish(worker).await;
        }
    }

    /// The value of a header of the last answer, if the step keeps heads.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        match self {
            Client::Http1(client) => client.header(name),
            Client::Http2(client) => client.header(name),
            Client::WebSocket(..) => None,
        }
    }

    /// The body of the last answer, if the step keeps bodies.
    pub(crate) fn body(&self) -> &[u8] {
        match self {
            Client::Http1(client) => client.body(),
            Client::Http2(client) => client.body(),
            Client::WebSocket(client, _) => client.body(),
        }
    }

    async fn open(&mut self, worker: &Rc<Worker>) -> Result<(), ErrorKind> {
        match self {
            Client::Http1(client) => client.open(worker).await,
            Client::Http2(client) => client.open(worker).await,
            Client::WebSocket(client, handshake) => {
                client.open(worker, handshake, Instant::now() + worker.plan.timeout).await
            }
        }
    }
}

/// The senders of `connections` connections; none is open yet.
pub(crate) fn make(worker: &Worker, connections: u32) -> Vec<Client> {
    match worker.plan.protocol {
        Protocol::Http1 => (0..connections).map(|_| Client::Http1(Http1::new())).collect(),
        Protocol::Http2 | Protocol::Grpc => {
            let links: Vec<Rc<Link>> = (0..connections).map(|_| Rc::default()).collect();
            // Dealt out in turn, so that streams are spread over the connections.
            let streams = (0..worker.plan.streams).flat_map(|_| &links);
            streams.map(|link| Client::Http2(Http2::new(link))).collect()
        }
        Protocol::WebSocket => {
            let Some(handshake) = worker.prepared.handshake() else { return Vec::new() };
            (0..connections).map(|_| Client::WebSocket(WebSocket::new(), handshake.clone())).collect()
        }
    }
}

/// Opens the connections of `clients`, `at_once` at a time. What cannot be opened is opened when it is needed.
pub(crate) async fn open_all(worker: &Rc<Worker>, clients: &mut [Client], at_once: usize) {
    let opening = clients.iter_mut().map(|client| client.open(worker));
    futures::stream::iter(opening).buffer_unordered(at_once).for_each(|_| std::future::ready(())).await;
}
