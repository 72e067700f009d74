//! How many accepts become durable a second, and how long one waits, beside what the disk can do.
//!
//! `cargo run --release -p store --example commit_rate --features contract -- [seconds] [folder]`
//!
//! The floor is a bare loop that overwrites 4 KiB and calls `fdatasync`, and one that appends, in
//! the same folder and the same run: compare the ratios, not the numbers of two machines.
#![expect(clippy::print_stdout, reason = "it is what this is for")]
#![expect(clippy::disallowed_methods, reason = "here is where time is handed in")]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::{Millis, OperationKind};
use store::Accepted;
use store::contract::{State, sample};
use store::sqlite::{Options, Sqlite};

type Failed = Box<dyn std::error::Error + Send + Sync>;

const PAGE_BYTES: usize = 4_096;
/// A file that is overwritten in turn, so that its length stays.
const OVERWRITTEN_PAGES: u64 = 256;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let time = Duration::from_secs(seconds);
    let folder = match arguments.next() {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    println!("{:36} {:>9} {:>9} {:>9} {:>9}", "", "per s", "p50 ms", "p99 ms", "x floor");
    let rate = floor(folder.path(), time, "4 KiB overwritten, fdatasync", true)?;
    floor(folder.path(), time, "4 KiB appended, fdatasync", false)?;
    for producers in [1, 16, 128] {
        let took = accepts(&folder.path().join(format!("{producers}.db")), producers, time).await?;
        report(&format!("accepts of {producers} producers"), &took, Some(rate));
    }
    Ok(())
}

/// What the disk does without a store; its rate.
fn floor(folder: &Path, time: Duration, name: &str, overwrite: bool) -> Result<f64, Failed> {
    let mut file = File::create(folder.join("floor"))?;
    let page = [7; PAGE_BYTES];
    if overwrite {
        for _ in 0..OVERWRITTEN_PAGES {
            file.write_all(&page)?;
        }
        file.sync_all()?;
    }
    let mut took = Took::begin();
    let until = Instant::now() + time;
    let mut at = 0;
    while Instant::now() < until {
        let began = Instant::now();
        if overwrite {
            file.seek(SeekFrom::Start(at % OVERWRITTEN_PAGES * PAGE_BYTES as u64))?;
        }
        file.write_all(&page)?;
        file.sync_data()?;
        took.each.push(began.elapsed());
        at += 1;
    }
    took.end(time);
    Ok(report(name, &took, None))
}

/// How long each of many took.
struct Took {
    each: Vec<Duration>,
    whole: Duration,
}

impl Took {
    fn begin() -> Self {
        Self { each: Vec::new(), whole: Duration::ZERO }
    }

    fn end(&mut self, whole: Duration) {
        self.whole = whole;
        self.each.sort();
    }

    /// In milliseconds; `part` of a hundred.
    fn percentile(&self, part: usize) -> f64 {
        let last = self.each.len().saturating_sub(1);
        self.each.get(last * part / 100).map_or(0.0, |took| took.as_secs_f64() * 1_000.0)
    }
}

async fn accepts(path: &Path, producers: usize, time: Duration) -> Result<Took, Failed> {
    let store: Arc<dyn State> = Arc::new(Sqlite::open(path, Options::new(Arc::new(now)))?);
    let until = Instant::now() + time;
    let mut running = tokio::task::JoinSet::new();
    for producer in 0..producers {
        running.spawn(produce(Arc::clone(&store), producer, until));
    }
    let mut took = Took::begin();
    while let Some(each) = running.join_next().await {
        took.each.extend(each??);
    }
    took.end(time);
    Ok(took)
}

async fn produce(
    store: Arc<dyn State>,
    producer: usize,
    until: Instant,
) -> Result<Vec<Duration>, Failed> {
    let mut took = Vec::new();
    while Instant::now() < until {
        let id = format!("i{producer}-{}", took.len());
        let spec = sample::spec("shop", &[&format!("{id}.example.com")]);
        let wish = sample::accept(OperationKind::Provision, &id, &spec, now());
        let began = Instant::now();
        let answer = store.accept(wish, None).await?;
        took.push(began.elapsed());
        if answer != Accepted::Yes {
            return Err(format!("{answer:?}").into());
        }
    }
    Ok(took)
}

/// Prints a line; the rate.
fn report(name: &str, took: &Took, floor: Option<f64>) -> f64 {
    let count = u32::try_from(took.each.len()).unwrap_or(u32::MAX);
    let rate = f64::from(count) / took.whole.as_secs_f64();
    let ratio = floor.map_or(String::new(), |floor| format!("{:.2}", rate / floor));
    let (p50, p99) = (took.percentile(50), took.percentile(99));
    println!("{name:36} {rate:>9.0} {p50:>9.2} {p99:>9.2} {ratio:>9}");
    rate
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}
