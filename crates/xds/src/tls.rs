//! The listener that speaks TLS and knows who has connected.
//!
//! Sessions are not resumed: a resumed session would bring back a certificate that nobody looks at
//! again.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::identity::{Identity, Revoked};
use crate::metrics;

/// Handshakes at the same time; more wait to be accepted. Each holds buffers and a signature's work.
const HANDSHAKES_MAX: usize = 256;
/// Whoever has not said who it is within this is let go, and makes room.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Connections that wait for the server to take them.
const CONNECTIONS_WAITING: usize = 16;
/// Between the end of a certificate, which ends its streams in words, and that of its connection.
const FAREWELL: Duration = Duration::from_secs(1);
/// After an error of the listener itself, such as no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Whose a verified certificate is.
pub type Identify = dyn Fn(&CertificateDer<'static>) -> Result<Identity, String> + Send + Sync;

/// How connections are encrypted, and by whom they are made.
#[derive(Clone)]
pub struct Tls {
    /// The latest is used for each new connection.
    pub settings: watch::Receiver<TlsSettings>,
    /// Tells who a client is.
    pub identify: Arc<Identify>,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or a key is none, or they do not belong together.
    #[error(transparent)]
    Unusable(#[from] tokio_rustls::rustls::Error),
    /// The authorities of clients are none.
    #[error("the authorities of clients cannot be used: {0}")]
    Clients(String),
}

/// Settings of a listener with a certificate of its own, for clients that these authorities know.
///
/// # Errors
/// The certificates or the key cannot be used.
pub fn tls_settings(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Vec<CertificateDer<'static>>,
) -> Result<TlsSettings, TlsError> {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    for authority in clients {
        roots.add(authority)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
        .build()
        .map_err(|error| TlsError::Clients(error.to_string()))?;
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    settings.alpn_protocols = vec![b"h2".to_vec()];
    settings.send_tls13_tickets = 0;
    settings.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(settings))
}

/// Settings of a listener; see [`tls_settings`].
pub type TlsSettings = Arc<ServerConfig>;

/// A connection whose other end is known, as long as its certificate is good: whoever comes back has to
/// show the one that it has then.
pub(crate) struct Known {
    stream: TlsStream<TcpStream>,
    identity: Arc<Identity>,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Connected for Known {
    type ConnectInfo = Arc<Identity>;

    fn connect_info(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }
}

impl AsyncRead for Known {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.as_mut().poll(context).is_ready() {
            let why = "the certificate of this connection is good no more";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, why)));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Known {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Connections as they become known, until the receiver is dropped.
pub(crate) fn accept(
    listener: TcpListener,
    tls: Tls,
    revoked: watch::Receiver<Revoked>,
) -> mpsc::Receiver<io::Result<Known>> {
    let (known, receiver) = mpsc::channel(CONNECTIONS_WAITING);
    tokio::spawn(accept_all(listener, tls, revoked, known));
    receiver
}

async fn accept_all(
    listener: TcpListener,
    tls: Tls,
    revoked: watch::Receiver<Revoked>,
    known: mpsc::Sender<io::Result<Known>>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection to xDS was not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = known.closed() => return,
        };
        let (tls, revoked, known) = (tls.clone(), revoked.clone(), known.clone());
        tokio::spawn(async move {
            match shake_hands(stream, &tls, revoked).await {
                Ok(it) => _ = known.send(Ok(it)).await,
                Err((reason, why)) => refuse(from, reason, &why),
            }
            drop(place);
        });
    }
}

async fn shake_hands(
    stream: TcpStream,
    tls: &Tls,
    revoked: watch::Receiver<Revoked>,
) -> Result<Known, (&'static str, String)> {
    // Answers are a few packets each: none waits for the next.
    let _ = stream.set_nodelay(true);
    let settings = Arc::clone(&tls.settings.borrow());
    let shaking = TlsAcceptor::from(settings).accept(stream);
    let shaken = tokio::time::timeout(HANDSHAKE_MAX, shaking).await;
    let stream = shaken
        .map_err(|_| ("timeout", "nothing was said for 5 s".to_owned()))?
        .map_err(|error| ("tls", error.to_string()))?;
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.ok_or(("identity", "no certificate was shown".to_owned()))?;
    let identity = (tls.identify)(certificate).map_err(|why| ("identity", why))?;
    let identity = Arc::new(identity);
    let ending = Arc::clone(&identity);
    let end = Box::pin(async move {
        ending.ends(revoked).await;
        tokio::time::sleep(FAREWELL).await;
    });
    Ok(Known { stream, identity, end })
}

fn refuse(from: SocketAddr, reason: &'static str, why: &str) {
    metrics::handshake_refused(reason);
    tracing::info!(%from, reason, why, "a connection to xDS was refused");
}
