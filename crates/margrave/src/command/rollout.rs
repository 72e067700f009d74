//! `margrave rollout`: the platform's templates, from one edition to another.

mod text;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use broker::{RevertWish, RolloutLine, RolloutPlan, RolloutStatus, RolloutWish};
use reqwest::Method;

use crate::client::{Access, Client};
use crate::failure::Failure;
use crate::output::Format;

/// How long a plan may take: every service is rendered, and Envoy is asked about what is new to it.
const PLAN_MAX: Duration = Duration::from_mins(10);

/// Roll out other templates to groups of proxies, stage by stage, and go back
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Plan(Plan),
    Start(Start),
    /// Tell which groups are given which edition, and how the latest roll-out stands
    Status(Plain),
    /// Tell the latest roll-outs
    List(Plain),
    /// Begin no further stage; the gates go on watching
    Pause(Plain),
    /// Go on with what was paused
    Resume(Plain),
    Revert(Revert),
}

/// What is rolled out: without any of these, what the configuration of the platform is.
#[derive(Debug, clap::Args)]
struct What {
    /// A folder of templates
    #[arg(long, value_name = "FOLDER", conflicts_with = "edition")]
    templates: Option<PathBuf>,

    /// An edition that there is; `margrave rollout status` tells which
    #[arg(long, value_name = "NUMBER")]
    edition: Option<u64>,
}

/// Tell what would change for every service, and send nothing: exit code 0 nothing, 2 something, 3 services would be refused
#[derive(Debug, clap::Args)]
struct Plan {
    #[command(flatten)]
    what: What,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// Begin: the groups of the first stage are given the edition, if no service would be refused
#[derive(Debug, clap::Args)]
struct Start {
    #[command(flatten)]
    what: What,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// What is asked without a word more.
#[derive(Debug, clap::Args)]
struct Plain {
    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

/// Give all groups at once what they had before, or an earlier edition; gates only tell
#[derive(Debug, clap::Args)]
struct Revert {
    /// The edition to go back to; without it, the one before the latest roll-out
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,

    #[command(flatten)]
    output: Format,

    #[command(flatten)]
    access: Access,
}

impl Args {
    /// One of its commands.
    pub fn run(self) -> Result<(), Failure> {
        let runtime = super::runtime()?;
        match self.command {
            Command::Plan(args) => runtime.block_on(args.run()),
            Command::Start(args) => runtime.block_on(args.run()),
            Command::Status(args) => runtime.block_on(args.status()),
            Command::List(args) => runtime.block_on(args.list()),
            Command::Pause(args) => runtime.block_on(args.act("pause")),
            Command::Resume(args) => runtime.block_on(args.act("resume")),
            Command::Revert(args) => runtime.block_on(args.run()),
        }
    }
}

impl Plan {
    async fn run(self) -> Result<(), Failure> {
        let wish = self.what.read()?;
        let client = self.access.client()?;
        let request = client.request(Method::POST, "/v1/rollouts/plan").json(&wish);
        let request = request.timeout(PLAN_MAX);
        let plan: RolloutPlan = client.ask(request).await?;
        self.output.print(&plan, || text::plan(&plan))?;
        match (plan.refused_count, plan.changed_count) {
            (0, 0) => Ok(()),
            (0, _) => Err(Failure::WouldChange),
            (count, _) => Err(Failure::Refused(format!(
                "{count} would be refused: nothing would be rolled out"
            ))),
        }
    }
}

impl Start {
    async fn run(self) -> Result<(), Failure> {
        let wish = self.what.read()?;
        let client = self.access.client()?;
        let request = client.request(Method::POST, "/v1/rollouts").json(&wish);
        let request = request.timeout(PLAN_MAX);
        told(&client, request, &self.output).await
    }
}

impl Plain {
    async fn status(self) -> Result<(), Failure> {
        let client = self.access.client()?;
        let request = client.request(Method::GET, "/v1/rollouts/status");
        let status: RolloutStatus = client.ask(request).await?;
        Ok(self.output.print(&status, || text::status(&status))?)
    }

    async fn list(self) -> Result<(), Failure> {
        let client = self.access.client()?;
        let all: Vec<RolloutLine> = client.ask(client.request(Method::GET, "/v1/rollouts")).await?;
        Ok(self.output.print(&all, || text::list(&all))?)
    }

    async fn act(self, verb: &str) -> Result<(), Failure> {
        let client = self.access.client()?;
        let request = client.request(Method::POST, &format!("/v1/rollouts/{verb}"));
        told(&client, request, &self.output).await
    }
}

impl Revert {
    async fn run(self) -> Result<(), Failure> {
        let client = self.access.client()?;
        let wish = RevertWish { edition: self.to };
        let request = client.request(Method::POST, "/v1/rollouts/revert").json(&wish);
        told(&client, request, &self.output).await
    }
}

async fn told(
    client: &Client,
    request: reqwest::RequestBuilder,
    output: &Format,
) -> Result<(), Failure> {
    let rollout: RolloutLine = client.ask(request).await?;
    Ok(output.print(&rollout, || text::rollout(&rollout))?)
}

impl What {
    fn read(&self) -> anyhow::Result<RolloutWish> {
        let templates = self.templates.as_deref().map(templates).transpose()?;
        Ok(RolloutWish { edition: self.edition, templates })
    }
}

fn templates(folder: &Path) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
    let files = crate::dev::templates::read(folder);
    Ok(files.with_context(|| format!("cannot read {}", folder.display()))?.into_iter().collect())
}
