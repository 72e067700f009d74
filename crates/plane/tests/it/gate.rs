//! The gate: what Envoy refuses is never sent, whoever it is of; and nobody waits for an Envoy that
//! has nothing new to say, or says nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use model::{Plan, Spec};
use plane::{Convergence, EnvoyValidator, Validator, Word};
use render::Templates;

use crate::envoy::{Envoy, binary, upstream};
use crate::line::{Line, converged, id, live};
use crate::world::{PATIENCE, World, spec, until, with_template};

/// Says the same whatever it is asked, and counts how often.
#[derive(Debug)]
pub(crate) struct Says(Word, AtomicUsize);

impl Says {
    pub(crate) fn new(word: Word) -> Arc<Self> {
        Arc::new(Self(word, AtomicUsize::new(0)))
    }

    pub(crate) fn asked(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Validator for Says {
    fn version(&self) -> &'static str {
        "1.40.0"
    }

    async fn validate(&self, _: Vec<u8>) -> Word {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.clone()
    }
}

/// The real Envoy.
pub(crate) fn envoy(world: &World) -> Arc<dyn Validator> {
    Arc::new(EnvoyValidator::new(binary(), "1.40.0".to_owned(), world.folder()))
}

/// The release before: `MARGRAVE_ENVOY_PREVIOUS`, else the pinned one in the cache.
fn previous() -> PathBuf {
    let told = std::env::var_os("MARGRAVE_ENVOY_PREVIOUS").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cached = home.join(".cache/margrave/envoy-1.39/1.39.3/envoy-1.39");
    let program = told.unwrap_or(cached);
    assert!(
        program.exists(),
        "there is no Envoy at {}: `tools/fetch.py envoy-1.39` brings it",
        program.display()
    );
    program
}

/// The default templates with something more in the routes of whoever is public.
pub(crate) fn with_routes(place: &str, more: &str) -> Templates {
    let builtin = Templates::builtin_files().iter().find(|(name, _)| *name == "routes.json.j2");
    let (_, text) = builtin.unwrap();
    assert!(text.contains(place), "the template has changed; find another place");
    let more = format!("{place}{{%- if instance.plan == \"public\" %}}{more}{{%- endif %}}");
    with_template("routes.json.j2", &text.replacen(place, &more, 1))
}

/// In every route configuration.
const ALL: &str = "\"most_specific_header_mutations_wins\": true,";
/// Before the routes of the descriptor.
const ROUTES: &str = "\"routes\": [\n";

fn with_header(name: &str, value: &str) -> String {
    format!(
        r#""response_headers_to_add": [{{"header": {{"key": "{name}", "value": "{value}"}}}}],"#
    )
}

fn public(service: &str) -> Spec {
    Spec { plan: Plan::Public, ..spec(service, "10.0.0.1:80") }
}

#[tokio::test]
async fn a_shape_is_asked_about_once_and_not_again_after_a_restart() {
    let (world, says) = (World::new(), Says::new(Word::Good));
    let mut running = world.start_judged(Templates::builtin(), vec![says.clone()]);
    let first = world.publish("a", Some(&spec("a", "10.0.0.1:80"))).await;
    running.caught_up("a", first).await;
    until("opened", || running.plane.ready()).await;
    let asked = says.asked();
    assert!(asked > 0);
    for name in ["b", "c", "d"] {
        let revision = world.publish(name, Some(&spec(name, "10.0.0.2:8080"))).await;
        running.caught_up(name, revision).await;
        assert!(!running.held(name).is_empty());
    }
    assert_eq!(says.asked(), asked, "they have the shape of the first");
    running.end().await;

    let mut again = world.start_judged(Templates::builtin(), vec![says.clone()]);
    until("opened", || again.plane.ready()).await;
    assert!(!again.held("d").is_empty());
    assert_eq!(says.asked(), asked, "it is remembered");
    again.end().await;
}

#[tokio::test]
async fn without_an_answer_changes_go_on() {
    for word in [Word::Nothing("not there".to_owned()), Word::Died("of anything".to_owned())] {
        let (world, says) = (World::new(), Says::new(word));
        let mut running = world.start_judged(Templates::builtin(), vec![says.clone()]);
        let revision = world.publish("a", Some(&spec("a", "10.0.0.1:80"))).await;
        running.caught_up("a", revision).await;
        assert!(!running.held("a").is_empty(), "served all the same");
        assert!(says.asked() > 1, "it was asked more than once");
        running.end().await;
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_holds_nobody_up() {
    let world = World::new();
    let nobody = EnvoyValidator::new("/nowhere/envoy".into(), "1.40.0".into(), world.folder());
    let Word::Nothing(why) = nobody.validate(Vec::new()).await else { panic!("an answer") };
    assert!(
        why.starts_with("it ended with exit status") || why.contains("cannot be asked"),
        "{why}"
    );
    let is_envoy = EnvoyValidator::new(binary(), "1.40.0".into(), world.folder());
    assert_eq!(is_envoy.validate(Vec::new()).await, Word::Good, "an empty bootstrap is one");
}

/// Each way to fail that only Envoy itself finds: what is added to the templates, and what is told.
#[tokio::test]
async fn what_only_envoy_refuses_is_told_of_the_tenants_own_and_never_sent() {
    let bad_regex = r#"{"name": {{ (instance.id ~ "/odd") }}, "match": {"safe_regex": {"regex": "a("}}, "direct_response": {"status": 204}},"#;
    let host = r#"{"name": {{ (instance.id ~ "/odd") }}, "match": {"prefix": "/odd"}, "direct_response": {"status": 204}, "request_headers_to_add": [{"header": {"key": "host", "value": "x"}}]},"#;
    for (place, more, said) in [
        (ROUTES, bad_regex, "route `odd`: Envoy 1.40.0 refuses it: "),
        (
            ROUTES,
            host,
            "route `odd`: Envoy 1.40.0 refuses it: :-prefixed or host headers may not be modified",
        ),
        (
            ALL,
            &with_header("x-bad", "%NO_SUCH_COMMAND%"),
            "a fault of the platform, not of your descriptor: template routes.json.j2 (RouteConfiguration",
        ),
    ] {
        let world = World::new();
        let mut running = world.start_judged(with_routes(place, more), vec![envoy(&world)]);
        // On a machine that is busy there may be no answer in time, at first.
        let deadline = std::time::Instant::now() + PATIENCE;
        let told = loop {
            let told = running.plane.check(&id("bad"), &public("bad")).await;
            if told.is_err() || std::time::Instant::now() > deadline {
                break told;
            }
        };
        assert!(told.as_ref().is_err_and(|told| told.contains(said)), "beforehand: {told:?}");
        let mut revisions = Vec::new();
        for n in 0..10 {
            let name = format!("o{n}");
            revisions.push((world.publish(&name, Some(&spec(&name, "10.0.0.1:80"))).await, name));
        }
        let bad = world.publish("bad", Some(&public("bad"))).await;
        let told = converged(&running, "bad", bad).await;
        let Convergence::Rejected { reason } = told else { panic!("{told:?}") };
        assert!(reason.contains(said), "{reason}");
        assert_eq!(running.held("bad"), Vec::<String>::new(), "nothing of it is there");
        for (revision, name) in revisions {
            running.caught_up(&name, revision).await;
            assert!(!running.held(&name).is_empty(), "{name} is");
        }
        running.end().await;
    }
}

/// Of a template that renders something for one tenant which this refuses: the proxies' counters.
#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_ever_sees_what_is_refused() {
    let templates = with_routes(ALL, &with_header("x-bad", "%NO_SUCH_COMMAND%"));
    let line = Line::judged(templates, |world| vec![envoy(world)]).await;
    let good =
        line.world.publish("good", Some(&spec("good", &upstream("good").await.to_string()))).await;
    assert_eq!(converged(&line.running, "good", good).await, live(1));
    let bad = line.world.publish("bad", Some(&public("bad"))).await;
    let told = converged(&line.running, "bad", bad).await;
    assert!(matches!(told, Convergence::Rejected { .. }), "{told:?}");
    let later = line.publish("later", upstream("later").await).await;
    assert_eq!(later, live(1), "others go on");
    assert_eq!(line.get("later.example.com").await.1, "later");
    for counter in [
        "cluster_manager.cds.update_rejected",
        "listener_manager.lds.update_rejected",
        "http.internal.scoped_rds.internal.update_rejected",
        "http.internal.rds.*update_rejected",
    ] {
        assert_eq!(line.envoys[0].statistic(counter).await, 0, "{counter}");
    }
    line.down().await;
}

/// A route with a field that is new in 1.40.
pub(crate) const NEW_IN_THIS_RELEASE: &str = r#"{"name": {{ (instance.id ~ "/odd") }}, "match": {"prefix": "/odd"}, "direct_response": {"status": 204}, "typed_per_filter_config": {"envoy.filters.http.fault": {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault", "abort": {"http_status": 503, "percentage": {"numerator": 1}, "response_body": "x"}}}},"#;

/// A fleet on its way from one release to the next.
#[tokio::test(flavor = "multi_thread")]
async fn two_releases_of_envoy_in_one_group() {
    let old = previous();
    let both = |world: &World, old: &Path| -> Vec<Arc<dyn Validator>> {
        let old = EnvoyValidator::new(old.to_owned(), "1.39.3".to_owned(), world.folder());
        vec![envoy(world), Arc::new(old)]
    };
    let mut line =
        Line::judged(with_routes(ROUTES, NEW_IN_THIS_RELEASE), |world| both(world, &old)).await;
    let new_only = line.world.publish("new-only", Some(&public("new-only"))).await;
    assert_eq!(converged(&line.running, "new-only", new_only).await, live(1), "1.40 is alone");

    line.envoys.push(Envoy::start_of(&old, "", "p2", line.xds.address));
    let plane = line.running.plane.clone();
    let is_old = |proxy: &plane::Proxy| proxy.envoy_version.starts_with("1.39.");
    until("the older one is live", || {
        let proxies = plane.fleet().proxies;
        proxies.iter().any(|it| is_old(it) && it.state == plane::ProxyState::Live)
    })
    .await;
    assert_eq!(line.publish("plain", upstream("plain").await).await, live(2), "on both");
    for _ in 0..6 {
        assert_eq!(line.get("plain.example.com").await, (200, "plain".to_owned()), "from either");
    }
    let another = line.world.publish("another", Some(&public("another"))).await;
    let told = converged(&line.running, "another", another).await;
    let Convergence::Rejected { reason } = told else { panic!("{told:?}") };
    assert!(reason.contains("route `odd`: Envoy 1.39 does not know"), "{reason}");
    assert!(reason.contains("FaultAbort.response_body"), "{reason}");
    assert!(!line.running.held("new-only").is_empty(), "what was live stays");
    assert_eq!(line.publish("later", upstream("later").await).await, live(2), "others go on");
    for envoy in &line.envoys {
        assert_eq!(envoy.statistic("cluster_manager.cds.update_rejected").await, 0);
        assert_eq!(envoy.statistic("http.internal.rds.*update_rejected").await, 0);
    }
    line.down().await;
}

/// What is older would ignore who may call.
#[tokio::test]
async fn a_release_that_is_too_old_is_turned_away() {
    use xds::Directory as _;
    let world = World::new();
    let mut running = world.start();
    let node = model::Node { envoy_version: "1.38.2".to_owned(), ..model::Node::default() };
    let told = running.plane.assign(&node).err().unwrap();
    assert!(told.contains("Envoy 1.38.2 is not supported"), "{told}");
    running.end().await;
}
