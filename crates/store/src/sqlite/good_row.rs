//! What one owner has, as bytes: a head that says what follows, and the resources' own bytes, which
//! stay as they are.

use model::{Node, Resource, TypeUrl, Version};
use serde::{Deserialize, Serialize};

use crate::{Kept, StoreError};

#[derive(Serialize, Deserialize)]
struct Head {
    group: String,
    node: Node,
    owner: String,
    resources: Vec<Line>,
}

/// Type, name, version, and how many bytes of the rest are this one's.
type Line = (TypeUrl, String, String, usize);

/// The bytes of what an owner has.
pub(super) fn encode(kept: &Kept) -> Result<Vec<u8>, StoreError> {
    let line = |it: &Resource| {
        (it.type_url.clone(), it.name.to_string(), it.version.to_string(), it.body.len())
    };
    let head = Head {
        group: kept.group.clone(),
        node: kept.node.clone(),
        owner: kept.owner.clone(),
        resources: kept.resources.iter().map(line).collect(),
    };
    let head = serde_json::to_vec(&head).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let mut bytes = (head.len() as u32).to_be_bytes().to_vec();
    bytes.extend(head);
    kept.resources.iter().for_each(|resource| bytes.extend_from_slice(&resource.body));
    Ok(bytes)
}

/// What an owner has, of its bytes.
pub(super) fn decode(bytes: &[u8]) -> Option<Kept> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (head, mut rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    let mut resources = Vec::with_capacity(head.resources.len());
    for (type_url, name, version, length) in head.resources {
        let (body, after) = rest.split_at_checked(length)?;
        rest = after;
        let version = Version::parse(&version).filter(|it| it.hash == Version::hash_of(body))?;
        resources.push(Resource {
            type_url,
            name: name.into(),
            version,
            body: body.to_vec().into(),
        });
    }
    Some(Kept { group: head.group, node: head.node, owner: head.owner, resources })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_nothing_that_was_cut_does() {
        let resource = |name: &str, body: &str| Resource {
            type_url: TypeUrl::new("type/a"),
            name: name.into(),
            version: Version { epoch: 1, revision: 7, hash: Version::hash_of(body.as_bytes()) },
            body: body.to_owned().into(),
        };
        let resources = vec![resource("a", "one"), resource("b", "")];
        let kept =
            Kept { group: "g".to_owned(), node: Node::default(), owner: "o".to_owned(), resources };
        let bytes = encode(&kept).unwrap();
        assert_eq!(decode(&bytes), Some(kept));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "{cut}");
        }
        let mut changed = bytes;
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(decode(&changed), None);
    }
}
