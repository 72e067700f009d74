//! What the generator makes: it is accepted, it is what it says it is, and it covers everything.

use std::collections::{BTreeMap, BTreeSet};

use model::descriptor::generate::{FEATURES, descriptor, features};
use model::descriptor::show;
use model::{Descriptor, Parameters};

const SEEDS: u64 = 1_000;

#[test]
fn generated_descriptors_are_accepted_and_cover_every_feature_and_pair() {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let mut pairs: BTreeSet<(&str, &str)> = BTreeSet::new();
    for seed in 0..SEEDS {
        let (text, wanted) = descriptor(seed);
        reads_back(seed, &text, &wanted);
        let found = features(&wanted);
        for (index, one) in found.iter().enumerate() {
            *seen.entry(one).or_default() += 1;
            pairs.extend(found.iter().skip(index + 1).map(|other| (*one, *other)));
        }
    }
    println!("of {SEEDS} descriptors: {seen:?}");
    let all: BTreeSet<&str> = FEATURES.iter().copied().collect();
    assert_eq!(all.len(), FEATURES.len(), "a feature is listed twice");
    let possible: Vec<(&str, &str)> = all
        .iter()
        .enumerate()
        .flat_map(|(index, one)| all.iter().skip(index + 1).map(|other| (*one, *other)))
        .filter(|(one, other)| !exclude_each_other(one, other))
        .collect();
    let absent: Vec<_> = possible.iter().filter(|pair| !pairs.contains(*pair)).collect();
    println!("{} of {} pairs that are possible; without {absent:?}", pairs.len(), possible.len());
    assert!(all.iter().all(|feature| seen.contains_key(feature)), "{seen:?}");
    assert!(absent.len() * 200 <= possible.len(), "over 0.5 % of pairs are missing: {absent:?}");
}

fn reads_back(seed: u64, text: &str, wanted: &Descriptor) {
    let read = Descriptor::from_yaml(text)
        .unwrap_or_else(|r| panic!("seed {seed}\n{}\n{text}", show(&r, "generated", text)));
    assert_eq!(read, *wanted, "seed {seed}\n{text}");
    let canonical = wanted.parameters.to_json();
    let again = Parameters::from_json(&canonical.to_string());
    assert_eq!(again.as_ref(), Ok(&wanted.parameters), "seed {seed}");
    assert_eq!(again.map(|parameters| parameters.to_json()), Ok(canonical), "seed {seed}");
}

/// Pairs that no descriptor can have.
fn exclude_each_other(one: &str, other: &str) -> bool {
    let opposites = [
        ("hostnames", "hostnames none"),
        ("hostnames many", "hostnames none"),
        ("to default", "upstream none"),
        ("upstream", "upstream none"),
        ("visibility internal", "visibility public"),
        ("auth none", "auth binding"),
    ];
    // Without routes there is only the top level, and a top-level upstream.
    let top = |feature: &str| {
        let kinds = ["visibility", "hostnames", "headers", "response headers", "text", "auth"];
        let upstream =
            ["upstream", "upstream tls", "upstream name", "upstream ipv4", "upstream ipv6"];
        kinds.iter().any(|kind| feature.starts_with(kind)) || upstream.contains(&feature)
    };
    let routeless = |one: &str, other: &str| one == "routes none" && !top(other);
    opposites.contains(&(one, other)) || routeless(one, other) || routeless(other, one)
}

#[test]
fn a_seed_always_gives_the_same() {
    assert_eq!(descriptor(7), descriptor(7));
    assert_ne!(descriptor(7).0, descriptor(8).0);
}
