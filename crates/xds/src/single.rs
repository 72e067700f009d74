//! One stream of a service of a single type: hands what its client says to the session of the
//! client's node, where all its streams come together.

use std::sync::Arc;

use model::Node;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::Status;

use crate::cache::Cache;
use crate::event::StreamId;
use crate::lane::Lane;
use crate::limits::Limits;
use crate::rate::Meter;
use crate::service::Open;
use crate::session::{Outlet, Said, Sessions};
use crate::speaking::Speaker;
use crate::stream::{First, Talk, Wires, decode, draining, too_many_requests};
use crate::wire::Request;

/// Speaks on a stream until either side ends it.
pub(crate) async fn serve<T: Talk>(
    open: Open,
    mut wires: Wires,
    type_url: &'static str,
    sessions: &Sessions<T::Request>,
    make: fn(StreamId, Arc<Cache>, Limits, Instant) -> T,
) {
    if let Err(status) = speak(&open, &mut wires, type_url, sessions, make).await {
        tracing::info!(stream = open.stream.0, %status, "discovery stream ended");
        // When the client is gone already there is nobody to tell.
        let _ = wires.outbound.send(Err(status)).await;
    }
}

async fn speak<T: Talk>(
    open: &Open,
    wires: &mut Wires,
    type_url: &'static str,
    sessions: &Sessions<T::Request>,
    make: fn(StreamId, Arc<Cache>, Limits, Instant) -> T,
) -> Result<(), Status> {
    let has_identity = open.identity.is_some();
    let (speakers, node) = (sessions.speakers.clone(), T::Request::NODE);
    wires.inbound.tell(Speaker::Stranger { speakers, node, has_identity });
    let Some(First { request: mut first, turn }) = wires.first::<T::Request>().await? else {
        return Ok(());
    };
    claim_type::<T>(&mut first, type_url)?;
    let node = Arc::new(T::node(&mut first).map(Node::from).unwrap_or_default());
    if node.id.is_empty() {
        let why =
            "the first request needs a node with an id: the streams of a proxy are told by it";
        return Err(Status::invalid_argument(why));
    }
    let cache = open.admit(&node)?;
    let key = (node.cluster.clone(), node.id.clone(), has_identity);
    wires.inbound.tell(Speaker::Known(sessions.speakers.of(&key)));
    let inbox = sessions.join::<T>(open, key, node, cache, wires, make);
    let withheld = wires.secrets.withholds(type_url);
    // Streams of one process are fewer than there are numbers: it is unique among those that live.
    let lane = Lane(open.stream.0 as u32);
    let (over, mut ended) = oneshot::channel();
    let outlet = Outlet { frames: wires.outbound.clone(), over };
    let lost = |_| draining();
    inbox.send(Said::Joined(lane, outlet)).await.map_err(lost)?;
    let asked = |request, turn| match withheld {
        true => Said::Withheld(lane, request),
        false => Said::Asked(lane, request, turn),
    };
    inbox.send(asked(first, turn)).await.map_err(lost)?;
    let mut requests = Meter::new(wires.limits.requests, Instant::now());
    let outcome = loop {
        let message = tokio::select! {
            status = &mut ended => break Err(status.unwrap_or_else(|_| draining())),
            message = wires.inbound.next() => message,
            () = wires.outbound.closed() => break Ok(()),
            status = open.identity_ends() => break Err(status),
            () = wires.age.comes() => break Ok(()),
        };
        if !requests.take(Instant::now()) {
            break Err(too_many_requests(&wires.limits));
        }
        let word = match message {
            Ok(Some(word)) => word,
            Ok(None) => break Ok(()),
            Err(status) => break Err(status),
        };
        match understand::<T>(word.bytes, type_url) {
            Ok(request) => inbox.send(asked(request, word.turn)).await.map_err(lost)?,
            Err(status) => break Err(status),
        }
    };
    // A session that is over has forgotten the lane already.
    let _ = inbox.send(Said::Left(lane)).await;
    outcome
}

fn understand<T: Talk>(bytes: bytes::Bytes, type_url: &str) -> Result<T::Request, Status> {
    let mut request = decode(bytes, |_| None)?;
    claim_type::<T>(&mut request, type_url)?;
    Ok(request)
}

/// A request may leave out the type that its method is about, and name no other.
fn claim_type<T: Talk>(request: &mut T::Request, type_url: &str) -> Result<(), Status> {
    let said = T::type_url(request);
    if said.is_empty() {
        type_url.clone_into(said);
    }
    match said == type_url {
        true => Ok(()),
        false => Err(Status::invalid_argument(format!("this method is about {type_url} only"))),
    }
}
