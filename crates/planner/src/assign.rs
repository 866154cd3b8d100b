//! Which addresses a Service gets.
//!
//! The rules are MetalLB's. A Service keeps what it has as long as that is allowed. Else it gets
//! the addresses that it asks for, or some of the pool that it asks for, or some of the first pool
//! that will do: those for its namespace or labels first, by priority, then those for everyone, by
//! name. Both addresses of a dual-stack Service come from one pool.
//!
//! [`Choice`] says which address of a pool it is: the lowest free one, or the one that its name
//! hashes to, so that nodes without a controller reach the same result each for itself.

use std::collections::BTreeMap;
use std::iter;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::facts::{Allocation, Facts, Families, Family, Pool, Service};
use crate::ledger::{Claim, Ledger};
use crate::names::{PoolName, ServiceName};
use crate::range::Range;
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
    /// One, or one of each family, in the order for the Service's status.
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
    /// Services that could not keep what they had, and why; they are in one of the others as well.
    pub lost: BTreeMap<ServiceName, Refusal>,
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
/// Services that have addresses are served first, then those that ask for some, then the others:
/// by name, or by hash with [`Choice::Hashed`]. Facts that contain the result give it again.
pub fn assign_all(facts: &Facts, choice: Choice) -> Assignments {
    let pools = Pools::of(facts);
    let mut all = Assignments::default();
    for (name, service) in &facts.services {
        let request = Request::new(name, service, pools);
        if service.addresses.is_empty() {
            continue;
        }
        match request.keep(&all.ledger) {
            Ok(assignment) => all.give(&request, assignment),
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

/// Finds addresses for one Service, those that it has if possible.
///
/// Call [`Ledger::release`] for the Service before: whatever the ledger says that it has counts as
/// in use.
///
/// # Errors
///
/// Says why there are none.
pub fn assign(
    name: &ServiceName,
    service: &Service,
    pools: Pools<'_>,
    ledger: &Ledger,
    choice: Choice,
) -> Result<Assignment, Refusal> {
    let request = Request::new(name, service, pools);
    if !service.addresses.is_empty()
        && let Ok(kept) = request.keep(ledger)
    {
        return Ok(request.extend(kept, ledger, choice));
    }
    request.choose(ledger, choice)
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
    let request = Request::new(name, service, pools);
    if !service.requested_addresses.is_empty() || service.requested_pool.is_some() {
        return Vec::new();
    }
    // Addresses are only added to the ledger, so a pool that was full is full at the end as well.
    let (tiers, _) = request.tiers();
    let wishes = wishes(service.families).iter();
    let of_tier = |tier| wishes.clone().flat_map(move |wish| iter::repeat(*wish).zip(tier));
    let tried = tiers.iter().flat_map(of_tier).map_while(|(wish, (pool, spec))| {
        match request.find_all(spec, wish, &ledger, Choice::FirstFree) {
            Ok(_) => None,
            Err(obstacle) => Some((*pool, obstacle)),
        }
    });
    let mut passed = once_each(tried.collect());
    passed.retain(|(pool, _)| *pool != given.pool);
    passed
}

impl Assignments {
    fn serve(&mut self, name: &ServiceName, service: &Service, pools: Pools<'_>, choice: Choice) {
        match assign(name, service, pools, &self.ledger, choice) {
            Ok(assignment) => self.give(&Request::new(name, service, pools), assignment),
            Err(refusal) => {
                self.refusals.insert(name.clone(), refusal);
            }
        }
    }

    fn give(&mut self, request: &Request<'_>, assignment: Assignment) {
        match self.ledger.book(&assignment.addresses, &request.claim) {
            Ok(()) => {
                self.refusals.remove(request.name);
                self.given.insert(request.name.clone(), assignment);
            }
            Err(refusal) => {
                self.refusals.insert(request.name.clone(), refusal);
            }
        }
    }
}

impl<'a> Pools<'a> {
    /// The pools of `facts`.
    pub fn of(facts: &'a Facts) -> Self {
        Self { pools: &facts.pools, namespaces: &facts.namespaces }
    }

    /// The one pool that has all `addresses` to give.
    fn owner(self, addresses: &[IpAddr]) -> Result<(&'a PoolName, &'a Pool), Refusal> {
        let mut owner = None;
        for &address in addresses {
            let in_range = |pool: &Pool| pool.ranges.iter().any(|range| range.contains(address));
            let found = self.pools.iter().find(|(_, pool)| in_range(pool));
            let Some((name, pool)) = found else { return Err(Refusal::InNoPool { address }) };
            if pool.is_avoided(address) {
                return Err(Refusal::Avoided { address, pool: name.clone() });
            }
            if owner.is_some_and(|(other, _)| other != name) {
                return Err(Refusal::InTwoPools { addresses: addresses.into() });
            }
            owner = Some((name, pool));
        }
        owner.ok_or(Refusal::NoPools)
    }
}

impl Service {
    /// Whether `addresses` may be kept, but one of the other family would be welcome.
    fn wants_more_than(&self, addresses: &[IpAddr]) -> bool {
        matches!(self.families, Families::PreferDual(_))
            && addresses.len() == 1
            && self.requested_addresses.is_empty()
    }

    fn requests_exactly(&self, addresses: &[IpAddr]) -> bool {
        let requested = &self.requested_addresses;
        requested.len() == addresses.len() && requested.iter().all(|one| addresses.contains(one))
    }
}

impl Allocation {
    /// Whether a pool is for this Service.
    fn admits(&self, request: &Request<'_>) -> Result<(), Obstacle> {
        let (names, selectors) = (&self.namespaces, &self.namespace_selectors);
        // A selector that no namespace matches leaves nobody, not everybody.
        let is_limited = !(names.is_empty() && selectors.is_empty());
        let is_selected = || {
            let labels = request.namespace_labels();
            selectors.iter().any(|selector| selector.matches(&labels))
        };
        if is_limited && !names.contains(&request.name.namespace) && !is_selected() {
            return Err(Obstacle::NamespaceNotSelected);
        }
        let mut selectors = self.service_selectors.iter();
        match selectors.len() == 0
            || selectors.any(|selector| selector.matches(&request.service.labels))
        {
            true => Ok(()),
            false => Err(Obstacle::LabelsNotSelected),
        }
    }

    /// Lower is tried first.
    fn rank(&self) -> (bool, i64) {
        (self.priority == 0, self.priority)
    }
}

/// One Service that needs addresses.
struct Request<'a> {
    name: &'a ServiceName,
    service: &'a Service,
    claim: Claim,
    pools: Pools<'a>,
}

/// A pool and whatever may be in the way.
type Tried<'a> = Vec<(&'a PoolName, Obstacle)>;

impl<'a> Request<'a> {
    fn new(name: &'a ServiceName, service: &'a Service, pools: Pools<'a>) -> Self {
        Self { name, service, claim: Claim::new(name, service), pools }
    }

    fn namespace_labels(&self) -> Labels {
        let namespace = &self.name.namespace;
        let only_its_name = || [("kubernetes.io/metadata.name".into(), namespace.clone())].into();
        self.pools.namespaces.get(namespace).cloned().unwrap_or_else(only_its_name)
    }

    /// The addresses that the Service has, if it may keep them.
    fn keep(&self, ledger: &Ledger) -> Result<Assignment, Refusal> {
        let Service { addresses, families, requested_addresses, .. } = self.service;
        if !families.allow(addresses) {
            return Err(Refusal::WrongFamilies { addresses: addresses.clone(), needed: *families });
        }
        let assignment = self.take(addresses, ledger)?;
        if !requested_addresses.is_empty() && !self.service.requests_exactly(addresses) {
            return Err(Refusal::OtherAddresses { addresses: addresses.clone() });
        }
        Ok(assignment)
    }

    /// Exactly these addresses, from the pool that they are in.
    fn take(&self, addresses: &[IpAddr], ledger: &Ledger) -> Result<Assignment, Refusal> {
        let (name, pool) = self.pools.owner(addresses)?;
        self.admitted(pool)
            .map_err(|obstacle| Refusal::NotForService { pool: name.clone(), obstacle })?;
        if let Some(requested) = self.service.requested_pool.as_ref().filter(|pool| *pool != name) {
            let (addresses, pool, requested) = (addresses.into(), name.clone(), requested.clone());
            return Err(Refusal::OtherPool { addresses, pool, requested });
        }
        for &address in addresses {
            ledger.check(address, &self.claim)?;
        }
        Ok(Assignment { addresses: addresses.into(), pool: name.clone() })
    }

    /// With an address of the other family, if the Service would like one and the pool has it.
    fn extend(&self, mut kept: Assignment, ledger: &Ledger, choice: Choice) -> Assignment {
        if self.service.wants_more_than(&kept.addresses)
            && let [address] = kept.addresses[..]
            && let Some(pool) = self.pools.pools.get(&kept.pool)
        {
            let other = Family::of(address).other();
            kept.addresses.extend(self.find(pool, other, ledger, choice));
        }
        kept
    }

    fn choose(&self, ledger: &Ledger, choice: Choice) -> Result<Assignment, Refusal> {
        let requested = &self.service.requested_addresses;
        if self.pools.pools.is_empty() {
            Err(Refusal::NoPools)
        } else if !requested.is_empty() {
            let needed = self.service.families;
            let is_dual = requested.len() == 2;
            // As in MetalLB, a dual-stack Service that asks must ask for both.
            match needed.allow(requested) && (is_dual || matches!(needed, Families::Single(_))) {
                true => self.take(requested, ledger),
                false => Err(Refusal::WrongFamilies { addresses: requested.clone(), needed }),
            }
        } else if let Some(name) = &self.service.requested_pool {
            let unknown = || Refusal::UnknownPool { pool: name.clone() };
            let pool = self.pools.pools.get(name).ok_or_else(unknown)?;
            self.admitted(pool)
                .map_err(|obstacle| Refusal::NotForService { pool: name.clone(), obstacle })?;
            let tier = vec![(name, pool)];
            self.choose_from(vec![tier], Vec::new(), ledger, choice)
        } else {
            let (tiers, tried) = self.tiers();
            self.choose_from(tiers, tried, ledger, choice)
        }
    }

    /// Pools that may serve the Service without being asked for, in two tiers: those that select
    /// it, then those for everyone. And the others.
    fn tiers(&self) -> (Vec<Vec<(&'a PoolName, &'a Pool)>>, Tried<'a>) {
        let (mut pinned, mut open, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (name, pool) in self.pools.pools {
            match (pool.auto_assign, &pool.allocation, self.admitted(pool)) {
                (_, _, Err(obstacle)) => others.push((name, obstacle)),
                (false, _, Ok(())) => others.push((name, Obstacle::AutoAssignOff)),
                (true, Some(allocation), Ok(())) => pinned.push((allocation.rank(), name, pool)),
                (true, None, Ok(())) => open.push((name, pool)),
            }
        }
        pinned.sort_by_key(|(rank, name, _)| (*rank, *name));
        let pinned = pinned.into_iter().map(|(_, name, pool)| (name, pool)).collect();
        (vec![pinned, open], others)
    }

    fn admitted(&self, pool: &Pool) -> Result<(), Obstacle> {
        pool.allocation.as_ref().map_or(Ok(()), |allocation| allocation.admits(self))
    }

    /// From the first pool that will do. A tier is left only if none of its pools will do at all.
    fn choose_from(
        &self,
        tiers: Vec<Vec<(&'a PoolName, &'a Pool)>>,
        others: Tried<'a>,
        ledger: &Ledger,
        choice: Choice,
    ) -> Result<Assignment, Refusal> {
        let mut tried = Tried::new();
        for tier in tiers {
            for wish in wishes(self.service.families) {
                for &(name, pool) in &tier {
                    match self.find_all(pool, wish, ledger, choice) {
                        Ok(addresses) => {
                            return Ok(Assignment { addresses, pool: name.clone() });
                        }
                        Err(obstacle) => tried.push((name, obstacle)),
                    }
                }
            }
        }
        tried.extend(others);
        Err(Refusal::NoPoolFits { pools: once_each(tried) })
    }

    fn find_all(
        &self,
        pool: &Pool,
        wish: &[Family],
        ledger: &Ledger,
        choice: Choice,
    ) -> Result<Vec<IpAddr>, Obstacle> {
        if let Some(&family) = wish.iter().find(|family| pool.capacity(**family) == 0) {
            return Err(Obstacle::NoSuchFamily { family });
        }
        wish.iter().map(|family| self.find(pool, *family, ledger, choice)).collect()
    }

    fn find(
        &self,
        pool: &Pool,
        family: Family,
        ledger: &Ledger,
        choice: Choice,
    ) -> Result<IpAddr, Obstacle> {
        let ranges = match choice {
            Choice::FirstFree => pool.ranges_of(family).collect(),
            Choice::Hashed => rotated(pool.ranges_of(family).collect(), self.start()),
        };
        let mut fits =
            ranges.iter().filter_map(|range| ledger.first_fit(*range, pool, &self.claim));
        fits.next().ok_or_else(|| {
            let (used, total) = (ledger.used(pool, family), pool.capacity(family));
            Obstacle::Exhausted { family, used, total }
        })
    }

    /// Where [`Choice::Hashed`] starts, modulo the number of addresses.
    fn start(&self) -> u128 {
        match self.claim.sharing_key() {
            Some(key) => hash(key),
            None => hash(&self.name.to_string()),
        }
    }
}

/// Families to look for in one pool, the best first.
fn wishes(families: Families) -> &'static [&'static [Family]] {
    use Family::{V4, V6};
    match families {
        Families::Single(V4) => &[&[V4]],
        Families::Single(V6) => &[&[V6]],
        Families::PreferDual(V4) => &[&[V4, V6], &[V4], &[V6]],
        Families::PreferDual(V6) => &[&[V4, V6], &[V6], &[V4]],
        Families::RequireDual => &[&[V4, V6]],
    }
}

/// Each pool with its first obstacle. That it is full counts more than that it would not have been
/// the best, which is what a missing family means to a Service that only prefers dual stack.
fn once_each(tried: Tried<'_>) -> Vec<(PoolName, Obstacle)> {
    let mut pools: Vec<(PoolName, Obstacle)> = Vec::new();
    for (name, obstacle) in tried {
        match pools.iter_mut().find(|(known, _)| known == name) {
            None => pools.push((name.clone(), obstacle)),
            Some((_, Obstacle::Exhausted { .. })) => (),
            Some((_, known)) if matches!(obstacle, Obstacle::Exhausted { .. }) => *known = obstacle,
            Some(_) => (),
        }
    }
    pools
}

/// The same addresses, but starting at the one with `start` modulo their number before it.
fn rotated(ranges: Vec<Range>, start: u128) -> Vec<Range> {
    let total = ranges.iter().fold(0, |sum: u128, range| sum.saturating_add(range.count()));
    let mut offset = start % total.max(1);
    let (mut from_start, mut before_start) = (Vec::new(), Vec::new());
    for range in ranges {
        let (head, tail) = range.split_at(offset);
        offset = offset.saturating_sub(range.count());
        before_start.extend(head);
        from_start.extend(tail);
    }
    from_start.extend(before_start);
    from_start
}

/// The first 16 bytes of the sha256. Part of the contract: nodes of two versions must agree.
fn hash(text: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(text).into();
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests;
