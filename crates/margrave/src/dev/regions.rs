//! How long ago anybody has told of the proxies of a region. A region is silent when every replica that it
//! was connected to is: how its proxies stand is not known then, whatever they serve.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Millis;

/// Regions that are told apart. A region is a proxy's own word (`node.locality.region`): those beyond
/// are one.
const REGIONS_MAX: usize = 64;
/// The longest name of one that is told apart, in bytes.
const REGION_BYTES_MAX: usize = 63;
/// The name of all others.
const OTHER: &str = "other";
/// A region of which nothing was told for so long is forgotten: its proxies may be gone for good.
const FORGOTTEN_MS: Millis = 3_600_000;
/// The gauge of how stale each is.
pub const STALENESS: &str = "margrave_region_staleness_seconds";
/// What it says.
pub const STALENESS_HELP: &str = "For how long no replica has told of the proxies of a region; gone after an hour, when the region is forgotten";

/// When each was told of last.
#[derive(Debug, Default)]
pub struct Regions(Mutex<BTreeMap<String, Millis>>);

impl Regions {
    /// These were told of at this time.
    pub fn heard<'a>(&self, regions: impl IntoIterator<Item = &'a str>, at: Millis) {
        let mut heard = self.lock();
        for region in regions {
            let is_known = heard.contains_key(region);
            let fits = heard.len() < REGIONS_MAX && region.len() <= REGION_BYTES_MAX;
            let name = if is_known || fits { region } else { OTHER };
            match heard.get_mut(name) {
                Some(before) => *before = at.max(*before),
                None => _ = heard.insert(name.to_owned(), at),
            }
        }
    }

    /// Each, and for how long nothing was told of it.
    pub fn staleness(&self, now: Millis) -> Vec<(String, Millis)> {
        let heard = self.lock();
        heard.iter().map(|(name, at)| (name.clone(), now.saturating_sub(*at).max(0))).collect()
    }

    /// Forgets what nobody has told of for long.
    pub fn forget(&self, now: Millis) {
        self.lock().retain(|_, at| now.saturating_sub(*at) < FORGOTTEN_MS);
    }

    /// The gauges as Prometheus reads them. They are written at each question and not left with the recorder,
    /// which keeps whatever it was told once: proxies choose these labels, and a region that is
    /// forgotten must not be shown with any age.
    pub fn exposition(&self, now: Millis) -> String {
        let mut by_label = BTreeMap::<String, Millis>::new();
        for (region, staleness) in self.staleness(now) {
            let label = if region.is_empty() { "-".to_owned() } else { escaped(&region) };
            let known = by_label.entry(label).or_insert(staleness);
            *known = staleness.min(*known);
        }
        if by_label.is_empty() {
            return String::new();
        }
        let mut text = format!("# HELP {STALENESS} {STALENESS_HELP}\n# TYPE {STALENESS} gauge\n");
        for (label, staleness) in by_label {
            let seconds = staleness as f64 / 1000.0;
            let _ = writeln!(text, "{STALENESS}{{region=\"{label}\"}} {seconds}");
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Millis>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy's word as the value of a label.
fn escaped(word: &str) -> String {
    word.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_as_fresh_as_the_latest_word_of_it() {
        let regions = Regions::default();
        regions.heard(["eu", "us"], 1_000);
        regions.heard(["eu"], 4_000);
        regions.heard(["eu"], 2_000);
        let told = |list: &[(&str, Millis)]| {
            list.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect::<Vec<_>>()
        };
        assert_eq!(regions.staleness(5_000), told(&[("eu", 1_000), ("us", 4_000)]));
        assert_eq!(regions.staleness(3_000), told(&[("eu", 0), ("us", 2_000)]), "a clock jumps");
        regions.forget(1_000 + FORGOTTEN_MS);
        assert_eq!(regions.staleness(5_000), told(&[("eu", 1_000)]));
    }

    #[test]
    fn one_that_is_forgotten_is_measured_no_more() {
        let regions = Regions::default();
        regions.heard(["eu", "", "a\"b\\c\nd"], 1_000);
        regions.heard(["-"], 3_000);
        let lines = |now| -> Vec<String> {
            let text = regions.exposition(now);
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        let labels = ["-\"} 2", "a\\\"b\\\\c\\nd\"} 4", "eu\"} 4"];
        let told = labels.map(|it| format!("margrave_region_staleness_seconds{{region=\"{it}"));
        assert_eq!(lines(5_000), told);
        regions.forget(2_000 + FORGOTTEN_MS);
        assert_eq!(lines(5_000), told[..1], "\"\" is gone, and \"-\" told in its place");
        regions.forget(3_000 + FORGOTTEN_MS);
        assert_eq!(regions.exposition(5_000), "", "no help of a gauge that is not there");
    }

    #[test]
    fn no_proxy_can_make_more_regions_than_there_may_be() {
        let regions = Regions::default();
        let names: Vec<String> = (0..200).map(|n| format!("r{n:03}")).collect();
        regions.heard(names.iter().map(String::as_str), 7);
        regions.heard(["x".repeat(64).as_str()], 8);
        let told = regions.staleness(8);
        assert_eq!(told.len(), REGIONS_MAX + 1);
        assert!(told.contains(&(OTHER.to_owned(), 0)), "{told:?}");
    }
}
