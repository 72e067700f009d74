//! The conversations of `fuzz/seeds/request`, as they are and mutated blindly: the short form of what
//! `make fuzz` does for long.

use std::path::Path;

use crate::harness::Harness;
use crate::hostile::converse;

/// Mutants of each seed.
const MUTANTS: u64 = 40;
/// Conversations with one broker: what earlier ones left is met by later ones.
const PER_BROKER: u64 = 20;
/// What a mutation may put in.
const WORDS: [&str; 16] = [
    "\n----\n",
    "\u{0}",
    "null",
    "{}",
    "[]",
    "-1",
    "1e999",
    "\"",
    "%2F",
    "%00",
    "?a=b&a=c",
    "..",
    "\u{fffe}",
    "9223372036854775808",
    "true",
    "x-broker-api-originating-identity: cloudfoundry e30=\n",
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/request");
    let files = std::fs::read_dir(folder).expect("seeds").flatten();
    let mut seeds: Vec<_> = files
        .map(|file| {
            let text = std::fs::read(file.path()).expect("readable");
            (file.file_name().to_string_lossy().into_owned(), text)
        })
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
            1 => {
                let word = WORDS[dice.roll(WORDS.len())].bytes();
                drop(text.splice(at..to, word));
            }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_thought_of_is_answered() {
    let seeds = seeds();
    assert!(seeds.len() >= 8, "the seeds are not there");
    for (number, (name, seed)) in seeds.iter().enumerate() {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ number as u64);
        let mut harness = Harness::new();
        converse(&harness, seed).await;
        for mutant in 0..MUTANTS {
            if mutant % PER_BROKER == 0 {
                harness = Harness::new();
                converse(&harness, seed).await;
            }
            let other = &seeds[dice.roll(seeds.len())].1;
            let text = mutated(seed, other, &mut dice);
            let said = tokio::spawn({
                let text = text.clone();
                async move {
                    converse(&harness, &text).await;
                    harness
                }
            });
            harness = said.await.unwrap_or_else(|fault| {
                panic!("{fault} after {name}, mutant {mutant}: {}", String::from_utf8_lossy(&text))
            });
        }
    }
}
