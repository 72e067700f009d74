//! The conversations of `fuzz/seeds/discovery`, as they are and mutated blindly: the short form of what
//! `make fuzz` does for long.

use std::path::Path;

use crate::conversation::converse;

/// Mutants of each seed.
const MUTANTS: u64 = 60;
/// What a mutation may put in.
const WORDS: [&str; 14] = [
    "\n----\nTAKE 0",
    "\n----\nREFUSE 0",
    "\n----\nMOVE edge",
    "\n----\nWAIT 6",
    "\n----\nASK 0 C *",
    "\n----\nASK 1 R a -a",
    "\n----\nSET edge a C a\nother",
    "\n----\nGONE edge a C a",
    "\n----\nEND 0",
    "\n----\nGUARD edge",
    "-*",
    "\u{0}",
    "=9.9-ffffffffffffffff",
    "\u{7f}\u{1}",
];

/// Numbers that look random and are the same each time (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % sides.max(1)
    }
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/discovery");
    let files = std::fs::read_dir(folder).expect("seeds").flatten();
    let read = |path: &Path| std::fs::read(path).expect("readable");
    let mut seeds: Vec<_> = files
        .map(|file| (file.file_name().to_string_lossy().into_owned(), read(&file.path())))
        .collect();
    seeds.sort();
    seeds
}

fn mutated(text: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(text.len() + 1);
        let to = at + dice.roll(text.len().saturating_sub(at).min(40) + 1);
        match dice.roll(5) {
            0 => drop(text.drain(at..to)),
            1 => drop(text.splice(at..at, WORDS[dice.roll(WORDS.len())].bytes())),
            2 => {
                let piece = text[at..to].to_vec();
                let there = dice.roll(text.len() + 1);
                drop(text.splice(there..there, piece));
            }
            3 => {
                let from = dice.roll(other.len());
                let until = from + dice.roll(other.len().saturating_sub(from).min(80) + 1);
                drop(text.splice(at..to, other[from..until].iter().copied()));
            }
            _ => text[at..to].iter_mut().for_each(|byte| *byte ^= 1 << dice.roll(8)),
        }
    }
    text
}

#[tokio::test(start_paused = true)]
async fn what_nobody_thought_of_is_answered() {
    let seeds = seeds();
    assert!(seeds.len() >= 8, "the seeds are not there");
    for (number, (name, seed)) in seeds.iter().enumerate() {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ number as u64);
        converse(seed).await;
        for mutant in 0..MUTANTS {
            let text = mutated(seed, &seeds[dice.roll(seeds.len())].1, &mut dice);
            let told = String::from_utf8_lossy(&text).into_owned();
            let said = tokio::spawn(async move { converse(&text).await });
            said.await
                .unwrap_or_else(|fault| panic!("{fault} after {name}, mutant {mutant}: {told}"));
        }
    }
}
