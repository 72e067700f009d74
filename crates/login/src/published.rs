//! The keys that the issuer publishes, kept: asked for seldom, by one at a time, and held on to while
//! the issuer is away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Millis;
use tokio::sync::{Semaphore, watch};

use crate::discovery::Discovery;
use crate::http::{Http, IssuerError};
use crate::jwk::{Key, KeySet};
use crate::jws::Signed;
use crate::{IssuerUrl, metrics};

/// After this long the issuer is asked again before one of its keys is used: it may have taken it back.
const FRESH_MILLIS: Millis = 10 * 60 * 1000;
/// Between two attempts, whoever asks: strangers can name keys that do not exist.
const ATTEMPT_MILLIS: Millis = 5 * 1000;
/// How long keys are used that the issuer cannot confirm because it is away.
const KEPT_MILLIS: Millis = 24 * 60 * 60 * 1000;
/// Requests that wait for keys at a time; the rest is told to try again.
const WAITING_MAX: usize = 64;

/// What an issuer publishes.
pub(crate) struct Published {
    issuer: IssuerUrl,
    http: Http,
    state: Mutex<State>,
    waiting: Semaphore,
}

#[derive(Default)]
struct State {
    keys: Vec<Key>,
    fetched_at: Option<Millis>,
    tried_at: Option<Millis>,
    failure: Option<IssuerError>,
    /// Ends, without a word, when the attempt in progress does.
    flight: Option<watch::Receiver<()>>,
}

/// Why there is no key.
pub(crate) enum NoKey {
    /// The issuer publishes no such key.
    Unknown,
    /// It could not be asked.
    Unavailable(String),
}

impl Published {
    pub(crate) fn new(issuer: IssuerUrl) -> std::io::Result<Arc<Self>> {
        let http = Http::new(&issuer)?;
        metrics::keys_at(0);
        let (state, waiting) = (Mutex::default(), Semaphore::new(WAITING_MAX));
        Ok(Arc::new(Self { issuer, http, state, waiting }))
    }

    /// The key that this is signed with.
    pub(crate) async fn key(
        self: &Arc<Self>,
        signed: &Signed<'_>,
        now: Millis,
    ) -> Result<Key, NoKey> {
        let (found, is_fresh, fails) = self.state().look(signed, now);
        if let Some(key) = found.clone().filter(|_| is_fresh) {
            return Ok(key);
        }
        let flight = self.fetch(now);
        // Nobody waits for an issuer that has failed, as long as there is a key.
        if let Some(key) = found.filter(|_| fails) {
            return Ok(key);
        }
        if let Some(mut flight) = flight {
            let Ok(_place) = self.waiting.try_acquire() else {
                return Err(NoKey::Unavailable("too many wait for the issuer's keys".to_owned()));
            };
            // An error is its end.
            let _ = flight.changed().await;
        }
        let state = self.state();
        state.find(signed, now).ok_or_else(|| state.why_not(now))
    }

    /// Asks the issuer, unless somebody does already, or has just done: then there is nothing to wait
    /// for. It goes on when nobody waits any more, so that none who hangs up can prevent it.
    pub(crate) fn fetch(self: &Arc<Self>, now: Millis) -> Option<watch::Receiver<()>> {
        let mut state = self.state();
        let in_progress = state.flight.clone().filter(|flight| flight.has_changed().is_ok());
        if in_progress.is_some() || !state.may_try(now) {
            return in_progress;
        }
        let (ends, flight) = watch::channel(());
        state.tried_at = Some(now);
        state.flight = Some(flight.clone());
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = this.ask().await;
            this.settle(fetched, now);
            drop(ends);
        });
        Some(flight)
    }

    async fn ask(&self) -> Result<Vec<Key>, IssuerError> {
        let discovery = Discovery::fetch(&self.http, &self.issuer).await?;
        let at = discovery.keys()?;
        let set: KeySet = self.http.document(&at).await?;
        set.keys().map_err(|why| IssuerError::new(&at, why))
    }

    fn settle(&self, fetched: Result<Vec<Key>, IssuerError>, now: Millis) {
        metrics::fetched(fetched.is_ok());
        let mut state = self.state();
        match fetched {
            Ok(keys) => {
                metrics::keys_at(now);
                if state.failure.take().is_some() {
                    tracing::info!(issuer = %self.issuer, "the issuer's keys were fetched again");
                }
                (state.keys, state.fetched_at) = (keys, Some(now));
            }
            Err(error) => {
                if state.failure.as_ref() == Some(&error) {
                    tracing::debug!(%error, "the issuer's keys were not fetched again");
                } else {
                    tracing::warn!(%error, "the issuer's keys were not fetched; known ones stay in use");
                }
                state.failure = Some(error);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A clock that was put back counts as time that has passed.
    fn within(at: Option<Millis>, millis: Millis, now: Millis) -> bool {
        at.is_some_and(|at| (0..millis).contains(&now.saturating_sub(at)))
    }

    /// The key, whether it was confirmed of late, and whether the issuer failed to confirm it.
    fn look(&self, signed: &Signed<'_>, now: Millis) -> (Option<Key>, bool, bool) {
        let is_fresh = Self::within(self.fetched_at, FRESH_MILLIS, now);
        (self.find(signed, now), is_fresh, self.failure.is_some())
    }

    fn may_try(&self, now: Millis) -> bool {
        !Self::within(self.tried_at, ATTEMPT_MILLIS, now)
    }

    fn find(&self, signed: &Signed<'_>, now: Millis) -> Option<Key> {
        if !Self::within(self.fetched_at, KEPT_MILLIS, now) {
            return None;
        }
        self.keys.iter().find(|key| key.is_of(signed)).cloned()
    }

    fn why_not(&self, now: Millis) -> NoKey {
        match &self.failure {
            Some(error) => NoKey::Unavailable(error.to_string()),
            None if !Self::within(self.fetched_at, KEPT_MILLIS, now) => {
                NoKey::Unavailable("its keys are not known yet".to_owned())
            }
            None => NoKey::Unknown,
        }
    }
}
