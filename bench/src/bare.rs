//! The least that can move a resource into an Envoy: one stream, a map, no checks, no store.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use bytes::Bytes;
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::wire::{Any, Messages, Request, Resource, Response, frame};

/// Resources of one response when a type is subscribed for the first time.
const BATCH: usize = 500;

#[derive(Default)]
struct World {
    /// Type → name → encoding.
    resources: BTreeMap<String, BTreeMap<String, Bytes>>,
    /// Where responses go, once an Envoy is connected.
    stream: Option<mpsc::UnboundedSender<Bytes>>,
    sent: u64,
}

/// A running bare server.
#[derive(Clone)]
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    world: Arc<Mutex<World>>,
}

impl Bare {
    /// Serves on a free port.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let this = Self { address, world: Arc::default() };
        let serve = this.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                tokio::spawn(serve.clone().connection(socket));
            }
        });
        Ok(this)
    }

    /// Keeps resources without sending them.
    pub(crate) fn load(&self, resources: Vec<(String, String, Bytes)>) {
        let mut world = self.world.lock().expect("not poisoned");
        for (type_url, name, body) in resources {
            world.resources.entry(type_url).or_default().insert(name, body);
        }
    }

    /// Keeps resources of one type and sends them at once.
    pub(crate) fn push(&self, type_url: &str, resources: Vec<(String, Bytes)>) {
        let mut world = self.world.lock().expect("not poisoned");
        let kept = world.resources.entry(type_url.to_owned()).or_default();
        kept.extend(resources.iter().cloned());
        let names = resources.into_iter().map(|(name, _)| name).collect();
        world.send(type_url, names);
    }

    async fn connection(self, socket: TcpStream) -> Result<()> {
        let mut connection = h2::server::Builder::new()
            .initial_window_size(1 << 24)
            .initial_connection_window_size(1 << 26)
            .handshake::<_, Bytes>(socket)
            .await?;
        while let Some(stream) = connection.accept().await {
            let (request, mut respond) = stream?;
            let headers = http::Response::builder().header("content-type", "application/grpc");
            let send = respond.send_response(headers.body(())?, false)?;
            let (sender, receiver) = mpsc::unbounded_channel();
            self.world.lock().expect("not poisoned").stream = Some(sender);
            tokio::spawn(write(send, receiver));
            tokio::spawn(self.clone().read(request.into_body()));
        }
        Ok(())
    }

    async fn read(self, mut body: h2::RecvStream) -> Result<()> {
        let mut messages = Messages::default();
        let mut known: BTreeSet<String> = BTreeSet::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            messages.push(&chunk);
            while let Some(message) = messages.next() {
                self.answer(&Request::decode(message).context("a request")?, &mut known);
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request, known: &mut BTreeSet<String>) {
        if let Some(error) = &request.error {
            eprint_once(&error.message);
        }
        let mut world = self.world.lock().expect("not poisoned");
        let first = known.insert(request.type_url.clone());
        let wildcard = request.subscribe.iter().any(|name| name == "*");
        if first && (request.subscribe.is_empty() || wildcard) {
            let names: Vec<_> = world
                .resources
                .get(&request.type_url)
                .into_iter()
                .flat_map(BTreeMap::keys)
                .cloned()
                .collect();
            if names.is_empty() {
                world.send(&request.type_url, Vec::new());
            }
            for batch in names.chunks(BATCH) {
                world.send(&request.type_url, batch.to_vec());
            }
        } else if !request.subscribe.is_empty() {
            for batch in request.subscribe.chunks(BATCH) {
                world.send(&request.type_url, batch.to_vec());
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "a bench whose Envoy refuses what it is sent must say so")]
fn eprint_once(message: &str) {
    eprintln!("the bare server was refused: {message}");
}

impl World {
    fn send(&mut self, type_url: &str, names: Vec<String>) {
        self.sent += 1;
        let of_type = self.resources.get(type_url);
        let mut response = Response {
            type_url: type_url.to_owned(),
            nonce: self.sent.to_string(),
            ..Response::default()
        };
        for name in names {
            match of_type.and_then(|all| all.get(&name)) {
                Some(body) => response.resources.push(Resource {
                    version: self.sent.to_string(),
                    resource: Some(Any { type_url: type_url.to_owned(), value: body.clone() }),
                    name,
                }),
                None => response.removed.push(name),
            }
        }
        if let Some(stream) = &self.stream {
            let _ = stream.send(frame(&response));
        }
    }
}

async fn write(
    mut send: h2::SendStream<Bytes>,
    mut frames: mpsc::UnboundedReceiver<Bytes>,
) -> Result<()> {
    while let Some(frame) = frames.recv().await {
        send.send_data(frame, false)?;
    }
    Ok(())
}
