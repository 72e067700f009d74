//! Many tenants coming, changing and going under load: nobody sees a wrong answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::backend::Backend;
use crate::platform::Platform;
use crate::service;
use crate::wire::{self, Answer};

/// Asks the same hosts again and again, and keeps every answer that was not allowed at that time.
pub(crate) struct Loop {
    allowed: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

/// An answer in a word: the backend's name, or the status.
fn word(answer: &Answer) -> String {
    match answer.backend() {
        Some(backend) if answer.status == 200 => backend.to_owned(),
        _ => answer.status.to_string(),
    }
}

impl Loop {
    pub(crate) fn start(address: SocketAddr, tasks: usize) -> Self {
        let mut this = Self {
            allowed: Arc::default(),
            wrong: Arc::default(),
            asked: Arc::default(),
            stop: Arc::default(),
            tasks: Vec::new(),
        };
        for offset in 0..tasks {
            this.tasks.push(this.task(address, offset));
        }
        this
    }

    fn task(&self, address: SocketAddr, offset: usize) -> JoinHandle<()> {
        let (allowed, wrong) = (self.allowed.clone(), self.wrong.clone());
        let (asked, stop) = (self.asked.clone(), self.stop.clone());
        tokio::spawn(async move {
            let mut turn = offset;
            while !stop.load(Ordering::Relaxed) {
                turn += 1;
                let next = {
                    let allowed = allowed.lock().expect("not poisoned");
                    let at = if allowed.is_empty() { 0 } else { turn * 7 % allowed.len() };
                    allowed.iter().nth(at).map(|(host, words)| (host.clone(), words.clone()))
                };
                let Some((host, before)) = next else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let said = word(&wire::get(address, &host, "/").await);
                asked.fetch_add(1, Ordering::Relaxed);
                // What was allowed may change while the request is under way: either will do.
                let after = allowed.lock().expect("not poisoned").get(&host).cloned();
                let fine = before.contains(&said) || after.is_none_or(|now| now.contains(&said));
                if !fine {
                    wrong
                        .lock()
                        .expect("not poisoned")
                        .push(format!("{host}: {said}, not {before:?}"));
                }
            }
        })
    }

    /// From now on the host may answer with any of these words.
    pub(crate) fn allow(&self, host: &str, words: &[&str]) {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        self.allowed.lock().expect("not poisoned").insert(host.to_owned(), words);
    }

    pub(crate) async fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("the loop runs");
        }
        let wrong = self.wrong.lock().expect("not poisoned");
        assert!(
            wrong.is_empty(),
            "{} wrong answers, the first: {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
        self.asked.load(Ordering::Relaxed)
    }
}

const TENANTS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_tenants_come_change_and_go() {
    let platform = Platform::start().await;
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let requests = Loop::start(platform.endpoints.public, 2);
    let host = |n: usize| format!("t{n}.example.com");
    for n in 0..TENANTS {
        platform
            .provision(&format!("i{n}"), &service(&format!("t{n}"), &old.url(), "public"))
            .await;
        requests.allow(&host(n), &["old"]);
    }
    for n in 0..TENANTS {
        requests.allow(&host(n), &["old", "new"]);
        platform.update(&format!("i{n}"), &changed(n, &new.url())).await;
        requests.allow(&host(n), &["new"]);
    }
    for n in 0..TENANTS {
        requests.allow(&host(n), &["new", "404"]);
        platform.deprovision(&format!("i{n}")).await;
        requests.allow(&host(n), &["404"]);
    }
    let asked = requests.finish().await;
    assert!(asked > TENANTS, "only {asked} requests were made");
}

/// Each kind of change in turn: the cluster in place, another cluster, a second hostname.
fn changed(n: usize, new: &str) -> serde_json::Value {
    let mut descriptor = service(&format!("t{n}"), new, "public");
    match n % 3 {
        0 => {}
        1 => {
            descriptor.as_object_mut().expect("an object").remove("upstream");
            descriptor["routes"] =
                json!([{"name": "all", "match": {"prefix": "/"}, "to": "other"}]);
            let address = new.trim_start_matches("http://");
            descriptor["upstreams"] = json!({"other": {"addresses": [address]}});
        }
        _ => {
            descriptor["hostnames"] =
                json!([format!("t{n}.example.com"), format!("u{n}.example.com")])
        }
    }
    descriptor
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostname_moves_from_one_service_to_another() {
    let platform = Platform::start().await;
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let with = |name: &str, upstream: &str, hosts: &[&str]| json!({"service": name, "upstream": upstream, "visibility": "public", "hostnames": hosts});
    let (keeps, moves, other) = ("one.example.com", "moves.example.com", "two.example.com");
    platform.provision("one", &with("one", &one.url(), &[keeps, moves])).await;
    platform.provision("two", &with("two", &two.url(), &[other])).await;
    let requests = Loop::start(platform.endpoints.public, 2);
    requests.allow(keeps, &["one"]);
    requests.allow(moves, &["one"]);
    requests.allow(other, &["two"]);

    let refused = platform.patch("two", &with("two", &two.url(), &[other, moves])).await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    let told = refused.body["description"].as_str().unwrap_or_default();
    assert!(told.contains("one") && told.contains(moves), "the owner is named: {told}");

    for (from, to, from_url, to_url) in [
        (("one", keeps), ("two", other), one.url(), two.url()),
        (("two", other), ("one", keeps), two.url(), one.url()),
    ] {
        requests.allow(moves, &[from.0, "404"]);
        platform.update(from.0, &with(from.0, &from_url, &[from.1])).await;
        requests.allow(moves, &["404", to.0]);
        platform.update(to.0, &with(to.0, &to_url, &[to.1, moves])).await;
        requests.allow(moves, &[to.0]);
    }
    requests.finish().await;
}
