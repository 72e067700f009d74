//! What a replica tells of its proxies: enough for another process to say how far a change is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::InstanceId;
use serde::{Deserialize, Serialize};

use crate::everywhere::Kinds;
use crate::live::Answer;
use crate::rollout::Stands;
use crate::state::State;
use crate::{Convergence, Plane, Proxy};

/// Changes that are told one by one. Beyond them the replica is behind with whatever is not told.
const CHANGES_MAX: usize = 1_000;

/// What a replica tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Up to which revision the change feed is taken in.
    pub revision: u64,
    /// Whether its proxies are answered.
    pub open: bool,
    /// How many proxies are connected and heard from.
    pub ready: usize,
    /// Groups that have proxies here.
    pub groups: BTreeSet<String>,
    /// Connected proxies.
    pub proxies: Vec<Proxy>,
    /// Instances whose latest revision not every ready proxy has.
    behind: BTreeMap<InstanceId, Behind>,
    /// Instances that are not served at their latest revision: which, and why.
    refused: BTreeMap<InstanceId, (u64, String)>,
    /// There are more of these than are told.
    more: bool,
    /// What its groups are rendered for.
    #[serde(default)]
    pub(crate) kinds: Kinds,
    /// How its proxies stand to what is rolled out.
    #[serde(default)]
    pub(crate) stands: Stands,
}

/// How far the proxies of a replica are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Behind {
    have: usize,
    ready: usize,
    why: String,
}

impl Summary {
    /// Instances that are not served there at their latest revision.
    pub fn quarantined(&self) -> impl Iterator<Item = &InstanceId> {
        self.refused.keys()
    }

    /// How far this replica's proxies are with a revision of an instance.
    pub fn converged(&self, id: &InstanceId, revision: u64) -> Convergence {
        let ready = self.ready;
        let waits = |why: &str| Convergence::Behind { have: 0, ready, why: why.to_owned() };
        if self.revision < revision {
            return waits("not read yet");
        }
        if let Some((_, reason)) = self.refused.get(id).filter(|(refused, _)| revision <= *refused)
        {
            return Convergence::Rejected { reason: reason.clone() };
        }
        match self.behind.get(id) {
            Some(Behind { have, ready, why }) => {
                Convergence::Behind { have: *have, ready: *ready, why: why.clone() }
            }
            None if self.more || !self.open => waits("being brought up to date"),
            None => Convergence::Live { proxies: ready, notice: None },
        }
    }
}

impl Plane {
    /// What is told of the proxies that are connected here.
    pub fn summary(&self) -> Summary {
        let kinds = self.kinds();
        let mut state = self.state();
        let stands = state.stands(&self.traffic());
        Summary { kinds, stands, ..state.summary() }
    }

    /// Waits until there may be something to tell, for so long at most.
    pub async fn news(&self, within: Duration) {
        let mut news = self.listen_to_news();
        let _ = tokio::time::timeout(within, news.changed()).await;
    }
}

impl State {
    pub(crate) fn summary(&self) -> Summary {
        let view = self.fleet();
        let groups = self.groups.iter().filter(|(_, group)| !group.streams.is_empty());
        let mut summary = Summary {
            revision: self.position,
            open: self.is_open(),
            ready: self.groups.values().map(crate::group::Group::ready).sum(),
            groups: groups.map(|(name, _)| name.to_string()).collect(),
            proxies: view.proxies,
            ..Summary::default()
        };
        for id in self.unsettled() {
            if summary.behind.len() + summary.refused.len() >= CHANGES_MAX {
                summary.more = true;
                break;
            }
            self.tell_of(id, &mut summary);
        }
        summary
    }

    /// Instances of which there is something to tell.
    fn unsettled(&self) -> BTreeSet<InstanceId> {
        let flying = self.groups.values().flat_map(|group| group.flights.owners());
        let flying = flying.filter_map(|owner| owner.parse().ok());
        let tenants = self.tenants.iter();
        let waiting = tenants.filter(|(_, tenant)| tenant.pending || tenant.quarantine.is_some());
        flying.chain(waiting.map(|(id, _)| id.clone())).collect()
    }

    fn tell_of(&self, id: InstanceId, summary: &mut Summary) {
        let latest = self.tenants.get(&id).map_or(0, |tenant| tenant.wanted.0);
        let answer = self.converged(&id, latest, Duration::ZERO);
        let (Answer::Final(told) | Answer::Wait(told) | Answer::WaitUntil(_, told)) = answer;
        match told {
            Convergence::Live { .. } => {}
            Convergence::Behind { have, ready, why } => {
                summary.behind.insert(id, Behind { have, ready, why });
            }
            Convergence::Rejected { reason } => {
                summary.refused.insert(id, (latest, reason));
            }
        }
    }
}
