//! One tenant changes, and all proxies are told.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::crowd::Load;
use crate::moment::Moment;
use crate::product::{self, Product};

/// Where no tenant's upstream is.
pub(crate) const UPSTREAM: &str = "127.0.0.1:9";

/// What changes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// A route configuration: sent alone, in either protocol.
    Route,
    /// The set of scopes: sent whole in state-of-the-world.
    Hostname,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Route => "a tenant's route changes",
            Self::Hostname => "a tenant has a hostname more",
        })
    }
}

impl Change {
    /// One of so many tenants changes; how long after its acceptance each proxy had it, in order.
    pub(crate) async fn make(
        self,
        product: &Product,
        load: &mut Load,
        tenants: usize,
        round: usize,
    ) -> Result<Vec<Duration>> {
        let mark = format!("c{}-{round}", load.size());
        let (n, more) = match self {
            Self::Route => (round * 7 % tenants, None),
            Self::Hostname => (tenants - 1 - round % tenants, Some(product::host_of(&mark))),
        };
        let awaited = more.clone().unwrap_or_else(|| format!("t{n}"));
        let mut wish = product::parameters(n, UPSTREAM.parse()?, &mark);
        if let Some(hosts) = wish["hostnames"].as_array_mut() {
            hosts.extend(more.map(Into::into));
        }
        load.await_name(format!("public/{awaited}")).await?;
        product.change(n, &wish).await?;
        let began = Moment::now();
        let times = load.arrivals().await?;
        product.end(n).await?;
        Ok(times.into_iter().map(|at| at.since(began)).collect())
    }
}
