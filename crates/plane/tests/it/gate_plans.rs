//! What is only planned is judged like what is done, and leaves nothing behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use model::RolloutState;
use plane::{Limits, Planned, Policy, RolloutError, Rollouts, Validator, Wish, Word};
use render::Templates;
use store::Blobs;

use crate::gate::{Says, envoy};
use crate::line::id;
use crate::rollouts::{HARMLESS, REFUSED_BY_ENVOY, Rolling, content, hashes};
use crate::world::{PATIENCE, Running, World, spec, until};

/// What is kept of verdicts.
async fn kept(world: &World) -> Vec<u8> {
    world.store.get("gate/1.40.0").await.unwrap().unwrap_or_default()
}

#[tokio::test]
async fn verdicts_are_kept_of_what_is_published_and_not_of_what_is_planned() {
    let (world, says) = (World::new(), Says::new(Word::Good));
    let mut running = world.start_judged(Templates::builtin(), vec![says.clone()]);
    let first = world.publish("a", Some(&spec("a", "10.0.0.1:80"))).await;
    running.caught_up("a", first).await;
    until("opened", || running.plane.ready()).await;
    let (before, asked) = (kept(&world).await, says.asked());
    assert!(!before.is_empty());

    let mut other = spec("b", "10.0.0.1:80");
    other.parameters.upstream.iter_mut().for_each(|upstream| upstream.tls = true);
    running.plane.check(&id("b"), &other).await.unwrap();
    assert_eq!(says.asked(), asked + 1, "it has another shape");
    assert_eq!(kept(&world).await, before, "it is known, and not kept");

    let published = world.publish("b", Some(&other)).await;
    running.caught_up("b", published).await;
    assert_eq!(says.asked(), asked + 1, "what was planned is known");
    let deadline = Instant::now() + PATIENCE;
    while kept(&world).await.len() <= before.len() {
        assert!(Instant::now() < deadline, "it is not kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.end().await;
}

/// A plane with that many services, judged, and its roll-outs.
async fn with_services(
    world: &World,
    services: usize,
    judge: Arc<dyn Validator>,
) -> (Running, Arc<Rollouts>) {
    let running = world.start_judged(Templates::builtin(), vec![judge]);
    let specs = (0..services).map(|n| {
        let name = format!("s{n}");
        let spec = spec(&name, "10.0.0.1:80");
        (name, spec)
    });
    world.publish_all(&specs.collect::<Vec<_>>()).await;
    until("rendered", || (0..services).all(|n| !running.held(&format!("s{n}")).is_empty())).await;
    until("opened", || running.plane.ready()).await;
    let policy = Policy::new("", false, Limits::default()).unwrap();
    let rollouts =
        Rollouts::new(running.plane.clone(), world.editions(), policy, Arc::new(|| 1_000_000));
    rollouts.offer(Ok(&content(&world.platform, ""))).await.unwrap();
    (running, rollouts)
}

async fn planned(world: &World, rollouts: &Rollouts, insertion: &str) -> Planned {
    rollouts.plan(wish(world, insertion)).await.unwrap()
}

fn wish(world: &World, insertion: &str) -> Wish {
    let templates = content(&world.platform, insertion).templates;
    Wish { templates: Some(templates), ..Wish::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edition_is_judged_by_envoy_for_every_service_before_anybody_is_given_it() {
    let world = World::new();
    let (mut running, rollouts) = with_services(&world, 6, envoy(&world)).await;
    let (held, before) = (running.held("s3"), kept(&world).await);
    let harmless = planned(&world, &rollouts, HARMLESS).await;
    assert!(harmless.is_good(), "{harmless:?}");
    assert_eq!((harmless.instances, harmless.changed_count, harmless.unjudged), (6, 6, 0));

    let of_one = format!(r#"{{% if instance.id == "s3" %}}{REFUSED_BY_ENVOY}{{% endif %}}"#);
    let refused = planned(&world, &rollouts, &of_one).await;
    let [(owner, why)] = &refused.refused[..] else { panic!("{refused:?}") };
    assert_eq!(owner, "s3");
    for said in ["routes.json.j2", "Envoy 1.40.0 refuses it: ", "NO_SUCH_COMMAND"] {
        assert!(why.contains(said), "{said}: {why}");
    }
    assert_eq!((refused.refused_count, refused.unjudged), (1, 0));
    assert_eq!(kept(&world).await, before, "nothing is left of plans");

    let told = rollouts.start(wish(&world, &of_one), "ann", None).await.unwrap_err();
    let RolloutError::Refused(why) = told else { panic!("{told:?}") };
    assert!(why.contains("s3: ") && why.contains("Envoy 1.40.0 refuses it"), "{why}");
    assert_eq!(rollouts.list(1).await.unwrap()[0].state, RolloutState::Refused);
    assert_eq!(running.held("s3"), held, "nobody was given it");
    running.end().await;
}

/// Takes everything, but says nothing of what has this in it.
#[derive(Debug)]
struct Hangs(&'static str);

#[async_trait]
impl Validator for Hangs {
    fn version(&self) -> &'static str {
        "1.40.0"
    }

    async fn validate(&self, bootstrap: Vec<u8>) -> Word {
        if bootstrap.windows(self.0.len()).any(|it| it == self.0.as_bytes()) {
            std::future::pending::<()>().await;
        }
        Word::Good
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_waits_for_no_plan() {
    const HANGING: &str =
        r#""response_headers_to_add": [{"header": {"key": "x-hang", "value": "a"}}],"#;
    let world = World::new();
    let mut running = world.start_judged(Templates::builtin(), vec![Arc::new(Hangs("x-hang"))]);
    let rolling = Rolling::start(&world, &running.plane, "", Limits::default());
    rolling.offer(&world, "").await;
    let published = world.publish("a", Some(&spec("a", "10.0.0.1:80"))).await;
    running.caught_up("a", published).await;
    until("opened", || running.plane.ready()).await;
    let before = running.held("a");
    rolling.offer(&world, HARMLESS).await;
    assert_eq!(rolling.ended(1).await.0, RolloutState::Done);

    let (rollouts, asked) = (rolling.rollouts.clone(), wish(&world, HANGING));
    let plan = tokio::spawn(async move { rollouts.plan(asked).await });
    rolling.offer(&world, HANGING).await;
    // What is offered is looked at now, and waits for the plan before it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    rolling.rollouts.revert(None, "ann", None).await.unwrap();
    assert_eq!(rolling.ended(2).await.0, RolloutState::Done);
    assert_eq!(hashes(&running.held("a")), hashes(&before));
    assert!(!plan.is_finished(), "it was waited for");
    plan.abort();
    rolling.stop().await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_enough_is_refused_envoy_is_asked_no_more() {
    let world = World::new();
    let (mut running, rollouts) = with_services(&world, 80, envoy(&world)).await;
    let refused = planned(&world, &rollouts, REFUSED_BY_ENVOY).await;
    assert_eq!((refused.refused.len(), refused.unjudged), (20, 80 - refused.refused_count));
    assert!(refused.unjudged > 0, "{refused:?}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_says_nothing_holds_no_plan_up() {
    let world = World::new();
    let says = Says::new(Word::Nothing("not there".to_owned()));
    let (mut running, rollouts) = with_services(&world, 1, says).await;
    let unknown = planned(&world, &rollouts, HARMLESS).await;
    assert!(unknown.is_good(), "{unknown:?}");
    let error = rollouts.plan(Wish { edition: Some(99), ..Wish::default() }).await.unwrap_err();
    assert!(matches!(error, RolloutError::Unknown(99)));
    running.end().await;
}
