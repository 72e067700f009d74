//! Whole lives from a seed: owners change at random while a model of a client reads, acknowledges,
//! refuses, goes and comes back, and is moved to another cache at random. In half of the lives it
//! has a stream for each type, any of which may break. At every moment what the client routes to
//! exists; in the end it has what the cache has, except what it refuses, and all of that was told.

mod delta;
mod world;

/// Lives that are simulated; with `MARGRAVE_SOAK` set, a hundred times as many.
const SEEDS: u64 = 300;
/// Those that are named when they fail.
const FAILURES_MAX: usize = 10;

/// Runs one life for each seed, naming the seeds of those that fail; or, aloud, only the life of
/// `MARGRAVE_SEED`.
fn lives(life: impl Fn(u64) + std::panic::RefUnwindSafe) {
    if let Some(seed) = std::env::var("MARGRAVE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return life(seed);
    }
    let seeds = if std::env::var_os("MARGRAVE_SOAK").is_some() { SEEDS * 100 } else { SEEDS };
    let fails = |seed: &u64| std::panic::catch_unwind(|| life(*seed)).is_err();
    let failed: Vec<u64> = (1..=seeds).filter(fails).take(FAILURES_MAX).collect();
    assert!(failed.is_empty(), "the lives of seeds {failed:?}");
}

#[test]
fn delta() {
    lives(delta::life);
}
