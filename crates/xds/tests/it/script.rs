//! Conversations as text: each line is what the test does, or what the client must hear.
//!
//! | line | means |
//! |---|---|
//! | `set OWNER type/name=body -type/name …` | in one change, an owner's resources come, change or go |
//! | `ask TYPE name …` | delta: subscribes; state of the world: exactly these names |
//! | `leave TYPE name …` | delta only: unsubscribes |
//! | `resume TYPE name … with name=body …` | delta only: a first request that tells what it holds |
//! | `resume TYPE name … with last` | state of the world only: with the version of the last connection |
//! | `stale TYPE name …` | like `ask`, with a nonce that was never given |
//! | `got TYPE item …` | the next response is exactly this, and is acknowledged |
//! | `hears LABEL TYPE item …` | the same, not answered yet |
//! | `ack LABEL`, `nack LABEL words` | answers it |
//! | `end TYPE` | streams of single types only: the client ends that of this type |
//! | `rejoin` | the client comes back on a new stream |
//! | `synced`, `settled OWNER`, `rejected OWNER name` | the next event about it |
//! | `guard EPOCH REVISION` | here nothing was made after these |
//! | `guard EPOCH REVISION after EPOCH.REVISION` | and what was made after that, before this epoch, was lost |
//! | `guard EPOCH REVISION waits` | here nothing was made after these, but more may come to be known |
//! | `guard EPOCH REVISION complete N` | and only what was made up to N is given to all |
//! | `unguard` | whatever was kept may go |
//! | `kept TYPE name`, `older TYPE name` | the next event about what a client came back with |
//! | `ended` | delta only: the server ends the stream |
//! | `quiet` | the server has nothing to say |
//!
//! What is held, `name=body`, is of version 1.1 unless it is `name@EPOCH.REVISION=body`.
//!
//! An item is `name` or `name=body`, `-name` when removed, and `name=` when it is there and blank.
//! In state of the world, where resources bear no name, an item is the body, or `name=` when blank.

use std::collections::HashMap;

use model::TypeUrl;
use model::type_urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE};
use xds::{Change, Guard};

use crate::server::{Server, change, resource};

pub(crate) const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
pub(crate) const RUNTIME: &str = "type.googleapis.com/envoy.service.runtime.v3.Runtime";

/// The type of a word.
pub(crate) fn type_url(word: &str) -> &'static str {
    match word {
        "cluster" => CLUSTER,
        "endpoint" => ENDPOINT,
        "listener" => LISTENER,
        "route" => ROUTE,
        "scope" => SCOPED_ROUTE,
        "host" => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        "extension" => EXTENSION,
        "runtime" => RUNTIME,
        "other" => "type.googleapis.com/test.Other",
        _ => panic!("no type `{word}`"),
    }
}

/// Someone who speaks one of the protocols.
pub(crate) trait Speaker: Sized {
    type Response;
    async fn join(server: &Server, before: Option<Self>) -> Self;
    async fn ask(&mut self, type_url: &str, names: &[&str]);
    async fn leave(&mut self, type_url: &str, names: &[&str]);
    async fn resume(&mut self, type_url: &str, names: &[&str], held: &[&str]);
    async fn stale(&mut self, type_url: &str, names: &[&str]);
    async fn hear(&mut self) -> Self::Response;
    async fn answer(&mut self, response: &Self::Response, refusal: Option<&str>);
    async fn quiet(&mut self);
    async fn ended(&mut self);
    async fn end(&mut self, type_url: &str) {
        panic!("one stream has all types, {type_url} too");
    }
    /// Checks a response, whose items are in any order.
    fn check(response: &Self::Response, type_url: &str, items: &[&str]);
}

/// Runs a conversation.
pub(crate) async fn run<S: Speaker>(mut server: Server, name: &str, script: &str) {
    let mut speaker = S::join(&server, None).await;
    let mut heard: HashMap<String, S::Response> = HashMap::new();
    for (at, line) in script.lines().map(str::trim).enumerate() {
        eprintln!("{name}:{at}: {line}");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            ["set", owner, ref what @ ..] => {
                server.cache.apply(vec![wish(owner, what)]);
            }
            ["ask", kind, ref names @ ..] => speaker.ask(type_url(kind), names).await,
            ["leave", kind, ref names @ ..] => speaker.leave(type_url(kind), names).await,
            ["stale", kind, ref names @ ..] => speaker.stale(type_url(kind), names).await,
            ["resume", kind, ref rest @ ..] => {
                let with = rest.iter().position(|word| *word == "with").expect("`with`");
                let (names, held) = (&rest[..with], &rest[with + 1..]);
                speaker.resume(type_url(kind), names, held).await;
            }
            ["got", kind, ref items @ ..] => {
                let response = speaker.hear().await;
                S::check(&response, type_url(kind), items);
                speaker.answer(&response, None).await;
            }
            ["hears", label, kind, ref items @ ..] => {
                let response = speaker.hear().await;
                S::check(&response, type_url(kind), items);
                heard.insert(label.to_owned(), response);
            }
            ["ack", label] => speaker.answer(&heard[label], None).await,
            ["nack", label, ref words @ ..] => {
                speaker.answer(&heard[label], Some(&words.join(" "))).await;
            }
            ["guard", epoch, revision, ref after @ ..] => {
                let number = |text: &str| text.parse().expect("a number");
                let order = |text: &str| {
                    let (epoch, revision) = text.split_once('.').expect("EPOCH.REVISION");
                    (number(epoch), number(revision))
                };
                server.cache.reach(number(revision));
                let (waits, complete, lost_after) = match after {
                    [] => (false, revision, None),
                    ["waits"] => (true, revision, None),
                    ["complete", complete] => (false, *complete, None),
                    ["after", after] => (false, revision, Some(order(after))),
                    other => panic!("guard … {other:?}"),
                };
                server.cache.complete(number(complete));
                server.cache.guard(Guard { epoch: number(epoch), lost_after, waits });
            }
            ["unguard"] => server.cache.guard(Guard::default()),
            ["kept", kind, name] => server.ahead(type_url(kind), name, true).await,
            ["older", kind, name] => server.ahead(type_url(kind), name, false).await,
            ["ended"] => speaker.ended().await,
            ["end", kind] => speaker.end(type_url(kind)).await,
            ["rejoin"] => speaker = S::join(&server, Some(speaker)).await,
            ["quiet"] => speaker.quiet().await,
            ["synced"] => _ = server.synced().await,
            ["settled", owner] => _ = server.settled(owner).await,
            ["rejected", owner, name] => assert_eq!(server.rejected(owner).await.1, name),
            _ => panic!("{name}:{at}: cannot read `{line}`"),
        }
    }
    speaker.quiet().await;
}

fn wish(owner: &str, what: &[&str]) -> Change {
    let place = |path: &str| {
        let (kind, name) = path.split_once('/').expect("type/name");
        (type_url(kind), name.to_owned())
    };
    let mut all = change(owner, &[], &[]);
    for word in what {
        if let Some(path) = word.strip_prefix('-') {
            let (kind, name) = place(path);
            all.remove.push((TypeUrl::new(kind), name.into()));
        } else {
            let (path, body) = word.split_once('=').expect("type/name=body");
            let (kind, name) = place(path);
            all.set.push(resource(kind, &name, body));
        }
    }
    all
}
