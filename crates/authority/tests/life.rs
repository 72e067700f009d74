//! From a request to a certificate, and what is not believed on the way.

use authority::{
    Applicant, Authority, AuthorityError, LIFE_MILLIS_MAX, LIFE_MILLIS_MIN, Presented, ProxyName,
    Request,
};
use keys::Secret;
use proptest::prelude::*;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, KeyPair, PKCS_ED25519, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

const NOW: i64 = 1_795_000_000_000;
const DAY: i64 = 24 * 60 * 60 * 1000;

fn authority(domain: &str) -> Authority {
    let (certificate, key) =
        Authority::make(&domain.parse().expect("a domain"), [7; 16], NOW).expect("an authority");
    Authority::load(certificate, &key).expect("it is loaded")
}

fn name(group: &str, node: &str) -> ProxyName {
    ProxyName { group: group.parse().expect("a group"), node: node.parse().expect("a node") }
}

fn request(params: &CertificateParams, key: &KeyPair) -> String {
    params.serialize_request(key).expect("a request").pem().expect("PEM")
}

#[test]
fn a_certificate_says_what_it_was_issued_for_and_is_renewed_by_its_key_alone() {
    let authority = authority("edge.example");
    let host = Applicant::new().unwrap();
    let wanted = name("eu-1", "eu-1-7f3a");
    let asked = Request::read(host.request()).unwrap();
    let issued = authority.issue(&asked, &wanted, [0xff; 16], NOW, DAY).unwrap();
    let shown = authority.recognise(&issued.pem).unwrap();
    assert_eq!((&shown.name, &shown.serial), (&wanted, &issued.serial));
    assert_eq!((shown.not_after, issued.not_after), (NOW + DAY, NOW + DAY));
    assert!(shown.is_good(NOW) && !shown.is_good(NOW + DAY) && !shown.is_good(NOW - DAY));

    let next = Applicant::new().unwrap();
    let asked = Request::read(next.request()).unwrap();
    let proof = next.prove(&host.key()).unwrap();
    assert_eq!(shown.verify(&asked, &proof), Ok(()));
    let by_itself = next.prove(&next.key()).unwrap();
    assert_eq!(shown.verify(&asked, &by_itself), Err(AuthorityError::Proof));
    let another = Request::read(Applicant::new().unwrap().request()).unwrap();
    assert_eq!(shown.verify(&another, &proof), Err(AuthorityError::Proof));
}

#[test]
fn a_life_is_held_within_its_bounds() {
    let authority = authority("edge.example");
    let asked = Request::read(Applicant::new().unwrap().request()).unwrap();
    for (life, held) in [(1, LIFE_MILLIS_MIN), (1 << 50, LIFE_MILLIS_MAX)] {
        let issued = authority.issue(&asked, &name("g", "n"), [1; 16], NOW, life).unwrap();
        assert_eq!(issued.not_after, NOW + held);
    }
}

#[test]
fn names_come_from_the_issuer_and_never_from_the_request() {
    let authority = authority("edge.example");
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["bank.example".to_owned()]).unwrap();
    let uri = "spiffe://edge.example/group/other/node/other";
    params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    params.distinguished_name.push(DnType::CommonName, "root");
    let asked = Request::read(&request(&params, &key)).unwrap();
    let issued = authority.issue(&asked, &name("eu", "mine"), [1; 16], NOW, DAY).unwrap();
    assert_eq!(authority.recognise(&issued.pem).unwrap().name, name("eu", "mine"));
    let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap();
    for strange in ["bank.example", "other", "root"] {
        let found = der.windows(strange.len()).any(|window| window == strange.as_bytes());
        assert!(!found, "{strange} came through");
    }
}

#[test]
fn requests_that_are_not_signed_here() {
    let of_ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let good = Applicant::new().unwrap();
    let der = CertificateSigningRequestParams::from_pem(good.request()).map(|_| ());
    assert!(der.is_ok(), "our own request is one to others");
    let mut forged = pem::parse(good.request()).unwrap().into_contents();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let forged = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", forged));
    let padded = format!("{}{}", " ".repeat(9 << 10), good.request());
    let key = good.key();
    let cases = [
        (request(&CertificateParams::default(), &of_ed25519), "must be of a key of ECDSA on P-256"),
        (forged, "is not signed by its own key"),
        (padded, "is longer than 8 KiB"),
        (String::new(), "is not PEM of the kind `CERTIFICATE REQUEST`"),
        (key.expose_str().unwrap().to_owned(), "is not PEM of the kind `CERTIFICATE REQUEST`"),
    ];
    for (text, why) in cases {
        let refused = Request::read(&text).expect_err(why).to_string();
        assert_eq!(refused, format!("the certificate request {why}"));
    }
}

#[test]
fn certificates_of_others_are_not_recognised() {
    let (ours, same, other) =
        (authority("edge.example"), authority("edge.example"), authority("other.example"));
    let asked = Request::read(Applicant::new().unwrap().request()).unwrap();
    let issue = |by: &Authority| by.issue(&asked, &name("g", "n"), [1; 16], NOW, DAY).unwrap().pem;
    assert!(ours.recognise(&issue(&ours)).is_ok());
    for stranger in [&same, &other] {
        let refused = ours.recognise(&issue(stranger)).unwrap_err().to_string();
        assert!(refused.contains("is not signed by this platform"), "{refused}");
    }
    assert!(ours.recognise(ours.pem()).is_err(), "the authority itself is no proxy");
    let der = CertificateDer::from_pem_slice(issue(&other).as_bytes()).unwrap();
    let refused = Presented::read(&der, ours.domain()).unwrap_err().to_string();
    assert_eq!(refused, "the certificate names no proxy of this platform");
}

#[test]
fn an_authority_needs_its_own_key() {
    let (certificate, _) = Authority::make(&"a.example".parse().unwrap(), [7; 16], NOW).unwrap();
    let junk = Secret::new(vec![1, 2, 3]);
    assert!(Authority::load(certificate, &junk).is_err());
    assert!(Authority::load(vec![1, 2], &Applicant::new().unwrap().key()).is_err());
}

fn key_of(pem: &str) -> Vec<u8> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).expect("a certificate");
    parsed.public_key().raw.to_vec()
}

proptest! {
    #[test]
    fn nothing_that_is_read_breaks_anything(at in 0_usize..2_000, byte: u8, cut in 0_usize..2_000) {
        let authority = authority("edge.example");
        let host = Applicant::new().unwrap();
        let asked = Request::read(host.request()).unwrap();
        let issued = authority.issue(&asked, &name("g", "n"), [1; 16], NOW, DAY).unwrap();
        let genuine = issued.pem;
        for (kind, pem) in [("CERTIFICATE REQUEST", host.request()), ("CERTIFICATE", &genuine)] {
            let mut der = pem::parse(pem).unwrap().into_contents();
            let at = at % der.len();
            der[at] = byte;
            der.truncate(der.len() - cut % der.len().min(64));
            let text = pem::encode(&pem::Pem::new(kind, der));
            // What is read at all is of the same key, or the same name.
            if let Ok(read) = Request::read(&text) {
                let issued = authority.issue(&read, &name("g", "n"), [1; 16], NOW, DAY).unwrap();
                prop_assert_eq!(key_of(&issued.pem), key_of(&genuine));
            }
            if let Ok(shown) = authority.recognise(&text) {
                prop_assert_eq!(shown.name, name("g", "n"));
            }
        }
    }
}
