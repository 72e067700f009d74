//! Roll-outs: the platform goes from one edition to another, by groups of proxies.

use serde::{Deserialize, Serialize};

use crate::Millis;

/// Groups of proxies that are given an edition together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStage {
    /// What it is called.
    pub name: String,
    /// Which groups: names, where `*` stands for anything. A group is of the first stage that has it.
    pub groups: Vec<String>,
    /// For so long it is watched before the next, once its proxies have acknowledged everything.
    pub bake_seconds: u64,
}

/// How a roll-out stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// The proxies of a stage are to acknowledge what they were given.
    Proving,
    /// They have, and are watched.
    Baking,
    /// Every group has the edition.
    Done,
    /// Groups went back to what they had before.
    Reverted,
    /// It was refused before anything was sent.
    Refused,
}

impl RolloutState {
    /// Whether nothing more happens.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Reverted | Self::Refused)
    }
}

/// From one edition to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its number; 0 before it is written.
    pub id: u64,
    /// Rises each time it is written.
    pub turn: u64,
    /// What every group had before.
    pub from: u64,
    /// What every group shall have.
    pub to: u64,
    /// Who asked, as a credential's name, or `templates` when files have changed.
    pub by: String,
    /// The last has every group.
    pub stages: Vec<RolloutStage>,
    /// The stage that it is at.
    pub stage: usize,
    /// How it stands.
    pub state: RolloutState,
    /// No further stage begins until it is resumed. The gates go on watching.
    pub is_paused: bool,
    /// The gates tell, and halt nothing: somebody goes back in haste.
    #[serde(default)]
    pub is_forced: bool,
    /// Why it was refused or reverted.
    pub reason: Option<String>,
    /// What the gates have said, in order.
    pub notes: Vec<String>,
    /// When it began.
    pub started_at: Millis,
    /// Since when it has been in this state at this stage.
    pub since: Millis,
    /// When it ended.
    pub ended_at: Option<Millis>,
}

impl Rollout {
    /// Which edition each group has at this moment, by pattern, the first that has a name.
    pub fn given(&self) -> Vec<(String, u64)> {
        match self.state {
            RolloutState::Done => return vec![("*".to_owned(), self.to)],
            RolloutState::Reverted | RolloutState::Refused => {
                return vec![("*".to_owned(), self.from)];
            }
            RolloutState::Proving | RolloutState::Baking => {}
        }
        let edition = |at: usize| if at <= self.stage { self.to } else { self.from };
        let of = |(at, stage): (usize, &RolloutStage)| {
            let groups = stage.groups.iter().cloned();
            groups.map(|group| (group, edition(at))).collect::<Vec<_>>()
        };
        self.stages.iter().enumerate().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_follow_stage_by_stage() {
        let stage = |name: &str, groups: &[&str]| RolloutStage {
            name: name.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            bake_seconds: 1,
        };
        let mut rollout = Rollout {
            id: 1,
            turn: 1,
            from: 3,
            to: 4,
            by: "ann".to_owned(),
            stages: vec![stage("canary", &["a", "b"]), stage("rest", &["*"])],
            stage: 0,
            state: RolloutState::Proving,
            is_paused: false,
            is_forced: false,
            reason: None,
            notes: Vec::new(),
            started_at: 0,
            since: 0,
            ended_at: None,
        };
        let given = |rollout: &Rollout| {
            let given = rollout.given().into_iter();
            given.map(|(groups, edition)| format!("{groups}={edition}")).collect::<Vec<_>>()
        };
        assert_eq!(given(&rollout), ["a=4", "b=4", "*=3"]);
        rollout.stage = 1;
        assert_eq!(given(&rollout), ["a=4", "b=4", "*=4"]);
        rollout.state = RolloutState::Done;
        assert_eq!(given(&rollout), ["*=4"]);
        rollout.state = RolloutState::Reverted;
        assert_eq!(given(&rollout), ["*=3"]);
    }
}
