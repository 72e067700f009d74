//! DNS records. A name leads to a listener before the listener is all that answers to it, and
//! after: what is new or wider comes before the publish, what is narrower or gone after the fleet
//! has followed. So a service that leaves public loses its routes first and then its record.

use std::future::Future;

use async_trait::async_trait;
use futures::future::join_all;
use model::{Exposure, Hostname, Operation, WaitsFor};

use crate::holdings::exposure;
use crate::{Cloud, CloudError, Holdings, Outcome, Record, Step, Work};

/// Before the publish: records that are new, or that become public.
pub(crate) struct DnsRecords;

#[async_trait]
impl Step for DnsRecords {
    fn name(&self) -> &'static str {
        "dns-records"
    }

    fn says(&self, _operation: &Operation) -> String {
        "Creating DNS records".into()
    }

    fn acts(&self, operation: &Operation, held: &Holdings) -> bool {
        wanted(operation).any(|record| widens(held.names.get(&record.hostname), &record))
            || (!held.settled && operation.target.is_some())
    }

    fn is_skippable(&self) -> bool {
        true
    }

    async fn apply(&self, work: &Work<'_>) -> Outcome {
        let make = wanted(work.operation).map(|record| async move {
            if missing(work, &record).await? {
                upsert(work, "make", &record).await?;
            }
            Ok(())
        });
        all(make).await
    }

    async fn undo(&self, work: &Work<'_>) -> Outcome {
        let undo = wanted(work.operation).map(|record| async move {
            match work.held.names.get(&record.hostname) {
                None => delete(work, "unmake", &record.hostname).await,
                Some(&before) if before < record.exposure => {
                    upsert(work, "unmake", &Record { exposure: before, ..record }).await
                }
                Some(_) => Ok(()),
            }
        });
        all(undo).await
    }
}

/// After the fleet has followed: records that are no longer public, or no longer there.
pub(crate) struct OldRecords;

#[async_trait]
impl Step for OldRecords {
    fn name(&self) -> &'static str {
        "old-records"
    }

    fn says(&self, _operation: &Operation) -> String {
        "Removing DNS records that are no longer used".into()
    }

    fn acts(&self, operation: &Operation, held: &Holdings) -> bool {
        narrower(operation, held).next().is_some()
            || !held.beyond(operation.target.as_ref()).is_empty()
    }

    fn is_skippable(&self) -> bool {
        true
    }

    fn leaves(&self, operation: &Operation, held: &Holdings) -> Vec<String> {
        let gone = held.beyond(operation.target.as_ref());
        gone.iter().map(|name| format!("the DNS record of {name}")).collect()
    }

    async fn apply(&self, work: &Work<'_>) -> Outcome {
        let narrow = narrower(work.operation, work.held)
            .map(|record| async move { upsert(work, "narrow", &record).await });
        match all(narrow).await {
            Outcome::Done(_) => {}
            failed => return failed,
        }
        let gone = work.held.beyond(work.operation.target.as_ref());
        all(gone.iter().map(|name| delete(work, "remove", name))).await
    }
}

/// The records of the operation's target.
fn wanted(operation: &Operation) -> impl Iterator<Item = Record> {
    operation.target.iter().flat_map(|spec| {
        spec.hostnames.iter().map(|hostname| Record {
            hostname: hostname.clone(),
            instance: operation.instance.clone(),
            exposure: exposure(spec.plan),
        })
    })
}

/// Those that shall be internal, and may be public.
fn narrower(operation: &Operation, held: &Holdings) -> impl Iterator<Item = Record> {
    wanted(operation).filter(|record| {
        let before = held.names.get(&record.hostname);
        before.is_some_and(|before| *before > record.exposure)
    })
}

fn widens(before: Option<&Exposure>, record: &Record) -> bool {
    before.is_none_or(|before| *before < record.exposure)
}

/// Whether the record must be made. What an operation that failed has left is looked at; else it
/// is known, and the cloud is not asked.
async fn missing(work: &Work<'_>, record: &Record) -> Result<bool, CloudError> {
    let before = work.held.names.get(&record.hostname);
    if work.held.settled || before.is_none() {
        return Ok(widens(before, record));
    }
    let found = work.ports.cloud.record(&record.hostname).await?;
    let ours = found.filter(|found| found.instance == record.instance);
    Ok(widens(ours.map(|found| found.exposure).as_ref(), record))
}

async fn upsert(work: &Work<'_>, verb: &str, record: &Record) -> Result<(), CloudError> {
    cloud(work).upsert_record(&token(work, verb, &record.hostname), record).await
}

async fn delete(work: &Work<'_>, verb: &str, name: &Hostname) -> Result<(), CloudError> {
    cloud(work).delete_record(&token(work, verb, name), name, &work.operation.instance).await
}

fn cloud<'a>(work: &Work<'a>) -> &'a dyn Cloud {
    work.ports.cloud.as_ref()
}

/// The same for every repetition of one effect, and different for every other.
fn token(work: &Work<'_>, verb: &str, name: &Hostname) -> String {
    format!("{}/{verb}/{name}", work.operation.id)
}

/// All at once; what cannot be mended outweighs what can, and what fails what merely takes its time.
async fn all(calls: impl Iterator<Item = impl Future<Output = Result<(), CloudError>>>) -> Outcome {
    let failures = join_all(calls).await.into_iter().filter_map(Result::err);
    match failures.max_by_key(gravity) {
        None => Outcome::done(),
        Some(CloudError::Pending(note)) => Outcome::Wait { on: WaitsFor::External, note },
        Some(CloudError::Person(note)) => Outcome::Wait { on: WaitsFor::User, note },
        Some(CloudError::Transient(why)) => Outcome::Retry { why },
        Some(CloudError::Permanent(why)) => Outcome::Refused { why },
    }
}

fn gravity(error: &CloudError) -> u8 {
    match error {
        CloudError::Pending(_) => 0,
        CloudError::Person(_) => 1,
        CloudError::Transient(_) => 2,
        CloudError::Permanent(_) => 3,
    }
}
