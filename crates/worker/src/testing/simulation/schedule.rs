//! What happens in which order: drawn from a seed before anything runs, each move with dice of its
//! own, so that moves can be left out without changing the others.

use std::ops::Range;

use super::super::dice::Dice;
use super::scene::Weather;

/// Moves of a schedule before it is brought to its end.
const MOVES: u64 = 300;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A worker goes on to its next boundary.
    Work,
    /// A worker leases a job.
    Lease,
    /// A client begins to ask for something.
    Ask,
    /// A client goes on to its next boundary.
    Client,
    /// The plane reads some of the feed, and the proxies follow or reject it.
    Plane,
    /// The plane forgets what it knew.
    PlaneRestarts,
    /// Time passes; workers extend their leases meanwhile, or stall and do not.
    Time,
    /// A call that was answered arrives at the cloud again.
    LateCall,
    /// A worker is gone.
    Loss,
    /// A worker is asked to stop.
    Drain,
    /// The whole process is gone, and comes back.
    Crash,
    /// A job is lost.
    LostJob,
    /// Operations without a job are looked for.
    Sweep,
    /// An operator steps in.
    Operator,
}

/// Of a thousand.
const WEIGHTS: [(Kind, Range<u64>); 14] = [
    (Kind::Operator, 0..20),
    (Kind::Work, 20..455),
    (Kind::Lease, 455..545),
    (Kind::Ask, 545..605),
    (Kind::Client, 605..775),
    (Kind::Plane, 775..855),
    (Kind::PlaneRestarts, 855..860),
    (Kind::Time, 860..930),
    (Kind::LateCall, 930..950),
    (Kind::Loss, 950..956),
    (Kind::Drain, 956..962),
    (Kind::Crash, 962..970),
    (Kind::LostJob, 970..982),
    (Kind::Sweep, 982..1_000),
];

#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) kind: Kind,
    /// What its dice begin with.
    pub(crate) seed: u64,
}

pub(crate) fn schedule(seed: u64) -> (Weather, Vec<Move>) {
    let mut dice = Dice::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let weather = Weather::of(&mut dice);
    let draw = |dice: &mut Dice| {
        let of = dice.below(1_000);
        let (kind, _) =
            WEIGHTS.iter().find(|(_, range)| range.contains(&of)).expect("they fill it");
        Move { kind: *kind, seed: dice.roll() }
    };
    let moves = (0..MOVES).map(|_| draw(&mut dice)).collect();
    (weather, moves)
}
