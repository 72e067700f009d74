//! A running plane with real proxies in front of it.

use std::net::SocketAddr;
use std::sync::Arc;

use model::InstanceId;
use plane::{Convergence, Validator};
use render::Templates;

use crate::envoy::{Envoy, Xds, get};
use crate::port::Port;
use crate::world::{PATIENCE, Running, World, spec, until};

pub(crate) fn id(text: &str) -> InstanceId {
    text.parse().unwrap()
}

pub(crate) fn live(proxies: usize) -> Convergence {
    Convergence::Live { proxies, notice: None }
}

pub(crate) async fn converged(running: &Running, instance: &str, revision: u64) -> Convergence {
    running.plane.converged(&id(instance), revision, PATIENCE).await
}

/// A running plane with its proxies, which answer at `front`.
pub(crate) struct Line {
    pub(crate) world: World,
    pub(crate) running: Running,
    pub(crate) xds: Xds,
    pub(crate) front: SocketAddr,
    pub(crate) envoys: Vec<Envoy>,
    /// Of the proxies' listeners.
    _ports: [Port; 2],
}

impl Line {
    /// With one proxy whose listeners answer.
    pub(crate) async fn up(templates: Templates) -> Self {
        Self::judged(templates, |_| Vec::new()).await
    }

    /// The same with Envoys that judge.
    pub(crate) async fn judged(
        templates: Templates,
        validators: impl FnOnce(&World) -> Vec<Arc<dyn Validator>>,
    ) -> Self {
        let mut world = World::new();
        let ports = [Port::take(), Port::take()];
        [world.platform.internal, world.platform.public] = ports.each_ref().map(|it| it.address);
        let front = world.platform.internal;
        let running = world.start_judged(templates, validators(&world));
        let xds = Xds::serve(&running.plane, Arc::new(Port::take())).await;
        let envoys = vec![Envoy::start("p1", xds.address)];
        let line = Self { world, running, xds, front, envoys, _ports: ports };
        assert_eq!(line.get("nobody.example.com").await.0, 404);
        line
    }

    pub(crate) async fn get(&self, host: &str) -> (u16, String) {
        get(self.front, host, "/").await
    }

    pub(crate) async fn publish(&self, instance: &str, upstream: SocketAddr) -> Convergence {
        let revision =
            self.world.publish(instance, Some(&spec(instance, &upstream.to_string()))).await;
        converged(&self.running, instance, revision).await
    }

    /// Another plane in place of this one; `between` happens while there is none. Returns when the
    /// proxy has found it.
    pub(crate) async fn restart<T>(
        &mut self,
        templates: Templates,
        between: impl AsyncFnOnce(&World) -> T,
    ) -> T {
        self.xds.end().await;
        self.running.end().await;
        let result = between(&self.world).await;
        self.running = self.world.start_with(templates, Arc::default());
        self.xds = Xds::serve(&self.running.plane, self.xds.port.clone()).await;
        until("the proxy comes back", || !self.running.plane.fleet().proxies.is_empty()).await;
        result
    }

    pub(crate) async fn down(mut self) {
        drop(self.envoys);
        self.xds.end().await;
        self.running.end().await;
    }
}
