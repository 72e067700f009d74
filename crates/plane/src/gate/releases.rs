//! Which releases of Envoy are there, and which may be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::Node;
use render::{PREVIOUS, SUPPORTED};
use tokio::time::Instant;

use super::{Series, series};

/// A release whose last proxy left is counted for so long: it may only be starting again.
const KEPT: Duration = Duration::from_secs(60);

/// Which series of Envoy each group has, or had a moment ago.
#[derive(Debug, Clone, Default)]
pub(crate) struct Releases(BTreeMap<Arc<str>, BTreeMap<String, Instant>>);

impl Releases {
    /// A proxy is there; returns whether it is the first of its series in its group.
    pub(crate) fn arrived(&mut self, group: &Arc<str>, version: &str, now: Instant) -> bool {
        let series = series(version);
        if series.is_empty() {
            return false;
        }
        let known = self.0.entry(group.clone()).or_default();
        known.insert(series.to_owned(), now).is_none()
    }

    /// Forgets what has been gone for long; returns the groups that have lost a series.
    pub(crate) fn left(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut lost = Vec::new();
        for (group, known) in &mut self.0 {
            let before = known.len();
            known.retain(|_, seen| now.duration_since(*seen) < KEPT);
            if known.len() < before {
                lost.push(group.clone());
            }
        }
        self.0.retain(|_, known| !known.is_empty());
        lost
    }

    /// What a group has.
    pub(crate) fn of(&self, group: &str) -> Series {
        self.0.get(group).map(|known| known.keys().cloned().collect()).unwrap_or_default()
    }
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
        assert!(!releases.arrived(&group, "", start), "no Envoy");
        assert!(releases.arrived(&group, "1.40.0", start + KEPT / 2));
        assert!(releases.left(start + KEPT / 2).is_empty());
        assert_eq!(releases.left(start + KEPT), [group]);
        assert_eq!(releases.of("g"), Series::from(["1.40".to_owned()]));
    }
}
