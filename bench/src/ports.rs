//! Ports for programs that must be told where to listen.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::net::TcpSocket;

/// A port that nobody else is given while this is there, and that can be listened at.
pub(crate) struct Held {
    pub(crate) address: SocketAddr,
    _socket: TcpSocket,
}

/// Holds one on loopback.
pub(crate) fn hold() -> Result<Held> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(Held { address: socket.local_addr()?, _socket: socket })
}
