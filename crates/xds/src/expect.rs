//! When a client that has just come has asked for all it will ask for.

use crate::cache::State;
use crate::kind::Kind;

/// What a stream asked for.
pub(crate) trait Interest {
    /// Whether clients ask for the route configurations of scopes unasked by a request.
    fn eager(&self) -> bool;

    /// Which places of a table it asked for; `None` when nothing was asked of that type.
    fn wants_of(&self, table: u16) -> Option<impl Fn(u32) -> bool>;
}

/// Whether a client that has just come will soon ask for more: for a kind of which there is
/// something, or for route configurations that scopes name.
pub(crate) fn expects_more(state: &State, client: &impl Interest) -> bool {
    let tables = || (0..).zip(state.tables());
    let scoped =
        tables().any(|(at, table)| table.kind == Kind::Scope && client.wants_of(at).is_some());
    tables().any(|(at, table)| match table.kind {
        Kind::Cluster | Kind::Listener | Kind::Scope => {
            table.present() > 0 && client.wants_of(at).is_none()
        }
        Kind::Route if scoped && client.eager() => match client.wants_of(at) {
            Some(wants) => !table.living().all(wants),
            None => table.present() > 0,
        },
        _ => false,
    })
}
