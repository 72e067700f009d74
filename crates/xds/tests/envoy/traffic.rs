//! Requests, upstreams, and a loop that asks for every live host and never takes a wrong answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::config::CLUSTER_HEADER;

/// An HTTP/1.1 answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A connection that is kept.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects, waiting until somebody listens.
    pub(crate) async fn to(at: SocketAddr) -> Self {
        loop {
            match TcpStream::connect(at).await {
                Ok(stream) => return Self(BufReader::new(stream)),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> std::io::Result<Answer> {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await
    }

    /// A request for a cluster by name.
    pub(crate) async fn get_of(&mut self, host: &str, cluster: &str) -> std::io::Result<Answer> {
        let names = format!("{CLUSTER_HEADER}: {cluster}");
        self.ask(format!("GET / HTTP/1.1\r\nhost: {host}\r\n{names}\r\n\r\n")).await
    }

    async fn ask(&mut self, request: String) -> std::io::Result<Answer> {
        self.0.write_all(request.as_bytes()).await?;
        let mut answer = Answer::default();
        let first = self.line().await?;
        answer.status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else { break };
            answer.headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        answer.body = match answer.headers.get("content-length") {
            Some(length) => self.exactly(length.parse().unwrap_or(0)).await?,
            None if answer.headers.contains_key("transfer-encoding") => self.chunks().await?,
            None => String::new(),
        };
        Ok(answer)
    }

    async fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    async fn exactly(&mut self, length: usize) -> std::io::Result<String> {
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn chunks(&mut self) -> std::io::Result<String> {
        let mut body = String::new();
        loop {
            let length = usize::from_str_radix(&self.line().await?, 16).unwrap_or(0);
            body.push_str(&self.exactly(length).await?);
            self.line().await?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}

/// One request on a connection of its own.
pub(crate) async fn get(at: SocketAddr, host: &str, path: &str) -> Answer {
    Connection::to(at).await.get(host, path).await.expect("an answer")
}

/// The same of somebody who may not be there yet.
pub(crate) async fn try_get(at: SocketAddr, host: &str, path: &str) -> Option<Answer> {
    let stream = TcpStream::connect(at).await.ok()?;
    Connection(BufReader::new(stream)).get(host, path).await.ok()
}

/// Answers every request with `text`.
pub(crate) async fn upstream(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(answer(client, text));
        }
    });
    address
}

async fn answer(client: TcpStream, text: &'static str) {
    let mut client = BufReader::new(client);
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    let mut line = String::new();
    while client.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        let ends = line.trim_end().is_empty();
        line.clear();
        if ends && client.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Accepts connections and never answers.
pub(crate) async fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((client, _)) = listener.accept().await {
            kept.push(client);
        }
    });
    address
}

#[derive(Default)]
struct Ledger {
    live: BTreeSet<String>,
    asked: usize,
    wrong: Vec<String>,
}

impl Ledger {
    fn judge(&mut self, host: &str, answer: &std::io::Result<Answer>) {
        self.asked += 1;
        // A host that was taken away meanwhile may answer anything.
        if self.live.contains(host) && !answer.as_ref().is_ok_and(|a| a.status == 200) {
            self.wrong.push(format!("{host}: {answer:?}"));
        }
    }
}

/// Asks for every live host, over and over.
pub(crate) struct Traffic {
    ledger: Arc<Mutex<Ledger>>,
    loops: Vec<JoinHandle<()>>,
}

impl Traffic {
    pub(crate) fn start(at: SocketAddr) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let loops = (0..2).map(|_| tokio::spawn(ask(at, ledger.clone()))).collect();
        Self { ledger, loops }
    }

    /// From now on this host must answer.
    pub(crate) fn live(&self, host: &str) {
        self.ledger.lock().unwrap().live.insert(host.to_owned());
    }

    /// From now on it need not.
    pub(crate) fn dead(&self, host: &str) {
        self.ledger.lock().unwrap().live.remove(host);
    }

    /// Stops, and returns how many answers there were and which were wrong.
    pub(crate) fn end(self) -> (usize, Vec<String>) {
        self.loops.iter().for_each(JoinHandle::abort);
        let mut ledger = self.ledger.lock().unwrap();
        (ledger.asked, std::mem::take(&mut ledger.wrong))
    }
}

async fn ask(at: SocketAddr, ledger: Arc<Mutex<Ledger>>) {
    let mut connection = Connection::to(at).await;
    loop {
        let hosts: Vec<String> = ledger.lock().unwrap().live.iter().cloned().collect();
        if hosts.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for host in hosts {
            let answer = connection.get(&host, "/").await;
            ledger.lock().unwrap().judge(&host, &answer);
            if answer.is_err() {
                connection = Connection::to(at).await;
            }
        }
    }
}
