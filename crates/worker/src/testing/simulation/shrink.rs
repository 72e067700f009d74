//! What is left of a schedule that fails when all is taken away that is not needed for it.

use super::bugs::Bug;
use super::scene::Weather;
use super::schedule::Move;
use super::simulate;

/// Runs spent on it, at most.
const RUNS_MAX: usize = 600;

/// Leaves out ever smaller stretches for as long as something still goes wrong.
pub(crate) fn shrink(weather: &Weather, mut moves: Vec<Move>, bug: Option<Bug>) -> Vec<Move> {
    let (mut stretch, mut runs) = (moves.len() / 2, 0);
    while stretch > 0 && runs < RUNS_MAX {
        let mut at = 0;
        while at < moves.len() && runs < RUNS_MAX {
            let end = (at + stretch).min(moves.len());
            let shorter = [&moves[..at], &moves[end..]].concat();
            runs += 1;
            match simulate(weather, &shorter, bug, false).0 {
                Err(_) => moves = shorter,
                Ok(_) => at = end,
            }
        }
        stretch /= 2;
    }
    moves
}
