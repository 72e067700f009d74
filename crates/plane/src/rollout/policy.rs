//! How editions are rolled out, as operators have laid it down.

use std::time::Duration;

use model::RolloutStage;

use super::gates::Limits;

/// Stages that there may be.
const STAGES_MAX: usize = 32;
/// The longest bake time, in seconds: a week.
const BAKE_SECONDS_MAX: u64 = 7 * 24 * 3_600;

/// See the module. The default is one stage of all groups that is not watched.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The last has every group.
    pub(crate) stages: Vec<RolloutStage>,
    /// What the configuration becomes is rolled out by itself.
    pub(crate) is_automatic: bool,
    pub(crate) limits: Limits,
}

impl Default for Policy {
    fn default() -> Self {
        Self { stages: vec![rest(0)], is_automatic: true, limits: Limits::default() }
    }
}

impl Policy {
    /// Stages as text: `NAME=GROUP,GROUP@BAKE`, separated by `;`, in the order in which they follow.
    /// `*` in a group stands for anything; without `@BAKE` a stage is not watched. What no stage
    /// has is one more, the last, watched as the one before. Empty: one stage, not watched.
    ///
    /// # Errors
    /// What cannot be read, and what it should be.
    pub fn new(stages: &str, is_automatic: bool, limits: Limits) -> Result<Self, String> {
        let parts = stages.split(';').map(str::trim).filter(|part| !part.is_empty());
        let mut stages = parts.map(stage).collect::<Result<Vec<_>, _>>()?;
        if stages.len() > STAGES_MAX {
            return Err(format!("there are more than {STAGES_MAX} stages"));
        }
        let has_all = |stage: &RolloutStage| stage.groups.iter().any(|group| group == "*");
        match stages.iter().position(has_all) {
            Some(at) if at + 1 < stages.len() => {
                let name = &stages[at].name;
                return Err(format!("`{name}` has every group; no stage can follow it"));
            }
            Some(_) => {}
            None => stages.push(rest(stages.last().map_or(0, |last| last.bake_seconds))),
        }
        Ok(Self { stages, is_automatic, limits })
    }

    /// Whether all groups are given an edition at once, unwatched.
    pub(crate) fn is_direct(&self) -> bool {
        self.stages.len() == 1 && self.stages.iter().all(|stage| stage.bake_seconds == 0)
    }
}

fn rest(bake_seconds: u64) -> RolloutStage {
    RolloutStage { name: "all".to_owned(), groups: vec!["*".to_owned()], bake_seconds }
}

fn stage(text: &str) -> Result<RolloutStage, String> {
    let unclear = || format!("`{text}` is no stage; write `NAME=GROUP,GROUP@10m`");
    let (name, rest) = text.split_once('=').ok_or_else(unclear)?;
    let (groups, bake) = rest.rsplit_once('@').unwrap_or((rest, "0s"));
    let groups: Vec<String> = groups.split(',').map(|group| group.trim().to_owned()).collect();
    if name.trim().is_empty() || groups.iter().any(String::is_empty) {
        return Err(unclear());
    }
    let bake = seconds(bake.trim()).ok_or_else(|| {
        format!("`{bake}` is no bake time; write a number and `s`, `m` or `h`, a week at most")
    })?;
    Ok(RolloutStage { name: name.trim().to_owned(), groups, bake_seconds: bake.as_secs() })
}

fn seconds(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(unit)?;
    (seconds <= BAKE_SECONDS_MAX).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let policy = Policy::new(text, true, Limits::default())?;
        let told = policy.stages.iter().map(|stage| {
            format!("{}={}@{}", stage.name, stage.groups.join(","), stage.bake_seconds)
        });
        Ok(told.collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn stages_are_read() {
        for (text, expected) in [
            ("", "all=*@0"),
            ("canary=eu-1", "canary=eu-1@0; all=*@0"),
            ("canary=eu-1, eu-2 @10m ; rest=*@90s", "canary=eu-1,eu-2@600; rest=*@90"),
            ("a=eu-*@1h;", "a=eu-*@3600; all=*@3600"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected));
        }
        for (text, part) in [
            ("canary", "is no stage"),
            ("=eu", "is no stage"),
            ("a=,", "is no stage"),
            ("a=eu@soon", "is no bake time"),
            ("a=eu@169h", "is no bake time"),
            ("a=*; b=eu", "no stage can follow"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
