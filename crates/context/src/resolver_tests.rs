//! The resolver against answers that are handed in, and a clock that is paused.

use std::collections::HashMap;

use model::Plan;
use model::descriptor::{Auth, HeaderRules, Parameters};

use super::*;
use crate::testing::Kept;

/// Answers what it was told; a name without an answer fails, a name in `slow` never answers.
#[derive(Default)]
struct Told {
    answers: Mutex<HashMap<String, Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
    slow: Option<String>,
    asked_one: Notify,
}

impl Told {
    fn tell(&self, host: &str, ips: &[&str]) {
        lock(&self.answers)
            .insert(host.to_owned(), ips.iter().map(|ip| ip.parse().unwrap()).collect());
    }

    fn unlearn(&self, host: &str) {
        lock(&self.answers).remove(host);
    }

    fn times(&self, host: &str) -> usize {
        lock(&self.asked).iter().filter(|asked| *asked == host).count()
    }

    async fn until_asked(&self, host: &str, times: usize) {
        while self.times(host) < times {
            self.asked_one.notified().await;
        }
    }
}

#[async_trait::async_trait]
impl Lookup for Told {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        lock(&self.asked).push(host.to_owned());
        self.asked_one.notify_one();
        if self.slow.as_deref() == Some(host) {
            std::future::pending::<()>().await;
        }
        lock(&self.answers).get(host).cloned().ok_or(io::ErrorKind::NotFound.into())
    }
}

fn resolver(told: &Arc<Told>) -> Arc<Resolver> {
    let own = vec!["127.0.0.1:9901".parse().unwrap()];
    Resolver::new(told.clone(), AddressPolicy::dev(own), Arc::new(|| 0.5))
}

fn spec(addresses: &[&str]) -> Spec {
    let address = |text: &&str| {
        let (host, port) = text.rsplit_once(':').unwrap();
        Address { host: host.to_owned(), port: port.parse().unwrap() }
    };
    let addresses = addresses.iter().map(address).collect();
    let parameters = Parameters {
        service: "shop".parse().unwrap(),
        upstream: Some(Upstream { addresses, tls: false, health_check: None }),
        hostnames: Vec::new(),
        routes: Vec::new(),
        upstreams: BTreeMap::new(),
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        auth: Auth::None,
    };
    Spec { plan: Plan::Internal, parameters, hostnames: Vec::new() }
}

fn user(id: &str) -> InstanceId {
    id.parse().unwrap()
}

fn found(resolver: &Resolver, spec: &Spec) -> Vec<String> {
    resolver.resolve(spec).endpoints[DEFAULT_UPSTREAM].iter().map(ToString::to_string).collect()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn literal_addresses_and_localhost_need_no_question() {
    let told = Arc::<Told>::default();
    let resolver = resolver(&told);
    let spec = spec(&["10.0.0.2:80", "10.0.0.1:80", "localhost:3000", "shop.localhost:3000"]);
    assert!(resolver.follow(&user("a"), &spec).is_none());
    assert_eq!(found(&resolver, &spec), ["10.0.0.1:80", "10.0.0.2:80", "127.0.0.1:3000"]);
    assert!(lock(&told.asked).is_empty());
}

#[tokio::test]
async fn what_the_policy_refuses_is_no_endpoint_and_is_said() {
    let told = Arc::<Told>::default();
    told.tell("evil.example", &["169.254.169.254"]);
    told.tell("mixed.example", &["169.254.169.254", "10.0.0.9"]);
    let resolver = resolver(&told);
    for (address, endpoints, notice) in [
        ("127.0.0.1:9901", vec![], Some("one of the platform's own ports")),
        ("evil.example:80", vec![], Some("leads to 169.254.169.254, which is the address of")),
        ("mixed.example:80", vec!["10.0.0.9:80"], None),
    ] {
        let spec = spec(&[address]);
        if let Some(pending) = resolver.follow(&user("a"), &spec) {
            pending.wait(SECOND).await;
        }
        assert_eq!(found(&resolver, &spec), endpoints, "{address}");
        let notices = resolver.resolve(&spec).notices;
        assert_eq!(notices.len(), usize::from(notice.is_some()), "{notices:?}");
        assert!(notices.iter().all(|said| said.contains(notice.unwrap())), "{notices:?}");
    }
    let said = resolver.check(&spec(&["127.0.0.1:9901"])).unwrap_err().to_string();
    assert!(said.contains("upstream `default`: 127.0.0.1:9901 is one of"), "{said}");
    assert_eq!(resolver.check(&spec(&["evil.example:80"])), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_name_is_waited_for_only_so_long() {
    let told = Arc::new(Told { slow: Some("slow.example".to_owned()), ..Told::default() });
    told.tell("quick.example", &["10.0.0.1"]);
    let resolver = resolver(&told);
    let spec = spec(&["slow.example:80", "quick.example:80"]);
    let pending = resolver.follow(&user("a"), &spec).unwrap();
    let before = Instant::now();
    pending.wait(SECOND).await;
    assert_eq!(before.elapsed(), SECOND);
    assert_eq!(found(&resolver, &spec), ["10.0.0.1:80"]);
    assert!(resolver.resolve(&spec).notices[0].contains("`slow.example` does not resolve"));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_again_and_its_users_are_told() {
    let told = Arc::<Told>::default();
    told.tell("x.example", &["10.0.0.2", "10.0.0.1", "2001:db8::1"]);
    let resolver = resolver(&told);
    let run = tokio::spawn(resolver.clone().run());
    let spec = spec(&["X.example:80"]);
    resolver.follow(&user("a"), &spec).unwrap().wait(SECOND).await;
    assert!(resolver.follow(&user("b"), &spec).is_none(), "a known name is no reason to wait");
    assert_eq!(found(&resolver, &spec), ["10.0.0.1:80", "10.0.0.2:80"], "IPv4, in order");
    resolver.changed().await;

    told.tell("x.example", &["10.0.0.3"]);
    assert_eq!(resolver.changed().await, [user("a"), user("b")]);
    assert_eq!(found(&resolver, &spec), ["10.0.0.3:80"]);

    told.unlearn("x.example");
    told.until_asked("x.example", told.times("x.example") + 2).await;
    assert_eq!(found(&resolver, &spec), ["10.0.0.3:80"], "the last good answer stays");
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn a_name_without_users_is_not_asked_again() {
    let told = Arc::<Told>::default();
    told.tell("x.example", &["10.0.0.1"]);
    told.tell("y.example", &["10.0.0.1"]);
    let resolver = resolver(&told);
    let run = tokio::spawn(resolver.clone().run());
    let wish = spec(&["x.example:80"]);
    resolver.follow(&user("a"), &wish).unwrap().wait(SECOND).await;
    resolver.follow(&user("b"), &wish);
    resolver.follow(&user("a"), &spec(&["y.example:80"]));
    resolver.forget(&user("b"));
    told.until_asked("y.example", 3).await;
    assert_eq!(told.times("x.example"), 1);
    assert_eq!(resolver.table().counts(), (1, 0));
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_without_name_servers_the_remembered_addresses_serve() {
    let (blobs, told) = (Arc::<Kept>::default(), Arc::<Told>::default());
    told.tell("x.example", &["10.0.0.1"]);
    let wish = spec(&["x.example:80"]);
    let first = resolver(&told);
    first.follow(&user("a"), &wish).unwrap().wait(SECOND).await;
    tokio::select! {
        () = first.remember(&*blobs) => {},
        () = blobs.1.notified() => {},
    }

    told.unlearn("x.example");
    let second = resolver(&told);
    second.recall(&*blobs).await.unwrap();
    assert!(second.follow(&user("a"), &wish).is_none());
    told.until_asked("x.example", 2).await;
    assert_eq!(found(&second, &wish), ["10.0.0.1:80"]);
}
