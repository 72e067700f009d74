//! How editions are rolled out.

use std::time::Duration;

use plane::{Limits, Policy};

use super::parse::Reader;

/// All of it.
const PERCENT_MAX: u64 = 100;

/// The policy; with a problem it is the default.
pub(super) fn policy(read: &mut Reader<'_>) -> Policy {
    let number = |text: &str| text.parse::<u64>().ok();
    let limits = Limits {
        prove_within: Duration::from_secs(read.parsed("rollout.ack_seconds", number)),
        requests_min: read.parsed("rollout.requests_min", number),
        failed_percent: read.within("rollout.errors_percent", 0, PERCENT_MAX),
        refused_percent: read.within("rollout.refused_percent", 0, PERCENT_MAX),
    };
    let is_automatic = read.parsed("rollout.automatic", |text| text.parse().ok());
    let stages = read.text("rollout.stages");
    Policy::new(&stages, is_automatic, limits).unwrap_or_else(|why| {
        read.problem("rollout.stages", &format!("cannot be read: {why}"));
        Policy::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::layers::Layers;
    use super::super::parse::config;

    fn problems(key: &'static str, value: &str) -> Vec<String> {
        let mut layers = Layers::defaults();
        layers.flags(&[(key, value.to_owned())].into());
        config(&layers).1
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        for (key, value, part) in [
            ("rollout.stages", "canary", "is no stage"),
            ("rollout.errors_percent", "101", "must be a number from 0 to 100, not `101`"),
            ("rollout.automatic", "perhaps", "must be true|false"),
        ] {
            let told = problems(key, value);
            assert!(told.len() == 1 && told[0].contains(part), "{key}={value}: {told:?}");
        }
        assert_eq!(problems("rollout.stages", "canary=eu-*@10m; rest=*@5m"), Vec::<String>::new());
    }
}
