//! Times of many, round after round.

use std::time::Duration;

use crate::scenario;

/// Rounds; of each, when half, 99 of 100 and all had it. Told are the medians over the rounds.
#[derive(Default)]
pub(crate) struct Series {
    parts: [Vec<Duration>; 3],
    /// Processor time of who sends and of who receives, of all rounds.
    used: [Duration; 2],
    /// Who received, all rounds together.
    received: usize,
}

impl Series {
    pub(crate) fn push(&mut self, sorted: &[Duration], used: [Duration; 2]) {
        let last = sorted.len() - 1;
        for (series, at) in self.parts.iter_mut().zip([last / 2, last * 99 / 100, last]) {
            series.push(sorted[at]);
        }
        for (sum, used) in self.used.iter_mut().zip(used) {
            *sum += used;
        }
        self.received += sorted.len();
    }

    fn medians(&self) -> [f64; 3] {
        [0, 1, 2].map(|at| scenario::percentiles(&self.parts[at]).0)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.medians()[1]
    }

    /// The medians in milliseconds, and the processor's microseconds for each who received.
    pub(crate) fn row(&self) -> String {
        let [half, most, all] = self.medians();
        let [sends, receives] = self.used.map(|it| it.as_secs_f64() * 1e6 / self.received as f64);
        format!("{half:>8.1} / {most:>8.1} / {all:>8.1}   {sends:>5.0} and {receives:>4.0} us")
    }
}
