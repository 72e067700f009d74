//! A discovery server on a port of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{Node, Resource, TypeUrl, Version};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use xds::{Ads, Cache, Change, Directory, Event, Limits, Options};

/// Long enough for a busy machine; nothing waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) cache: Arc<Cache>,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) address: String,
    pub(crate) ads: Ads,
    stop: Option<oneshot::Sender<()>>,
    one: Arc<One>,
}

/// Everybody is served from this.
struct One(Mutex<Arc<Cache>>);

impl Directory for One {
    fn assign(&self, node: &Node) -> Result<Arc<Cache>, String> {
        match node.cluster.as_str() {
            "stranger" => Err("no group `stranger`".to_owned()),
            _ => Ok(self.0.lock().unwrap().clone()),
        }
    }

    fn is_ready(&self) -> bool {
        self.0.lock().unwrap().is_open()
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default(), Options::default()).await
    }

    pub(crate) async fn with(limits: Limits, options: Options) -> Self {
        let server = Self::closed(limits, options).await;
        server.cache.open();
        server
    }

    /// A server whose cache is not open yet.
    pub(crate) async fn closed(limits: Limits, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let cache = Arc::new(Cache::new(options));
        let (sender, events) = mpsc::channel(1 << 16);
        let one = Arc::new(One(Mutex::new(cache.clone())));
        let ads = Ads::new(one.clone(), sender, limits);
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(xds::serve(listener, None, ads.clone(), async move {
            let _ = stopped.await;
        }));
        Self { cache, events, address, ads, stop: Some(stop), one }
    }

    /// Whoever comes from now on is served from this cache.
    pub(crate) fn assign(&self, cache: &Arc<Cache>) {
        *self.one.0.lock().unwrap() = cache.clone();
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// The next event that is what `pick` picks.
    pub(crate) async fn event<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.events.recv().await.expect("events go on");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the event comes")
    }

    pub(crate) async fn synced(&mut self) -> u64 {
        self.event(|event| match event {
            Event::Synced { seq, .. } => Some(seq),
            _ => None,
        })
        .await
    }

    /// Waits until the owner's change is settled, and fails if it is refused.
    pub(crate) async fn settled(&mut self, owner: &str) -> u64 {
        self.event(|event| match event {
            Event::Settled { owner: settled, seq, .. } if &*settled == owner => Some(seq),
            Event::Rejected { owner: refused, message, .. } if &*refused == owner => {
                panic!("{owner} was refused: {message}")
            }
            _ => None,
        })
        .await
    }

    /// Waits until something of the owner is refused.
    pub(crate) async fn rejected(&mut self, owner: &str) -> (u64, String, String) {
        self.event(|event| match event {
            Event::Rejected { owner: refused, seq, name, message, .. } if &*refused == owner => {
                Some((seq, name.to_string(), message))
            }
            Event::Settled { owner: settled, .. } if &*settled == owner => {
                panic!("{owner} settled")
            }
            _ => None,
        })
        .await
    }

    /// Waits for news of what a client came back with, which must be about this one.
    pub(crate) async fn ahead(&mut self, type_url: &str, name: &str, kept: bool) {
        let resources = self
            .event(|event| match event {
                Event::Ahead { resources, .. } => Some(resources),
                _ => None,
            })
            .await;
        let is_it = |it: &xds::Ahead| {
            it.type_url.as_str() == type_url && &*it.name == name && it.kept == kept
        };
        assert!(resources.iter().any(is_it), "{resources:?}");
    }

    pub(crate) fn apply(&self, owner: &str, set: &[Resource], remove: &[(&str, &str)]) -> u64 {
        self.cache.apply(vec![change(owner, set, remove)])
    }
}

pub(crate) fn change(owner: &str, set: &[Resource], remove: &[(&str, &str)]) -> Change {
    Change {
        owner: owner.into(),
        set: set.to_vec(),
        remove: remove.iter().map(|(kind, name)| (TypeUrl::new(kind), (*name).into())).collect(),
    }
}

pub(crate) fn resource(type_url: &str, name: &str, body: &str) -> Resource {
    let hash = Version::hash_of(body.as_bytes());
    Resource {
        type_url: TypeUrl::new(type_url),
        name: name.into(),
        version: Version { epoch: 1, revision: 1, hash },
        body: body.as_bytes().to_vec().into(),
    }
}
