//! A buffer that all connections of a thread read into, one after the other: a connection that waits
//! holds none.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// As much as is read at once.
const BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BYTES].into());
}

/// What `seen` makes of what there is to read next: of nothing at the end. It reads nothing itself.
pub(crate) async fn read<T>(
    from: &mut (impl AsyncRead + Unpin),
    mut seen: impl FnMut(&[u8]) -> T,
) -> std::io::Result<T> {
    poll_fn(|context| poll(from, context, &mut seen)).await
}

/// The same, for who waits for something else, too.
pub(crate) fn poll<T>(
    from: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    seen: &mut impl FnMut(&[u8]) -> T,
) -> Poll<std::io::Result<T>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(from).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(seen(buffer.filled())))
    })
}
