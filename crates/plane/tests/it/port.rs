//! Ports that are a test's own until it ends.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port that nobody else is given meanwhile, neither by asking for a free one nor for a connection of its
/// own: it is bound, and not listened at. Whoever is told of it can bind it and listen, again and again.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    pub(crate) fn take() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.set_reuseport(true).unwrap();
        held.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self { address: held.local_addr().unwrap(), _held: held }
    }
}
