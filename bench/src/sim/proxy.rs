//! A proxy as the simulation has it: it subscribes and unsubscribes as Envoy does, comes back with what
//! it had, and notes whatever must never happen to it.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use model::type_urls;
use prost::Message;

use crate::proxy::{Hello, LAYER, TYPES, is_named, names};
use crate::wire::{Messages, Request, Response, answer, frame};

/// The order of what is sent in place of a route configuration that is gone: an empty one.
const NOTHING: (u64, u64) = (0, 0);

/// A resource that it has, or had.
struct Held {
    version: Arc<str>,
    order: (u64, u64),
    is_here: bool,
}

/// What one proxy has.
#[derive(Default)]
pub(crate) struct Proxy {
    has: HashMap<&'static str, HashMap<Arc<str>, Held>>,
    /// The route configuration of each scope, and how many scopes name each.
    routes: HashMap<Arc<str>, Arc<str>>,
    named: HashMap<Arc<str>, usize>,
    /// The sum of the digests of all that is here.
    digest: u64,
    messages: Messages,
    /// Words that all proxies of the process share.
    words: Words,
    /// It has had so many scopes at once that fewer than `floor` are a fault.
    is_full: bool,
    floor: usize,
}

/// Strings, each once.
#[derive(Clone, Default)]
pub(crate) struct Words(Arc<std::sync::Mutex<std::collections::HashSet<Arc<str>>>>);

impl Words {
    fn of(&self, word: &str) -> Arc<str> {
        let mut words = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = words.get(word) {
            return known.clone();
        }
        let word: Arc<str> = word.into();
        words.insert(word.clone());
        word
    }
}

impl Proxy {
    /// That has nothing; never fewer than `floor` scopes once it has had as many.
    pub(crate) fn new(words: Words, floor: usize) -> Self {
        Self { words, floor, ..Self::default() }
    }

    /// Equal for proxies that have the same.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// All that it has: kind, name and version.
    pub(crate) fn here(&self) -> BTreeSet<String> {
        let all = self.has.iter().flat_map(|(kind, has)| has.iter().map(move |it| (kind, it)));
        let here = all.filter(|(_, (_, held))| held.is_here);
        here.map(|(kind, (name, held))| format!("{kind} {name} {}", content(&held.version)))
            .collect()
    }

    /// What it says on a new stream, once it is introduced.
    pub(crate) fn comes_back(&mut self) -> Vec<Bytes> {
        self.messages.clear();
        let all = TYPES.iter().map(|type_url| {
            let here =
                self.has.get(type_url).into_iter().flatten().filter(|(_, held)| held.is_here);
            let known: Vec<_> = here.collect();
            let asked = if is_named(type_url) { self.asked(type_url) } else { Vec::new() };
            frame(&Hello {
                node: None,
                type_url: (*type_url).to_owned(),
                subscribe: asked,
                initial: known
                    .into_iter()
                    .map(|(name, held)| (name.to_string(), held.version.to_string()))
                    .collect(),
            })
        });
        all.collect()
    }

    /// What it asks for by name.
    fn asked(&self, type_url: &str) -> Vec<String> {
        if type_url == type_urls::RUNTIME {
            return vec![LAYER.to_owned()];
        }
        if type_url == type_urls::ROUTE {
            return self.named.keys().map(ToString::to_string).collect();
        }
        let held = self.has.get(type_urls::CLUSTER).into_iter().flatten();
        held.filter(|(_, held)| held.is_here).map(|(name, _)| name.to_string()).collect()
    }

    /// Takes bytes of the stream; what it says to the next whole response that they make, and what
    /// must not have happened. `None`: there is none yet.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Option<(Vec<Bytes>, Vec<String>)>> {
        self.messages.push(bytes);
        let Some(message) = self.messages.next() else { return Ok(None) };
        let response = Response::decode(message).context("a response")?;
        self.learn(&response).map(Some)
    }

    fn learn(&mut self, response: &Response) -> Result<(Vec<Bytes>, Vec<String>)> {
        let mut says = vec![answer(response, None)];
        let Some(kind) = TYPES.iter().find(|kind| **kind == response.type_url) else {
            return Ok((says, Vec::new()));
        };
        let mut wrong = Vec::new();
        let (mut more, mut less) = (Vec::new(), Vec::new());
        for resource in &response.resources {
            wrong.extend(self.set(kind, &resource.name, &resource.version));
            match *kind {
                type_urls::CLUSTER => more.extend(names(resource, false)?),
                type_urls::SCOPED_ROUTE => {
                    let route = names(resource, true)?;
                    self.point(&resource.name, route.as_deref(), &mut more, &mut less);
                }
                _ => {}
            }
        }
        for name in &response.removed {
            self.unset(kind, name);
            if *kind == type_urls::CLUSTER {
                less.push(name.clone());
            } else if *kind == type_urls::SCOPED_ROUTE {
                self.point(name, None, &mut more, &mut less);
            }
        }
        let next = match *kind {
            type_urls::CLUSTER => type_urls::ENDPOINT,
            type_urls::SCOPED_ROUTE => type_urls::ROUTE,
            _ => return Ok((says, wrong)),
        };
        less.iter().for_each(|name| self.unset(next, name));
        more.retain(|name| !self.is_here(next, name));
        if !(more.is_empty() && less.is_empty()) {
            let type_url = next.to_owned();
            let (subscribe, unsubscribe) = (more, less);
            says.push(frame(&Request { type_url, subscribe, unsubscribe, ..Request::default() }));
        }
        wrong.extend(self.emptied());
        Ok((says, wrong))
    }

    /// Fewer scopes than there ever should be.
    fn emptied(&mut self) -> Option<String> {
        let scopes = self.routes.len();
        self.is_full |= scopes >= self.floor;
        (self.is_full && scopes < self.floor)
            .then(|| format!("emptied: {scopes} scopes of at least {}", self.floor))
    }

    fn is_here(&self, kind: &str, name: &str) -> bool {
        self.has.get(kind).and_then(|has| has.get(name)).is_some_and(|held| held.is_here)
    }

    fn set(&mut self, kind: &'static str, name: &str, version: &str) -> Option<String> {
        let order = order(version);
        if order == NOTHING {
            self.unset(kind, name);
            return None;
        }
        let (name, version) = (self.words.of(name), self.words.of(version));
        let new = Held { version: version.clone(), order, is_here: true };
        let old = self.has.entry(kind).or_default().insert(name.clone(), new);
        self.digest = self.digest.wrapping_add(digest(kind, &name, &version));
        let old = old?;
        if old.is_here {
            self.digest = self.digest.wrapping_sub(digest(kind, &name, &old.version));
        }
        let what = match old.order.cmp(&order) {
            _ if content(&old.version) == content(&version) => return None,
            Ordering::Less => return None,
            Ordering::Equal => "two contents of one version",
            Ordering::Greater => "backwards",
        };
        Some(format!("{what}: {kind} {name} from {} to {version}", old.version))
    }

    fn unset(&mut self, kind: &'static str, name: &str) {
        let held = self.has.get_mut(kind).and_then(|has| has.get_mut(name));
        let Some(held) = held.filter(|held| held.is_here) else { return };
        held.is_here = false;
        let gone = digest(kind, name, &held.version);
        self.digest = self.digest.wrapping_sub(gone);
    }

    /// A scope names another route configuration from now on, or none.
    fn point(
        &mut self,
        scope: &str,
        to: Option<&str>,
        more: &mut Vec<String>,
        less: &mut Vec<String>,
    ) {
        let scope = self.words.of(scope);
        let to = to.map(|to| self.words.of(to));
        let before = match &to {
            Some(to) => self.routes.insert(scope, to.clone()),
            None => self.routes.remove(&scope),
        };
        if before == to {
            return;
        }
        if let Some(to) = to {
            let named = self.named.entry(to.clone()).or_default();
            *named += 1;
            if *named == 1 {
                less.retain(|name| **name != *to);
                more.push(to.to_string());
            }
        }
        let Some(before) = before else { return };
        if let Some(named) = self.named.get_mut(&before) {
            *named -= 1;
            if *named == 0 {
                self.named.remove(&before);
                more.retain(|name| **name != *before);
                less.push(before.to_string());
            }
        }
    }
}

/// What a version says of its place: epoch and revision.
fn order(version: &str) -> (u64, u64) {
    let parse = || {
        let (order, _) = version.split_once('-')?;
        let (epoch, revision) = order.split_once('.')?;
        Some((epoch.parse().ok()?, revision.parse().ok()?))
    };
    parse().unwrap_or_default()
}

/// What a version says of the content. The same content may have another place after a restart.
fn content(version: &str) -> &str {
    version.split_once('-').map_or(version, |(_, content)| content)
}

fn digest(kind: &str, name: &str, version: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, name, content(version)).hash(&mut hasher);
    hasher.finish()
}
