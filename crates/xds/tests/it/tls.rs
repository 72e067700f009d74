//! A discovery server that speaks TLS, and what its clients connect with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use authority::{Applicant, Authority, Presented, ProxyName, Request};
use hyper_util::rt::TokioIo;
use model::Node;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName,
};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tonic::transport::{Channel, Endpoint};
use xds::{Ads, Cache, Directory, Event, Identity, Limits, Options, Tls};

const DAY: i64 = 24 * 60 * 60 * 1000;

struct Any(Arc<Cache>);

impl Directory for Any {
    fn assign(&self, _node: &Node) -> Result<Arc<Cache>, String> {
        Ok(self.0.clone())
    }
}

/// An authority whose certificates are good today.
pub(crate) fn authority() -> Arc<Authority> {
    let domain = "edge.example".parse().expect("a domain");
    let (certificate, key) = Authority::make(&domain, [7; 16], today()).expect("an authority");
    Arc::new(Authority::load(certificate, &key).expect("it is loaded"))
}

/// TLS asks the clock of the machine.
fn today() -> i64 {
    let since = rustls_now().as_secs();
    i64::try_from(since).expect("a date") * 1000
}

fn rustls_now() -> tokio_rustls::rustls::pki_types::UnixTime {
    tokio_rustls::rustls::pki_types::UnixTime::now()
}

/// What the server shows.
pub(crate) fn settings(authority: &Authority, serial: u8) -> Arc<ServerConfig> {
    let pair = authority.serve([serial; 16], today(), DAY).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(pair.key.expose().to_vec());
    let chain = vec![CertificateDer::from(pair.certificate)];
    let clients = vec![authority.certificate().clone()];
    xds::tls_settings(chain, PrivateKeyDer::from(key), clients).expect("settings")
}

pub(crate) struct Secure {
    pub(crate) cache: Arc<Cache>,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) ads: Ads,
    pub(crate) settings: watch::Sender<Arc<ServerConfig>>,
    pub(crate) address: SocketAddr,
}

impl Secure {
    /// A server whose clients' certificates live this long.
    pub(crate) async fn start(authority: &Arc<Authority>, life: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let cache = Arc::new(Cache::new(Options::default()));
        cache.open();
        let (sender, events) = mpsc::channel(1 << 10);
        let ads = Ads::new(Arc::new(Any(cache.clone())), sender, Limits::default());
        let (settings, watched) = watch::channel(settings(authority, 1));
        let domain = authority.domain().clone();
        let identify = move |certificate: &CertificateDer<'static>| {
            let shown = Presented::read(certificate, &domain).map_err(|why| why.to_string())?;
            let (node, group) = (shown.name.node.to_string(), shown.name.group.to_string());
            Ok(Identity { node, group, serial: shown.serial, until: Instant::now() + life })
        };
        let tls = Tls { settings: watched, identify: Arc::new(identify) };
        let serving = xds::serve(listener, Some(tls), ads.clone(), std::future::pending());
        tokio::spawn(serving);
        Self { cache, events, ads, settings, address }
    }

    /// A connection made with a certificate, if it is let in.
    pub(crate) async fn connect(&self, host: &Host) -> Result<Channel, String> {
        let (address, config) = (self.address, host.config.clone());
        let connect = tower::service_fn(move |_| {
            let connector = TlsConnector::from(config.clone());
            async move {
                let name = ServerName::try_from("xds.edge.example").expect("a name");
                let stream = connector.connect(name, TcpStream::connect(address).await?).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_static("http://xds.edge.example");
        endpoint.connect_with_connector(connect).await.map_err(|error| format!("{error:?}"))
    }
}

/// What a host connects with.
pub(crate) struct Host {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) serial: String,
}

impl Host {
    /// With a certificate of `signer`, trusting `server`.
    pub(crate) fn new(server: &Authority, signer: &Authority, group: &str, node: &str) -> Self {
        let applicant = Applicant::new().expect("a key");
        let request = Request::read(applicant.request()).expect("a request");
        let name = ProxyName {
            group: group.parse().expect("a group"),
            node: node.parse().expect("a node"),
        };
        let issued = signer.issue(&request, &name, [9; 16], today(), DAY).expect("a certificate");
        let chain = vec![CertificateDer::from_pem_slice(issued.pem.as_bytes()).expect("PEM")];
        let key = applicant.key();
        let key = PrivateKeyDer::from_pem_slice(key.expose()).expect("a key");
        let builder = client(server).with_client_auth_cert(chain, key).expect("a pair");
        Self { config: h2(builder), serial: issued.serial }
    }

    /// Without any.
    pub(crate) fn anonymous(server: &Authority) -> Self {
        Self { config: h2(client(server).with_no_client_auth()), serial: String::new() }
    }
}

fn h2(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

type Builder = tokio_rustls::rustls::ConfigBuilder<
    ClientConfig,
    tokio_rustls::rustls::client::WantsClientCert,
>;

fn client(server: &Authority) -> Builder {
    let mut roots = RootCertStore::empty();
    roots.add(server.certificate().clone()).expect("an authority");
    let builder = ClientConfig::builder_with_provider(default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    builder.with_root_certificates(roots)
}
