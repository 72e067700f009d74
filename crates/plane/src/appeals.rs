//! When one proxy of several refuses what an instance has become, an Envoy of its release is asked
//! who is right: one that agrees makes it the instance's fault, not the proxy's.

use std::sync::Arc;

use render::Specimen;
use xds::{Owner, StreamId};

use crate::gate::series;
use crate::state::State;
use crate::{Plane, words};

/// What a proxy refuses.
#[derive(Debug)]
pub(crate) struct Appeal {
    group: Arc<str>,
    stream: StreamId,
    owner: Owner,
    /// What that is.
    marks: Vec<u64>,
    specimens: Vec<Specimen>,
    series: String,
}

impl State {
    /// What is to be asked about.
    fn appeals(&mut self) -> Vec<Appeal> {
        let mut all = Vec::new();
        for (name, group) in &mut self.groups {
            for (stream, owner) in std::mem::take(&mut group.appeals) {
                let version = group.streams.get(&stream).map(|it| it.node.envoy_version.clone());
                let held = group.held_of(&owner).map(|(now, _)| now).unwrap_or_default();
                all.push(Appeal {
                    group: name.clone(),
                    stream,
                    marks: group.marks(&owner),
                    specimens: held.iter().map(|kept| Specimen::from(&kept.resource)).collect(),
                    owner,
                    series: series(&version.unwrap_or_default()).to_owned(),
                });
            }
        }
        all
    }
}

impl Plane {
    /// Asks who is right until the future is dropped.
    pub(crate) async fn hear_appeals(&self) {
        loop {
            let appeals = self.state().appeals();
            for appeal in appeals {
                self.hear(appeal).await;
            }
            self.appeals.notified().await;
        }
    }

    async fn hear(&self, appeal: Appeal) {
        let Appeal { group, stream, owner, marks, specimens, series } = appeal;
        let redact = |text: &str| self.shown(text);
        let told = self.gate.appeal(&specimens, &series, &redact).await;
        tracing::info!(%group, %owner, refuses_too = told.is_some(), "Envoy was asked who is right");
        let too = told.map(|complaint| words::envoys(&complaint));
        let again = self.state().heard(&group, stream, &owner, &marks, too);
        self.queue.urgent(again);
        self.tell();
    }
}
