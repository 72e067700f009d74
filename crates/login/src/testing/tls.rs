//! TLS with a certificate that an authority of the tests has signed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;

/// The authority's certificate, in PEM. Its key is nowhere any more.
pub const AUTHORITY: &str = include_str!("authority.pem");
/// Of this machine, and of no other.
const CERTIFICATE: &[u8] = include_bytes!("server.crt.der");
const KEY: &[u8] = include_bytes!("server.pk8");

/// What the issuer listens on.
pub(super) struct Listener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener {
    pub(super) async fn bind() -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let chain = vec![CertificateDer::from(CERTIFICATE)];
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(KEY).into())
            .expect("a certificate and its key");
        Self { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub(super) fn port(&self) -> u16 {
        self.tcp.local_addr().expect("an address").port()
    }
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    /// Whoever does not trust the certificate hangs up, which is no end of the listener.
    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let Ok((stream, from)) = self.tcp.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
