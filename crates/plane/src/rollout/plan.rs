//! What an edition would change, and whom it would refuse: every service is rendered with it, and
//! nothing is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Change, InstanceId, differences};
use render::{Complaint, Draft};
use serde::Serialize;
use tokio::time::Instant;

use crate::edition::Edition;
use crate::renderer::{Set, Stage, Work};
use crate::state::{PLATFORM, Rendered};
use crate::{Plane, words};

/// Services rendered at a time, so that a tenant's change waits for few of them.
const CHUNK: usize = 64;
/// Refused services that are named. Envoy is asked about no more after them, as each takes it a few
/// questions to find.
const REFUSED_MAX: usize = 20;
/// Envoy judges a plan for so long; what it has not judged by then is told. It takes a minute where
/// all of 20,000 services have new shapes.
const JUDGED_WITHIN: Duration = Duration::from_mins(5);
/// Changed services that are named.
const NAMED_MAX: usize = 50;
/// Changed resources that are shown.
const SAMPLES_MAX: usize = 5;
/// Differences shown of one resource.
const DIFFERENCES_MAX: usize = 20;

/// What an edition would change.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Planned {
    /// The edition that groups would be given; 0: templates that have no number yet.
    pub to: u64,
    /// The edition that they have.
    pub from: u64,
    /// Groups that they were rendered for: those of all replicas.
    pub groups: usize,
    /// Series of Envoy that judged it: those that this process can ask.
    pub judges: Vec<String>,
    /// Series that are connected to any replica, and cannot be asked here.
    pub unheard: Vec<String>,
    /// Services that were rendered.
    pub instances: usize,
    /// Services that would be refused and are not now, and why; `platform/group` is the listeners.
    /// Some of them.
    pub refused: Vec<(String, String)>,
    /// How many there are.
    pub refused_count: usize,
    /// Services that are refused now and would be then.
    pub refused_already: usize,
    /// Services that Envoy did not judge: enough were refused, or it took too long.
    pub unjudged: usize,
    /// Services of which something would change, some of them.
    pub changed: Vec<String>,
    /// How many there are.
    pub changed_count: usize,
    /// For each type, how many resources would be added, changed and removed.
    pub resources: BTreeMap<String, [usize; 3]>,
    /// Some of these, in depth.
    pub samples: Vec<Sample>,
}

/// A resource that would be another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// Whose it is.
    pub owner: String,
    /// Its type.
    pub type_url: String,
    /// Its name.
    pub name: String,
    /// What differs.
    pub differences: Vec<Change>,
}

/// By type and name.
type Resources<'a> = BTreeMap<(&'a str, &'a str), &'a Draft>;

impl Planned {
    /// Whether nothing speaks against it.
    pub fn is_good(&self) -> bool {
        self.refused_count == 0
    }

    /// Why not, in one line.
    pub(crate) fn why(&self) -> String {
        let told = self.refused.iter().take(3).map(|(owner, why)| format!("{owner}: {why}"));
        let told = told.collect::<Vec<_>>().join("; ");
        format!("{} would be refused: {told}", self.refused_count)
    }

    fn compare(&mut self, owner: &str, before: &Rendered, after: &Rendered) {
        let (before, after) = match (before, after) {
            (Err(_), Err(_)) => {
                self.refused_already += 1;
                return;
            }
            (Ok(_), Err(complaints)) => {
                let why = match owner.parse::<InstanceId>() {
                    Ok(id) => words::complaints(&id, complaints),
                    Err(_) => listeners(complaints),
                };
                self.refused_count += 1;
                if self.refused.len() < REFUSED_MAX {
                    self.refused.push((owner.to_owned(), why));
                }
                return;
            }
            (Err(_), Ok(after)) => (&BTreeMap::new(), after),
            (Ok(before), Ok(after)) => (before, after),
        };
        let groups = after.keys().chain(before.keys().filter(|name| !after.contains_key(*name)));
        let mut changes = BTreeMap::new();
        for group in groups {
            between(&of(before, group), &of(after, group), &mut changes);
        }
        if changes.is_empty() {
            return;
        }
        self.changed_count += 1;
        if self.changed.len() < NAMED_MAX {
            self.changed.push(owner.to_owned());
        }
        for ((type_url, name), (kind, found)) in changes {
            self.resources.entry(type_url.to_owned()).or_default()[kind] += 1;
            if kind == CHANGED && self.samples.len() < SAMPLES_MAX {
                let (type_url, name, owner) =
                    (type_url.to_owned(), name.to_owned(), owner.to_owned());
                self.samples.push(Sample { owner, type_url, name, differences: found() });
            }
        }
    }
}

const ADDED: usize = 0;
const CHANGED: usize = 1;
const REMOVED: usize = 2;

type Found<'a> = Box<dyn Fn() -> Vec<Change> + 'a>;

fn of<'a>(rendered: &'a BTreeMap<Arc<str>, Vec<Draft>>, group: &Arc<str>) -> Resources<'a> {
    let drafts = rendered.get(group).into_iter().flatten();
    drafts.map(|draft| ((draft.type_url.as_str(), &*draft.name), draft)).collect()
}

fn between<'a>(
    before: &Resources<'a>,
    after: &Resources<'a>,
    changes: &mut BTreeMap<(&'a str, &'a str), (usize, Found<'a>)>,
) {
    for (key, new) in after {
        match before.get(key) {
            Some(old) if old.hash == new.hash => {}
            Some(old) => {
                let (old, new) = (*old, *new);
                let found = move || {
                    let mut found = differences(&old.json, &new.json);
                    found.truncate(DIFFERENCES_MAX);
                    found
                };
                changes.entry(*key).or_insert((CHANGED, Box::new(found)));
            }
            None => _ = changes.entry(*key).or_insert((ADDED, Box::new(Vec::new))),
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        changes.entry(*key).or_insert((REMOVED, Box::new(Vec::new)));
    }
}

/// The first words of why the listeners are not made.
pub(super) fn listeners(complaints: &[Complaint]) -> String {
    let told = complaints.iter().take(3).map(|complaint| {
        let line = complaint.line.map_or(String::new(), |line| format!(":{line}"));
        format!("{}{line}: {}", complaint.template, complaint.message)
    });
    told.collect::<Vec<_>>().join("; ")
}

impl Plane {
    /// What an edition would change for every service, were it given to all groups.
    pub(crate) async fn plan(&self, to: &Arc<Edition>) -> Planned {
        let before = self.stage_everywhere();
        let nodes: Vec<_> = before.sets.iter().flat_map(|set| set.nodes.clone()).collect();
        let set = Set { edition: to.clone(), nodes };
        let after = Stage { sets: vec![set], ..before.clone() };
        let groups_count = after.sets.iter().map(|set| set.nodes.len()).sum();
        let mut planned = Planned { to: to.number, groups: groups_count, ..Planned::default() };
        (planned.judges, planned.unheard) = self.judges(&before);
        let [old, new] = [&before, &after].map(|stage| vec![(PLATFORM.into(), groups(stage))]);
        let until = Instant::now() + JUDGED_WITHIN;
        self.compare(&mut planned, [&before, &after], (old, new), until).await;
        let mut instances = self.instances();
        instances.sort_unstable();
        for chunk in instances.chunks(CHUNK) {
            let (old, new) = (self.batch(&before, chunk).await, self.batch(&after, chunk).await);
            planned.instances += new.len();
            self.compare(&mut planned, [&before, &after], (old, new), until).await;
        }
        planned
    }

    async fn batch(&self, stage: &Stage, chunk: &[InstanceId]) -> Owned {
        let works: Vec<Work> = chunk.iter().filter_map(|id| self.work(id)).collect();
        let rendered = self.renderer.batch(stage.clone(), works).await;
        rendered.into_iter().map(|(work, rendered)| (work.id.as_str().into(), rendered)).collect()
    }

    /// Counts what differs, once Envoy has judged what would be given; and what is given now, of
    /// those of whom it refuses that.
    async fn compare(
        &self,
        planned: &mut Planned,
        [before, after]: [&Stage; 2],
        (mut old, mut new): (Owned, Owned),
        until: Instant,
    ) {
        let (made, mut suspects) = (good(&new), Owned::new());
        if planned.refused_count < REFUSED_MAX {
            planned.unjudged += self.judged(after, &mut new, until).await;
            let refused = &made - &good(&new);
            suspects = old.extract_if(.., |(owner, _)| refused.contains(owner)).collect();
            self.judged(before, &mut suspects, until).await;
        } else {
            planned.unjudged += made.len();
        }
        let mut old: BTreeMap<Arc<str>, Rendered> = old.into_iter().chain(suspects).collect();
        for (owner, new) in new {
            // One that came a moment ago has nothing to be compared with.
            let old = old.remove(&owner).unwrap_or_else(|| Ok(BTreeMap::new()));
            planned.compare(&owner, &old, &new);
        }
    }
}

/// Resources of each.
type Owned = Vec<(Arc<str>, Rendered)>;

/// Whose resources were rendered, and not refused.
fn good(all: &Owned) -> BTreeSet<Arc<str>> {
    all.iter().filter(|(_, rendered)| rendered.is_ok()).map(|(owner, _)| owner.clone()).collect()
}

/// What groups get beside their instances.
fn groups(stage: &Stage) -> Rendered {
    let sets = stage.sets.iter().flat_map(|set| set.nodes.iter().map(move |node| (set, node)));
    sets.map(|(set, (name, node))| Ok((name.clone(), set.edition.group(node)?))).collect()
}
