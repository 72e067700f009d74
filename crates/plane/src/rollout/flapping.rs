//! Sources that go back and forth: each of their documents may be good, and each would be rolled out
//! to take back the one before it, for ever.

use model::{AuditEntry, Millis, Rollout, RolloutState, Version};
use serde_json::json;

use super::drive::{GATES, entry};
use super::opening::content;
use super::{RolloutError, Rollouts};
use crate::documents::Opened;
use crate::edition::Content;
use crate::metrics;

/// Roll-outs that are looked back at.
const LOOKED_MAX: usize = 20;
/// What was brought longer ago may be brought again.
const WITHIN_MILLIS: Millis = 60 * 60 * 1_000;

/// What was seen of the past hour.
struct Past {
    /// What groups have, had before that, and so on.
    had: Vec<u64>,
    /// The roll-outs between, latest first.
    between: Vec<Rollout>,
    /// The latest that brought documents that say what those before had said: what they had become
    /// meanwhile was gone before it could be rolled out.
    unseen: Option<Rollout>,
}

impl Rollouts {
    /// Whether an edition with the latest documents only goes back and forth: then it is not begun
    /// by itself.
    pub(super) async fn goes_back_and_forth(&self, number: u64) -> Result<bool, RolloutError> {
        let (past, look) = (self.lately().await?, self.look(number).await?);
        let is_noted = self.seen().flaps;
        let what = match (&past.had[..], &past.between[..], &past.unseen) {
            ([now, ..], _, Some(unseen)) if *now == look => format!(
                "this is what there was before roll-out {} already, which brought nothing else either: \
                 what it becomes between is gone before it can be rolled out",
                unseen.id
            ),
            // The other half of what was told: what there is already is brought once more.
            ([now, ..], ..) if *now == look && is_noted => String::new(),
            ([now, before, again, ..], [last, first, ..], _) if now == again && *before == look => {
                format!(
                    "roll-out {} took back what roll-out {} had brought, and this would bring it \
                     again; `margrave rollout start` brings it all the same",
                    last.id, first.id
                )
            }
            _ => return Ok(false),
        };
        self.refused(number);
        if !what.is_empty() {
            self.tell_of_flapping(number, &what).await?;
        }
        Ok(true)
    }

    async fn lately(&self) -> Result<Past, RolloutError> {
        let since = self.now() - WITHIN_MILLIS;
        let had = vec![self.look(self.base().await?).await?];
        let mut past = Past { had, between: Vec::new(), unseen: None };
        let done = |it: &Rollout| it.state == RolloutState::Done && it.started_at >= since;
        for rollout in self.editions.rollouts(LOOKED_MAX).await?.into_iter().filter(done) {
            let before = self.look(rollout.from).await?;
            if past.had.last() != Some(&before) {
                past.had.push(before);
                past.between.push(rollout);
            } else if rollout.by == GATES && past.unseen.is_none() {
                past.unseen = Some(rollout);
            }
        }
        Ok(past)
    }

    /// What templates see in an edition, whatever numbers its documents bear.
    async fn look(&self, number: u64) -> Result<u64, RolloutError> {
        let documents = match content(&*self.editions, number).await? {
            Some(Content { documents, .. }) => documents,
            None => return Ok(0),
        };
        let opened = Opened::read(&*self.plane.blobs, &*self.plane.vault, &documents).await?;
        let look = json!([self.bare(number).await?, opened.values()]).to_string();
        Ok(Version::hash_of(look.as_bytes()))
    }

    /// The first is written down as a roll-out that was refused; what follows is more of the same.
    async fn tell_of_flapping(&self, number: u64, what: &str) -> Result<(), RolloutError> {
        let base = self.base().await?;
        let (there, here) =
            (content(&*self.editions, number).await?, content(&*self.editions, base).await?);
        let (there, here) =
            there.zip(here).map(|(a, b)| (a.documents, b.documents)).unwrap_or_default();
        let other = there.iter().filter(|(name, revision)| here.get(*name) != Some(*revision));
        let names: Vec<&str> = other.map(|(name, _)| name.as_str()).collect();
        let why = format!("what sources have goes back and forth ({}): {what}", names.join(", "));
        tracing::error!(edition = number, %why, "this is not used; what there was stays");
        let is_news = !std::mem::replace(&mut self.seen().flaps, true);
        self.seen().refusal = Some(why.clone());
        if is_news {
            metrics::halted();
            let begun = self.begun(base, number, GATES, self.policy.stages.clone());
            // It has no number before it is written.
            let object = format!("edition {number}");
            let entry = AuditEntry { object, ..entry(&begun, "rollout.halt", &why) };
            let refused = self.ended(begun, RolloutState::Refused, Some(why));
            self.write(refused, false, Some(entry)).await?;
        }
        Ok(())
    }
}
