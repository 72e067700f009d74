//! A connection whose long messages go out in few packets.
//!
//! A message of a state of the world is cut into HTTP/2 frames of 16 KiB, each of which is written, and
//! would be sent, alone: as many packets, and as many times its reader is woken. A frame that is full
//! hardly ever comes alone, so it waits in the socket for the next, which nobody copies for that.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// The largest frame that every client takes.
const FULL_FRAME_BYTES: usize = 16 << 10;

/// Something follows: what is sent may wait for it.
#[cfg(target_os = "linux")]
const MORE: SendFlags = SendFlags::MORE;
/// Nothing waits where this cannot be said.
#[cfg(not(target_os = "linux"))]
const MORE: SendFlags = SendFlags::empty();

/// See the module.
pub(crate) struct Corked {
    socket: TcpStream,
    /// What was written last may wait for more.
    waits: bool,
}

/// The same connections, corked. None of them may wait for answers before it sends.
pub(crate) fn corked(
    connections: impl Stream<Item = io::Result<TcpStream>>,
) -> impl Stream<Item = io::Result<Corked>> {
    connections.map(|socket| Ok(Corked { socket: socket?, waits: false }))
}

impl Corked {
    /// Nothing follows.
    fn push(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.waits) {
            // To be told so once more makes the socket send what it has.
            true => self.socket.set_nodelay(true),
            false => Ok(()),
        }
    }

    fn send(&self, slices: &[IoSlice<'_>], flags: SendFlags) -> io::Result<usize> {
        let nothing = &mut SendAncillaryBuffer::default();
        let send = || Ok(sendmsg(&self.socket, slices, nothing, flags)?);
        self.socket.try_io(Interest::WRITABLE, send)
    }
}

impl AsyncWrite for Corked {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.waits = slices.iter().map(|it| it.len()).sum::<usize>() >= FULL_FRAME_BYTES;
        let flags = if self.waits { MORE } else { SendFlags::empty() };
        loop {
            ready!(self.socket.poll_write_ready(context))?;
            match self.send(slices, flags) {
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// After each frame; whether another one follows is known when this connection comes to its turn
    /// again, and has nothing to do but read.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waits {
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl AsyncRead for Corked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.push()?;
        Pin::new(&mut self.socket).poll_read(context, into)
    }
}

impl Connected for Corked {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const FRAMES: usize = 20;

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn flush_wakes(corked: &mut Corked) -> bool {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        let flushed = Pin::new(corked).poll_flush(&mut Context::from_waker(&waker));
        assert!(flushed.is_ready());
        woken.0.load(Ordering::Relaxed)
    }

    async fn pair() -> (Corked, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        (Corked { socket, waits: false }, reader)
    }

    #[tokio::test]
    async fn what_is_written_comes_whole_and_in_order_and_the_last_of_it_at_once() {
        let (mut corked, mut reader) = pair().await;
        let all: Vec<u8> = (0..FRAMES * FULL_FRAME_BYTES + 77).map(|n| (n % 251) as u8).collect();
        let written = all.clone();
        let writes = async move {
            for frame in written.chunks(FULL_FRAME_BYTES) {
                let (head, payload) = frame.split_at(9);
                let sent = poll_fn(|context| {
                    let slices = [IoSlice::new(head), IoSlice::new(payload)];
                    Pin::new(&mut corked).poll_write_vectored(context, &slices)
                });
                let sent = sent.await.unwrap();
                corked.write_all(&frame[sent..]).await.unwrap();
                corked.flush().await.unwrap();
            }
            assert!(!corked.waits, "what is short is the last");
            corked
        };
        let mut read = vec![0; all.len()];
        let (_corked, came) = tokio::join!(writes, reader.read_exact(&mut read));
        came.unwrap();
        assert!(read == all);
    }

    #[tokio::test]
    async fn a_full_frame_that_comes_alone_is_sent_when_its_connection_only_reads() {
        let (mut corked, mut reader) = pair().await;
        let frame = [7; FULL_FRAME_BYTES];
        corked.write_all(&frame).await.unwrap();
        assert!(corked.waits);
        // The flush itself sees to it that there is another turn.
        assert!(flush_wakes(&mut corked));
        let mut nothing = [0; 1];
        let mut none = ReadBuf::new(&mut nothing);
        let reads = poll_fn(|context| {
            Poll::Ready(Pin::new(&mut corked).poll_read(context, &mut none).is_pending())
        });
        assert!(reads.await && !corked.waits);
        assert!(!flush_wakes(&mut corked), "nor does it come to its turn for ever");
        reader.read_exact(&mut [0; FULL_FRAME_BYTES]).await.unwrap();
    }
}
