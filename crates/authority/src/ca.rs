//! The authority: one key that signs, and what it signs.

use data_encoding::HEXLOWER;
use keys::Secret;
use model::Millis;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::{AuthorityError, ProxyName, Request, TrustDomain};

/// Sixteen random bytes: no two certificates have the same, and nobody can guess one.
pub type Serial = [u8; 16];

const MINUTE: Millis = 60 * 1000;
const DAY: Millis = 24 * 60 * MINUTE;
/// The shortest life of a proxy's certificate: below it a control plane that is away for lunch would
/// cost every proxy its place.
pub const LIFE_MILLIS_MIN: Millis = 60 * MINUTE;
/// The longest: what is revoked is remembered for so long.
pub const LIFE_MILLIS_MAX: Millis = 7 * DAY;
/// The authority's own. Its key lies sealed in the store, and is trusted by proxies alone.
const AUTHORITY_MILLIS: Millis = 3650 * DAY;
/// What is issued is good from a little earlier on, as clocks of hosts differ.
pub(crate) const SKEW_MILLIS: Millis = 5 * MINUTE;

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Itself.
    pub pem: String,
    /// Its number, as hexadecimal digits.
    pub serial: String,
    /// When it ends.
    pub not_after: Millis,
}

/// A certificate of the platform's own, with its key.
#[derive(Debug, Clone)]
pub struct ServerPair {
    /// Itself, DER.
    pub certificate: Vec<u8>,
    /// Its private key, PKCS #8.
    pub key: Secret,
    /// When it ends.
    pub not_after: Millis,
}

/// The authority, able to sign.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    domain: TrustDomain,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("domain", &self.domain).finish_non_exhaustive()
    }
}

fn broken(error: impl std::fmt::Display) -> AuthorityError {
    AuthorityError::Authority(format!("cannot be used: {error}"))
}

impl Authority {
    /// A new authority: its certificate, DER, and its private key, PKCS #8, to be kept sealed.
    ///
    /// # Errors
    /// No key can be made.
    pub fn make(
        domain: &TrustDomain,
        serial: Serial,
        now: Millis,
    ) -> Result<(Vec<u8>, Secret), AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?;
        let mut params = params(serial, now, now + AUTHORITY_MILLIS)?;
        params.distinguished_name = called("Margrave proxies of ", domain.as_str());
        params.subject_alt_names = vec![uri(&domain.uri())?];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.name_constraints = Some(constraints(domain));
        let certificate = params.self_signed(&key).map_err(broken)?;
        Ok((certificate.der().to_vec(), Secret::new(key.serialize_der())))
    }

    /// The authority that was made and kept.
    ///
    /// # Errors
    /// These are not the certificate and the key of one.
    pub fn load(certificate: Vec<u8>, key: &Secret) -> Result<Self, AuthorityError> {
        let pkcs8 = PrivatePkcs8KeyDer::from(key.expose());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ECDSA_P256_SHA256)
            .map_err(broken)?;
        let domain = domain_of(&certificate)?;
        let pem = pem::encode(&pem::Pem::new("CERTIFICATE", certificate.as_slice()));
        let certificate = CertificateDer::from(certificate);
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(broken)?;
        Ok(Self { issuer, certificate, pem, domain })
    }

    /// Its certificate, which is no secret.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The same as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The platform that it is of. It stays what it was when the authority was made.
    pub fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Signs a certificate of a proxy. `life` is held within [`LIFE_MILLIS_MIN`] and
    /// [`LIFE_MILLIS_MAX`].
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn issue(
        &self,
        request: &Request,
        name: &ProxyName,
        serial: Serial,
        now: Millis,
        life: Millis,
    ) -> Result<Issued, AuthorityError> {
        let not_after = now + life.clamp(LIFE_MILLIS_MIN, LIFE_MILLIS_MAX);
        let mut params = params(serial, now, not_after)?;
        params.distinguished_name = called("", name.node.as_str());
        params.subject_alt_names = vec![uri(&name.uri(&self.domain))?];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&request.key, &self.issuer).map_err(broken)?;
        Ok(Issued {
            pem: certificate.pem(),
            serial: HEXLOWER.encode(serial_of(serial).as_ref()),
            not_after,
        })
    }

    /// A key and a certificate for the platform's own xDS listener.
    ///
    /// # Errors
    /// No key can be made.
    pub fn serve(
        &self,
        serial: Serial,
        now: Millis,
        life: Millis,
    ) -> Result<ServerPair, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)?;
        let not_after = now + life;
        let mut params = params(serial, now, not_after)?;
        let name = self.domain.server();
        params.distinguished_name = called("", &name);
        let dns = name.try_into().map_err(broken)?;
        params.subject_alt_names = vec![SanType::DnsName(dns)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer).map_err(broken)?;
        let (certificate, key) = (certificate.der().to_vec(), Secret::new(key.serialize_der()));
        Ok(ServerPair { certificate, key, not_after })
    }
}

/// What every certificate has.
fn params(
    serial: Serial,
    now: Millis,
    not_after: Millis,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial_of(serial)));
    params.not_before = moment(now - SKEW_MILLIS)?;
    params.not_after = moment(not_after)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A positive number without a zero in front, so that it reads back as it was written (RFC 5280,
/// 4.1.2.2).
fn serial_of(mut serial: Serial) -> Serial {
    serial[0] = (serial[0] & 0x3f) | 0x40;
    serial
}

/// Should the key be lost to somebody, it makes no certificate of anybody else's hostnames.
fn constraints(domain: &TrustDomain) -> NameConstraints {
    NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(domain.as_str().to_owned())],
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
            GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
        ],
    }
}

/// A common name is for people, and has 64 characters at most (RFC 5280, appendix A).
fn called(before: &str, name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    let text: String = format!("{before}{name}").chars().take(64).collect();
    called.push(DnType::CommonName, text);
    called
}

fn uri(text: &str) -> Result<SanType, AuthorityError> {
    Ok(SanType::URI(text.try_into().map_err(broken)?))
}

fn moment(at: Millis) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)).map_err(broken)
}

impl TrustDomain {
    /// The platform whose authority has this certificate, DER.
    ///
    /// # Errors
    /// It names none.
    pub fn of(certificate: &[u8]) -> Result<Self, AuthorityError> {
        domain_of(certificate)
    }
}

fn domain_of(certificate: &[u8]) -> Result<TrustDomain, AuthorityError> {
    let (_, parsed) = parse_x509_certificate(certificate).map_err(broken)?;
    let names = parsed.subject_alternative_name().map_err(broken)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let domain = names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix("spiffe://"),
        _ => None,
    });
    domain.ok_or_else(|| broken("its certificate names no platform"))?.parse()
}
