//! Failed attempts of each source. Who fails too often is refused before anything is computed for them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use toolgate_policy::limits::auth::{FAILURE_SOURCES_MAX, FAILURE_WINDOW_S, FAILURES_MAX};
use toolgate_policy::limits::wire::PEER_PREFIX_BITS;

/// Failures of the last minute.
#[derive(Default)]
pub(crate) struct Failures {
    sources: HashMap<IpAddr, Source>,
    /// Sources by their last failure.
    order: BTreeMap<u64, IpAddr>,
    count: u64,
}

struct Source {
    /// Seconds of the last failures, oldest first.
    at_s: VecDeque<u64>,
    /// Number of the last failure.
    last: u64,
    /// Second of the last failure that was to be recorded.
    recorded_s: u64,
}

impl Failures {
    /// Seconds for which a source is refused, if it is.
    pub(crate) fn refused_for_s(&self, source: IpAddr, now_s: u64) -> Option<u64> {
        let at_s = &self.sources.get(&network(source))?.at_s;
        let oldest = at_s.front().filter(|_| at_s.len() >= FAILURES_MAX)?;
        let until_s = oldest.saturating_add(FAILURE_WINDOW_S);
        until_s.checked_sub(now_s).filter(|left_s| *left_s > 0)
    }

    /// Counts a failure. Returns whether it is to be recorded: one of a source in each window is.
    pub(crate) fn count(&mut self, source: IpAddr, now_s: u64) -> bool {
        let source = network(source);
        self.count += 1;
        let (mut at_s, recorded_s) = match self.sources.remove(&source) {
            Some(former) => {
                self.order.remove(&former.last);
                (former.at_s, Some(former.recorded_s))
            }
            None => (VecDeque::new(), None),
        };
        while at_s.front().is_some_and(|at_s| now_s >= at_s.saturating_add(FAILURE_WINDOW_S)) {
            at_s.pop_front();
        }
        let is_first = recorded_s.is_none_or(|at_s| now_s >= at_s.saturating_add(FAILURE_WINDOW_S));
        let recorded_s = recorded_s.filter(|_| !is_first).unwrap_or(now_s);
        at_s.push_back(now_s);
        if at_s.len() > FAILURES_MAX {
            at_s.pop_front();
        }
        while self.sources.len() >= FAILURE_SOURCES_MAX {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.sources.remove(&oldest);
        }
        self.sources.insert(source, Source { at_s, last: self.count, recorded_s });
        self.order.insert(self.count, source);
        is_first
    }
}

/// The network that one customer has: with IPv6 anybody has endless addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let mask = u128::MAX << (128 - u32::from(PEER_PREFIX_BITS));
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_twentieth_failure_within_a_minute_closes_the_door_until_the_first_is_a_minute_old() {
        let (mut failures, a) = (Failures::default(), at("192.0.2.1"));
        for second in 0..20 {
            assert_eq!(failures.refused_for_s(a, 100 + second), None);
            assert_eq!(failures.count(a, 100 + second), second == 0);
        }
        assert_eq!(failures.refused_for_s(a, 119), Some(41));
        assert_eq!(failures.refused_for_s(at("::ffff:192.0.2.1"), 159), Some(1), "the same address");
        assert_eq!(failures.refused_for_s(at("192.0.2.2"), 119), None);
        assert_eq!(failures.refused_for_s(a, 160), None);
        failures.count(a, 160);
        assert_eq!(failures.refused_for_s(a, 160), Some(1), "the second is 59 seconds old");
    }

    #[test]
    fn one_failure_of_a_source_is_recorded_each_minute_however_steadily_it_fails() {
        let mut failures = Failures::default();
        let recorded = (0..200).filter(|second| failures.count(at("192.0.2.1"), 1_000 + second));
        assert_eq!(recorded.collect::<Vec<_>>(), [0, 60, 120, 180]);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let mut failures = Failures::default();
        for host in 0..20 {
            failures.count(at(&format!("2001:db8:0:1::{host}")), 100);
        }
        assert!(failures.refused_for_s(at("2001:db8:0:1:ffff::1"), 100).is_some());
        assert!(failures.refused_for_s(at("2001:db8:0:2::1"), 100).is_none());
    }

    #[test]
    fn sources_are_bounded() {
        let mut failures = Failures::default();
        for number in 0..u32::try_from(FAILURE_SOURCES_MAX + 10).unwrap() {
            failures.count(std::net::Ipv4Addr::from_bits(number).into(), 100);
        }
        assert_eq!(
            (failures.sources.len(), failures.order.len()),
            (FAILURE_SOURCES_MAX, FAILURE_SOURCES_MAX)
        );
        assert!(
            !failures.sources.contains_key(&at("0.0.0.9")) && failures.sources.contains_key(&at("0.0.0.10"))
        );
    }
}
