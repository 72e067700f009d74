//! Which releases of Envoy are there, and which may be.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::{InstanceId, Node};
use render::{PREVIOUS, SUPPORTED};
use tokio::time::Instant;

use super::{Series, series};

/// A release whose last proxy left is counted for so long: it may only be starting again.
const KEPT: Duration = Duration::from_secs(60);

/// Which series of Envoy each group has, or had a moment ago: of those that somebody judges for because
/// they are there. What proxies call themselves beside these is nobody's business.
#[derive(Debug, Clone, Default)]
pub(crate) struct Releases {
    known: BTreeMap<Arc<str>, BTreeMap<String, Instant>>,
    /// What the gate refuses for a group that has one of them.
    against: HashMap<InstanceId, Arc<str>>,
}

impl Releases {
    /// A proxy is there; returns whether it is the first of its series in its group.
    pub(crate) fn arrived(&mut self, group: &Arc<str>, version: &str, now: Instant) -> bool {
        let known = self.known.entry(group.clone()).or_default();
        known.insert(series(version).to_owned(), now).is_none()
    }

    /// Forgets what has been gone for long; returns what was refused because of that.
    pub(crate) fn left(&mut self, now: Instant) -> Freed {
        let mut freed = Freed::default();
        for (group, known) in &mut self.known {
            let is_over = |_: &String, seen: &mut Instant| now.duration_since(*seen) >= KEPT;
            if known.extract_if(.., is_over).count() > 0 {
                let refused = self.against.extract_if(|_, of| of == group);
                freed.instances.extend(refused.map(|(id, _)| id));
                freed.groups.push(group.clone());
            }
        }
        self.known.retain(|_, known| !known.is_empty());
        freed
    }

    /// What there is in any group.
    pub(crate) fn all(&self) -> Series {
        self.known.values().flat_map(BTreeMap::keys).cloned().collect()
    }

    /// What a group has.
    pub(crate) fn of(&self, group: &str) -> Series {
        self.known.get(group).map(|known| known.keys().cloned().collect()).unwrap_or_default()
    }

    /// An instance is refused for this group, or for none.
    pub(crate) fn refuse(&mut self, id: &InstanceId, group: Option<&str>) {
        match group.and_then(|group| self.known.get_key_value(group)) {
            Some((group, _)) => drop(self.against.insert(id.clone(), group.clone())),
            None => drop(self.against.remove(id)),
        }
    }
}

/// What a release may have stood against that has left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Freed {
    pub(crate) groups: Vec<Arc<str>>,
    pub(crate) instances: Vec<InstanceId>,
}

/// Whether a proxy may have resources that are made for the supported release. One that is older
/// than the one before would ignore what it does not know, such as who may call. What does not tell
/// is no Envoy.
pub(crate) fn admit(node: &Node) -> Result<(), String> {
    let told = &node.envoy_version;
    let (Some(version), Some(oldest), Some(newest)) =
        (number(series(told)), number(PREVIOUS), number(SUPPORTED))
    else {
        return Ok(());
    };
    if version < oldest {
        return Err(format!(
            "Envoy {told} is not supported: it would ignore what it does not know; run Envoy \
             {SUPPORTED}, or {PREVIOUS} until all are brought up to date"
        ));
    }
    if version > newest {
        tracing::warn!(proxy = %node.id, version = %told, "newer than the Envoy that resources are made and judged for, {SUPPORTED}");
    }
    Ok(())
}

/// `(1, 40)` of `1.40`.
fn number(series: &str) -> Option<(u32, u32)> {
    let (major, minor) = series.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_release_before_is_not_let_in() {
        for (version, is_in) in [
            ("1.40.0", true),
            ("1.39.3", true),
            ("1.38.9", false),
            ("1.9.0", false),
            ("1.100.0", true),
            ("2.0.0", true),
            ("0.1.0", false),
            ("", true),
            ("dev", true),
        ] {
            let node = Node { envoy_version: version.to_owned(), ..Node::default() };
            assert_eq!(admit(&node).is_ok(), is_in, "{version}");
        }
    }

    #[tokio::test]
    async fn a_release_counts_for_a_while_after_its_last_proxy() {
        let (mut releases, group) = (Releases::default(), Arc::from("g"));
        let start = Instant::now();
        assert!(releases.arrived(&group, "1.39.3", start));
        assert!(!releases.arrived(&group, "1.39.1", start), "the same series");
        assert!(releases.arrived(&group, "1.41.0", start + KEPT / 2));
        assert_eq!(releases.left(start + KEPT / 2), Freed::default());
        assert_eq!(releases.left(start + KEPT).groups, [group]);
        assert_eq!(releases.of("g"), Series::from(["1.41".to_owned()]));
    }

    #[tokio::test]
    async fn only_what_a_release_stood_against_is_free_when_it_has_left() {
        let mut releases = Releases::default();
        let (start, [here, there]) = (Instant::now(), ["here", "there"].map(Arc::<str>::from));
        let id = |id: &str| id.parse::<InstanceId>().unwrap();
        releases.arrived(&here, "1.39.3", start);
        releases.arrived(&there, "1.39.3", start + KEPT / 2);
        for (name, group) in [("a", "here"), ("b", "there"), ("c", "elsewhere"), ("d", "here")] {
            releases.refuse(&id(name), Some(group));
        }
        releases.refuse(&id("d"), None);
        let freed = Freed { groups: vec![here], instances: vec![id("a")] };
        assert_eq!(releases.left(start + KEPT), freed);
        assert_eq!(releases.left(start + KEPT), Freed::default());
    }
}
