//! Renders instances, each alone and for every group; in bulk on all cores.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use model::{InstanceId, Node, Spec};
use render::{Complaint, Endpoints, Input, Platform, Templates};

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
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) platform: Arc<Platform>,
    pub(crate) nodes: Vec<(Arc<str>, Node)>,
}

/// The renderer.
#[derive(Debug, Clone)]
pub(crate) struct Renderer {
    templates: Templates,
    count: Arc<AtomicU64>,
}

impl Renderer {
    /// With these templates.
    pub(crate) fn new(templates: Templates) -> Self {
        Self { templates, count: Arc::default() }
    }

    /// How often instances were rendered since the start.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// What a group gets beside its instances.
    pub(crate) fn group(
        &self,
        platform: &Platform,
        node: &Node,
    ) -> Result<Vec<render::Draft>, Vec<Complaint>> {
        self.templates.group(platform, node)
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
        let render = |node: &Node| {
            self.count.fetch_add(1, Ordering::Relaxed);
            let Terms { callers, withheld } = terms;
            let input = Input { id, spec, endpoints, callers, withheld };
            let rendered = self.templates.instance(&stage.platform, node, input);
            metrics::rendered(rendered.is_ok());
            rendered
        };
        let nodes = stage.nodes.iter();
        match stage.nodes.first() {
            Some((_, any)) if self.templates.varies_by().is_empty() => {
                let drafts = render(any)?;
                Ok(nodes.map(|(group, _)| (group.clone(), drafts.clone())).collect())
            }
            _ => nodes.map(|(group, node)| Ok((group.clone(), render(node)?))).collect(),
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
