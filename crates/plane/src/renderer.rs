//! Renders instances, each alone and for every group; in bulk on all cores.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use model::{InstanceId, Node, Spec};
use render::{Complaint, Endpoints, Input};

use crate::edition::Edition;
use crate::gate::Series;
use crate::metrics;
use crate::state::Rendered;
use crate::tenant::{Target, Terms};

/// Fewer are rendered on the spot: that takes less time than to wake other threads.
const INLINE: usize = 4;

/// One instance to render.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) id: InstanceId,
    pub(crate) target: Target,
    pub(crate) endpoints: Endpoints,
    pub(crate) notices: Vec<String>,
    /// Why it is refused before it is rendered.
    pub(crate) refused: Option<Complaint>,
}

/// What all instances of a batch are rendered with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stage {
    /// Each edition in use, and the groups that are given it.
    pub(crate) sets: Vec<Set>,
    /// What of it this is.
    pub(crate) generation: u64,
    /// Releases of Envoy that groups have at other replicas, for whoever asks for those too.
    pub(crate) there: BTreeMap<Arc<str>, Series>,
}

impl Stage {
    /// A group more.
    pub(crate) fn add(&mut self, edition: &Arc<Edition>, name: Arc<str>, node: Node) {
        match self.sets.iter_mut().find(|set| Arc::ptr_eq(&set.edition, edition)) {
            Some(set) => set.nodes.push((name, node)),
            None => self.sets.push(Set { edition: edition.clone(), nodes: vec![(name, node)] }),
        }
    }
}

/// The groups that are given an edition.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    pub(crate) edition: Arc<Edition>,
    pub(crate) nodes: Vec<(Arc<str>, Node)>,
}

/// The renderer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Renderer {
    count: Arc<AtomicU64>,
}

impl Renderer {
    /// How often instances were rendered since the start.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// One instance for every group; refused if it is for any.
    pub(crate) fn one(
        &self,
        stage: &Stage,
        id: &InstanceId,
        spec: &Spec,
        terms: &Terms,
        endpoints: &Endpoints,
    ) -> Rendered {
        let Terms { callers, withheld } = terms;
        let input = Input { id, spec, endpoints, callers, withheld };
        let mut all = BTreeMap::new();
        for set in &stage.sets {
            all.extend(self.set(set, input)?);
        }
        Ok(all)
    }

    /// Once for all groups of a set, unless its templates vary by group.
    fn set(&self, set: &Set, input: Input<'_>) -> Rendered {
        let Set { edition, nodes } = set;
        let render = |node: &Node| {
            self.count.fetch_add(1, Ordering::Relaxed);
            let rendered = edition.templates.instance(&edition.platform, node, input);
            metrics::rendered(rendered.is_ok());
            rendered
        };
        match nodes.first() {
            Some((_, any)) if edition.templates.varies_by().is_empty() => {
                let drafts = render(any)?;
                Ok(nodes.iter().map(|(group, _)| (group.clone(), drafts.clone())).collect())
            }
            _ => nodes.iter().map(|(group, node)| Ok((group.clone(), render(node)?))).collect(),
        }
    }

    fn work(&self, stage: &Stage, work: &Work) -> Rendered {
        match &work.refused {
            Some(refused) => Err(vec![refused.clone()]),
            None => {
                let Target { spec, terms, .. } = &work.target;
                self.one(stage, &work.id, spec, terms, &work.endpoints)
            }
        }
    }

    /// A batch, in its order.
    pub(crate) async fn batch(&self, stage: Stage, batch: Vec<Work>) -> Vec<(Work, Rendered)> {
        if batch.len() <= INLINE {
            return self.part(&stage, batch);
        }
        let (renderer, spare) = (self.clone(), stage.clone());
        let many = tokio::task::spawn_blocking(move || renderer.parts(&spare, batch)).await;
        many.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    fn parts(&self, stage: &Stage, mut batch: Vec<Work>) -> Vec<(Work, Rendered)> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let size = batch.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let mut parts = Vec::new();
            while !batch.is_empty() {
                let part: Vec<Work> = batch.drain(..size.min(batch.len())).collect();
                parts.push(scope.spawn(move || self.part(stage, part)));
            }
            let joined = parts.into_iter().map(thread::ScopedJoinHandle::join);
            joined.flat_map(|part| part.unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
        })
    }

    fn part(&self, stage: &Stage, part: Vec<Work>) -> Vec<(Work, Rendered)> {
        let each = part.into_iter().map(|work| {
            let rendered = self.work(stage, &work);
            (work, rendered)
        });
        each.collect()
    }
}
