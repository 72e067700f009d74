//! How proxies come in: in clear, or with a certificate that the platform has given to each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::http2::Stream;

/// What all proxies show, and whom they trust.
#[derive(Serialize, Deserialize)]
pub(crate) struct Identities {
    /// PEM.
    pub(crate) authority: String,
    pub(crate) server_name: String,
    pub(crate) proxies: BTreeMap<String, Identity>,
}

/// A certificate and its key, PEM.
#[derive(Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Where the plane is, and with what each proxy opens.
pub(super) struct Door {
    address: SocketAddr,
    keys: Option<Keys>,
}

struct Keys {
    server: ServerName<'static>,
    connectors: BTreeMap<String, TlsConnector>,
}

impl Door {
    /// With the identities of this file, if there is one.
    pub(super) fn new(address: SocketAddr, identities: Option<&Path>) -> Result<Self> {
        let read = |path| -> Result<Keys> {
            let identities: Identities = serde_json::from_slice(&std::fs::read(path)?)?;
            Keys::new(identities)
        };
        Ok(Self { address, keys: identities.map(read).transpose()? })
    }

    /// A stream of this proxy.
    pub(super) async fn open(&self, id: &str, path: &str) -> Result<Stream> {
        let Some(keys) = &self.keys else { return Stream::connect(self.address, path).await };
        let connector = keys.connectors.get(id).with_context(|| format!("`{id}` never joined"))?;
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let socket = connector.connect(keys.server.clone(), socket).await?;
        Stream::open(Box::new(socket), &self.address.to_string(), path).await
    }
}

impl Keys {
    fn new(identities: Identities) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(identities.authority.as_bytes())?)?;
        let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
        let connector = |identity: &Identity| -> Result<TlsConnector> {
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?];
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
            let mut config = ClientConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&TLS13])?
                .with_root_certificates(roots.clone())
                .with_client_auth_cert(chain, key)?;
            config.alpn_protocols = vec![b"h2".to_vec()];
            // The server does not, either: each connection is a whole handshake.
            config.resumption = Resumption::disabled();
            Ok(Arc::new(config).into())
        };
        let each = identities.proxies.iter().map(|(id, it)| Ok((id.clone(), connector(it)?)));
        let connectors = each.collect::<Result<_>>()?;
        Ok(Self { server: identities.server_name.try_into()?, connectors })
    }
}
