//! What the descriptor's rules accept, the renderer renders, and a real Envoy accepts: over
//! thousands of generated descriptors, whose coverage is counted.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use model::Node;
use model::descriptor::Descriptor;
use model::descriptor::generate;
use render::{Draft, Templates};

/// In one bootstrap; Envoy takes about a second for it.
const BATCH: u64 = 200;

#[test]
fn two_thousand_generated_descriptors_are_accepted_by_envoy() {
    accepted(0..2_000);
    covered(0..2_000);
}

#[test]
#[ignore = "soak"]
fn soak_generated_descriptors_are_accepted_by_envoy() {
    accepted(2_000..30_000);
}

/// As many of everything as a descriptor may hold at once.
#[test]
fn the_largest_descriptor_is_accepted_by_envoy() {
    let rules = |kind: &str| {
        let set: Vec<_> = (0..60).map(|n| format!("x-{kind}-{n}: v")).collect();
        format!("{{set: {{{}}}}}", set.join(", "))
    };
    let (request, response) = (rules("q"), rules("s"));
    let routes = (0..64).map(|n| {
        format!(
            "- {{name: r{n}, match: {{prefix: /r{n}}}, to: u{}, requestHeaders: {request}, responseHeaders: {response}}}\n",
            n % 32
        )
    });
    let upstreams = (0..32).map(|n| {
        let addresses: Vec<_> = (0..16).map(|m| format!("\"10.0.{n}.{m}:80\"")).collect();
        format!("  u{n}: {{addresses: [{}]}}\n", addresses.join(", "))
    });
    let text = format!(
        "service: large\nvisibility: public\nroutes:\n{}upstreams:\n{}",
        routes.collect::<String>(),
        upstreams.collect::<String>()
    );
    let descriptor = Descriptor::from_yaml(&text).unwrap_or_else(|told| panic!("{told:?}"));
    let endpoints = common::generated::endpoints(&descriptor, 1);
    let mut spec = common::spec_of(descriptor);
    spec.hostnames = (0..20).map(|n| common::hostname(&format!("h{n}.localhost"))).collect();
    let templates = Templates::builtin();
    let drafts = common::render(&templates, &common::platform(), "i-1", &spec, &endpoints);
    let drafts = drafts.unwrap_or_else(|told| panic!("{told:?}"));
    let listeners = templates.group(&common::platform(), &Node::default()).expect("they render");
    let bootstrap = common::envoy::terse_bootstrap(&listeners, &drafts);
    assert_eq!(common::envoy::validate(&bootstrap), Ok(()));
}

fn accepted(seeds: std::ops::Range<u64>) {
    let batches: Vec<u64> = seeds.step_by(BATCH as usize).collect();
    let half = batches.len().div_ceil(2);
    std::thread::scope(|scope| {
        for some in batches.chunks(half) {
            scope.spawn(move || some.iter().for_each(|&from| batch(from..from + BATCH)));
        }
    });
}

/// Renders a batch and has Envoy judge it; if it is refused, each by itself, to name the culprit.
fn batch(seeds: std::ops::Range<u64>) {
    let templates = Templates::builtin();
    let listeners = templates.group(&common::platform(), &Node::default()).expect("they render");
    let rendered: Vec<_> =
        seeds.map(|seed| (seed, common::generated::drafts(&templates, seed))).collect();
    let all: Vec<Draft> = rendered.iter().flat_map(|(_, drafts)| drafts.clone()).collect();
    let Err(told) = common::envoy::validate(&common::envoy::terse_bootstrap(&listeners, &all))
    else {
        return;
    };
    for (seed, drafts) in rendered {
        let verdict = common::envoy::validate(&common::envoy::terse_bootstrap(&listeners, &drafts));
        assert_eq!(verdict, Ok(()), "seed {seed}:\n{}", generate::descriptor(seed).0);
    }
    panic!("only together: {told}");
}

/// Counts what the descriptors have, alone and together.
#[expect(clippy::print_stdout, reason = "the coverage is a result of the test")]
fn covered(seeds: std::ops::Range<u64>) {
    let mut alone: BTreeMap<&str, u32> = generate::FEATURES.iter().map(|&name| (name, 0)).collect();
    let mut pairs = BTreeSet::new();
    for seed in seeds.clone() {
        let found = generate::features(&generate::descriptor(seed).1);
        for &one in &found {
            *alone.get_mut(one).expect("it is listed") += 1;
            pairs.extend(
                found.range(one..).filter(|&&other| other != one).map(|&other| (one, other)),
            );
        }
    }
    let all = generate::FEATURES.len();
    let possible = all * (all - 1) / 2;
    let rare: Vec<_> = alone.iter().filter(|(_, count)| **count < 20).collect();
    println!(
        "{} descriptors: {} of {all} features, {} of {possible} pairs; rare: {rare:?}",
        seeds.end - seeds.start,
        alone.values().filter(|count| **count > 0).count(),
        pairs.len(),
    );
    assert!(rare.is_empty(), "seen less than 20 times: {rare:?}");
    assert!(pairs.len() * 100 >= possible * PAIRS_PERCENT_MIN, "{} pairs", pairs.len());
}

/// Some pairs exclude each other, such as no upstream and a health check of it.
const PAIRS_PERCENT_MIN: usize = 90;
