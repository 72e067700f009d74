//! Network namespaces: a region is a host of its own, behind a link with a bandwidth, whose packets can
//! be lost. Delay is the relay's: this needs nothing of the kernel but what every kernel has.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::usage::Usage;

/// The bridge where all links meet.
const BRIDGE: &str = "mgsim";
/// Its network: `10.213.0.1/16`, regions from `10.213.1.1` on.
const NETWORK: [u8; 2] = [10, 213];
/// Of each link, in each direction.
const BANDWIDTH: [&str; 6] = ["rate", "100mbit", "burst", "256kb", "latency", "400ms"];

/// The namespaces of all regions; gone when it is dropped.
pub(crate) struct Net {
    regions: usize,
}

impl Net {
    /// Makes them. Needs to be root, `ip`, `tc` and `nft`.
    pub(crate) fn make(regions: usize) -> Result<Self> {
        for program in ["ip", "tc", "nft"] {
            let found =
                Command::new("which").arg(program).output().is_ok_and(|it| it.status.success());
            if !found {
                bail!(Usage(format!(
                    "`{program}` is needed (on Debian: apt-get install iproute2 nftables)"
                )));
            }
        }
        let net = Self { regions };
        net.clear();
        does(&["ip", "link", "add", BRIDGE, "type", "bridge"]).map_err(|error| {
            Usage(format!("network namespaces are for root ({error:#}): go without --namespaces"))
        })?;
        does(&["ip", "address", "add", &format!("{}/16", net.hub()), "dev", BRIDGE])?;
        does(&["ip", "link", "set", BRIDGE, "up"])?;
        for at in 0..regions {
            net.region(at)?;
        }
        Ok(net)
    }

    /// Where relays listen.
    pub(crate) fn hub(&self) -> IpAddr {
        Ipv4Addr::new(NETWORK[0], NETWORK[1], 0, 1).into()
    }

    /// What comes before a command so that it runs in a region.
    pub(crate) fn inside(at: usize) -> Vec<String> {
        ["ip", "netns", "exec", &space(at)].map(str::to_owned).to_vec()
    }

    /// So many of a hundred packets of a region are lost in each direction; 100: it is cut off.
    pub(crate) fn lose(&self, at: usize, of_a_hundred: u32) -> Result<()> {
        inside(at, &["nft", "flush", "ruleset"])?;
        if of_a_hundred == 0 {
            return Ok(());
        }
        let which = match of_a_hundred {
            100.. => String::new(),
            some => format!("numgen random mod 100 < {some} "),
        };
        let rule =
            |hook| format!("chain {hook} {{ type filter hook {hook} priority 0; {which}drop; }}");
        let rules = format!("table inet sim {{\n{}\n{}\n}}", rule("input"), rule("output"));
        inside(at, &["nft", &rules])
    }

    fn region(&self, at: usize) -> Result<()> {
        let (space, near, far) = (space(at), format!("mgsim{at}"), "uplink");
        does(&["ip", "netns", "add", &space])?;
        let pair =
            ["ip", "link", "add", &near, "type", "veth", "peer", "name", far, "netns", &space];
        does(&pair)?;
        does(&["ip", "link", "set", &near, "master", BRIDGE, "up"])?;
        let address = format!("{}.{}.1.{}/16", NETWORK[0], NETWORK[1], at + 1);
        inside(at, &["ip", "address", "add", &address, "dev", far])?;
        inside(at, &["ip", "link", "set", far, "up"])?;
        inside(at, &["ip", "link", "set", "lo", "up"])?;
        let shape = |device| {
            [&["tc", "qdisc", "add", "dev", device, "root", "tbf"][..], &BANDWIDTH].concat()
        };
        does(&shape(&near))?;
        inside(at, &shape(far))
    }

    fn clear(&self) {
        // What is not there need not go.
        for at in 0..self.regions {
            let _ = does(&["ip", "netns", "delete", &space(at)]);
            let _ = does(&["ip", "link", "delete", &format!("mgsim{at}")]);
        }
        let _ = does(&["ip", "link", "delete", BRIDGE]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.clear();
    }
}

fn space(at: usize) -> String {
    format!("mgsim-{at}")
}

fn inside(at: usize, command: &[&str]) -> Result<()> {
    let space = space(at);
    does(&[&["ip", "netns", "exec", &space][..], command].concat())
}

fn does(command: &[&str]) -> Result<()> {
    let done =
        Command::new(command[0]).args(&command[1..]).output().context(command[0].to_owned())?;
    if !done.status.success() {
        bail!("{}: {}", command.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}
