//! Counts connections, in all and by network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Who is connected now.
#[derive(Debug)]
pub(super) struct Crowd {
    by_network: Mutex<HashMap<u128, usize>>,
    max: usize,
    max_per_network: usize,
}

/// A place in the crowd; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    network: u128,
}

impl Crowd {
    /// Nobody yet.
    pub(super) fn new(max: usize, max_per_network: usize) -> Self {
        Self { by_network: Mutex::default(), max, max_per_network }
    }

    /// Takes a place, if there is one.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let network = network(peer);
        let mut by_network = self.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        if by_network.values().sum::<usize>() >= self.max {
            return None;
        }
        let here = by_network.entry(network).or_default();
        if *here >= self.max_per_network {
            return None;
        }
        *here += 1;
        Some(Place { crowd: Arc::clone(self), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_network = self.crowd.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = by_network.get_mut(&self.network) {
            *here -= 1;
            if *here == 0 {
                by_network.remove(&self.network);
            }
        }
    }
}

/// An IPv4 /24 or an IPv6 /56: what one customer of a provider has.
fn network(peer: IpAddr) -> u128 {
    match peer.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits() >> 8,
        IpAddr::V6(v6) => v6.to_bits() >> 72 << 72 | 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_so_many_places_and_gets_them_back() {
        let crowd = Arc::new(Crowd::new(3, 2));
        let enter = |ip: &str| crowd.enter(ip.parse().unwrap());
        let (first, second) = (enter("10.0.0.1"), enter("10.0.0.200"));
        assert!(first.is_some() && second.is_some());
        assert!(enter("10.0.0.3").is_none(), "a third of one /24");
        assert!(enter("::ffff:10.0.0.3").is_none(), "the same /24, mapped");
        let third = enter("2001:db8::1");
        assert!(third.is_some());
        assert!(enter("10.9.0.1").is_none(), "a fourth in all");
        drop(first);
        assert!(enter("10.0.0.3").is_some());
    }

    #[test]
    fn neighbours_of_one_slash_56_are_one_network() {
        assert_eq!(network("2001:db8:0:aa01::1".parse().unwrap()), network("2001:db8:0:aaff::9".parse().unwrap()));
        assert_ne!(network("2001:db8:0:aa01::1".parse().unwrap()), network("2001:db8:0:ab01::1".parse().unwrap()));
    }
}
