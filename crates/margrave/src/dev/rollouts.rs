//! Roll-outs as the broker asks for them.

use std::sync::Arc;

use async_trait::async_trait;
use broker::{
    Asked, DifferenceOf, EditionLine, GivenLine, RefusedService, RolloutLine, RolloutPlan,
    RolloutRefused, RolloutStatus, RolloutWish, SampleLine, StageLine, TypeLine,
};
use data_encoding::HEXLOWER;
use model::{Rollout, RolloutStage, RolloutState};
use plane::{Planned, RolloutError, Rollouts, Sample, Wish};

/// Roll-outs that are listed.
const LISTED_MAX: usize = 100;

/// The plane's.
pub struct PlaneRollouts(pub Arc<Rollouts>);

#[async_trait]
impl broker::Rollouts for PlaneRollouts {
    async fn plan(&self, wish: RolloutWish) -> Result<RolloutPlan, RolloutRefused> {
        self.0.plan(wished(wish)).await.map(plan).map_err(refused)
    }

    async fn start(&self, wish: RolloutWish, asked: Asked) -> Result<RolloutLine, RolloutRefused> {
        let begun = self.0.start(wished(wish), &asked.by, Some(asked.entry)).await;
        begun.map(line).map_err(refused)
    }

    async fn pause(&self, is_paused: bool, asked: Asked) -> Result<RolloutLine, RolloutRefused> {
        self.0.pause(is_paused, Some(asked.entry)).await.map(line).map_err(refused)
    }

    async fn revert(&self, to: Option<u64>, asked: Asked) -> Result<RolloutLine, RolloutRefused> {
        self.0.revert(to, &asked.by, Some(asked.entry)).await.map(line).map_err(refused)
    }

    async fn status(&self) -> Result<RolloutStatus, RolloutRefused> {
        let status = self.0.status().await.map_err(RolloutRefused::Store)?;
        let given = |(groups, edition)| GivenLine { groups, edition };
        let edition = |row: store::EditionRow| EditionLine {
            number: row.number,
            digest: HEXLOWER.encode(&row.digest),
            at: row.at,
        };
        Ok(RolloutStatus {
            given: status.given.into_iter().map(given).collect(),
            offered: status.offered,
            sources: status.sources,
            trouble: status.trouble,
            rollout: status.rollout.map(line),
            editions: status.editions.into_iter().map(edition).collect(),
        })
    }

    async fn list(&self) -> Result<Vec<RolloutLine>, RolloutRefused> {
        let all = self.0.list(LISTED_MAX).await.map_err(RolloutRefused::Store)?;
        Ok(all.into_iter().map(line).collect())
    }
}

fn wished(wish: RolloutWish) -> Wish {
    let RolloutWish { edition, templates } = wish;
    Wish { edition, templates: templates.map(|files| files.into_iter().collect()) }
}

fn refused(error: RolloutError) -> RolloutRefused {
    match error {
        RolloutError::Refused(why) => RolloutRefused::Refused(why),
        RolloutError::Conflict(why) => RolloutRefused::Conflict(why),
        unknown @ RolloutError::Unknown(_) => RolloutRefused::Unknown(unknown.to_string()),
        RolloutError::Store(error) => RolloutRefused::Store(error),
    }
}

fn line(rollout: Rollout) -> RolloutLine {
    let state = match rollout.state {
        RolloutState::Proving => "proving",
        RolloutState::Baking => "baking",
        RolloutState::Done => "done",
        RolloutState::Reverted => "reverted",
        RolloutState::Refused => "refused",
    };
    let stage = |stage: RolloutStage| {
        let RolloutStage { name, groups, bake_seconds } = stage;
        StageLine { name, groups, bake_seconds }
    };
    RolloutLine {
        id: rollout.id,
        from: rollout.from,
        to: rollout.to,
        by: rollout.by,
        state: state.to_owned(),
        paused: rollout.is_paused,
        stages: rollout.stages.into_iter().map(stage).collect(),
        stage: rollout.stage,
        reason: rollout.reason,
        notes: rollout.notes,
        started_at: rollout.started_at,
        ended_at: rollout.ended_at,
    }
}

fn plan(planned: Planned) -> RolloutPlan {
    let refused = |(owner, why)| RefusedService { owner, why };
    let kind = |(type_url, [added, changed, removed]): (String, [usize; 3])| TypeLine {
        type_url,
        added,
        changed,
        removed,
    };
    RolloutPlan {
        from: planned.from,
        to: planned.to,
        groups: planned.groups,
        judges: planned.judges,
        unheard: planned.unheard,
        instances: planned.instances,
        refused: planned.refused.into_iter().map(refused).collect(),
        refused_count: planned.refused_count,
        refused_already: planned.refused_already,
        unjudged: planned.unjudged,
        changed: planned.changed,
        changed_count: planned.changed_count,
        resources: planned.resources.into_iter().map(kind).collect(),
        samples: planned.samples.into_iter().map(sample).collect(),
    }
}

fn sample(sample: Sample) -> SampleLine {
    let Sample { owner, type_url, name, differences } = sample;
    let difference = |change: model::Change| {
        let model::Change { path, before, after } = change;
        DifferenceOf { path, before, after }
    };
    let differences = differences.into_iter().map(difference).collect();
    SampleLine { owner, type_url, name, differences }
}
