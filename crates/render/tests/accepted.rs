//! What the default templates render is what a real Envoy accepts.

mod common;

use render::{Endpoints, Templates};

#[test]
fn the_smallest_service_is_accepted_by_envoy() {
    let (templates, platform) = (Templates::builtin(), common::platform());
    let endpoints = Endpoints::from([("default".into(), vec![([127, 0, 0, 1], 3000).into()])]);
    let spec = common::spec("{service: shop, upstream: http://localhost:3000, visibility: public}");
    let drafts = common::render(&templates, &platform, "i-1", &spec, &endpoints);
    let drafts = drafts.expect("it renders");
    let names: Vec<_> = drafts.iter().map(|draft| draft.name.to_string()).collect();
    assert_eq!(
        names,
        [
            "i-1/default",
            "i-1/default",
            "internal/i-1",
            "public/i-1",
            "internal/shop.localhost",
            "public/shop.localhost"
        ]
    );
    let listeners = templates.group(&platform, &model::Node::default()).expect("they render");
    let verdict = common::envoy::validate(&common::envoy::bootstrap(&listeners, &drafts));
    assert_eq!(verdict, Ok(()));
}
