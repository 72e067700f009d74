//! Carries out what the store says, looks at the gates, and writes what follows.

use std::sync::Arc;
use std::time::Duration;

use model::{AuditEntry, Millis, Requester, Rollout, RolloutState};
use serde_json::json;
use store::Standing;

use super::gates::{Facts, Verdict, bake, prove};
use super::opening::{content, keep};
use super::watch::Watch;
use super::{RolloutError, Rollouts, Wish};
use crate::{metrics, words};

/// Between two looks at the gates while a roll-out is under way.
const ROLLING: Duration = Duration::from_millis(200);
/// Between two looks at the store else: another process may have written.
const IDLE: Duration = Duration::from_secs(1);
/// After a start no gate is asked for so long about what was begun before.
const START_MILLIS: Millis = 10_000;
/// Who decides when nobody does.
pub(super) const GATES: &str = "margrave";
/// Notes that one roll-out keeps.
const NOTES_MAX: usize = 200;

impl Rollouts {
    /// Works until the future is dropped. A store that fails is asked again for ever, and groups
    /// keep what they have meanwhile.
    pub async fn run(self: Arc<Self>) {
        self.plane.follow_editions(self.editions.clone());
        let decides = Arc::downgrade(&self);
        self.plane.herald(Arc::new(move |standing| {
            if let Some(decides) = decides.upgrade() {
                decides.about_to_give(standing);
            }
        }));
        loop {
            let is_rolling = match self.tick().await {
                Ok(is_rolling) => is_rolling,
                Err(error) => {
                    tracing::warn!(%error, "roll-outs wait");
                    false
                }
            };
            let pause = if is_rolling { ROLLING } else { IDLE };
            let _ = tokio::time::timeout(pause, self.nudge.notified()).await;
        }
    }

    /// One look; whether a roll-out is under way.
    async fn tick(&self) -> Result<bool, RolloutError> {
        let standing = self.editions.standing().await?;
        if self.is_to_be_given(&standing) {
            return Ok(true);
        }
        let Some(rollout) = standing.rollout.clone().filter(|it| !it.state.is_over()) else {
            self.seen().watch = None;
            metrics::rolling(None);
            return self.take_offer(&standing).await;
        };
        metrics::rolling(Some(&rollout));
        if !self.plane.takes_rollouts() {
            return Ok(true);
        }
        let facts = self.facts(&rollout);
        self.judge(rollout, &facts).await?;
        Ok(true)
    }

    /// Groups are about to be given this: what is wrong by then is not of this roll-out.
    pub(super) fn about_to_give(&self, standing: &Standing) {
        if let Some(rollout) = standing.rollout.as_ref().filter(|it| !it.state.is_over()) {
            self.begin_watch(rollout, standing.given.revision);
        }
    }

    /// Whether groups are not yet given what the store says.
    fn is_to_be_given(&self, standing: &Standing) -> bool {
        let given = &standing.given;
        !given.editions.is_empty() && given.revision != self.plane.state().given.revision
    }

    /// `given`: at which revision it was decided what groups are given now.
    fn begin_watch(&self, rollout: &Rollout, given: u64) {
        let (told, refused) = (self.plane.told(), self.plane.refused_elsewhere(given));
        let watch = {
            let state = self.plane.state();
            Watch::new(&state, &self.plane.traffic(), rollout.to, (&told, &refused))
        };
        self.seen().watch = Some((rollout.id, rollout.stage, watch));
    }

    fn facts(&self, rollout: &Rollout) -> Facts {
        let is_it = |seen: &Option<(u64, usize, Watch)>| {
            seen.as_ref().is_some_and(|(id, stage, _)| (*id, *stage) == (rollout.id, rollout.stage))
        };
        if !is_it(&self.seen().watch) {
            self.begin_watch(rollout, u64::MAX);
        }
        let told = self.plane.told();
        let mut seen = self.seen();
        let state = self.plane.state();
        let traffic = self.plane.traffic();
        let watch = seen.watch.as_mut();
        watch.map(|(.., watch)| watch.facts(&state, &traffic, &told)).unwrap_or_default()
    }

    async fn judge(&self, rollout: Rollout, facts: &Facts) -> Result<(), RolloutError> {
        let now = self.now();
        // Proxies are coming back: what a process before this one began is judged in a moment.
        if rollout.since < self.started_at && now - self.started_at < START_MILLIS {
            return Ok(());
        }
        let watched = self.seen().watch.as_ref().map(|(.., watch)| watch.since.elapsed());
        let in_state = Duration::from_millis(u64::try_from(now - rollout.since).unwrap_or(0));
        let for_bake = rollout.stages.get(rollout.stage).map_or(0, |stage| stage.bake_seconds);
        let for_bake = Duration::from_secs(for_bake);
        let verdict = match rollout.state {
            RolloutState::Proving => prove(&self.policy.limits, facts, watched.unwrap_or_default()),
            _ => bake(&self.policy.limits, facts, in_state, for_bake),
        };
        match verdict {
            Verdict::Wait => Ok(()),
            Verdict::Halt(why) if !rollout.is_forced => self.halt(rollout, why).await,
            Verdict::Halt(why) => self.pass(rollout, vec![why]).await,
            Verdict::Pass(_) if rollout.is_paused && rollout.state == RolloutState::Baking => {
                Ok(())
            }
            Verdict::Pass(notes) => self.pass(rollout, notes).await,
        }
    }

    async fn halt(&self, rollout: Rollout, why: String) -> Result<(), RolloutError> {
        let stage = rollout.stages.get(rollout.stage).map_or("", |stage| stage.name.as_str());
        let why = words::one_line(&format!("stage {stage}: {why}"));
        tracing::error!(rollout = rollout.id, edition = rollout.to, %why, "halted and reverted");
        let entry = entry(&rollout, "rollout.halt", &why);
        let rollout = self.ended(rollout, RolloutState::Reverted, Some(why));
        metrics::halted();
        self.raced(self.write(rollout, false, Some(entry)).await)
    }

    async fn pass(&self, mut rollout: Rollout, notes: Vec<String>) -> Result<(), RolloutError> {
        let stage = rollout.stages.get(rollout.stage).map_or("", |stage| stage.name.as_str());
        let notes = notes.into_iter().map(|note| words::one_line(&format!("{stage}: {note}")));
        let notes: Vec<String> = notes.collect();
        rollout.notes.extend(notes);
        rollout.notes.truncate(NOTES_MAX);
        rollout.since = self.now();
        let is_last = rollout.stage + 1 >= rollout.stages.len();
        let next = match (rollout.state, is_last) {
            (RolloutState::Proving, _) => Rollout { state: RolloutState::Baking, ..rollout },
            (_, false) => {
                let stage = rollout.stage + 1;
                Rollout { state: RolloutState::Proving, stage, ..rollout }
            }
            (_, true) => self.ended(rollout, RolloutState::Done, None),
        };
        let (stage, state) = (next.stage, next.state);
        tracing::info!(rollout = next.id, edition = next.to, stage, ?state, "the roll-out goes on");
        let entry = (state == RolloutState::Done).then(|| entry(&next, "rollout.done", ""));
        self.raced(self.write(next, false, entry).await)
    }

    /// Another has written first: what follows of that is looked at next.
    fn raced(&self, written: Result<Rollout, RolloutError>) -> Result<(), RolloutError> {
        match written {
            Ok(_) | Err(RolloutError::Conflict(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Begins a roll-out to what the configuration is, where that is done by itself. The plan of it is
    /// given up when somebody else decides something meanwhile, so that nothing waits for it here.
    async fn take_offer(&self, standing: &Standing) -> Result<bool, RolloutError> {
        if !self.policy.is_automatic || !self.plane.takes_rollouts() {
            return Ok(false);
        }
        if self.take_configured(standing).await? {
            return Ok(true);
        }
        let Some(number) = self.with_latest().await? else { return Ok(false) };
        if self.goes_back_and_forth(number).await? {
            return Ok(false);
        }
        let is_begun = self.begin(number).await?;
        self.forget_documents().await?;
        Ok(is_begun)
    }

    /// What the configuration is, with the documents that groups have.
    async fn take_configured(&self, standing: &Standing) -> Result<bool, RolloutError> {
        let Some((offered, false)) = standing.offered else { return Ok(false) };
        let now = (offered, standing.given.revision);
        if self.seen().settled_offer == Some(now) || self.is_given(offered, standing).await? {
            return Ok(false);
        }
        let Some(configured) = content(&*self.editions, offered).await? else { return Ok(false) };
        let number = self.with_given(&configured).await?;
        let number = keep(&*self.editions, &number, self.now()).await?;
        if !self.seen().refused.contains(&number) && self.begin(number).await? {
            return Ok(true);
        }
        if self.seen().refused.contains(&number) {
            self.seen().settled_offer = Some(now);
        }
        Ok(false)
    }

    pub(super) fn refused(&self, number: u64) {
        /// More are forgotten: they would be refused once more.
        const REMEMBERED_MAX: usize = 16;
        let refused = &mut self.seen().refused;
        refused.insert(number);
        if refused.len() > REMEMBERED_MAX {
            refused.pop_first();
        }
    }

    /// Begins a roll-out to an edition that nobody in person has asked for.
    async fn begin(&self, number: u64) -> Result<bool, RolloutError> {
        let wish = Wish { edition: Some(number), templates: None };
        match self.start(wish, GATES, None).await {
            Ok(rollout) => {
                tracing::info!(
                    rollout = rollout.id,
                    edition = number,
                    "the configuration, or what sources have, is rolled out"
                );
                let mut seen = self.seen();
                (seen.refusal, seen.flaps) = (None, false);
                Ok(true)
            }
            Err(RolloutError::Refused(why)) => {
                self.refused(number);
                // What was planned is written down as a roll-out that was refused.
                let latest = self.editions.rollouts(1).await?;
                let is_written = latest.first().is_some_and(|rollout| rollout.to == number);
                self.seen().refusal = (!is_written).then(|| why.clone());
                metrics::templates_refused(true);
                tracing::error!(edition = number, %why, "this is not used; what there was stays");
                Ok(false)
            }
            Err(RolloutError::Conflict(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }
}

/// What gates have decided by themselves.
pub(super) fn entry(rollout: &Rollout, action: &str, why: &str) -> AuditEntry {
    let by = Requester {
        credential: GATES.to_owned(),
        originating_identity: None,
        request_identity: None,
    };
    AuditEntry {
        by,
        action: action.to_owned(),
        object: format!("rollout {}", rollout.id),
        owner: None,
        detail: json!({"from": rollout.from, "to": rollout.to, "why": why}),
    }
}
