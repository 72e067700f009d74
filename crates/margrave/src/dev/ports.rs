//! Every port of the process, taken before anything starts, so that a clash is told at once,
//! whole, and with the name of who has it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpListener, TcpSocket};

use super::roles::{Role, Roles};
use crate::config::{Listen, Setting};
use crate::failure::Failure;

/// Connections waiting to be accepted.
const BACKLOG: u32 = 1024;

/// What listens, and the addresses that it really has.
pub struct Ports {
    /// Broker and platform API.
    pub broker: TcpListener,
    /// Console, where this process is it.
    pub console: Option<TcpListener>,
    /// Metrics and probes.
    pub metrics: TcpListener,
    /// xDS, where this process answers proxies.
    pub xds: Option<TcpListener>,
    /// The addresses, with free ports in place of 0.
    pub listen: Listen,
    /// Bound but not listening: they keep the ports ours while Envoy, which shares them
    /// (`SO_REUSEPORT`), starts and restarts.
    _held: Vec<TcpSocket>,
}

/// Takes every port; tells all that are taken.
pub fn take(wanted: &Listen, roles: &Roles, with_envoy: bool) -> Result<Ports, Failure> {
    let mut taking = Taking { problems: Vec::new(), held: Vec::new() };
    let broker = taking.bind("listen.broker", wanted.broker);
    let console = roles.has(Role::Console).then_some(wanted.console);
    let console = console.and_then(|address| taking.bind("listen.console", address));
    let metrics = taking.bind("listen.metrics", wanted.metrics);
    let xds = roles.has(Role::Plane).then_some(wanted.xds);
    let xds = xds.and_then(|address| taking.bind("listen.xds", address));
    let public = taking.for_envoy("listen.public", wanted.public, with_envoy);
    let internal = taking.for_envoy("listen.internal", wanted.internal, with_envoy);
    let envoy_admin =
        if with_envoy { taking.admin(wanted.envoy_admin) } else { wanted.envoy_admin };
    let (Some(broker), Some(metrics), true) = (broker, metrics, taking.problems.is_empty()) else {
        return Err(taking.failure());
    };
    let actual = |listener: &Option<TcpListener>, wanted| match listener {
        Some(listener) => listener.local_addr(),
        None => Ok(wanted),
    };
    let listen = Listen {
        broker: broker.local_addr()?,
        console: actual(&console, wanted.console)?,
        metrics: metrics.local_addr()?,
        xds: actual(&xds, wanted.xds)?,
        public,
        internal,
        envoy_admin,
    };
    Ok(Ports { broker, console, metrics, xds, listen, _held: taking.held })
}

/// What a replica of the plane listens on: metrics, xDS, and the addresses that they really have.
pub fn take_replica(wanted: &Listen) -> Result<(TcpListener, TcpListener, Listen), Failure> {
    let mut taking = Taking { problems: Vec::new(), held: Vec::new() };
    let metrics = taking.bind("listen.metrics", wanted.metrics);
    let xds = taking.bind("listen.xds", wanted.xds);
    let (Some(metrics), Some(xds)) = (metrics, xds) else { return Err(taking.failure()) };
    let listen = Listen { metrics: metrics.local_addr()?, xds: xds.local_addr()?, ..*wanted };
    Ok((metrics, xds, listen))
}

struct Taking {
    problems: Vec<String>,
    held: Vec<TcpSocket>,
}

impl Taking {
    fn failure(&self) -> Failure {
        Failure::Error(anyhow::anyhow!(self.problems.join("\n")))
    }

    fn bind(&mut self, key: &str, address: SocketAddr) -> Option<TcpListener> {
        match listen(address) {
            Ok(listener) => Some(listener),
            Err(error) => {
                self.problems.push(refusal(key, address, &error));
                None
            }
        }
    }

    /// Envoy does not share its admin port, so this one is only looked at; should somebody take it
    /// before Envoy does, Envoy is started again.
    fn admin(&mut self, address: SocketAddr) -> SocketAddr {
        let listener = self.bind("listen.envoy_admin", address);
        listener.and_then(|listener| listener.local_addr().ok()).unwrap_or(address)
    }

    /// The address that Envoy shall bind. Without an Envoy of ours whoever starts one decides.
    fn for_envoy(&mut self, key: &str, address: SocketAddr, ours: bool) -> SocketAddr {
        if !ours && address.port() != 0 {
            return address;
        }
        let Some(listener) = self.bind(key, address) else { return address };
        let actual = listener.local_addr().unwrap_or(address);
        drop(listener);
        match hold(actual) {
            Ok(socket) => self.held.push(socket),
            Err(error) => self.problems.push(refusal(key, actual, &error)),
        }
        actual
    }
}

fn socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket(address)?;
    // Ports of connections that ended a moment ago may be used again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn hold(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = socket(address)?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn refusal(key: &str, address: SocketAddr, error: &std::io::Error) -> String {
    let setting = Setting::find(key);
    let (flag, env) = setting.map(|s| (s.flag().unwrap_or_default(), s.env())).unwrap_or_default();
    let what = setting.map_or(key, |setting| setting.help);
    if error.kind() != ErrorKind::AddrInUse {
        return format!("cannot listen on {address} ({what}): {error}; see --{flag} or {env}");
    }
    let who = holder(address.port()).map_or(String::new(), |who| format!(" by {who}"));
    format!(
        "port {} ({what}) is taken{who}: end that, or choose another with --{flag} or {env} \
         (0 picks a free one)",
        address.port()
    )
}

/// `name (process id)` of who listens on a port, where the kernel lets us see it.
fn holder(port: u16) -> Option<String> {
    let inode = listening_inode(port)?;
    let link = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let holds = |path: &Path| {
        let files = std::fs::read_dir(path.join("fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|to| to == Path::new(&link))
    };
    let mut numbered = processes.map(|entry| entry.path()).filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok())
    });
    let process = numbered.find(|path| holds(path))?;
    let name = std::fs::read_to_string(process.join("comm")).ok()?;
    let id = process.file_name()?.to_string_lossy().into_owned();
    Some(format!("`{}` (process {id})", name.trim()))
}

/// The inode of the socket that listens on a port: `/proc/net/tcp`, state 0A.
fn listening_inode(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let tables: Vec<_> = tables.into_iter().flatten().collect();
    let suffix = format!(":{port:04X}");
    tables.iter().flat_map(|table| table.lines()).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let listens = fields.get(3) == Some(&"0A") && fields.get(1)?.ends_with(&suffix);
        listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(broker: u16, public: u16) -> Listen {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Listen {
            broker: at(broker),
            console: at(0),
            metrics: at(0),
            xds: at(0),
            public: at(public),
            internal: at(0),
            envoy_admin: at(0),
        }
    }

    #[tokio::test]
    async fn every_taken_port_is_told_with_who_has_it() {
        let first = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let second = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let (one, two) = (first.local_addr().unwrap().port(), second.local_addr().unwrap().port());
        let Err(failure) = take(&wanted(one, two), &Roles::all(), true) else {
            panic!("must be refused")
        };
        let text = failure.text();
        let me = format!("(process {})", std::process::id());
        assert_eq!(text.matches(&me).count(), 2, "{text}");
        assert!(text.contains(&format!("port {one} (Broker and platform API) is taken by ")));
        assert!(text.contains("--listen-public or MARGRAVE_LISTEN_PUBLIC"), "{text}");
    }

    #[tokio::test]
    async fn port_zero_is_a_free_one_that_envoy_can_share() {
        let ports = take(&wanted(0, 0), &Roles::all(), true).unwrap();
        assert_ne!(ports.listen.broker.port(), 0);
        let public = ports.listen.public;
        assert_ne!(public.port(), 0);
        let as_envoy = hold(public).unwrap();
        assert!(as_envoy.listen(1).is_ok());
    }

    #[tokio::test]
    async fn without_an_envoy_its_ports_are_left_alone() {
        let proxy = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let port = proxy.local_addr().unwrap().port();
        let ports = take(&wanted(0, port), &Roles::all(), false).unwrap();
        assert_eq!(ports.listen.public.port(), port);
    }
}
