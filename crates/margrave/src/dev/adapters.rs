//! What broker and worker need of the control plane, in their own words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    AheadLine, Coverage, DifferenceLine, FleetSummary, ProxyDetail, ProxyLine, RecordLine,
    RefusedLine, RegionLine, RenderedLine, SourceLine, Standing,
};
use model::{InstanceId, Operation, Spec, StepRecord};
use plane::{Plane, ProxyState};
use render::{Complaint, Draft};
use store::{Blobs, StoreError};
use worker::cloud::LocalCloud;

use super::others::Others;
use super::questions;
use crate::clock;
use crate::state::State;

/// The plane as the worker sees it.
pub struct PlaneFleet(pub Arc<Plane>, pub Arc<Others>);

#[async_trait]
impl worker::Fleet for PlaneFleet {
    async fn check(&self, instance: &InstanceId, spec: &Spec) -> Result<(), String> {
        self.0.check(instance, spec).await
    }

    async fn converged(
        &self,
        instance: &InstanceId,
        revision: u64,
        within: Duration,
    ) -> worker::Convergence {
        use plane::Convergence as Plane;
        match self.1.converged(&self.0, instance, revision, within).await {
            Plane::Live { proxies, notice } => worker::Convergence::Live { proxies, notice },
            Plane::Behind { have, ready, why } => worker::Convergence::Behind { have, ready, why },
            Plane::Rejected { reason } => worker::Convergence::Rejected { reason },
        }
    }
}

/// Plane and cloud as the broker shows them.
pub struct PlaneView {
    /// The plane.
    pub plane: Arc<Plane>,
    /// The cloud.
    pub cloud: Arc<LocalCloud>,
    /// Where documents of sources lie.
    pub blobs: Arc<dyn Blobs>,
    /// The other replicas.
    pub others: Arc<Others>,
    /// Where they can be asked.
    pub state: State,
}

#[async_trait]
impl broker::View for PlaneView {
    fn render(&self, id: &InstanceId, spec: &Spec) -> Result<Vec<RenderedLine>, Vec<String>> {
        let drafts = self.plane.preview(id, spec);
        let shown = |draft: Draft| RenderedLine {
            type_url: draft.type_url.as_str().to_owned(),
            name: draft.name.to_string(),
            resource: draft.json,
        };
        let said = |complaint: Complaint| match complaint.culprit {
            Some(culprit) => format!("{culprit}: {}", complaint.message),
            None => complaint.message,
        };
        drafts
            .map(|drafts| drafts.into_iter().map(shown).collect())
            .map_err(|complaints| complaints.into_iter().map(said).collect())
    }

    async fn check(&self, id: &InstanceId, spec: &Spec) -> Result<(), String> {
        self.plane.check(id, spec).await
    }

    fn steps(&self, operation: &Operation) -> Vec<StepRecord> {
        worker::pipeline::runbook(operation)
    }

    fn fleet(&self) -> FleetSummary {
        let fleet = self.plane.fleet();
        FleetSummary {
            revision: fleet.revision,
            instances: fleet.instances,
            quarantined: self.others.quarantined(&self.plane).len(),
            removals_held: fleet.removals_held,
            ahead: fleet.ahead.into_iter().map(ahead).collect(),
            regions: self.others.regions(&fleet.proxies).into_iter().map(region).collect(),
            proxies: self.all(fleet.proxies),
        }
    }

    async fn proxy(&self, id: &str) -> Option<ProxyDetail> {
        match self.plane.proxy(id) {
            Some(report) => Some(detail(report)),
            None => self.elsewhere(id).await,
        }
    }

    async fn standing(&self, id: &InstanceId) -> Option<Standing> {
        use plane::Convergence::{Behind, Live, Rejected};
        let plane::Description { revision, served, quarantine, notices } =
            self.plane.describe(id)?;
        let told = self.others.converged(&self.plane, id, revision, Duration::ZERO).await;
        // A quarantine is a replica's own: that of another is known by what it tells.
        let (proxies, refused) = match told {
            Live { proxies, .. } => (Some(Coverage { have: proxies, ready: proxies }), None),
            Behind { have, ready, .. } => (Some(Coverage { have, ready }), None),
            Rejected { reason } => (None, Some(reason)),
        };
        let quarantine = quarantine.or(refused);
        Some(Standing { revision, served, quarantine, notices, proxies })
    }

    async fn sources(&self) -> Result<Vec<SourceLine>, StoreError> {
        let statuses = context::source_statuses(&*self.blobs).await?;
        Ok(statuses.into_iter().map(|(name, status)| source(name, status)).collect())
    }

    async fn records(&self) -> Result<Vec<RecordLine>, String> {
        let records = self.cloud.records().await.map_err(|error| error.to_string())?;
        let line = |record: worker::Record| RecordLine {
            hostname: record.hostname.to_string(),
            instance: record.instance.to_string(),
            exposure: record.exposure.as_str().to_owned(),
        };
        Ok(records.into_iter().map(line).collect())
    }
}

fn source(name: String, status: context::SourceStatus) -> SourceLine {
    SourceLine {
        name,
        age_ms: status.staleness_ms(clock::now()),
        kind: status.kind,
        place: status.place,
        is_secret: status.is_secret,
        is_staged: status.is_staged,
        interval_ms: status.interval_ms,
        revision: status.revision,
        bytes: status.bytes,
        digest: status.digest,
        etag: status.etag,
        fetched_at: status.fetched_at,
        failing_since: status.failing_since,
        problem: status.problem,
    }
}

impl PlaneView {
    /// The proxies here and those of other replicas.
    fn all(&self, here: Vec<plane::Proxy>) -> Vec<ProxyLine> {
        let there = self.others.proxies(&here);
        let there = there.into_iter().map(|(replica, is_stale, it)| other(replica, is_stale, it));
        let mut all: Vec<ProxyLine> = there.collect();
        all.extend(here.into_iter().map(proxy));
        all.sort_by(|a, b| (&a.group, &a.id).cmp(&(&b.group, &b.id)));
        all
    }

    /// A proxy of another replica: which alone knows what it has in depth, and is asked.
    async fn elsewhere(&self, id: &str) -> Option<ProxyDetail> {
        let there = self.others.proxies(&[]).into_iter().find(|(_, _, proxy)| proxy.id == id);
        let (replica, is_stale, found) = there?;
        let asked = questions::ask(&self.state.questions(&replica), id).await;
        let known = |proxy, why: String| ProxyDetail {
            proxy,
            resources: BTreeMap::new(),
            differs: Vec::new(),
            more: 0,
            unknown: Some(format!("its replica `{replica}` tells no more: {why}")),
        };
        Some(match asked {
            Ok(Some(report)) => {
                let detail = detail(report);
                let proxy = ProxyLine { replica: Some(replica), ..detail.proxy };
                ProxyDetail { proxy, ..detail }
            }
            Ok(None) => known(
                other(replica.clone(), is_stale, found),
                "it is not connected there any more".to_owned(),
            ),
            Err(why) => known(other(replica.clone(), is_stale, found), why),
        })
    }
}

/// A proxy of another replica; one that told nothing for too long is not believed.
fn other(replica: String, is_stale: bool, found: plane::Proxy) -> ProxyLine {
    let mut line = proxy(found);
    line.replica = Some(replica);
    if is_stale {
        line.state = "stale".to_owned();
    }
    line
}

fn ahead(ahead: plane::AheadView) -> AheadLine {
    let plane::AheadView { kind, name, version, kept, proxies } = ahead;
    let (epoch, revision) = version.unzip();
    AheadLine { kind: kind.to_owned(), name, epoch, revision, kept, proxies }
}

#[async_trait]
impl console::View for PlaneView {
    async fn standing(&self, id: &InstanceId) -> Option<console::Standing> {
        let standing = broker::View::standing(self, id).await?;
        Some(console::Standing {
            revision: standing.revision,
            served: standing.served,
            quarantine: standing.quarantine,
            notices: standing.notices,
            have: standing.proxies.map(|proxies| proxies.have),
            ready: standing.proxies.map(|proxies| proxies.ready),
        })
    }
}

fn proxy(proxy: plane::Proxy) -> ProxyLine {
    let state = match proxy.state {
        ProxyState::Live => "live",
        ProxyState::Behind => "behind",
        ProxyState::Rejecting => "rejecting",
        ProxyState::Silent => "silent",
        ProxyState::Unconfirmed => "unconfirmed",
    };
    ProxyLine {
        id: proxy.id,
        group: proxy.group,
        region: proxy.region,
        envoy_version: proxy.envoy_version,
        state: state.to_owned(),
        replica: None,
        connected_at: proxy.connected_at,
        canary: proxy.canary,
        lacks: proxy.lacks,
        refuses: proxy.refuses.into_iter().map(refused).collect(),
        seen_at: proxy.seen_at,
        version: proxy.version,
    }
}

fn region((region, staleness_ms): (String, model::Millis)) -> RegionLine {
    RegionLine { region, staleness_ms }
}

fn detail(report: plane::ProxyReport) -> ProxyDetail {
    let plane::ProxyReport { proxy: line, resources, differs, more } = report;
    let differs = differs.into_iter().map(difference).collect();
    ProxyDetail { proxy: proxy(line), resources, differs, more, unknown: None }
}

fn refused(refused: plane::Refused) -> RefusedLine {
    let plane::Refused { owner, type_url, name, message } = refused;
    RefusedLine { owner, type_url, name, message }
}

fn difference(difference: plane::Difference) -> DifferenceLine {
    let plane::Difference { owner, type_url, name, version, refusal } = difference;
    DifferenceLine { owner, type_url, name, version, refusal }
}
