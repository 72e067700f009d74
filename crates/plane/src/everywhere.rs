//! Groups and releases of Envoy that are connected anywhere: whoever asks what an edition or a spec would do
//! asks it for the proxies of all replicas, not for those alone that are connected to the one that answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Node;
use render::SUPPORTED;
use serde::{Deserialize, Serialize};

use crate::Plane;
use crate::gate::Series;
use crate::renderer::Stage;

/// What a replica tells of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kind {
    /// What its templates are rendered for.
    node: Node,
    /// The releases that its proxies have, of those that anything is judged for.
    releases: Series,
}

/// Groups, by name.
pub(crate) type Kinds = BTreeMap<String, Kind>;

impl Plane {
    /// The groups that are known here.
    pub(crate) fn kinds(&self) -> Kinds {
        let releases = self.releases().clone();
        let state = self.state();
        let groups = state.groups.iter();
        let kind = |(name, group): (&Arc<str>, &crate::group::Group)| {
            (name.to_string(), Kind { node: group.node.clone(), releases: releases.of(name) })
        };
        groups.map(kind).collect()
    }

    /// The series of Envoy that can be asked here about what these groups would be given, and those that
    /// groups have and that cannot.
    pub(crate) fn judges(&self, stage: &Stage) -> (Vec<String>, Vec<String>) {
        let mut there: Series = stage.there.values().flatten().cloned().collect();
        there.extend(self.releases().all());
        let hears = self.gate.hears();
        let unheard = there.difference(&hears).cloned().collect();
        let judges = hears.into_iter().filter(|it| it == SUPPORTED || there.contains(it));
        (judges.collect(), unheard)
    }

    /// What everybody's proxies would be rendered with, wherever they are connected. A group that is
    /// known here is what it is here.
    pub(crate) fn stage_everywhere(&self) -> Stage {
        let told = self.told();
        let state = self.state();
        let mut stage = state.stage();
        for (name, kind) in told.iter().flat_map(|(_, summary)| &summary.kinds) {
            let name: Arc<str> = name.as_str().into();
            if !state.groups.contains_key(&name) && !stage.there.contains_key(&name) {
                stage.add(state.given.to(&name), name.clone(), kind.node.clone());
            }
            stage.there.entry(name).or_default().extend(kind.releases.iter().cloned());
        }
        stage
    }
}
