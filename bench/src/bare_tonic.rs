//! A bare tonic server: it holds streams, and when told sends each the same bytes, which were encoded
//! before, and awaits that each has acknowledged them. No subscriptions, no versions, no state.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use model::type_urls::ROUTE;
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::floor::Shape;
use crate::helper::Boss;
use crate::moment::Moment;
use crate::wire::{self, Any, Messages, Resource, frame};

/// What all are sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Push {
    /// Of the resource that the last message has.
    pub(crate) name: String,
    pub(crate) shape: Shape,
}

#[derive(Clone)]
struct Streams {
    shared: Arc<Mutex<Shared>>,
    /// Told when a stream has acknowledged its last message.
    done: UnboundedSender<()>,
}

#[derive(Default)]
struct Shared {
    streams: Vec<UnboundedSender<Bytes>>,
    /// What is pushed now, in its order.
    messages: Arc<[Bytes]>,
}

/// The process: tells where it listens, then of each push when it began, and when all is acknowledged.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Boss::tell(&listener.local_addr()?)?;
    let (done, mut acknowledged) = unbounded_channel();
    let streams = Streams { shared: Arc::default(), done };
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tokio::spawn(Server::builder().serve_with_incoming(streams.clone(), incoming));
    let mut boss = Boss::new();
    while let Some(push) = boss.hear::<Push>().await? {
        let messages = (1..=push.shape.rounds).map(|round| message(&push, round)).collect();
        Boss::tell(&Moment::now())?;
        for _ in 0..streams.push(messages) {
            acknowledged.recv().await;
        }
        Boss::tell(&())?;
    }
    Ok(())
}

/// Of so many bytes; only the last has what is awaited.
fn message(push: &Push, round: usize) -> Bytes {
    let is_last = round == push.shape.rounds;
    let name = if is_last { push.name.as_str() } else { "-" };
    let of = |bytes: usize| {
        let body = Any { type_url: ROUTE.to_owned(), value: vec![0; bytes].into() };
        let (name, version) = (name.to_owned(), round.to_string());
        frame(&wire::Response {
            resources: vec![Resource { version, resource: Some(body), name }],
            type_url: ROUTE.to_owned(),
            nonce: round.to_string(),
            removed: Vec::new(),
        })
    };
    let bytes = push.shape.bytes;
    let beside = of(bytes).len() - bytes;
    of(bytes.saturating_sub(beside))
}

impl Streams {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To how many.
    fn push(&self, messages: Arc<[Bytes]>) -> usize {
        let mut shared = self.shared();
        shared.streams.retain(|stream| stream.send(messages[0].clone()).is_ok());
        shared.messages = messages;
        shared.streams.len()
    }

    async fn hear(self, mut body: Body, say: UnboundedSender<Bytes>) {
        let mut messages = Messages::default();
        while let Some(Ok(frame)) = body.frame().await {
            messages.push(frame.data_ref().map_or(&[], |data| &data[..]));
            while let Some(message) = messages.next() {
                let nonce = wire::Request::decode(message).map(|it| it.nonce).unwrap_or_default();
                // Who only says what it wants has no nonce.
                let Ok(round) = nonce.parse::<usize>() else { continue };
                let next = self.shared().messages.get(round).cloned();
                let _ = next.map_or_else(|| self.done.send(()).ok(), |next| say.send(next).ok());
            }
        }
    }
}

impl tower::Service<Request<Body>> for Streams {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (say, words): (_, UnboundedReceiver<Bytes>) = unbounded_channel();
        self.shared().streams.push(say.clone());
        tokio::spawn(self.clone().hear(request.into_body(), say));
        let words = UnboundedReceiverStream::new(words).map(|it| Ok::<_, Status>(Frame::data(it)));
        let mut response = Response::new(Body::new(StreamBody::new(words)));
        let grpc = http::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        ready(Ok(response))
    }
}
