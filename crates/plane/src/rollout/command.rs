//! What operators and the configuration ask of roll-outs.

use std::sync::Arc;
use std::time::Duration;

use model::{AuditEntry, Rollout, RolloutStage, RolloutState, counted};
use store::RollStep;

use super::opening::{content, keep};
use super::plan::{Planned, listeners};
use super::{RolloutError, Rollouts};
use crate::documents::Opened;
use crate::edition::{Content, Edition};
use crate::{Plane, metrics};

/// How often it is looked, during a plan, whether it is still asked for.
const LOOK: Duration = Duration::from_millis(200);

/// What to roll out.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// An edition that there is.
    pub edition: Option<u64>,
    /// Or other templates, with the facts that are given now. Neither: what the configuration is.
    pub templates: Option<Vec<(String, String)>>,
}

impl Rollouts {
    /// What an edition would change, and whom it would refuse. Nothing is sent.
    ///
    /// # Errors
    /// Templates that do not compile, or an edition that there is not.
    pub async fn plan(&self, wish: Wish) -> Result<Planned, RolloutError> {
        let edition = self.edition_of(wish, false).await?;
        self.planned(&edition).await
    }

    /// Begins a roll-out: its first stage is given the edition.
    ///
    /// # Errors
    /// One is under way; or services would be refused: that is written down, and nothing is sent.
    pub async fn start(
        &self,
        wish: Wish,
        by: &str,
        entry: Option<AuditEntry>,
    ) -> Result<Rollout, RolloutError> {
        self.none_under_way().await?;
        let given = self.editions.standing().await?.given.revision;
        let edition = self.edition_of(wish, true).await?;
        let planned = tokio::select! {
            biased;
            overtaken = self.overtaken(given) => return Err(overtaken),
            planned = self.planned(&edition) => planned?,
        };
        let standing = self.editions.standing().await?;
        if standing.given.revision != given {
            return Err(overtaken());
        }
        if standing.given.editions.iter().all(|(_, number)| *number == edition.number) {
            return Err(RolloutError::Conflict(format!(
                "all groups have edition {}",
                edition.number
            )));
        }
        let mut rollout = self.begun(planned.from, edition.number, by, self.policy.stages.clone());
        if !planned.is_good() {
            (rollout.state, rollout.reason) = (RolloutState::Refused, Some(planned.why()));
            rollout.ended_at = Some(rollout.started_at);
        }
        if planned.unjudged > 0 {
            rollout
                .notes
                .push(format!("Envoy has not judged {}", counted(planned.unjudged, "service")));
        }
        let takes_offer = match standing.offered {
            Some((offered, _)) => self.is_offered(edition.number, offered).await?,
            None => false,
        };
        let rollout = self.write(rollout, takes_offer, entry).await?;
        match &rollout.reason {
            Some(why) => Err(RolloutError::Refused(format!("edition {}: {why}", rollout.to))),
            None => Ok(rollout),
        }
    }

    /// No further stage begins, or again.
    ///
    /// # Errors
    /// None is under way.
    pub async fn pause(
        &self,
        is_paused: bool,
        entry: Option<AuditEntry>,
    ) -> Result<Rollout, RolloutError> {
        self.change(entry, |rollout| Rollout { is_paused, ..rollout }).await
    }

    /// Changes the one that is under way, also where the gates have written meanwhile.
    async fn change(
        &self,
        entry: Option<AuditEntry>,
        change: impl Fn(Rollout) -> Rollout,
    ) -> Result<Rollout, RolloutError> {
        /// Gates write once a stage and state: whoever loses so often loses to somebody else.
        const TRIES_MAX: usize = 5;
        for _ in 1..TRIES_MAX {
            let rollout = change(self.under_way().await?);
            let step =
                RollStep { rollout, takes_offer: false, at: self.now(), entry: entry.clone() };
            if let Some(written) = self.editions.roll(step).await? {
                self.nudge.notify_one();
                return Ok(written);
            }
        }
        let rollout = change(self.under_way().await?);
        self.write(rollout, false, entry).await
    }

    /// Every group goes back at once: to what it had before the roll-out that is under way, or to
    /// the edition that is named, or to what there was before the latest roll-out. Gates only tell.
    ///
    /// # Errors
    /// There is nothing to go back to.
    pub async fn revert(
        &self,
        to: Option<u64>,
        by: &str,
        entry: Option<AuditEntry>,
    ) -> Result<Rollout, RolloutError> {
        let standing = self.editions.standing().await?;
        let rolling = standing.rollout.clone().filter(|rollout| !rollout.state.is_over());
        if let Some(rollout) = rolling {
            let is_back = to.is_none_or(|to| to == rollout.from);
            let reason = format!("reverted by {by}");
            let end = |rollout| self.ended(rollout, RolloutState::Reverted, Some(reason.clone()));
            let rollout = self.change(entry.clone(), end).await?;
            if is_back {
                return Ok(rollout);
            }
        }
        let nothing = || RolloutError::Conflict("there is nothing to go back to".to_owned());
        let done = standing.rollout.filter(|rollout| rollout.state == RolloutState::Done);
        let to = to.or(done.map(|rollout| rollout.from)).ok_or_else(nothing)?;
        let from = self.base().await?;
        if from == to {
            return Err(RolloutError::Conflict(format!("all groups have edition {to}")));
        }
        self.edition(to).await?;
        let all =
            RolloutStage { name: "all".to_owned(), groups: vec!["*".to_owned()], bake_seconds: 0 };
        let rollout = Rollout { is_forced: true, ..self.begun(from, to, by, vec![all]) };
        self.write(rollout, false, entry).await
    }

    /// The configuration is this now. What cannot be used changes nothing, and is told.
    ///
    /// # Errors
    /// The store does not answer: it must be offered again.
    pub async fn offer(&self, configured: Result<&Content, String>) -> Result<(), RolloutError> {
        let compiled = match configured {
            Ok(content) => match self.compile(0, &self.with_given(content).await?).await {
                Ok(_) => Ok(content),
                Err(RolloutError::Refused(why)) => Err(why),
                Err(other) => return Err(other),
            },
            Err(why) => Err(why),
        };
        let trouble = match compiled {
            Err(why) => Some(why),
            Ok(content) => {
                let number = keep(&*self.editions, content, self.now()).await?;
                let standing = self.editions.standing().await?;
                let is_given = self.is_given(number, &standing).await?;
                self.editions.offer_edition(number, is_given).await?;
                self.nudge.notify_one();
                None
            }
        };
        metrics::templates_refused(trouble.is_some());
        if let Some(why) = &trouble {
            tracing::error!(%why, "the templates are not used; what there was stays");
        }
        self.seen().trouble = trouble;
        Ok(())
    }

    pub(super) fn begun(&self, from: u64, to: u64, by: &str, stages: Vec<RolloutStage>) -> Rollout {
        let now = self.now();
        Rollout {
            id: 0,
            turn: 0,
            from,
            to,
            by: by.to_owned(),
            stages,
            stage: 0,
            state: RolloutState::Proving,
            is_paused: false,
            is_forced: false,
            reason: None,
            notes: Vec::new(),
            started_at: now,
            since: now,
            ended_at: None,
        }
    }

    pub(super) fn ended(
        &self,
        rollout: Rollout,
        state: RolloutState,
        reason: Option<String>,
    ) -> Rollout {
        let now = self.now();
        Rollout { state, reason, since: now, ended_at: Some(now), is_paused: false, ..rollout }
    }

    /// Writes it, unless another wrote first.
    pub(super) async fn write(
        &self,
        rollout: Rollout,
        takes_offer: bool,
        entry: Option<AuditEntry>,
    ) -> Result<Rollout, RolloutError> {
        let step = RollStep { rollout, takes_offer, at: self.now(), entry };
        let written = self.editions.roll(step).await?;
        let raced = || {
            RolloutError::Conflict("another roll-out was written just now; look again".to_owned())
        };
        let rollout = written.ok_or_else(raced)?;
        self.nudge.notify_one();
        Ok(rollout)
    }

    async fn planned(&self, edition: &Arc<Edition>) -> Result<Planned, RolloutError> {
        let _turn = self.planning.lock().await;
        let from = self.base().await?;
        Ok(Planned { from, ..self.plane.plan(edition).await })
    }

    /// Returns when groups are given something else than at this revision, or are about to be: what is
    /// being planned was planned against what they had.
    async fn overtaken(&self, given: u64) -> RolloutError {
        loop {
            tokio::time::sleep(LOOK).await;
            let Ok(now) = self.editions.standing().await else { continue };
            let is_rolling = now.rollout.is_some_and(|rollout| !rollout.state.is_over());
            if is_rolling || now.given.revision != given {
                return overtaken();
            }
        }
    }

    /// What is wished; other templates get a number if they are kept.
    async fn edition_of(&self, wish: Wish, keeps: bool) -> Result<Arc<Edition>, RolloutError> {
        let standing = self.editions.standing().await?;
        let number = match wish {
            Wish { edition: Some(number), .. } => number,
            Wish { templates: Some(templates), .. } => {
                let unknown = RolloutError::Unknown(self.base().await?);
                let base = self.base_content().await?.ok_or(unknown)?;
                let made = Content { templates, ..base };
                let compiled = self.compile(0, &made).await?;
                if !keeps {
                    return Ok(Arc::new(compiled));
                }
                keep(&*self.editions, &made, self.now()).await?
            }
            Wish { .. } => {
                let offered = standing.offered.map(|(number, _)| number);
                let nothing = || RolloutError::Conflict("nothing is configured".to_owned());
                let offered = offered.ok_or_else(nothing)?;
                let latest = self.plane.state().given.staged.clone();
                let configured = content(&*self.editions, offered).await?;
                let configured = configured.ok_or(RolloutError::Unknown(offered))?;
                keep(&*self.editions, &configured.with(latest), self.now()).await?
            }
        };
        self.edition(number).await
    }

    /// An edition, compiled; the one that groups have already, where they have.
    pub(super) async fn edition(&self, number: u64) -> Result<Arc<Edition>, RolloutError> {
        if let Some(edition) = self.plane.state().given.numbered(number) {
            return Ok(edition);
        }
        let content = content(&*self.editions, number).await?;
        let content = content.ok_or(RolloutError::Unknown(number))?;
        self.compile(number, &content).await.map(Arc::new)
    }

    async fn compile(&self, number: u64, content: &Content) -> Result<Edition, RolloutError> {
        let Plane { blobs, vault, .. } = &*self.plane;
        let own = Opened::read(&**blobs, &**vault, &content.documents).await?;
        let (seen, grouping) = {
            let mut state = self.plane.state();
            // Whoever is asked about it may quote it, before anybody is given it.
            state.given.seen.hide(&own);
            (state.given.seen.clone(), state.grouping.clone())
        };
        let edition = Edition::compile(number, content, own, &seen).map_err(|complaints| {
            let why = listeners(&complaints);
            RolloutError::Refused(format!("the templates cannot be used: {why}"))
        })?;
        match grouping.lacks(edition.templates.varies_by()) {
            None => Ok(edition),
            Some(field) => Err(RolloutError::Refused(format!(
                "the templates vary by {field}, which groups of proxies are not told apart by yet: \
                 start the control plane with them"
            ))),
        }
    }

    /// The edition of groups that no stage was reached of.
    pub(super) async fn base(&self) -> Result<u64, RolloutError> {
        let given = self.editions.standing().await?.given.editions;
        Ok(given.last().map_or(0, |(_, number)| *number))
    }

    async fn under_way(&self) -> Result<Rollout, RolloutError> {
        let rollout = self.editions.standing().await?.rollout.filter(|it| !it.state.is_over());
        rollout.ok_or_else(|| RolloutError::Conflict("no roll-out is under way".to_owned()))
    }

    async fn none_under_way(&self) -> Result<(), RolloutError> {
        match self.under_way().await {
            Ok(rollout) => Err(RolloutError::Conflict(format!(
                "roll-out {} to edition {} is under way; revert it, or let it end",
                rollout.id, rollout.to
            ))),
            Err(RolloutError::Conflict(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }
}

fn overtaken() -> RolloutError {
    RolloutError::Conflict(
        "groups were given something else while this was planned; look, and begin it again"
            .to_owned(),
    )
}
