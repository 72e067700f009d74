//! A certificate that somebody presents: whose it is, if it is one of a proxy of this platform.

use data_encoding::HEXLOWER;
use model::Millis;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::ca::SKEW_MILLIS;
use crate::{Authority, AuthorityError, ProxyName, Request, TrustDomain};

/// The longest certificate that is read as text, in bytes of PEM. Ours have about 900.
const CERTIFICATE_BYTES_MAX: usize = 16 << 10;

/// What a certificate of a proxy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Who.
    pub name: ProxyName,
    /// Its number, as hexadecimal digits.
    pub serial: String,
    /// When it begins.
    pub not_before: Millis,
    /// When it ends.
    pub not_after: Millis,
    /// The point of its public key.
    key: Vec<u8>,
}

fn refused(why: &str) -> AuthorityError {
    AuthorityError::Certificate(why.to_owned())
}

impl Presented {
    /// Reads a certificate that TLS has verified already: that it is signed and good now.
    ///
    /// # Errors
    /// It does not name one proxy of this platform.
    pub fn read(der: &[u8], domain: &TrustDomain) -> Result<Self, AuthorityError> {
        let (_, parsed) = parse_x509_certificate(der).map_err(|_| refused("cannot be read"))?;
        Self::of(&parsed, domain)
    }

    fn of(parsed: &X509Certificate<'_>, domain: &TrustDomain) -> Result<Self, AuthorityError> {
        let validity = parsed.validity();
        Ok(Self {
            name: name(parsed, domain)?,
            serial: HEXLOWER.encode(parsed.raw_serial()),
            not_before: validity.not_before.timestamp() * 1000,
            not_after: validity.not_after.timestamp() * 1000,
            key: parsed.public_key().subject_public_key.data.to_vec(),
        })
    }

    /// When it was issued, to the second, if it is one of ours.
    pub fn issued_at(&self) -> Millis {
        self.not_before + SKEW_MILLIS
    }

    /// Whether it is good at this time.
    pub fn is_good(&self, now: Millis) -> bool {
        (self.not_before..self.not_after).contains(&now)
    }

    /// That whoever sends this request has the key of this certificate.
    ///
    /// # Errors
    /// The proof is not theirs, or for another request.
    pub fn verify(&self, request: &Request, proof: &[u8]) -> Result<(), AuthorityError> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.key);
        key.verify(&request.renewal(), proof).map_err(|_| AuthorityError::Proof)
    }
}

impl Authority {
    /// Reads a certificate, PEM, that nobody has verified: it must be signed by this authority. It may
    /// have ended.
    ///
    /// # Errors
    /// It is not, or does not name a proxy.
    pub fn recognise(&self, pem: &str) -> Result<Presented, AuthorityError> {
        if pem.len() > CERTIFICATE_BYTES_MAX {
            return Err(refused("is longer than 16 KiB"));
        }
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| refused("is not PEM of the kind `CERTIFICATE`"))?;
        let (_, parsed) = parse_x509_certificate(&der).map_err(|_| refused("cannot be read"))?;
        let ours = parse_x509_certificate(self.certificate());
        let (_, ours) = ours.map_err(|_| refused("cannot be compared"))?;
        parsed
            .verify_signature(Some(ours.public_key()))
            .map_err(|_| refused("is not signed by this platform"))?;
        Presented::of(&parsed, self.domain())
    }
}

/// The one URI that names a proxy of this platform.
fn name(parsed: &X509Certificate<'_>, domain: &TrustDomain) -> Result<ProxyName, AuthorityError> {
    let names = parsed.subject_alternative_name().map_err(|_| refused("has unreadable names"))?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err(refused("has not one URI that names a proxy"));
    };
    ProxyName::parse(uri, domain).ok_or_else(|| refused("names no proxy of this platform"))
}
