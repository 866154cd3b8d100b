//! What becomes of one Service: what it keeps, what it gets, what it loses, and what is said.
//!
//! Addresses come from [`crate::assign`]. This adds what the controller needs besides: what to
//! write into the status, which Events to emit, and whether others may now have what was freed.
//!
//! Without any pool nothing is taken away: that happens while definitions are installed anew or the
//! only pool is renamed, and nobody is better off without the address. When there is a pool again,
//! whoever has an address that is in it keeps that.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::assign::{Assignment, Choice, Found, Pools, Refused, assign_all, find};
use crate::facts::{Facts, Service};
use crate::ledger::{Claim, Ledger};
use crate::names::{PoolName, ServiceName};
use crate::reason::{Obstacle, Refusal, quoted};

/// What becomes of one Service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Convergence {
    /// What to write into its status.
    pub decision: Decision,
    /// What to tell, in order, as Events on the Service; the same again need not be told again.
    pub news: Vec<News>,
    /// Addresses that the Service had and does not have any more: others may be waiting for them.
    pub freed: Vec<IpAddr>,
}

/// What to write into the status of a Service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// The addresses stay as they are, in their order; the pool may have another name.
    Keep(Assignment),
    /// These addresses in place of what is there.
    Give(Assignment),
    /// No address in place of what is there.
    Clear,
    /// Nothing: there is no address, and none to give.
    Wait,
    /// Nothing: there is an address, but no pool at all that could say anything about it.
    Leave,
}

/// Something to tell about a Service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum News {
    /// It got these addresses and had none.
    Assigned {
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// It got these addresses besides what it has.
    Added {
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// It could not keep all that it had.
    Cleared {
        /// The Service.
        service: ServiceName,
        /// Why.
        refusal: Refusal,
    },
    /// It has more than it needs, and gave these back.
    GivenBack {
        /// The addresses.
        addresses: Vec<IpAddr>,
    },
    /// It would like more than it has.
    NotAdded {
        /// The pool of what it has.
        pool: PoolName,
        /// Why the pool has no more for it.
        obstacle: Obstacle,
    },
    /// It needs addresses and gets none.
    Refused {
        /// The Service.
        service: ServiceName,
        /// Why.
        refusal: Refusal,
    },
}

impl News {
    /// The `reason` of the Event; MetalLB's word where it has one.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Assigned { .. } | Self::Added { .. } => "IPAllocated",
            Self::Cleared { .. } => "ClearAssignment",
            Self::GivenBack { .. } => "IPReleased",
            Self::NotAdded { .. } => "AdditionalAssignFailed",
            Self::Refused { .. } => "AllocationFailed",
        }
    }

    /// Whether the Event is of the type `Warning`, not `Normal`.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Assigned { .. }
            | Self::Added { .. }
            | Self::Cleared { .. }
            | Self::GivenBack { .. }
            | Self::NotAdded { .. } => false,
        }
    }
}

impl fmt::Display for News {
    /// The message of the Event; MetalLB's words as far as it has some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assigned { addresses } => write!(f, "Assigned IP [{}]", strings(addresses)),
            Self::Added { addresses } => {
                write!(f, "Assigned additional IP {}", strings(addresses))
            }
            Self::Cleared { service, refusal } => write!(
                f,
                "current IP for \"{service}\" not allowed by config, will attempt for new IP \
                 assignment: {refusal}"
            ),
            Self::GivenBack { addresses } => {
                write!(f, "Released {}, more than it needs", quoted(addresses.iter()))
            }
            Self::NotAdded { pool, obstacle } => {
                write!(f, "cannot assign additional IP: pool `{pool}` {obstacle}")
            }
            Self::Refused { service, refusal } => {
                write!(f, "Failed to allocate IP for \"{service}\": {refusal}")
            }
        }
    }
}

/// Addresses as Go prints a list of strings.
fn strings(addresses: &[IpAddr]) -> String {
    let quoted: Vec<_> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    quoted.join(" ")
}

/// Decides about one Service and books what it has from now on.
///
/// The ledger has to know every other Service already: [`all`] makes such a ledger at start. `None`
/// is a Service that is gone, or is none of ours any more.
pub fn one(
    name: &ServiceName,
    service: Option<&Service>,
    pools: Pools<'_>,
    ledger: &mut Ledger,
    choice: Choice,
) -> Convergence {
    let booked = ledger.addresses(name).to_vec();
    let Some(service) = service else {
        ledger.release(name);
        return Convergence { decision: Decision::Clear, news: Vec::new(), freed: booked };
    };
    if pools.pools.is_empty() {
        return without_pools(name, service);
    }
    ledger.release(name);
    let found = find(name, service, pools, ledger, choice).and_then(|found| {
        let booked = ledger.book(&found.assignment.addresses, &Claim::new(name, service));
        match booked {
            Ok(()) => Ok(found),
            Err(refusal) => Err(Box::new(Refused { dropped: found.dropped, refusal })),
        }
    });
    let mut convergence = match found {
        Ok(found) => given(name, service, found),
        Err(reasons) => {
            let Refused { dropped, refusal } = *reasons;
            refused(name, service, dropped, refusal)
        }
    };
    let now = ledger.addresses(name);
    convergence.freed.extend(booked);
    convergence.freed.retain(|address| !now.contains(address));
    convergence.freed.sort_unstable();
    convergence.freed.dedup();
    convergence
}

/// Decides about all Services, and makes the ledger anew.
///
/// For the start and for changes of pools: those that have addresses come first.
pub fn all(facts: &Facts, choice: Choice) -> (BTreeMap<ServiceName, Convergence>, Ledger) {
    let mut assigned = assign_all(facts, choice);
    let mut all = BTreeMap::new();
    for (name, service) in &facts.services {
        let dropped = assigned.lost.remove(name);
        let convergence = match (assigned.given.remove(name), assigned.refusals.remove(name)) {
            (Some(assignment), _) => {
                let short = assigned.short.remove(name);
                given(name, service, Found { assignment, dropped, short })
            }
            (None, Some(Refusal::NoPools)) | (None, None) => without_pools(name, service),
            (None, Some(refusal)) => refused(name, service, dropped, refusal),
        };
        all.insert(name.clone(), convergence);
    }
    (all, assigned.ledger)
}

fn without_pools(name: &ServiceName, service: &Service) -> Convergence {
    if service.addresses.is_empty() {
        return refused(name, service, None, Refusal::NoPools);
    }
    Convergence { decision: Decision::Leave, news: Vec::new(), freed: Vec::new() }
}

fn given(name: &ServiceName, service: &Service, found: Found) -> Convergence {
    let Found { assignment, dropped, short } = found;
    let (had, has) = (&service.addresses, &assignment.addresses);
    let not_in = |all: &[IpAddr], others: &[IpAddr]| -> Vec<IpAddr> {
        all.iter().filter(|address| !others.contains(address)).copied().collect()
    };
    let (added, freed) = (not_in(has, had), not_in(had, has));
    let is_all_new = added.len() == has.len();
    let mut news = Vec::new();
    match dropped {
        Some(refusal) => news.push(News::Cleared { service: name.clone(), refusal }),
        None if freed.is_empty() => (),
        None => news.push(News::GivenBack { addresses: freed.clone() }),
    }
    match added {
        added if added.is_empty() => (),
        addresses if is_all_new => news.push(News::Assigned { addresses }),
        addresses => news.push(News::Added { addresses }),
    }
    if let Some(obstacle) = short {
        news.push(News::NotAdded { pool: assignment.pool.clone(), obstacle });
    }
    let decision = if has == had { Decision::Keep(assignment) } else { Decision::Give(assignment) };
    Convergence { decision, news, freed }
}

fn refused(
    name: &ServiceName,
    service: &Service,
    dropped: Option<Refusal>,
    refusal: Refusal,
) -> Convergence {
    let cleared = dropped.map(|refusal| News::Cleared { service: name.clone(), refusal });
    let refused = News::Refused { service: name.clone(), refusal };
    let decision = if service.addresses.is_empty() { Decision::Wait } else { Decision::Clear };
    let news = cleared.into_iter().chain([refused]).collect();
    Convergence { decision, news, freed: service.addresses.clone() }
}
