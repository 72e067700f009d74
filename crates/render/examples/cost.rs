//! What rendering costs: `cargo run --release --package render --example cost`.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program for people")]

use std::hint::black_box;
use std::time::Instant;

use model::descriptor::Descriptor;
use model::{InstanceId, Node, Plan, Spec};
use render::{Endpoints, Input, Platform, Sources, Templates};

const ROUNDS: u32 = 2_000;

const SMALL: &str = "{service: shop, upstream: http://localhost:3000}";
const SHOP: &str = include_str!("../../../examples/shop.yaml");

fn main() {
    let templates = Templates::builtin();
    let platform = platform();
    println!("{:<28} {:>10} {:>10} {:>8}", "", "us each", "resources", "bytes");
    for (name, text, plan) in [
        ("small, internal", SMALL, Plan::Internal),
        ("small, public", SMALL, Plan::Public),
        ("shop, public", SHOP, Plan::Public),
    ] {
        let spec = spec(text, plan);
        measure(name, &templates, &platform, &spec);
    }
    let mut long = spec(SHOP, Plan::Public);
    let route = long.parameters.routes[0].clone();
    long.parameters.routes = vec![route; 64];
    measure("64 routes, public", &templates, &platform, &long);
}

fn measure(name: &str, templates: &Templates, platform: &Platform, spec: &Spec) {
    let id: InstanceId = "0198c5a1-7d1c-7000-8000-000000000001".parse().expect("an id");
    let endpoints = Endpoints::from([("default".into(), vec![([10, 0, 0, 1], 80).into()])]);
    let node = Node::default();
    let input = Input { id: &id, spec, endpoints: &endpoints, callers: &[], withheld: &[] };
    let once = || templates.instance(platform, &node, input).expect("it renders");
    let drafts = once();
    let bytes: usize = drafts.iter().map(|draft| draft.body.len()).sum();
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| drop(black_box(once())));
    let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
    println!("{name:<28} {each:>10.1} {:>10} {bytes:>8}", drafts.len());
}

fn spec(text: &str, plan: Plan) -> Spec {
    let parameters = Descriptor::from_yaml(text).expect("a descriptor").parameters;
    Spec { plan, parameters, hostnames: vec!["shop.localhost".parse().expect("a hostname")] }
}

fn platform() -> Platform {
    Platform {
        zone: "localhost".into(),
        internal: ([127, 0, 0, 1], 11080).into(),
        public: ([127, 0, 0, 1], 10080).into(),
        trusted_hops: 0,
        on_demand: false,
        shared_clusters: Vec::new(),
        shared_extensions: Vec::new(),
        sources: Sources::default(),
        direct: false,
        trusted_ca: render::TRUSTED_CA.into(),
        access_log: None,
    }
}
