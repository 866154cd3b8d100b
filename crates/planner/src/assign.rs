//! Which addresses a Service gets.
//!
//! The rules are MetalLB's. A Service keeps what it has as long as that is allowed. Else it gets
//! the addresses that it asks for, or some of the pool that it asks for, or some of the first pool
//! that will do: those for its namespace or labels first, by priority, then those for everyone, by
//! name. All addresses of a Service come from one pool.
//!
//! Beyond that: a Service may need several addresses of a family; a pool may be drained, may limit
//! what one namespace has of it, and may reserve addresses for Services, which get them before any
//! others. A limit takes nothing away, a reservation does: the address is for that Service alone.
//!
//! [`Choice`] says which address of a pool it is: the lowest free one, or the one that its name
//! hashes to, so that nodes without a controller reach the same result each for itself.

mod request;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use self::request::Request;
pub(crate) use self::request::{Found, Refused};
use crate::facts::{Facts, Family, Pool, Service};
use crate::ledger::Ledger;
use crate::names::{PoolName, ServiceName};
use crate::reason::{Obstacle, Refusal};
use crate::selector::Labels;

/// Where in a pool to look for a free address.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Choice {
    /// From its first address upwards, as MetalLB does.
    FirstFree,
    /// From the address at the hash of the Service upwards, and round.
    ///
    /// Services are served in the order of their hashes, so what one gets depends only on those
    /// before it. Adding or removing a Service therefore moves only Services after it, and of these
    /// only the chain that starts at its address: whoever has that address moves on to its next
    /// free one, whoever has that one moves on, and so on. In a pool with four addresses for each
    /// Service that is less than one Service on average. Changing the ranges of a pool moves most.
    ///
    /// Services with the same sharing key start at the same address, that of the key, or they
    /// would hardly ever meet.
    Hashed,
}

/// Addresses that a Service gets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Assignment {
    /// Those of IPv4 before those of IPv6, and what was added later at the end: the order for the
    /// Service's status.
    pub addresses: Vec<IpAddr>,
    /// The pool that they are from.
    pub pool: PoolName,
}

/// What all Services get.
#[derive(Clone, Debug, Default)]
pub struct Assignments {
    /// Services that have addresses.
    pub given: BTreeMap<ServiceName, Assignment>,
    /// Services that have none, and why.
    pub refusals: BTreeMap<ServiceName, Refusal>,
    /// Services that could not keep all that they had, and why; they are in one of the others too.
    pub lost: BTreeMap<ServiceName, Refusal>,
    /// Services that have fewer addresses than they would like, and why their pool has no more.
    pub short: BTreeMap<ServiceName, Obstacle>,
    /// Who has which address.
    pub ledger: Ledger,
}

impl Assignments {
    /// Makes `facts` say that every Service has what it is given here, and nothing else.
    pub fn fill(&self, facts: &mut Facts) {
        for (name, service) in &mut facts.services {
            let given = self.given.get(name);
            service.addresses = given.map(|given| given.addresses.clone()).unwrap_or_default();
        }
    }
}

/// Pools, and what decides who they are for.
#[derive(Clone, Copy, Debug)]
pub struct Pools<'a> {
    /// Pools of addresses.
    pub pools: &'a BTreeMap<PoolName, Pool>,
    /// Labels of namespaces, as in [`Facts::namespaces`].
    pub namespaces: &'a BTreeMap<String, Labels>,
}

/// Gives addresses to every Service.
///
/// Services that have addresses are served first, the oldest first, then those that ask for some,
/// then the others: by name, or by hash with [`Choice::Hashed`]. Facts that contain the result give it again.
pub fn assign_all(facts: &Facts, choice: Choice) -> Assignments {
    let pools = Pools::of(facts);
    let mut all = Assignments::default();
    let mut holding: Vec<_> =
        facts.services.iter().filter(|(_, service)| !service.addresses.is_empty()).collect();
    holding.sort_by_key(|(_, service)| (service.created.is_none(), service.created));
    for (name, service) in holding {
        let request = Request::new(name, service, pools);
        match request.keep(&all.ledger) {
            Ok(kept) => all.give(&request, kept),
            Err(refusal) => {
                all.lost.insert(name.clone(), refusal);
            }
        }
    }
    let is_waiting = |(name, service): &(&ServiceName, &Service)| {
        all.given.get(*name).is_none_or(|kept| service.wants_more_than(&kept.addresses))
    };
    let mut waiting: Vec<_> = facts.services.iter().filter(is_waiting).collect();
    waiting.sort_by_cached_key(|(name, service)| {
        let hash = match choice {
            Choice::FirstFree => 0,
            Choice::Hashed => hash(&name.to_string()),
        };
        (service.requested_addresses.is_empty(), hash, *name)
    });
    for (name, service) in &waiting {
        all.serve(name, service, pools, choice);
    }
    // Whatever is refused is asked for once more, now that all are served: the reason then does not
    // depend on who was served when, and its counts are those that everyone sees.
    waiting.retain(|(name, _)| all.refusals.contains_key(*name));
    for (name, service) in &waiting {
        all.serve(name, service, pools, choice);
    }
    all
}

/// Finds addresses for one Service, those that it has if possible, for which the ledger has nothing
/// booked.
///
/// # Errors
///
/// Says why it cannot keep what it has, if it has anything, and why there is nothing else.
pub(crate) fn find(
    name: &ServiceName,
    service: &Service,
    pools: Pools<'_>,
    ledger: &Ledger,
    choice: Choice,
) -> Result<Found, Box<Refused>> {
    Request::new(name, service, pools).decide(ledger, choice)
}

/// The pools that come before the one that a Service has been given addresses of, each with what
/// was in the way. None if it asks for a pool or for addresses: then no other pool matters.
pub fn passed_over(
    name: &ServiceName,
    service: &Service,
    pools: Pools<'_>,
    assignments: &Assignments,
) -> Vec<(PoolName, Obstacle)> {
    let Some(given) = assignments.given.get(name) else { return Vec::new() };
    let mut ledger = assignments.ledger.clone();
    ledger.release(name);
    Request::new(name, service, pools).passed_over(&given.pool, &ledger)
}

impl Assignments {
    fn serve(&mut self, name: &ServiceName, service: &Service, pools: Pools<'_>, choice: Choice) {
        let request = Request::new(name, service, pools);
        match request.decide(&self.ledger, choice) {
            Ok(found) => self.give(&request, found),
            Err(refused) => {
                self.refusals.insert(name.clone(), refused.refusal);
            }
        }
    }

    fn give(&mut self, request: &Request<'_>, found: Found) {
        let name = request.name;
        match self.ledger.book(&found.assignment.addresses, &request.claim) {
            Ok(()) => {
                self.refusals.remove(name);
                self.given.insert(name.clone(), found.assignment);
                // What was dropped is known from the time before its address went to another.
                if let Some(refusal) = found.dropped {
                    self.lost.entry(name.clone()).or_insert(refusal);
                }
                if let Some(obstacle) = found.short {
                    self.short.insert(name.clone(), obstacle);
                }
            }
            Err(refusal) => {
                self.refusals.insert(name.clone(), refusal);
            }
        }
    }
}

impl<'a> Pools<'a> {
    /// The pools of `facts`.
    pub fn of(facts: &'a Facts) -> Self {
        Self { pools: &facts.pools, namespaces: &facts.namespaces }
    }

    /// The pool that has `address` to give.
    fn owner(self, address: IpAddr) -> Result<(&'a PoolName, &'a Pool), Refusal> {
        let in_range = |pool: &Pool| pool.ranges.iter().any(|range| range.contains(address));
        let found = self.pools.iter().find(|(_, pool)| in_range(pool));
        match found {
            None => Err(Refusal::InNoPool { address }),
            Some((name, pool)) if pool.is_avoided(address) => {
                Err(Refusal::Avoided { address, pool: name.clone() })
            }
            Some(found) => Ok(found),
        }
    }

    /// The one pool that has all `addresses` to give.
    fn common_owner(self, addresses: &[IpAddr]) -> Result<(&'a PoolName, &'a Pool), Refusal> {
        let mut common = None;
        for &address in addresses {
            let (name, pool) = self.owner(address)?;
            if common.is_some_and(|(other, _)| other != name) {
                return Err(Refusal::InTwoPools { addresses: addresses.into() });
            }
            common = Some((name, pool));
        }
        common.ok_or(Refusal::NoPools)
    }
}

impl Service {
    /// Whether `addresses` may be kept, but more would be welcome.
    fn wants_more_than(&self, addresses: &[IpAddr]) -> bool {
        let lacks = |family| self.need().lacks(family, addresses) > 0;
        self.requested_addresses.is_empty() && (lacks(Family::V4) || lacks(Family::V6))
    }

    fn requests_exactly(&self, addresses: &[IpAddr]) -> bool {
        let requested = &self.requested_addresses;
        requested.len() == addresses.len() && requested.iter().all(|one| addresses.contains(one))
    }
}

/// The first 16 bytes of the sha256. Part of the contract: nodes of two versions must agree.
fn hash(text: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(text).into();
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}
