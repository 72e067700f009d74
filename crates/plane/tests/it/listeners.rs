//! A group is not opened without its listeners: proxies that came to it would take theirs away.

use std::sync::Arc;

use async_trait::async_trait;
use model::Node;
use plane::{Limits, Validator, Word};
use render::Templates;
use xds::Directory as _;

use crate::rollouts::Rolling;
use crate::world::{World, spec, until};

/// Refuses whatever has this in it.
#[derive(Debug)]
struct Refuses(&'static [u8]);

#[async_trait]
impl Validator for Refuses {
    fn version(&self) -> &'static str {
        "1.40.0"
    }

    async fn validate(&self, bootstrap: Vec<u8>) -> Word {
        match bootstrap.windows(self.0.len()).any(|it| it == self.0) {
            true => Word::Bad("odd".to_owned()),
            false => Word::Good,
        }
    }
}

/// The default templates, with listeners of which those of one region are odd.
fn odd_in_asia() -> Templates {
    let place = "\"stat_prefix\": {{ listener.name }}";
    let odd = r#""stat_prefix": {{ (listener.name ~ ("-odd" if node.region == "ap" else "")) }}"#;
    let file = |(name, text): &(&str, &str)| {
        assert!(*name != "listeners.json.j2" || text.contains(place), "the template has changed");
        let text = text.replace(place, odd);
        let varied = text.replace("varies_by: []", "varies_by: [region]");
        ((*name).to_owned(), if *name == "listeners.json.j2" { varied } else { text })
    };
    let files: Vec<_> = Templates::builtin_files().iter().map(file).collect();
    Templates::compile(&files).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_listeners_are_refused_is_not_opened_until_it_has_others() {
    let world = World::new();
    let mut running = world.start_judged(odd_in_asia(), vec![Arc::new(Refuses(b"-odd"))]);
    let of = |region: &str| {
        let node = Node { region: region.to_owned(), ..Node::default() };
        running.plane.assign(&node).unwrap()
    };
    let (asia, europe) = (of("ap"), of("eu"));
    let revision = world.publish("shop", Some(&spec("shop", "10.0.0.1:80"))).await;
    running.caught_up("shop", revision).await;
    until("the others are opened", || europe.is_open() && running.plane.ready()).await;
    assert!(!asia.dump(Some("shop")).is_empty());
    assert!(!asia.is_open(), "it has no listeners");

    let rolling = Rolling::start(&world, &running.plane, "", Limits::default());
    rolling.offer(&world, "").await;
    until("it has others", || asia.is_open()).await;
    rolling.stop().await;
    running.end().await;
}
