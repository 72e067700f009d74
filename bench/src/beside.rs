//! What the same bytes take at least, in the same run, in turn with the plane: raw sockets, and a bare
//! tonic server with the proxies that the plane has, in another process.

use std::time::Duration;

use anyhow::Result;

use crate::bare_tonic::Push;
use crate::crowd::{Load, Way};
use crate::envoy;
use crate::floor::{Floor, Shape};
use crate::helper::Helper;
use crate::moment::Moment;
use crate::series::Series;

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    RawSockets,
    BareTonic,
}

/// Both, with so many connections each.
pub(crate) struct Beside {
    floor: Floor,
    tonic: Helper,
    proxies: Load,
}

impl Beside {
    pub(crate) async fn start(size: usize) -> Result<Self> {
        let mut tonic = Helper::start(&["bare-tonic"])?;
        let address = tonic.hear().await?;
        let (mut proxies, _) = Load::start(address, Way::Delta).await?;
        proxies.join(size).await?;
        Ok(Self { floor: Floor::start(size).await?, tonic, proxies })
    }

    /// How long it took until each had it, in order; the processor time of who sent and who received.
    async fn write(&mut self, row: &Row) -> Result<(Vec<Duration>, [Duration; 2])> {
        let (began, times, used) = match row.least {
            Least::RawSockets => {
                let written = self.floor.write(row.shape).await?;
                (written.began, written.times, written.used)
            }
            Least::BareTonic => self.push(row.shape).await?,
        };
        Ok((times.into_iter().map(|at| at.since(began)).collect(), used))
    }

    async fn push(&mut self, shape: Shape) -> Result<(Moment, Vec<Moment>, [Duration; 2])> {
        let name = "awaited".to_owned();
        let before = self.cpu()?;
        self.proxies.await_answered(name.clone(), shape.answer).await?;
        self.tonic.tell(&Push { name, shape }).await?;
        let began = self.tonic.hear().await?;
        let times = self.proxies.arrivals().await?;
        self.tonic.hear::<()>().await?;
        let after = self.cpu()?;
        Ok((began, times, [0, 1].map(|at| after[at].saturating_sub(before[at]))))
    }

    fn cpu(&self) -> Result<[Duration; 2]> {
        Ok([envoy::cpu(self.tonic.process()?)?, self.proxies.cpu()?])
    }
}

/// What one of them took.
pub(crate) struct Row {
    least: Least,
    shape: Shape,
    series: Series,
}

impl Row {
    /// So many bytes at once, and in as many rounds if they came in several; of the sockets once to
    /// who says nothing, and otherwise all to who says as much as was said.
    pub(crate) fn all(bytes: usize, said: usize, rounds: usize) -> Vec<Self> {
        let shape = |rounds| Shape { bytes: bytes / rounds, rounds, answer: said / rounds };
        let silent = (Least::RawSockets, Shape { answer: 0, ..shape(1) });
        let answered = if rounds > 1 { vec![1, rounds] } else { vec![1] };
        let both = |rounds| [Least::RawSockets, Least::BareTonic].map(|it| (it, shape(rounds)));
        let rows = [silent].into_iter().chain(answered.into_iter().flat_map(both));
        rows.map(|(least, shape)| Self { least, shape, series: Series::default() }).collect()
    }

    /// Once more; whether it counts.
    pub(crate) async fn round(&mut self, beside: &mut Beside, counts: bool) -> Result<()> {
        let (times, used) = beside.write(self).await?;
        if counts {
            self.series.push(&times, used);
        }
        Ok(())
    }

    /// What is printed of all: of the plane's 99th of a hundred as a ratio to each, and of the bare
    /// server's to the sockets, which is what the technique itself costs.
    pub(crate) fn tell(rows: &[Self], ours: &Series) -> Vec<String> {
        let raw = |row: &Self| {
            rows.iter().find(|it| (it.least, it.shape) == (Least::RawSockets, row.shape))
        };
        let tell = |row: &Self| {
            let (p99, Shape { rounds, answer, .. }) = (row.series.p99(), row.shape);
            let said = format!(
                "{}   in {rounds}, answered with {answer} bytes; ratio of p99: {:.2}",
                row.series.row(),
                ours.p99() / p99
            );
            match (row.least, raw(row)) {
                (Least::BareTonic, Some(raw)) => {
                    format!(
                        "    bare tonic   {said}, its own to raw sockets: {:.2}",
                        p99 / raw.series.p99()
                    )
                }
                _ => format!("    raw sockets  {said}"),
            }
        };
        rows.iter().map(tell).collect()
    }
}
