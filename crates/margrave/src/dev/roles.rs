//! Which parts of the platform a process is.

use std::fmt;

use crate::failure::Failure;

/// A part of the platform that `margrave serve --role` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Requests of platforms and developers
    Broker,
    /// Pages for people
    Console,
    /// Carries out operations
    Worker,
    /// Answers proxies
    Plane,
}

/// The parts that a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    /// Every part.
    pub fn all() -> Self {
        Self(vec![Role::Broker, Role::Console, Role::Worker, Role::Plane])
    }

    /// Those that were named; all, if none was.
    pub fn of(named: &[Role]) -> Result<Self, Failure> {
        if named.is_empty() {
            return Ok(Self::all());
        }
        let roles = Self(named.to_vec());
        let (broker, worker) = (roles.has(Role::Broker), roles.has(Role::Worker));
        if broker != worker || (roles.has(Role::Console) && !broker) {
            return Err(Failure::Usage(
                "with the embedded store the roles that write share one process: name `broker` and \
                 `worker` together, with `console` or without; `plane` may be a process of its own"
                    .to_owned(),
            ));
        }
        Ok(roles)
    }

    /// Whether this is one of them.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether any of them writes the store.
    pub fn write(&self) -> bool {
        self.has(Role::Broker)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|role| match role {
            Role::Broker => "broker",
            Role::Console => "console",
            Role::Worker => "worker",
            Role::Plane => "plane",
        });
        f.write_str(&names.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writes_shares_a_process() {
        use Role::{Broker, Console, Plane, Worker};
        let cases: [(&[Role], Option<&str>); 7] = [
            (&[], Some("broker, console, worker, plane")),
            (&[Plane], Some("plane")),
            (&[Worker, Broker], Some("worker, broker")),
            (&[Broker, Worker, Console], Some("broker, worker, console")),
            (&[Broker, Plane], None),
            (&[Worker], None),
            (&[Console, Plane], None),
        ];
        for (named, expected) in cases {
            let roles = Roles::of(named).map(|roles| roles.to_string()).ok();
            assert_eq!(roles.as_deref(), expected, "{named:?}");
        }
    }
}
