//! What is sealed opens where it was sealed, by who has the key, and nowhere else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use keys::{KEYS_MAX, KeyPair, Keyring, Place, SealError, Sealed, Secret, Seed, Token, WrapError};
use serde_json::Value;

const HERE: Place<'_> = Place { kind: "bindings", id: "b-1" };

fn seed(byte: u8) -> Seed {
    Seed::new([byte; 32])
}

fn secret() -> Secret {
    Secret::from("the canary sings".to_owned())
}

fn sealed(ring: &Keyring) -> Sealed {
    ring.seal(HERE, &[7; 24], &secret()).expect("seals")
}

#[test]
fn what_is_sealed_opens_here_and_nowhere_else() {
    let ring = Keyring::new(&seed(1), 0);
    let sealed = sealed(&ring);
    assert_eq!(ring.open(HERE, &sealed), Ok(secret()));
    assert!(!sealed.as_bytes().windows(6).any(|part| part == b"canary"));
    for (kind, id) in [("bindings", "b-2"), ("tokens", "b-1"), ("bindingsb", "-1"), ("", "")] {
        assert_eq!(ring.open(Place { kind, id }, &sealed), Err(SealError::Damaged), "{kind} {id}");
    }
    let stranger = Keyring::new(&seed(2), 0);
    assert_eq!(stranger.open(HERE, &sealed), Err(SealError::Unknown(ring.newest())));
}

#[test]
fn no_changed_byte_goes_unseen() {
    let ring = Keyring::new(&seed(1), 0);
    let good = sealed(&ring);
    for index in 0..good.as_bytes().len() {
        let mut bytes = good.as_bytes().to_vec();
        bytes[index] ^= 1;
        assert!(ring.open(HERE, &Sealed::from_bytes(bytes)).is_err(), "byte {index}");
    }
    for length in 0..good.as_bytes().len() {
        let cut = Sealed::from_bytes(good.as_bytes()[..length].to_vec());
        assert!(ring.open(HERE, &cut).is_err(), "{length} bytes");
    }
}

#[test]
fn the_newest_key_seals_and_all_open() {
    let mut ring = Keyring::new(&seed(1), 10);
    let old = sealed(&ring);
    ring.add(&seed(2), 20).expect("adds");
    let new = sealed(&ring);
    assert_ne!(old.key(), new.key());
    assert_eq!((new.key(), ring.has(&old.key())), (ring.newest(), true));
    assert_eq!((ring.open(HERE, &old), ring.open(HERE, &new)), (Ok(secret()), Ok(secret())));
    ring.keep_newest();
    assert_eq!(ring.keys(), [(new.key(), 20)]);
    assert_eq!(ring.open(HERE, &new), Ok(secret()));
    assert_eq!(ring.open(HERE, &old), Err(SealError::Unknown(old.key())));
    for byte in 3..=17 {
        ring.add(&seed(byte), 30).expect("adds");
    }
    assert_eq!(ring.keys().len(), KEYS_MAX);
    assert!(ring.add(&seed(99), 30).is_err(), "a ring has a limit");
}

#[test]
fn a_ring_with_another_opens_what_either_opens() {
    let (mine, mut others) = (Keyring::new(&seed(1), 20), Keyring::new(&seed(2), 10));
    let (of_mine, of_others) = (sealed(&mine), sealed(&others));
    let both = mine.with(&others).expect("two keys");
    assert_eq!(
        (both.open(HERE, &of_mine), both.open(HERE, &of_others)),
        (Ok(secret()), Ok(secret()))
    );
    assert_eq!((both.newest(), both.keys().len()), (mine.newest(), 2));
    assert!(both.with(&others).is_ok_and(|again| again == both), "no key is there twice");
    for byte in 3..=17 {
        others.add(&seed(byte), 30).expect("adds");
    }
    assert!(mine.with(&others).is_err(), "a ring has a limit");
}

#[test]
fn a_ring_is_read_as_it_was_written_or_not_at_all() {
    let mut ring = Keyring::new(&seed(1), 10);
    ring.add(&seed(2), 20).expect("adds");
    let text = ring.to_json();
    assert_eq!(Keyring::from_json(text.expose()).expect("reads"), ring);
    let text = text.expose_str().expect("text");
    let digits = "01".repeat(32);
    assert!(text.contains(&digits));
    for wrong in [
        text.replace(&digits, &"03".repeat(32)),
        text.replace(&digits, "01"),
        text.replace(&digits, &"é".repeat(32)),
        text.replace("\"id\"", "\"name\""),
        "{\"keys\":[]}".to_owned(),
        "[".to_owned(),
    ] {
        let error = Keyring::from_json(wrong.as_bytes()).expect_err("not a keyring");
        assert!(!error.to_string().contains("0101"), "{error}");
    }
    assert!(!format!("{ring:?}").contains(", 1, 1"), "{ring:?}");
}

#[test]
fn a_wrapped_ring_opens_by_its_passphrase_alone() {
    let ring = Keyring::new(&seed(1), 10);
    let word = |text: &str| Secret::from(text.to_owned());
    let right = word("correct horse battery");
    let wrapped = ring.wrap(&right, &[3; 16], &[4; 24]).expect("wraps");
    assert_eq!(Keyring::unwrap(&wrapped, &right).expect("unwraps"), ring);
    let wrong = Keyring::unwrap(&wrapped, &word("correct horse batterz"));
    assert!(matches!(wrong, Err(WrapError::Wrong)), "{wrong:?}");
    assert!(matches!(ring.wrap(&word("short"), &[3; 16], &[4; 24]), Err(WrapError::Short)));
    let mut greedy = wrapped.clone();
    greedy[4] = 0xff;
    for (what, bytes) in [
        ("nothing", &[][..]),
        ("a header", &wrapped[..20]),
        ("another file", &b"SQLite format 3"[..]),
        ("one that wants terabytes", &greedy),
    ] {
        let refused = Keyring::unwrap(bytes, &right);
        assert!(matches!(refused, Err(WrapError::Unknown)), "{what}: {refused:?}");
    }
    let mut changed = wrapped;
    *changed.last_mut().expect("bytes") ^= 1;
    assert!(matches!(Keyring::unwrap(&changed, &right), Err(WrapError::Wrong)));
}

#[test]
fn a_token_says_who_calls_whom_and_not_for_long() {
    let pair = KeyPair::new(&seed(9));
    for (asked, given) in [(60, 60), (300, 300), (301, 300), (u32::MAX, 300)] {
        let token = Token { binding: "b-1", audience: "i-1", now_s: 1_000, lifetime_s: asked };
        let token = pair.token(token);
        let token = token.expose_str().expect("text");
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let (header, claims) = signed.split_once('.').expect("three parts");
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
        let json = |text: &str| serde_json::from_slice::<Value>(&bytes(text)).expect("JSON");
        assert_eq!(json(header), serde_json::json!({"alg": "EdDSA", "typ": "JWT", "kid": "b-1"}));
        let claims = json(claims);
        let expected = serde_json::json!(
            {"iss": "b-1", "sub": "b-1", "aud": "i-1", "iat": 1_000, "exp": 1_000 + given}
        );
        assert_eq!(claims, expected);
        let public = bytes(&pair.public_key()).try_into().expect("32 bytes");
        let public = VerifyingKey::from_bytes(&public).expect("a point");
        let signature = Signature::from_slice(&bytes(signature)).expect("64 bytes");
        public.verify(signed.as_bytes(), &signature).expect("signed by it");
    }
}

#[test]
fn a_jwk_comes_back_as_the_pair_that_it_was() {
    let pair = KeyPair::new(&seed(9));
    let jwk = pair.jwk("b-1");
    let again = KeyPair::from_jwk(jwk.expose()).expect("reads");
    assert_eq!(again.seed(), pair.seed());
    let text = jwk.expose_str().expect("text");
    let other = KeyPair::new(&seed(8)).public_key();
    for wrong in [
        text.replace("OKP", "RSA"),
        text.replace("Ed25519", "X25519"),
        text.replace(&pair.public_key(), &other),
        text.replace("\"d\":\"", "\"d\":\"!"),
        text.replace("\"d\"", "\"e\""),
        String::new(),
    ] {
        let error = KeyPair::from_jwk(wrong.as_bytes()).err().expect("not a key");
        assert!(!error.to_string().contains("CQkJ"), "{error}");
    }
    // RFC 8037, appendix A.1 and A.2.
    let known = br#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    assert!(KeyPair::from_jwk(known).is_ok());
}
