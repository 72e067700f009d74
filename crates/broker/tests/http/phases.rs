//! Every request at every moment of an instance's life, as one table.

use broker::{PLAN_PUBLIC_ID, SERVICE_ID};
use model::InstanceState;
use serde_json::json;
use store::Write;

use crate::harness::{Answer, Harness, delete_path, envelope, path};

/// A moment of the life of instance `a`.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Never,
    Provisioning,
    /// Published, and not yet live.
    Converging,
    Live,
    /// Published, and then it failed to become live.
    Unconverged,
    Updating,
    /// Its update is published, and not yet live.
    UpdateConverging,
    /// Its update failed and was undone.
    UpdateUndone,
    /// Its provision failed and was undone.
    Failed,
    Deprovisioning,
    /// Its deprovision failed half way.
    HalfGone,
    Deleted,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
enum Ask {
    /// The provision again.
    Put,
    /// With another hostname.
    PutOther,
    /// What the provision asked for.
    Patch,
    /// The plan `public`: what the update of `Updating` asks for.
    PatchPublic,
    Delete,
    Fetch,
    Poll,
}

const ASKS: [Ask; 7] =
    [Ask::Put, Ask::PutOther, Ask::Patch, Ask::PatchPublic, Ask::Delete, Ask::Fetch, Ask::Poll];

/// `new` and `same` are 202 with another operation than the one before and with the same; `busy` is
/// 422 with `ConcurrencyError`; of a poll the state is told.
const LIFE: [(Moment, [&str; 7]); 12] = [
    //                          PUT     other  PATCH  public  DELETE  GET    last_operation
    (Moment::Never, ["new", "new", "404", "404", "410", "404", "404"]),
    (Moment::Provisioning, ["same", "409", "busy", "busy", "new", "404", "in progress"]),
    (Moment::Converging, ["same", "409", "same", "new", "new", "404", "in progress"]),
    (Moment::Live, ["200", "409", "200", "new", "new", "200", "succeeded"]),
    (Moment::Unconverged, ["new", "409", "new", "new", "new", "200", "failed"]),
    (Moment::Updating, ["busy", "busy", "busy", "same", "new", "busy", "in progress"]),
    (Moment::UpdateConverging, ["busy", "busy", "new", "same", "new", "busy", "in progress"]),
    (Moment::UpdateUndone, ["200", "409", "new", "new", "new", "200", "failed"]),
    (Moment::Failed, ["new", "new", "404", "404", "new", "404", "failed"]),
    (Moment::Deprovisioning, ["busy", "busy", "busy", "busy", "same", "busy", "in progress"]),
    (Moment::HalfGone, ["409", "409", "422", "422", "new", "200", "failed"]),
    (Moment::Deleted, ["new", "new", "404", "404", "410", "404", "succeeded"]),
];

#[tokio::test]
async fn every_request_at_every_moment() {
    let mut wrong = Vec::new();
    for (moment, expected) in LIFE {
        for (ask, expected) in ASKS.into_iter().zip(expected) {
            let (harness, before) = reach(moment).await;
            let answer = send(&harness, ask).await;
            let told = tell(ask, &answer, before.as_deref());
            if told != expected {
                wrong.push(format!("{moment:?} {ask:?}: {told}, not {expected}: {answer:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn send(harness: &Harness, ask: Ask) -> Answer {
    let wish = envelope("internal", "a", "a.example.com");
    let public = json!({"service_id": SERVICE_ID, "plan_id": PLAN_PUBLIC_ID});
    let instance = "/v2/service_instances/a";
    match ask {
        Ask::Put => harness.call("PUT", &path("a"), Some(wish)).await,
        Ask::PutOther => {
            let other = envelope("internal", "a", "other.example.com");
            harness.call("PUT", &path("a"), Some(other)).await
        }
        Ask::Patch => harness.call("PATCH", &path("a"), Some(wish)).await,
        Ask::PatchPublic => harness.call("PATCH", &path("a"), Some(public)).await,
        Ask::Delete => harness.call("DELETE", &delete_path("a"), None).await,
        Ask::Fetch => harness.call("GET", instance, None).await,
        Ask::Poll => harness.call("GET", &format!("{instance}/last_operation"), None).await,
    }
}

fn tell(ask: Ask, answer: &Answer, before: Option<&str>) -> String {
    let word = |key: &str| answer.body[key].as_str();
    match (ask, answer.status) {
        (Ask::Poll, 200) => word("state").unwrap_or_default().to_owned(),
        (_, 202) if word("operation").is_some() && word("operation") == before => "same".to_owned(),
        (_, 202) if word("operation").is_some() => "new".to_owned(),
        (_, 422) if word("error") == Some("ConcurrencyError") => "busy".to_owned(),
        (_, status) => status.to_string(),
    }
}

/// A broker at that moment, and the operation that led there.
async fn reach(moment: Moment) -> (Harness, Option<String>) {
    use Moment::{
        Converging, Deleted, Deprovisioning, Failed, HalfGone, Live, Never, Provisioning,
        Unconverged, UpdateConverging, UpdateUndone, Updating,
    };
    let harness = Harness::new();
    if matches!(moment, Never) {
        return (harness, None);
    }
    let mut last = send(&harness, Ask::Put).await;
    match moment {
        Never | Provisioning => {}
        Converging | Unconverged => {
            let mut held = harness.begin().await;
            let publish = held.publish();
            harness.step(&mut held, vec![publish]).await;
            if matches!(moment, Unconverged) {
                harness.end(held, false, vec![]).await;
            }
        }
        Failed => harness.work(false).await,
        Live => harness.work(true).await,
        Updating | UpdateConverging | UpdateUndone => {
            harness.work(true).await;
            last = send(&harness, Ask::PatchPublic).await;
            match moment {
                UpdateUndone => harness.work(false).await,
                UpdateConverging => {
                    let mut held = harness.begin().await;
                    let publish = held.publish();
                    harness.step(&mut held, vec![publish]).await;
                }
                _ => {}
            }
        }
        Deprovisioning | HalfGone | Deleted => {
            harness.work(true).await;
            last = send(&harness, Ask::Delete).await;
            match moment {
                HalfGone => {
                    let held = harness.begin().await;
                    let writes =
                        vec![Write::Unpublish, Write::State(InstanceState::Deprovisioning)];
                    harness.end(held, false, writes).await;
                }
                Deleted => harness.work(true).await,
                _ => {}
            }
        }
    }
    assert_eq!(last.status, 202, "{moment:?}: {last:?}");
    let operation = last.body["operation"].as_str().map(str::to_owned);
    (harness, operation)
}
