//! Looks TXT records up: each server twice by UDP, by TCP what does not fit.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::{Answer, answer, question};
use super::servers::Servers;

/// How long one server is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often each is asked.
const ROUNDS: usize = 2;
/// The largest datagram that is read; ours asks for less.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// The largest answer by TCP. Whoever needs more than that has not made a proof.
const STREAM_BYTES_MAX: u16 = 32 << 10;

/// The texts at a name, maybe none; or why that cannot be told.
pub async fn texts(servers: &Servers, name: &str) -> Result<Vec<String>, String> {
    let mut why = "no name server is known".to_owned();
    let all = servers.now();
    for server in all.iter().cycle().take(all.len() * ROUNDS) {
        match timeout(PATIENCE, ask(*server, name)).await {
            Ok(Ok(Answer::Texts(texts))) => return Ok(texts),
            Ok(Ok(Answer::Failed(code))) => why = format!("the name server answers {code}"),
            Ok(Ok(Answer::Cut | Answer::Other)) => {
                "the name server's answer cannot be read".clone_into(&mut why);
            }
            Ok(Err(error)) => why = format!("the name server cannot be asked: {error}"),
            Err(_) => "the name server does not answer".clone_into(&mut why),
        }
    }
    Err(why)
}

async fn ask(server: SocketAddr, name: &str) -> std::io::Result<Answer> {
    let id = rand::random();
    let asked = question(id, name).map_err(|_| std::io::Error::other("the name is too long"))?;
    match by_datagram(server, id, name, &asked).await? {
        Answer::Cut => by_stream(server, id, name, &asked).await,
        answer => Ok(answer),
    }
}

/// From a port of its own; what does not answer the question is passed over, and the true answer
/// waited for.
async fn by_datagram(
    server: SocketAddr,
    id: u16,
    name: &str,
    asked: &[u8],
) -> std::io::Result<Answer> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(asked).await?;
    let mut bytes = [0; DATAGRAM_BYTES_MAX];
    loop {
        let length = socket.recv(&mut bytes).await?;
        match answer(id, name, &bytes[..length]) {
            Answer::Other => {}
            answer => return Ok(answer),
        }
    }
}

async fn by_stream(
    server: SocketAddr,
    id: u16,
    name: &str,
    asked: &[u8],
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(asked.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), asked].concat()).await?;
    let length = stream.read_u16().await?;
    if length > STREAM_BYTES_MAX {
        return Err(std::io::Error::other("its answer is larger than 32 KiB"));
    }
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(answer(id, name, &bytes))
}
