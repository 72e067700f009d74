//! What an Envoy shows of itself: files that it reads as secrets, and reads again when they are replaced.
//!
//! Certificate and key lie in one file, so that a reader never has one of them without the other.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use keys::Secret;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::private;

/// The largest of these files, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const TLS: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

/// The folder of a proxy's identity.
#[derive(Debug, Clone)]
pub struct Identity(PathBuf);

impl Identity {
    /// In this folder, which is made for its owner alone; paths in it are absolute, as Envoy's working
    /// directory is anybody's guess.
    pub fn at(folder: &Path) -> anyhow::Result<Self> {
        let making = || format!("cannot make the folder {}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(making)?;
        Ok(Self(std::fs::canonicalize(folder).with_context(making)?))
    }

    /// A file of this name beside the others.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Whom the proxy trusts as its control plane.
    pub fn trust(&self, authority: &str) -> anyhow::Result<()> {
        let secret = json!({
            "@type": SECRET,
            "name": "authority",
            "validation_context": {"trusted_ca": {"inline_string": authority}},
        });
        self.write("authority.json", &json!({"resources": [secret]}))
    }

    /// What it shows: in one step, durably.
    pub fn show(&self, certificate: &str, key: &Secret) -> anyhow::Result<()> {
        let key = key.expose_str().context("the key is not PEM")?;
        let secret = json!({
            "@type": SECRET,
            "name": "identity",
            "tls_certificate": {
                "certificate_chain": {"inline_string": certificate},
                "private_key": {"inline_string": key},
            },
        });
        self.write("identity.json", &json!({"resources": [secret]}))
    }

    /// What it shows now: the certificate and the key.
    pub fn shown(&self) -> anyhow::Result<(String, Secret)> {
        let document = self.read("identity.json")?;
        let pair = &document["resources"][0]["tls_certificate"];
        let text = |name: &str| pair[name]["inline_string"].as_str().map(str::to_owned);
        match (text("certificate_chain"), text("private_key")) {
            (Some(certificate), Some(key)) => Ok((certificate, Secret::from(key))),
            _ => bail!("{} is not ours", self.file("identity.json").display()),
        }
    }

    /// Writes a document for its owner alone.
    pub fn write(&self, name: &str, document: &Value) -> anyhow::Result<()> {
        let text = Zeroizing::new(serde_json::to_vec_pretty(document)?);
        private::replace(&self.file(name), &text)
    }

    /// Reads one.
    pub fn read(&self, name: &str) -> anyhow::Result<Value> {
        let path = self.file(name);
        let reading = || format!("cannot read {}", path.display());
        let length = std::fs::metadata(&path).with_context(reading)?.len();
        anyhow::ensure!(length <= FILE_BYTES_MAX, "{} is too large to be ours", path.display());
        let text = Zeroizing::new(std::fs::read(&path).with_context(reading)?);
        serde_json::from_slice(&text).with_context(reading)
    }

    /// How the cluster of the control plane is connected to.
    pub fn transport_socket(&self, server_name: &str) -> Value {
        let secret = |name: &str| {
            let path = self.file(&format!("{name}.json"));
            let source = json!({"path": path.display().to_string()});
            json!({"name": name, "sds_config": {
                "path_config_source": source, "resource_api_version": "V3",
            }})
        };
        let names = json!([{"san_type": "DNS", "matcher": {"exact": server_name}}]);
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": TLS,
                "sni": server_name,
                "common_tls_context": {
                    "tls_params": {
                        "tls_minimum_protocol_version": "TLSv1_3",
                        "tls_maximum_protocol_version": "TLSv1_3",
                    },
                    "alpn_protocols": ["h2"],
                    "tls_certificate_sds_secret_configs": [secret("identity")],
                    "combined_validation_context": {
                        "default_validation_context": {"match_typed_subject_alt_names": names},
                        "validation_context_sds_secret_config": secret("authority"),
                    },
                },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_shown_reads_back_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::at(&folder.path().join("made")).unwrap();
        identity.show("certificate\n", &Secret::from("key\n".to_owned())).unwrap();
        let (certificate, key) = identity.shown().unwrap();
        assert_eq!((certificate.as_str(), key.expose_str()), ("certificate\n", Some("key\n")));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&identity.file("identity.json")), 0o600);
        assert_eq!(mode(&identity.0), 0o700);
        identity.write("identity.json", &json!({"resources": []})).unwrap();
        assert!(identity.shown().is_err());
    }
}
