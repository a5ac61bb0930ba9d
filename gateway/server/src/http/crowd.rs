//! How many connections one address and one peer may have.
//!
//! A stranger costs a handshake, which is the dearest thing that nobody has to sign for; whoever is known costs memory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::config::Limits;

/// Handshakes of one address under way at once.
const SHAKING_MAX: usize = 64;
/// Seconds' worth of handshakes that may come at once.
const BURST_SECONDS: f64 = 10.0;
/// Addresses remembered. Those without a connection are forgotten first.
const ADDRESSES_MAX: usize = 65_536;

/// Why a connection is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crowded {
    /// `connections`
    Connections,
    /// `connections_per_address`
    Address,
    /// `handshakes_per_second`
    Handshakes,
    /// `connections_per_peer`
    Peer,
}

impl Crowded {
    /// The name in figures and lines.
    pub fn code(self) -> &'static str {
        match self {
            Crowded::Connections => "connections",
            Crowded::Address => "connections_per_address",
            Crowded::Handshakes => "handshakes_per_second",
            Crowded::Peer => "connections_per_peer",
        }
    }
}

/// Who is there, on one plane.
pub struct Crowd {
    limits: Limits,
    there: Mutex<There>,
}

#[derive(Default)]
struct There {
    all: usize,
    addresses: HashMap<IpAddr, Address>,
    peers: HashMap<String, usize>,
}

struct Address {
    open: usize,
    shaking: usize,
    /// Handshakes that it may still begin.
    left: f64,
    refilled_at: Instant,
}

impl Crowd {
    /// Nobody, within these limits.
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self { limits: limits.clone(), there: Mutex::default() })
    }

    fn change<T>(&self, change: impl FnOnce(&mut There) -> T) -> T {
        change(&mut self.there.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection came. At a bound the newest is refused: those that are served keep their service.
    pub fn enter(self: &Arc<Self>, from: IpAddr) -> Result<Entered, Crowded> {
        let key = network(from);
        let a_second = f64::from(self.limits.handshakes_per_second);
        self.change(|there| {
            if there.all >= self.limits.connections {
                return Err(Crowded::Connections);
            }
            let now = Instant::now();
            if there.addresses.len() >= ADDRESSES_MAX && !there.addresses.contains_key(&key) {
                there.addresses.retain(|_, address| address.open > 0);
            }
            let address = there.addresses.entry(key).or_insert_with(|| Address {
                open: 0,
                shaking: 0,
                left: a_second * BURST_SECONDS,
                refilled_at: now,
            });
            let since = now.saturating_duration_since(address.refilled_at).as_secs_f64();
            address.left = (address.left + since * a_second).min(a_second * BURST_SECONDS);
            address.refilled_at = now;
            if address.open >= self.limits.connections_per_address {
                return Err(Crowded::Address);
            }
            if address.left < 1.0 || address.shaking >= SHAKING_MAX {
                return Err(Crowded::Handshakes);
            }
            address.left -= 1.0;
            address.open += 1;
            address.shaking += 1;
            there.all += 1;
            Ok(())
        })?;
        Ok(Entered { crowd: self.clone(), key, is_shaking: true, peer: None })
    }
}

/// An IPv6 host has a network of 2^64 addresses (RFC 4291 §2.5.1): it counts as one.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
    }
}

/// One connection that is counted until this is dropped.
pub struct Entered {
    crowd: Arc<Crowd>,
    key: IpAddr,
    is_shaking: bool,
    peer: Option<String>,
}

impl Entered {
    /// The handshake is over.
    pub fn shook(&mut self) {
        if std::mem::take(&mut self.is_shaking) {
            self.crowd.change(|there| {
                if let Some(address) = there.addresses.get_mut(&self.key) {
                    address.shaking -= 1;
                }
            });
        }
    }

    /// It is this peer's.
    pub fn is_of(&mut self, peer: String) -> Result<(), Crowded> {
        let most = self.crowd.limits.connections_per_peer;
        self.crowd.change(|there| {
            let open = there.peers.entry(peer.clone()).or_default();
            if *open >= most {
                return Err(Crowded::Peer);
            }
            *open += 1;
            Ok(())
        })?;
        self.peer = Some(peer);
        Ok(())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.shook();
        self.crowd.change(|there| {
            there.all -= 1;
            if let Some(address) = there.addresses.get_mut(&self.key) {
                address.open -= 1;
            }
            if let Some(peer) = &self.peer
                && let Some(open) = there.peers.get_mut(peer)
            {
                *open -= 1;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn crowd() -> Arc<Crowd> {
        let limits = Limits {
            connections: 5,
            connections_per_address: 3,
            connections_per_peer: 2,
            handshakes_per_second: 1,
            ..Limits::default()
        };
        Crowd::new(&limits)
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn each_bound_refuses_the_newest_and_leaves_the_others() {
        let crowd = crowd();
        let mut first: Vec<_> = (0..3).map(|_| crowd.enter(at("192.0.2.1")).unwrap()).collect();
        assert_eq!(crowd.enter(at("192.0.2.1")).err(), Some(Crowded::Address));
        assert_eq!(crowd.enter(at("::ffff:192.0.2.1")).err(), Some(Crowded::Address), "the same address");
        let mut others: Vec<_> = (0..2).map(|_| crowd.enter(at("192.0.2.2")).unwrap()).collect();
        assert_eq!(crowd.enter(at("192.0.2.3")).err(), Some(Crowded::Connections));
        assert_eq!(first[0].is_of("JO".into()), Ok(()));
        assert_eq!(others[0].is_of("JO".into()), Ok(()));
        assert_eq!(others[1].is_of("JO".into()), Err(Crowded::Peer));
        assert_eq!(others[1].is_of("IQ".into()), Ok(()));
        drop(first);
        assert_eq!(crowd.enter(at("192.0.2.1")).unwrap().is_of("JO".into()), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one_and_has_its_handshakes() {
        let crowd = crowd();
        for n in 0..10 {
            assert!(crowd.enter(at(&format!("2001:db8::{n}"))).is_ok());
        }
        assert_eq!(crowd.enter(at("2001:db8::ffff")).err(), Some(Crowded::Handshakes));
        assert!(crowd.enter(at("2001:db8:0:1::1")).is_ok(), "another network");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(crowd.enter(at("2001:db8::1")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_finish_handshakes_does_not_begin_more() {
        let limits = Limits { connections: 1000, connections_per_address: 1000, ..Limits::default() };
        let crowd = Crowd::new(&limits);
        let mut silent: Vec<_> = (0..SHAKING_MAX).map(|_| crowd.enter(at("192.0.2.1")).unwrap()).collect();
        assert_eq!(crowd.enter(at("192.0.2.1")).err(), Some(Crowded::Handshakes));
        silent[0].shook();
        assert!(crowd.enter(at("192.0.2.1")).is_ok());
    }
}
