//! Documents of sources are rolled out like templates: by stages, watched, and back when a gate says so.

use model::{Node, RolloutState};
use plane::Limits;
use serde_json::json;
use store::Blobs;
use xds::{Answers, Directory};

use crate::rollouts::{HARMLESS, Rolling, hashes, of, rises, two_groups};
use crate::world::{Running, World, until};

/// In the routes of every service, where the document is.
const TELLS: &str = r#"{%- if platform.sources.banner is defined %}
"response_headers_to_add": [{"header": {"key": "x-b", "value": {{ platform.sources.banner }} }}],
{%- endif %}"#;

/// What whoever polls writes of a source that is staged.
async fn document(world: &World, revision: u64, value: &str) {
    let document = json!({"revision": revision, "value": value, "reach": "staged"}).to_string();
    for key in [format!("source-versions/banner/{revision:020}"), "sources/banner".to_owned()] {
        world.store.put(&key, document.as_bytes()).await.unwrap();
    }
}

async fn versions(world: &World) -> usize {
    world.store.list("source-versions/").await.unwrap().len()
}

/// Two groups have the first document.
async fn with_document(stages: &str) -> (World, Running, Rolling) {
    let (world, running, rolling) = two_groups("").await;
    let before = of(&running, "us");
    rolling.offer(&world, TELLS).await;
    assert_eq!(rolling.ended(1).await, (RolloutState::Done, String::new()));
    document(&world, 1, "one").await;
    assert_eq!(rolling.ended(2).await, (RolloutState::Done, String::new()));
    until("it is told", || hashes(&of(&running, "us")) != hashes(&before)).await;
    rolling.stop().await;
    let rolling = Rolling::start(&world, &running.plane, stages, Limits::default());
    (world, running, rolling)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_goes_by_stages_and_errors_take_it_back() {
    let (world, running, rolling) = with_document("canary=eu@1h; rest=*").await;
    let (eu, us) = (of(&running, "eu"), of(&running, "us"));

    document(&world, 2, "two").await;
    until("the canary has it", || hashes(&of(&running, "eu")) != hashes(&eu)).await;
    assert_eq!(hashes(&of(&running, "us")), hashes(&us), "the rest waits");
    let status = rolling.rollouts.status().await.unwrap();
    assert_eq!(status.sources, ["banner"]);
    let node = Node { id: "p1".to_owned(), cluster: "eu".to_owned(), ..Node::default() };
    running.plane.answered(&node, Answers { requests: 100, failed: 100, ..Answers::default() });
    let (state, why) = rolling.ended(3).await;
    assert_eq!(state, RolloutState::Reverted);
    assert!(why.contains("answered with 500 or above"), "{why}");
    until("it goes back", || hashes(&of(&running, "eu")) == hashes(&eu)).await;
    rises(&eu, &of(&running, "eu"));
    assert_eq!(hashes(&of(&running, "us")), hashes(&us));

    // Another process does not begin it again either; other templates come without it.
    rolling.stop().await;
    let rolling = Rolling::start(&world, &running.plane, "", Limits::default());
    rolling.offer(&world, &format!("{TELLS}{{#- another -#}}")).await;
    assert_eq!(rolling.ended(4).await, (RolloutState::Done, String::new()));
    assert_eq!(hashes(&of(&running, "eu")), hashes(&eu), "the good document remains");
    assert_eq!(rolling.rollouts.status().await.unwrap().sources, ["banner"]);

    // With other templates it is tried once more; then the next comes.
    let (state, _) = rolling.ended(5).await;
    assert_eq!(state, RolloutState::Done);
    document(&world, 3, "three").await;
    rolling.ended(6).await;
    assert!(rolling.rollouts.status().await.unwrap().sources.is_empty());
    assert_eq!(versions(&world).await, 3, "editions may go back to all of them");
    rolling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_services_would_be_refused_with_is_not_given() {
    let (world, running, rolling) = with_document("").await;
    let before = of(&running, "us");
    assert!(!hashes(&before).is_empty());
    document(&world, 2, "line\nbreak").await;
    let (state, why) = rolling.ended(3).await;
    assert_eq!(state, RolloutState::Refused, "{why}");
    assert_eq!(of(&running, "us"), before);
    assert_eq!(running.plane.fleet().quarantined, 0);
    rolling.offer(&world, HARMLESS).await;
    assert_eq!(rolling.ended(4).await.0, RolloutState::Done, "templates do not wait for it");
    rolling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_goes_back_and_forth_is_followed_no_more_until_it_says_something_else() {
    let (world, running, rolling) = with_document("").await;
    let one = of(&running, "us");
    document(&world, 2, "two").await;
    assert_eq!(rolling.ended(3).await.0, RolloutState::Done);
    document(&world, 3, "one").await;
    assert_eq!(rolling.ended(4).await.0, RolloutState::Done, "a mistake is taken back");
    until("it is back", || hashes(&of(&running, "us")) == hashes(&one)).await;
    let before = of(&running, "us");
    document(&world, 4, "two").await;
    let (state, why) = rolling.ended(5).await;
    assert_eq!(state, RolloutState::Refused);
    let expected = "what sources have goes back and forth (banner): roll-out 4 took back what \
                    roll-out 3 had brought, and this would bring it again";
    assert!(why.starts_with(expected), "{why}");
    // And so on: nothing more is written down or sent.
    for (revision, value) in [(5, "one"), (6, "two"), (7, "one")] {
        let latest = rolling.latest_edition().await;
        document(&world, revision, value).await;
        while rolling.latest_edition().await == latest {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    assert_eq!(of(&running, "us"), before, "not a version has changed");
    assert_eq!(rolling.rollouts.list(1).await.unwrap()[0].id, 5);
    let told = rolling.rollouts.status().await.unwrap().trouble;
    assert!(told.is_some_and(|why| why.contains("back and forth (banner)")));
    document(&world, 8, "three").await;
    assert_eq!(rolling.ended(6).await.0, RolloutState::Done);
    assert_eq!(rolling.rollouts.status().await.unwrap().trouble, None);
    rolling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_back_each_time_before_it_is_rolled_out_is_followed_no_more_either() {
    let (world, running, rolling) = with_document("").await;
    let before = hashes(&of(&running, "us")).join(" ");
    // It is what it was, at a later revision: what was between was never seen.
    document(&world, 3, "one").await;
    assert_eq!(rolling.ended(3).await.0, RolloutState::Done, "once may be chance");
    document(&world, 5, "one").await;
    let (state, why) = rolling.ended(4).await;
    assert_eq!(state, RolloutState::Refused, "{why}");
    assert!(why.starts_with("what sources have goes back and forth (banner): "), "{why}");
    assert!(why.contains("before roll-out 3 already"), "{why}");
    assert_eq!(hashes(&of(&running, "us")).join(" "), before);
    document(&world, 6, "two").await;
    assert_eq!(rolling.ended(5).await.0, RolloutState::Done, "something else is followed");
    rolling.stop().await;
}
