//! The conversation with a client of the services of single types: its streams are lanes of one
//! protocol, so that what ADS promises holds across them: the order of a change, and what is told
//! of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Node;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

use crate::cache::{Beat, Cache};
use crate::event::{Event, StreamId};
use crate::frames::Framed;
use crate::identity::Identity;
use crate::lane::Lane;
use crate::limits::Limits;
use crate::service::{Open, Shared};
use crate::speaking::{Count, Name, Speakers};
use crate::stream::{Ended, IDLE, RECALL_PATIENCE, Talk, Wires, draining, recalled};
use crate::turns;

/// What lanes have said and was not heard yet. Lanes that have more to say wait.
const INBOX_MESSAGES: usize = 64;
/// A lane whose client does not read for so long is ended: it holds up the others of its node.
const UNREAD: Duration = Duration::from_secs(10);

/// Something that a lane says.
pub(crate) enum Said<R> {
    Joined(Lane, Outlet),
    /// With the turn in which it came, if it is large.
    Asked(Lane, R, Option<turns::Turn>),
    /// What it is not given.
    Withheld(Lane, R),
    Left(Lane),
}

/// Where a lane is spoken to.
pub(crate) struct Outlet {
    pub(crate) frames: mpsc::Sender<Result<Framed, Status>>,
    /// Ends the lane.
    pub(crate) over: oneshot::Sender<Status>,
}

/// The sessions of a server that speak one protocol.
pub(crate) struct Sessions<R> {
    inboxes: Mutex<HashMap<Name, mpsc::WeakSender<Said<R>>>>,
    pub(crate) speakers: Arc<Speakers>,
}

impl<R> Default for Sessions<R> {
    fn default() -> Self {
        Self { inboxes: Mutex::default(), speakers: Arc::default() }
    }
}

impl<R: Send + 'static> Sessions<R> {
    /// The way into the session of a node, which is begun when there is none. It lasts as long as
    /// anyone has such a way.
    pub(crate) fn join<T: Talk<Request = R>>(
        &self,
        open: &Open,
        key: Name,
        node: Arc<Node>,
        cache: Arc<Cache>,
        wires: &Wires,
        make: fn(StreamId, Arc<Cache>, Limits, Instant) -> T,
    ) -> mpsc::Sender<Said<R>> {
        let mut sessions = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inbox) = sessions.get(&key).and_then(mpsc::WeakSender::upgrade) {
            return inbox;
        }
        sessions.retain(|_, inbox| inbox.strong_count() > 0);
        let (sender, inbox) = mpsc::channel(INBOX_MESSAGES);
        let speaking = self.speakers.of(&key);
        sessions.insert(key, sender.downgrade());
        let session = Session {
            inbox,
            lanes: HashMap::new(),
            events: wires.events.clone(),
            beat: cache.listen(),
            drain: wires.drain.clone(),
            shared: open.shared.clone(),
            identity: open.identity.clone(),
            stream: open.shared.next_stream(),
            node,
            speaking,
        };
        tokio::spawn(session.run(cache, make));
        sender
    }
}

/// What a session does next.
enum Turn<R> {
    Said(Said<R>),
    /// See whether there is something to say.
    Look,
    Speak,
    /// All lanes are gone, or the cache.
    Over,
    Drain,
    /// The client is to be served from elsewhere.
    Recalled,
}

/// One session.
struct Session<R> {
    inbox: mpsc::Receiver<Said<R>>,
    lanes: HashMap<Lane, Outlet>,
    events: mpsc::Sender<Event>,
    beat: watch::Receiver<Beat>,
    drain: watch::Receiver<bool>,
    shared: Arc<Shared>,
    identity: Option<Arc<Identity>>,
    /// What this conversation is called: with each cache something else.
    stream: StreamId,
    node: Arc<Node>,
    /// Its lanes that are in the middle of something long.
    speaking: Count,
}

impl<R: Send + 'static> Session<R> {
    async fn run<T: Talk<Request = R>>(
        mut self,
        cache: Arc<Cache>,
        make: fn(StreamId, Arc<Cache>, Limits, Instant) -> T,
    ) {
        self.opens(&cache).await;
        if let Err(status) = self.converse(cache, make).await {
            for (_, outlet) in self.lanes.drain() {
                let _ = outlet.over.send(status.clone());
            }
        }
        let _ = self.events.send(Event::Closed { stream: self.stream }).await;
    }

    /// From now on the client is served from this cache.
    async fn opens(&mut self, cache: &Cache) {
        let (node, early) = (self.node.clone(), cache.is_fork());
        let _ = self.events.send(Event::Opened { stream: self.stream, node, early }).await;
        self.beat = cache.listen();
    }

    async fn converse<T: Talk<Request = R>>(
        &mut self,
        mut cache: Arc<Cache>,
        make: fn(StreamId, Arc<Cache>, Limits, Instant) -> T,
    ) -> Result<(), Status> {
        let is_open = tokio::select! {
            open = self.beat.wait_for(|beat| beat.open) => open.is_ok(),
            _ = self.drain.wait_for(|drain| *drain) => false,
            () = cache.recalled(self.stream) => return Err(recalled()),
        };
        if !is_open {
            return Err(draining());
        }
        let mut talk = make(self.stream, cache.clone(), self.shared.limits, Instant::now());
        let recall = |cache: &Arc<Cache>, stream| {
            let cache = cache.clone();
            async move { cache.recalled(stream).await }
        };
        while self.speak(&mut talk, recall(&cache, self.stream)).await? == Ended::Recalled {
            let identity = self.identity.as_deref();
            let there = self.shared.admit(&self.node, identity).map_err(|_| recalled())?;
            let to = self.shared.next_stream();
            if Arc::ptr_eq(&cache, &there) || !talk.transfer(to, there.clone(), Instant::now()) {
                return Err(recalled());
            }
            let _ = self.events.send(Event::Closed { stream: self.stream }).await;
            (self.stream, cache) = (to, there);
            self.opens(&cache).await;
        }
        Ok(())
    }

    /// Speaks with the client until all its lanes are gone, or it is recalled.
    async fn speak<T: Talk<Request = R>>(
        &mut self,
        talk: &mut T,
        recall: impl Future<Output = ()>,
    ) -> Result<Ended, Status> {
        tokio::pin!(recall);
        // Until when a client that is recalled may be in the middle of something.
        let mut leaves_by: Option<Instant> = None;
        // Something may have to be said; cleared when there was nothing.
        let mut pending = true;
        // When there was: what it waits for is what comes after, be it past by now.
        let mut asked = Instant::now();
        loop {
            for event in talk.events() {
                // Nobody listens any more when the process ends.
                let _ = self.events.send(event).await;
            }
            let now = Instant::now();
            if leaves_by.is_some_and(|by| now >= by || (!pending && talk.at_rest())) {
                return Ok(Ended::Recalled);
            }
            if self.speaking.any() {
                talk.hears(now);
            }
            let deadline = talk.deadline(asked).unwrap_or(now + IDLE);
            let deadline = leaves_by.map_or(deadline, |by| by.min(deadline));
            let turn = tokio::select! {
                biased;
                () = &mut recall, if leaves_by.is_none() => Turn::Recalled,
                turn = self.turn(pending, deadline) => turn,
            };
            match turn {
                Turn::Said(said) => {
                    self.hear(talk, said);
                    pending = true;
                }
                Turn::Look => pending = true,
                Turn::Speak => {
                    asked = now;
                    match talk.respond(now)? {
                        Some((lane, response)) => self.say(talk, lane, response.into()).await,
                        None => pending = false,
                    }
                }
                Turn::Over => return Ok(Ended::Gone),
                Turn::Drain => return Err(draining()),
                Turn::Recalled => {
                    (leaves_by, pending) = (Some(Instant::now() + RECALL_PATIENCE), true);
                }
            }
        }
    }

    /// What is to be done next. Nothing is lost when something else comes first.
    async fn turn(&mut self, pending: bool, deadline: Instant) -> Turn<R> {
        tokio::select! {
            biased;
            _ = self.drain.wait_for(|drain| *drain) => Turn::Drain,
            said = self.inbox.recv() => said.map_or(Turn::Over, Turn::Said),
            changed = self.beat.changed() => if changed.is_ok() { Turn::Look } else { Turn::Over },
            () = std::future::ready(()), if pending => Turn::Speak,
            () = sleep_until(deadline), if !pending => Turn::Look,
        }
    }

    fn hear<T: Talk<Request = R>>(&mut self, talk: &mut T, said: Said<R>) {
        let now = Instant::now();
        match said {
            Said::Joined(lane, outlet) => _ = self.lanes.insert(lane, outlet),
            Said::Asked(lane, request, _turn) if self.lanes.contains_key(&lane) => {
                if let Err(status) = talk.request(lane, request, now) {
                    self.end(talk, lane, status);
                }
            }
            Said::Withheld(lane, request) if self.lanes.contains_key(&lane) => {
                if let Err(status) = talk.withhold(lane, request) {
                    self.end(talk, lane, status);
                }
            }
            Said::Asked(..) | Said::Withheld(..) => {}
            Said::Left(lane) => {
                if self.lanes.remove(&lane).is_some() {
                    talk.left(lane, now);
                }
            }
        }
    }

    /// Speaks to a lane. One that does not read holds up the others of its node, and not for long.
    async fn say<T: Talk<Request = R>>(&mut self, talk: &mut T, lane: Lane, frame: Framed) {
        let Some(outlet) = self.lanes.get(&lane) else { return };
        // A lane that is gone says so in its turn.
        if timeout(UNREAD, outlet.frames.send(Ok(frame))).await.is_err() {
            self.end(talk, lane, Status::resource_exhausted("what was sent is not read"));
        }
    }

    fn end<T: Talk<Request = R>>(&mut self, talk: &mut T, lane: Lane, status: Status) {
        if let Some(outlet) = self.lanes.remove(&lane) {
            let _ = outlet.over.send(status);
            talk.left(lane, Instant::now());
        }
    }
}
