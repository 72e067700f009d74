//! What a client has of what it names, as one number: the same in every process where the same is
//! had, and another wherever anything else is.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use model::Version;

use super::State;
use super::content::MIX;
use crate::absent::is_blank;
use crate::bits::Bits;
use crate::kind::Kind;

/// Sets of names that are remembered of a type: clients of a group name the same, but for what is
/// coming or going.
const REMEMBERED: usize = 4;

/// What was found of some names, and when.
#[derive(Debug)]
struct Cover {
    /// When the type, and that of what may need it again, last changed.
    changed: (u64, u64),
    names: Bits,
    /// How many of them are names of something.
    present: usize,
    sum: u64,
}

/// What was found last, so that it is found once for all streams.
#[derive(Debug, Default)]
pub(super) struct Covers(Mutex<VecDeque<Cover>>);

impl State {
    /// The digest of all that is told of these names: of what is there, and of what is told as
    /// nothing. Endpoints count with the clusters of the same names, since with a cluster that
    /// changes its endpoints are told again.
    pub(crate) fn cover(&self, table: u16, names: &Bits) -> u64 {
        let of = self.table(table);
        let clusters = self.clusters_for(of.kind);
        let changed = (of.changed, clusters.map_or(0, |it| self.table(it).changed));
        let mut covers = of.covers.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |it: &Cover| it.changed == changed && it.names == *names;
        let (present, sum) = match covers.iter().find(|it| same(it)) {
            Some(known) => (known.present, known.sum),
            None => {
                let (present, sum) = self.sum_up(table, clusters, names);
                covers.truncate(REMEMBERED - 1);
                covers.push_front(Cover { changed, names: names.clone(), present, sum });
                (present, sum)
            }
        };
        match present < names.len() {
            // Which names these are may change though nothing else does.
            true => sum.wrapping_add(self.cover_of_absent(table, names)),
            false => sum,
        }
    }

    fn clusters_for(&self, kind: Kind) -> Option<u16> {
        let at = self.tables().position(|it| it.kind == Kind::Cluster).map(|at| at as u16);
        at.filter(|_| kind == Kind::Endpoint)
    }

    fn sum_up(&self, table: u16, clusters: Option<u16>, names: &Bits) -> (usize, u64) {
        let (mut present, mut sum) = (Vec::with_capacity(names.len()), 0_u64);
        for at in names.iter() {
            let slot = self.table(table).slot(at);
            let Some(content) = &slot.content else { continue };
            sum = sum.wrapping_add(content.mark);
            present.push(&*slot.name);
        }
        let Some(clusters) = clusters.map(|it| self.table(it)) else { return (present.len(), sum) };
        for at in clusters.find_all(&present).into_iter().flatten() {
            let mark = clusters.slot(at).content.as_ref().map_or(0, |content| content.mark);
            sum = sum.wrapping_add(mark.rotate_left(32));
        }
        (present.len(), sum)
    }

    /// Of those that are names of nothing.
    pub(crate) fn cover_of_absent(&self, table: u16, names: &Bits) -> u64 {
        let of = self.table(table);
        if !is_blank(of.kind, of.url.as_str()) {
            return 0;
        }
        let absent = names.iter().map(|at| of.slot(at)).filter(|slot| slot.content.is_none());
        absent.fold(0, |sum, slot| {
            let name = Version::hash_of(slot.name.as_bytes()).rotate_left(16);
            sum.wrapping_add(name.wrapping_mul(MIX))
        })
    }
}
