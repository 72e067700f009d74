//! The console, put together.

use std::sync::Arc;

use store::sqlite::Sqlite;

use super::adapters::PlaneView;
use crate::clock;
use crate::config::{Config, Listen};

/// How browsers reach the console.
pub fn url(config: &Config, listen: &Listen) -> String {
    config.console_url.clone().unwrap_or_else(|| format!("http://{}", listen.console))
}

/// What answers them.
pub fn router(
    config: &Config,
    listen: &Listen,
    store: &Arc<Sqlite>,
    view: Arc<PlaneView>,
) -> axum::Router {
    // Behind a balancer clients know other ports than ours.
    let direct = config.trusted_hops == 0;
    let pages = console::Config {
        secure: url(config, listen).starts_with("https://"),
        internal_port: direct.then_some(listen.internal.port()),
        public_port: direct.then_some(listen.public.port()),
    };
    let parts = console::Parts {
        store: Arc::<Sqlite>::clone(store),
        search: Arc::<Sqlite>::clone(store),
        sessions: Arc::<Sqlite>::clone(store),
        credentials: Arc::<Sqlite>::clone(store),
        proofs: Arc::<Sqlite>::clone(store),
        view,
        clock: Arc::new(clock::now),
        random: Arc::new(rand::random),
    };
    console::router(pages, parts)
}
