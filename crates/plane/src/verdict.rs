//! Whose fault a refusal is: the instance's or the proxy's.
//!
//! One proxy cannot hurt the fleet: what it alone refuses is held against it, unless nobody else
//! could have spoken.

/// A proxy that refuses what an instance has become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Witness {
    /// It is connected, and has acknowledged what it had.
    pub(crate) ready: bool,
    /// How many other instances it refuses that nobody else does.
    pub(crate) other_refusals: usize,
}

/// Who answers for a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The instance goes back to its last good version.
    Instance,
    /// The proxies that refuse are marked, and hold nobody up.
    Proxy,
}

/// Witnesses whose word is enough when they agree.
const WITNESSES: usize = 2;
/// A proxy that alone refuses so many instances is itself the odd one, and convicts nobody.
const MAX_OTHER_REFUSALS: usize = 8;

/// Judges. `ready` proxies are in the group, those that refuse included; `proven` is whether every
/// ready proxy had taken exactly this before.
pub(crate) fn judge(refusing: &[Witness], ready: usize, proven: bool) -> Verdict {
    if proven {
        return Verdict::Proxy;
    }
    let is_only_witness = ready == 1 && refusing.iter().any(|witness| witness.ready);
    let credible = |w: &&Witness| w.ready && w.other_refusals < MAX_OTHER_REFUSALS;
    if is_only_witness || refusing.iter().filter(credible).count() >= WITNESSES {
        return Verdict::Instance;
    }
    Verdict::Proxy
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Witness = Witness { ready: true, other_refusals: 0 };
    const NEW: Witness = Witness { ready: false, other_refusals: 0 };
    const ODD: Witness = Witness { ready: true, other_refusals: MAX_OTHER_REFUSALS };

    #[test]
    fn one_proxy_cannot_convict_where_another_could_speak() {
        for (refusing, ready, proven, verdict) in [
            (&[GOOD][..], 2, false, Verdict::Proxy),
            (&[GOOD], 1, false, Verdict::Instance),
            (&[GOOD, GOOD], 3, false, Verdict::Instance),
            (&[GOOD, GOOD], 2_000, false, Verdict::Instance),
            (&[GOOD, NEW], 2, false, Verdict::Proxy),
            (&[NEW], 0, false, Verdict::Proxy),
            (&[NEW], 1, false, Verdict::Proxy),
            (&[GOOD, ODD], 3, false, Verdict::Proxy),
            (&[ODD], 1, false, Verdict::Instance),
            (&[GOOD, GOOD], 2, true, Verdict::Proxy),
            (&[GOOD], 1, true, Verdict::Proxy),
        ] {
            assert_eq!(judge(refusing, ready, proven), verdict, "{refusing:?} of {ready}");
        }
    }
}
