//! Sources that go back and forth: each of their documents may be good, and each would be rolled out
//! to take back the one before it, for ever.

use model::{Millis, Rollout, RolloutState, Version};
use serde_json::json;

use super::drive::GATES;
use super::opening::content;
use super::{RolloutError, Rollouts};
use crate::documents::Opened;
use crate::edition::Content;
use crate::metrics;

/// Roll-outs that are looked back at.
const LOOKED_MAX: usize = 20;
/// What was brought longer ago may be brought again.
const WITHIN_MILLIS: Millis = 60 * 60 * 1_000;

impl Rollouts {
    /// Whether an edition with the latest documents only goes back and forth: then it is not begun
    /// by itself.
    pub(super) async fn goes_back_and_forth(&self, number: u64) -> Result<bool, RolloutError> {
        let Some((had, last)) = self.had_lately().await? else { return Ok(false) };
        let [now, before, again] = had;
        let is_noted = self.seen().flaps;
        // The other half of it: what there is already is brought once more.
        let is_rest = is_noted && self.look(number).await? == now;
        let is_back = now == again && self.look(number).await? == before;
        if !is_rest && !is_back {
            return Ok(false);
        }
        self.refused(number);
        if is_back {
            self.tell_of_flapping(number, &last).await?;
        }
        Ok(true)
    }

    /// What groups have, had before that, and before that again; and the roll-outs between, latest
    /// first.
    async fn had_lately(&self) -> Result<Option<([u64; 3], [Rollout; 2])>, RolloutError> {
        let since = self.now() - WITHIN_MILLIS;
        let mut had = vec![self.look(self.base().await?).await?];
        let mut between: Vec<Rollout> = Vec::new();
        let done = |it: &Rollout| it.state == RolloutState::Done && it.started_at >= since;
        for rollout in self.editions.rollouts(LOOKED_MAX).await?.into_iter().filter(done) {
            let before = self.look(rollout.from).await?;
            if had.last() != Some(&before) {
                had.push(before);
                between.push(rollout);
            }
        }
        let had = had.get(..3).and_then(|had| <[u64; 3]>::try_from(had).ok());
        let between = between.into_iter().take(2).collect::<Vec<_>>().try_into().ok();
        Ok(had.zip(between))
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
    async fn tell_of_flapping(
        &self,
        number: u64,
        [last, first]: &[Rollout; 2],
    ) -> Result<(), RolloutError> {
        let base = self.base().await?;
        let (there, here) =
            (content(&*self.editions, number).await?, content(&*self.editions, base).await?);
        let (there, here) =
            there.zip(here).map(|(a, b)| (a.documents, b.documents)).unwrap_or_default();
        let other = there.iter().filter(|(name, revision)| here.get(*name) != Some(*revision));
        let names: Vec<&str> = other.map(|(name, _)| name.as_str()).collect();
        let why = format!(
            "what sources have goes back and forth ({}): roll-out {} took back what roll-out {} had \
             brought, and this would bring it again; `margrave rollout start` brings it all the same",
            names.join(", "),
            last.id,
            first.id
        );
        tracing::error!(edition = number, %why, "this is not used; what there was stays");
        let is_news = !std::mem::replace(&mut self.seen().flaps, true);
        self.seen().refusal = Some(why.clone());
        if is_news {
            metrics::halted();
            let begun = self.begun(base, number, GATES, self.policy.stages.clone());
            let refused = self.ended(begun, RolloutState::Refused, Some(why));
            self.write(refused, false, None).await?;
        }
        Ok(())
    }
}
