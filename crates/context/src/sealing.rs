//! Secrets within documents: sealed wherever a document lies, opened where it is rendered.
//!
//! What is sealed stands in its document as `{"$sealed": "…"}`, bound to the document's name and to
//! its place within it.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use keys::{Place, SECRET_BYTES_MIN, SealError, Sealed, Secret};
use serde_json::{Value, json};

use crate::source::FetchError;

/// The one key of what is sealed.
pub(crate) const SEALED: &str = "$sealed";
/// A key of a secret object that is so long may itself be the secret.
const KEY_BYTES_MIN: usize = 16;

/// What was sealed, and what must live until it is kept: nobody forgets a key meanwhile.
pub struct Sealing {
    /// To be kept.
    pub sealed: Sealed,
    /// Held until then.
    pub held: Box<dyn Send>,
}

/// The keys of the platform.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Seals with the newest key.
    async fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<Sealing, SealError>;
    /// Opens what was sealed for this place.
    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Secret, SealError>;
}

/// Where something secret is in a document: a JSON pointer, in which `*` is any key or index. The
/// empty one is the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPath(Vec<String>);

impl SecretPath {
    /// All of it.
    pub fn whole() -> Self {
        Self(Vec::new())
    }
}

impl std::str::FromStr for SecretPath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix('/').ok_or("must begin with `/`, as `/users/*/password`")?;
        let segments: Vec<_> = rest.split('/').map(str::to_owned).collect();
        match segments.iter().any(String::is_empty) {
            true => Err("has an empty part"),
            false => Ok(Self(segments)),
        }
    }
}

/// Where in a document something is, without `*`.
fn pointers(path: &SecretPath, value: &Value) -> Result<Vec<String>, FetchError> {
    let (mut found, mut is_vacant) = (vec![String::new()], false);
    for segment in &path.0 {
        let mut deeper = Vec::new();
        for pointer in found {
            let at = value.pointer(&pointer);
            match at {
                Some(Value::Object(map)) if segment == "*" => {
                    is_vacant |= map.is_empty();
                    deeper.extend(map.keys().map(|key| format!("{pointer}/{}", escaped(key))));
                }
                Some(Value::Array(items)) if segment == "*" => {
                    is_vacant |= items.is_empty();
                    deeper.extend((0..items.len()).map(|index| format!("{pointer}/{index}")));
                }
                _ => deeper.push(format!("{pointer}/{segment}")),
            }
        }
        deeper.retain(|pointer| value.pointer(pointer).is_some());
        found = deeper;
    }
    // What is not found would lie in clear wherever it is instead.
    if found.is_empty() && !is_vacant {
        let path = path.0.join("/");
        return Err(format!("has nothing at `/{path}`, which is to be secret").into());
    }
    Ok(found)
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Seals what is secret in a document. What is returned must live until it is written.
pub(crate) async fn seal(
    vault: &dyn Vault,
    name: &str,
    paths: &[SecretPath],
    value: &mut Value,
) -> Result<Vec<Box<dyn Send>>, FetchError> {
    let found = paths.iter().map(|path| pointers(path, value)).collect::<Result<Vec<_>, _>>()?;
    let mut found = found.concat();
    // What is within something sealed is not there any more when its turn comes.
    found.sort_by_key(String::len);
    let mut held: Vec<Box<dyn Send>> = Vec::new();
    for pointer in found {
        let Some(part) = value.pointer_mut(&pointer) else { continue };
        let secret = Secret::new(serde_json::to_vec(part).unwrap_or_default());
        let id = format!("{name}{pointer}");
        let sealing = vault.seal(place(&id), &secret).await;
        let sealing = sealing.map_err(|error| format!("cannot be sealed: {error}"))?;
        *part = json!({SEALED: BASE64.encode(sealing.sealed.as_bytes())});
        held.push(sealing.held);
    }
    Ok(held)
}

fn place(id: &str) -> Place<'_> {
    Place { kind: "sources", id }
}

/// A document with everything opened, and what of it is secret.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// The document.
    pub(crate) value: Value,
    /// The texts that nobody shall see.
    pub(crate) secrets: Vec<Secret>,
}

/// Opens what is sealed in the document of this name.
pub(crate) fn open(vault: &dyn Vault, name: &str, value: &Value) -> Result<Opened, SealError> {
    let mut opened = Opened { value: value.clone(), secrets: Vec::new() };
    each(&mut opened.value, name, &mut |id, sealed| {
        let secret = vault.open(place(id), sealed)?;
        let value = serde_json::from_slice(secret.expose()).map_err(|_| SealError::Damaged)?;
        collect(&value, &mut opened.secrets);
        Ok(value)
    })?;
    Ok(opened)
}

/// Seals anew, with the newest key, what is sealed with another; `None`: nothing is.
pub(crate) async fn reseal(
    vault: &dyn Vault,
    name: &str,
    newest: &str,
    value: &Value,
) -> Result<Option<(Value, Vec<Box<dyn Send>>)>, SealError> {
    let mut old = Vec::new();
    let mut anew = value.clone();
    each(&mut anew.clone(), name, &mut |id, sealed| {
        if sealed.key() != newest {
            old.push((id[name.len()..].to_owned(), vault.open(place(id), sealed)?));
        }
        Ok(Value::Null)
    })?;
    let (mut held, is_new) = (Vec::new(), !old.is_empty());
    for (pointer, secret) in old {
        let id = format!("{name}{pointer}");
        let sealing = vault.seal(place(&id), &secret).await?;
        if let Some(part) = anew.pointer_mut(&pointer) {
            *part = json!({SEALED: BASE64.encode(sealing.sealed.as_bytes())});
        }
        held.push(sealing.held);
    }
    Ok(is_new.then_some((anew, held)))
}

/// The ids of the keys with which anything in a document is sealed.
pub(crate) fn keys_of(value: &Value) -> Vec<String> {
    let mut keys = Vec::new();
    // Nothing is opened that could fail; what cannot be read has no key.
    let _ = each(&mut value.clone(), "", &mut |_, sealed| {
        keys.push(sealed.key());
        Ok(Value::Null)
    });
    keys
}

/// Replaces everything sealed by what `with` makes of its id and itself.
fn each(
    value: &mut Value,
    id: &str,
    with: &mut impl FnMut(&str, &Sealed) -> Result<Value, SealError>,
) -> Result<(), SealError> {
    if let Some(sealed) = sealed(value)? {
        *value = with(id, &sealed)?;
        return Ok(());
    }
    match value {
        Value::Array(items) => items
            .iter_mut()
            .enumerate()
            .try_for_each(|(index, item)| each(item, &format!("{id}/{index}"), with)),
        Value::Object(map) => map
            .iter_mut()
            .try_for_each(|(key, item)| each(item, &format!("{id}/{}", escaped(key)), with)),
        _ => Ok(()),
    }
}

fn sealed(value: &Value) -> Result<Option<Sealed>, SealError> {
    let Some(text) = value.as_object().and_then(|map| map.get(SEALED)) else { return Ok(None) };
    let bytes = text.as_str().and_then(|text| BASE64.decode(text).ok());
    bytes.map(|bytes| Some(Sealed::from_bytes(bytes))).ok_or(SealError::Damaged)
}

/// The texts of a secret value.
fn collect(value: &Value, secrets: &mut Vec<Secret>) {
    match value {
        Value::String(text) => secrets.push(Secret::from(text.clone())),
        Value::Number(number) if number.to_string().len() >= SECRET_BYTES_MIN => {
            secrets.push(Secret::from(number.to_string()));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, secrets)),
        Value::Object(map) => {
            let keys = map.keys().filter(|key| key.len() >= KEY_BYTES_MIN);
            secrets.extend(keys.map(|key| Secret::from(key.clone())));
            map.values().for_each(|item| collect(item, secrets));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Ring;

    fn paths(paths: &[&str]) -> Vec<SecretPath> {
        paths
            .iter()
            .map(|path| if path.is_empty() { SecretPath::whole() } else { path.parse().unwrap() })
            .collect()
    }

    fn document() -> Value {
        json!({
            "url": "https://a.example",
            "users": [{"name": "anna", "password": "hunter22"}, {"name": "bob", "password": 1_234_567}],
            "a/b": {"token-of-some-length": ["x"]},
            "none": [],
        })
    }

    #[tokio::test]
    async fn what_is_sealed_shows_nothing_and_opens_to_what_it_was() {
        let ring = Ring::default();
        for (at, hidden, secrets) in [
            (
                &["/users/*/password"][..],
                &["hunter22", "1234567"][..],
                &["hunter22", "1234567"][..],
            ),
            (&["/users/0"], &["anna", "hunter22"], &["anna", "hunter22"]),
            (&["/a~1b"], &["token-of-some-length"], &["token-of-some-length", "x"]),
            (
                &["/users/*/password", "/users"],
                &["anna", "1234567"],
                &["anna", "hunter22", "bob", "1234567"],
            ),
            (&["/none/*"], &[], &[]),
            (
                &[""],
                &["a.example", "none"],
                &[
                    "https://a.example",
                    "anna",
                    "hunter22",
                    "bob",
                    "1234567",
                    "token-of-some-length",
                    "x",
                ],
            ),
        ] {
            let mut value = document();
            let held = seal(&ring, "teams", &paths(at), &mut value).await.unwrap();
            drop(held);
            let text = value.to_string();
            hidden.iter().for_each(|hidden| assert!(!text.contains(hidden), "{hidden} in {text}"));
            let opened = open(&ring, "teams", &value).unwrap();
            assert_eq!(opened.value, document());
            let mut found: Vec<_> = opened.secrets.iter().filter_map(Secret::expose_str).collect();
            let mut secrets = secrets.to_vec();
            found.sort_unstable();
            secrets.sort_unstable();
            assert_eq!(found, secrets, "{at:?}");
        }
    }

    #[tokio::test]
    async fn what_would_lie_in_clear_is_refused() {
        for path in ["/user/*/password", "/users/*/pasword", "/url/x", "/users/7"] {
            let mut value = document();
            let refused = seal(&Ring::default(), "teams", &paths(&[path]), &mut value).await;
            let why = refused.map(|_| ()).unwrap_err().0;
            assert_eq!(why, format!("has nothing at `{path}`, which is to be secret"));
        }
        assert!(
            "users".parse::<SecretPath>().is_err() && "/users//x".parse::<SecretPath>().is_err()
        );
    }

    #[tokio::test]
    async fn what_was_sealed_opens_nowhere_else() {
        let ring = Ring::default();
        let mut value = document();
        seal(&ring, "teams", &paths(&["/users/*/password"]), &mut value).await.unwrap();
        assert_eq!(open(&ring, "team", &value).unwrap_err(), SealError::Damaged);
        let first = value["users"][0]["password"].take();
        value["users"][0]["password"] = value["users"][1]["password"].take();
        value["users"][1]["password"] = first;
        assert_eq!(open(&ring, "teams", &value).unwrap_err(), SealError::Damaged);
    }

    #[tokio::test]
    async fn a_new_key_takes_over() {
        let ring = Ring::default();
        let mut value = document();
        seal(&ring, "teams", &paths(&["/users/0", "/url"]), &mut value).await.unwrap();
        let old = ring.newest();
        assert_eq!(keys_of(&value), [old.clone(), old.clone()]);
        assert!(reseal(&ring, "teams", &old, &value).await.unwrap().is_none());
        ring.rotate();
        let (anew, _held) = reseal(&ring, "teams", &ring.newest(), &value).await.unwrap().unwrap();
        ring.forget();
        assert_eq!(keys_of(&anew), [ring.newest(), ring.newest()]);
        assert_eq!(open(&ring, "teams", &anew).unwrap().value, document());
        assert_eq!(open(&ring, "teams", &value).unwrap_err(), SealError::Unknown(old));
    }
}
