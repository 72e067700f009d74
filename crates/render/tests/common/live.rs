//! A running Envoy with rendered resources, a backend that tells what it was sent, and a client
//! that sends what no HTTP library would.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use model::Node;
use render::{Draft, Platform, Templates};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use super::envoy;

/// Longer than Envoy takes to start on a busy machine, or to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running Envoy; killed when dropped.
pub(crate) struct Live {
    child: Child,
    pub(crate) platform: Platform,
    folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} is not JSON", self.body))
    }
}

/// The platform with ports of its own.
pub(crate) fn platform() -> Platform {
    Platform { internal: own(), public: own(), ..super::platform() }
}

/// A port that nobody else is given until this process ends: it is bound, and not listened at. An
/// Envoy that is told of it can bind it, too, and listen.
fn own() -> SocketAddr {
    static HELD: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());
    let held = TcpSocket::new_v4().expect("a socket");
    held.set_reuseaddr(true).expect("set");
    held.set_reuseport(true).expect("set");
    held.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = held.local_addr().expect("an address");
    HELD.lock().expect("not poisoned").push(held);
    address
}

impl Live {
    /// Starts Envoy with instances rendered for this platform.
    pub(crate) fn start(templates: &Templates, platform: Platform, instances: &[Draft]) -> Self {
        let listeners = templates.group(&platform, &Node::default()).expect("listeners render");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("bootstrap.json");
        let bootstrap = envoy::bootstrap(&listeners, instances);
        std::fs::write(&file, bootstrap.to_string()).expect("writable");
        let log = std::fs::File::create(folder.path().join("log")).expect("writable");
        let child = Command::new(envoy::binary())
            .args(["--use-dynamic-base-id", "--log-level", "warn", "--concurrency", "1", "-c"])
            .arg(&file)
            .env("MARGRAVE_TEST_SECRET", "a-secret-of-the-proxy")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Envoy runs (MARGRAVE_ENVOY, or `make envoy`)");
        let mut live = Self { child, platform, folder };
        live.await_listeners();
        live
    }

    fn await_listeners(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        for at in [self.platform.internal, self.platform.public] {
            while TcpStream::connect(at).is_err() {
                let ended = self.child.try_wait().expect("its state");
                let late = Instant::now() >= deadline;
                assert!(ended.is_none() && !late, "Envoy does not listen: {}", self.log());
                std::thread::yield_now();
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Sends a GET with these headers to the public listener.
    pub(crate) fn get(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let lines: String =
            headers.iter().map(|(key, value)| format!("{key}: {value}\r\n")).collect();
        self.raw(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n"))
    }

    /// Sends bytes to the public listener.
    pub(crate) fn raw(&self, request: &str) -> Answer {
        send(self.platform.public, request)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends bytes and reads one answer.
pub(crate) fn send(to: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(to).expect("Envoy listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("it takes the request");
    read_answer(&mut BufReader::new(stream))
}

fn read_answer(stream: &mut impl BufRead) -> Answer {
    let (first, headers) = head(stream);
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("`{first}` is no status line"));
    let body = body(stream, &headers);
    Answer { status, headers, body }
}

fn head(stream: &mut impl BufRead) -> (String, Vec<(String, String)>) {
    let mut line = || {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).expect("a line in time");
        String::from_utf8_lossy(&line).trim_end().to_owned()
    };
    let (first, mut headers) = (line(), Vec::new());
    loop {
        match line().split_once(':') {
            Some((key, value)) => headers.push((key.to_lowercase(), value.trim().to_owned())),
            None => return (first, headers),
        }
    }
}

fn body(stream: &mut impl BufRead, headers: &[(String, String)]) -> String {
    if headers.iter().any(|(key, value)| key == "transfer-encoding" && value == "chunked") {
        return chunks(stream);
    }
    let length = headers.iter().find(|(key, _)| key == "content-length");
    let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a whole body");
    String::from_utf8_lossy(&body).into_owned()
}

fn chunks(stream: &mut impl BufRead) -> String {
    let mut body = String::new();
    loop {
        let mut size = String::new();
        stream.read_line(&mut size).expect("a size in time");
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).expect("a whole chunk");
        body += &String::from_utf8_lossy(&chunk[..size]);
        if size == 0 {
            return body;
        }
    }
}

/// A server that answers every request with what it was sent: `{path, headers: {name: value}}`.
/// It ends with the test's process.
pub(crate) fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || echo(stream));
        }
    });
    at
}

fn echo(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    while reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
        let (first, headers) = head(&mut reader);
        body(&mut reader, &headers);
        let path = first.split(' ').nth(1).unwrap_or_default();
        let sent: serde_json::Map<_, _> =
            headers.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
        let body = json!({"path": path, "headers": sent}).to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        writer.write_all((head + &body).as_bytes()).ok()?;
    }
    Some(())
}
