//! A proxy's side of one gRPC stream, on an HTTP/2 connection of its own. By hand, since what is measured
//! is who answers: one task, one read and one write for what comes and what is said to it, and no
//! buffer while nothing happens. Compressed headers are not read: a stream that ends says no more.

mod incoming;
mod outgoing;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyhow::{Result, bail};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use self::incoming::{Event, Incoming};
pub(crate) use self::outgoing::Outgoing;
use crate::scratch;

/// What may be sent to a proxy that it has not read: a response of megabytes does not wait for it.
const WINDOW_BYTES: u32 = 16 << 20;

/// What a stream runs over.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// An open stream. Its connection ends with it.
pub(crate) struct Stream {
    socket: Box<dyn Socket>,
    incoming: Incoming,
    outgoing: Outgoing,
    state: State,
}

#[derive(Default)]
struct State {
    is_open: bool,
    has_ended: bool,
    /// Received, and not yet let be sent again.
    taken: u32,
}

impl Stream {
    /// Connects, and calls this method in clear.
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Self::open(Box::new(socket), &address.to_string(), path).await
    }

    /// Calls this method, and awaits that it is answered.
    pub(crate) async fn open(socket: Box<dyn Socket>, host: &str, path: &str) -> Result<Self> {
        let outgoing = Outgoing::open(host, path, WINDOW_BYTES);
        let (incoming, state) = (Incoming::default(), State::default());
        let mut this = Self { socket, incoming, outgoing, state };
        while !this.state.is_open {
            let nothing = |_: &[u8], _: &mut Outgoing| bail!("an answer came before its headers");
            if !this.step(nothing).await? && !this.state.is_open {
                bail!("a stream is not answered");
            }
        }
        Ok(this)
    }

    /// Says a message, once something is awaited.
    pub(crate) fn say(&mut self, message: Bytes) {
        self.outgoing.say(message);
    }

    /// Says what there is to say and awaits what comes next; `heard` is given its bytes, and may say
    /// more. False once the stream has ended.
    pub(crate) async fn step(
        &mut self,
        mut heard: impl FnMut(&[u8], &mut Outgoing) -> Result<()>,
    ) -> Result<bool> {
        poll_fn(|context| self.poll(context, &mut heard)).await
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        heard: &mut impl FnMut(&[u8], &mut Outgoing) -> Result<()>,
    ) -> Poll<Result<bool>> {
        self.write(context)?;
        let Self { socket, incoming, outgoing, state } = self;
        let mut seen = |bytes: &[u8]| {
            state.has_ended |= bytes.is_empty();
            incoming.take(bytes, |event| state.happens(event, outgoing, heard))
        };
        ready!(scratch::poll(socket, context, &mut seen))??;
        self.write(context)?;
        Poll::Ready(Ok(!self.state.has_ended))
    }

    /// Writes as much as can be. What cannot is written when it can, or more has come.
    fn write(&mut self, context: &mut Context<'_>) -> Result<()> {
        while let Some(bytes) = self.outgoing.next() {
            match Pin::new(&mut self.socket).poll_write(context, bytes)? {
                Poll::Ready(0) => bail!("the connection takes no more"),
                Poll::Ready(written) => self.outgoing.wrote(written),
                Poll::Pending => return Ok(()),
            }
        }
        if let Poll::Ready(flushed) = Pin::new(&mut self.socket).poll_flush(context) {
            flushed?;
        }
        Ok(())
    }
}

impl State {
    fn happens(
        &mut self,
        event: Event<'_>,
        outgoing: &mut Outgoing,
        heard: &mut impl FnMut(&[u8], &mut Outgoing) -> Result<()>,
    ) -> Result<()> {
        match event {
            Event::Data(bytes) => {
                self.taken += bytes.len() as u32;
                if self.taken > WINDOW_BYTES / 2 {
                    outgoing.may_send(std::mem::take(&mut self.taken));
                }
                heard(bytes, outgoing)?;
            }
            Event::Headers => self.is_open = true,
            Event::Ended => self.has_ended = true,
            Event::Asked { kind, flags, on_stream, payload } => {
                outgoing.told(kind, flags, on_stream, payload);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// The server of a library, with windows so small that megabytes need many turns: both sides
    /// hear what the other has said, whole and in order, and the end.
    #[tokio::test]
    async fn a_server_is_understood_and_understands() {
        let (near, far) = duplex(5_000);
        let long: Bytes = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let expected = long.clone();
        let server = tokio::spawn(async move {
            let mut windows = h2::server::Builder::new();
            windows.initial_window_size(10_000).initial_connection_window_size(70_000);
            let mut connection = windows.handshake::<_, Bytes>(far).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            assert_eq!(request.uri().path(), "/a.B/C");
            tokio::spawn(async move { while connection.accept().await.is_some() {} });
            let mut say = respond.send_response(http::Response::new(()), false).unwrap();
            let (mut body, mut heard) = (request.into_body(), Vec::new());
            while heard.len() < expected.len() + 3 {
                let data = body.data().await.unwrap().unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                heard.extend_from_slice(&data);
            }
            assert!(heard == [&expected[..], b"abc"].concat());
            for part in expected.chunks(700_000).cycle().take(30) {
                say.send_data(Bytes::copy_from_slice(part), false).unwrap();
            }
            say.send_trailers(http::HeaderMap::new()).unwrap();
        });
        let mut stream = Stream::open(Box::new(near), "localhost:1", "/a.B/C").await.unwrap();
        stream.say(long.clone());
        stream.say(Bytes::from_static(b"abc"));
        let mut heard = Vec::new();
        let mut hear = |bytes: &[u8], _: &mut Outgoing| {
            heard.extend_from_slice(bytes);
            Ok(())
        };
        while stream.step(&mut hear).await.unwrap() {}
        server.await.unwrap();
        assert!(heard == long.repeat(6), "{} bytes", heard.len());
    }
}
