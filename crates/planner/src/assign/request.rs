//! One Service that needs addresses: what it may keep, and where it may get some.

use std::iter;
use std::net::IpAddr;

use super::search::Search;
use super::{Assignment, Choice, Pools};
use crate::facts::{Allocation, Families, Family, Pool, Service};
use crate::ledger::{Claim, Ledger};
use crate::names::{PoolName, ServiceName};
use crate::reason::{Obstacle, Refusal};
use crate::selector::Labels;

/// One Service that needs addresses.
pub(super) struct Request<'a> {
    pub(super) name: &'a ServiceName,
    pub(super) service: &'a Service,
    pub(super) claim: Claim,
    pools: Pools<'a>,
}

/// What a Service gets.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) assignment: Assignment,
    /// Why it did not keep all that it had.
    pub(crate) dropped: Option<Refusal>,
    /// Why it has fewer addresses than it would like.
    pub(crate) short: Option<Obstacle>,
}

/// Why a Service gets nothing.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// Why it did not keep what it had.
    pub(crate) dropped: Option<Refusal>,
    /// Why there is nothing else.
    pub(crate) refusal: Refusal,
}

/// Pools of one tier, with their names.
type Tier<'a> = Vec<(&'a PoolName, &'a Pool)>;

/// A pool and whatever may be in the way.
type Tried<'a> = Vec<(&'a PoolName, Obstacle)>;

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
        if is_limited && !names.contains(&*request.name.namespace) && !is_selected() {
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

impl<'a> Request<'a> {
    pub(super) fn new(name: &'a ServiceName, service: &'a Service, pools: Pools<'a>) -> Self {
        Self { name, service, claim: Claim::new(name, service), pools }
    }

    /// What it has and may keep, with what it lacks, or else something new.
    pub(super) fn decide(&self, ledger: &Ledger, choice: Choice) -> Result<Found, Box<Refused>> {
        let dropped = match self.service.addresses.is_empty() {
            true => None,
            false => match self.keep(ledger) {
                Ok(kept) => return Ok(self.extend(kept, ledger, choice)),
                Err(refusal) => Some(refusal),
            },
        };
        match self.choose(ledger, choice) {
            Ok(assignment) => Ok(Found { assignment, dropped, short: None }),
            Err(refusal) => Err(Box::new(Refused { dropped, refusal })),
        }
    }

    /// The addresses that the Service has and may keep: of each family that it has at least one.
    pub(super) fn keep(&self, ledger: &Ledger) -> Result<Found, Refusal> {
        let addresses = self.service.wanted_addresses();
        let (families, needed) = (self.service.families, self.service.need());
        if !families.allow(&addresses) {
            return Err(Refusal::WrongFamilies { addresses, needed });
        }
        let (name, pool) = self.home(&addresses)?;
        self.admitted_to(name, pool)?;
        self.wants_pool(name, &addresses)?;
        let (mut kept, mut dropped) = (Vec::new(), None);
        for &address in &addresses {
            match self.may_have(address, name, &addresses, ledger) {
                Ok(()) => kept.push(address),
                Err(refusal) => dropped = dropped.or(Some(refusal)),
            }
        }
        let is_left =
            |address: &IpAddr| kept.iter().any(|other| Family::of(*other) == Family::of(*address));
        if let Some(refusal) = dropped.take_if(|_| !addresses.iter().all(is_left)) {
            return Err(refusal);
        }
        if !self.service.requested_addresses.is_empty() && !self.service.requests_exactly(&kept) {
            return Err(Refusal::OtherAddresses { addresses: kept });
        }
        let assignment = Assignment { addresses: kept, pool: name.clone() };
        Ok(Found { assignment, dropped, short: None })
    }

    /// The pool of the first address that is in one.
    fn home(&self, addresses: &[IpAddr]) -> Result<(&'a PoolName, &'a Pool), Refusal> {
        let mut owners = addresses.iter().map(|address| self.pools.owner(*address));
        let first = owners.next().unwrap_or(Err(Refusal::NoPools));
        first.or_else(|refusal| owners.find_map(Result::ok).ok_or(refusal))
    }

    /// Whether one of its addresses may stay what it is, in pool `home` like the others.
    fn may_have(
        &self,
        address: IpAddr,
        home: &PoolName,
        addresses: &[IpAddr],
        ledger: &Ledger,
    ) -> Result<(), Refusal> {
        let (name, pool) = self.pools.owner(address)?;
        if name != home {
            return Err(Refusal::InTwoPools { addresses: addresses.into() });
        }
        self.not_reserved(address, name, pool)?;
        ledger.check(address, &self.claim)
    }

    fn not_reserved(&self, address: IpAddr, name: &PoolName, pool: &Pool) -> Result<(), Refusal> {
        match pool.reservations.owner(address).filter(|owner| *owner != self.name) {
            None => Ok(()),
            Some(owner) => {
                let (pool, owner) = (name.clone(), owner.clone());
                Err(Refusal::Reserved { address, pool, owner })
            }
        }
    }

    fn wants_pool(&self, name: &PoolName, addresses: &[IpAddr]) -> Result<(), Refusal> {
        match self.service.requested_pool.as_ref().filter(|pool| *pool != name) {
            None => Ok(()),
            Some(requested) => {
                let (pool, requested) = (name.clone(), requested.clone());
                Err(Refusal::OtherPool { addresses: addresses.into(), pool, requested })
            }
        }
    }

    /// The addresses that it asks for, from the pool that they are in.
    fn take(&self, ledger: &Ledger) -> Result<Assignment, Refusal> {
        let (addresses, needed) = (&self.service.requested_addresses, self.service.need());
        if !needed.is_met_by(addresses) {
            return Err(Refusal::WrongFamilies { addresses: addresses.clone(), needed });
        }
        let (name, pool) = self.pools.common_owner(addresses)?;
        let not_for_service = |obstacle| Refusal::NotForService { pool: name.clone(), obstacle };
        self.gives(pool).map_err(not_for_service)?;
        self.wants_pool(name, addresses)?;
        for &address in addresses {
            self.not_reserved(address, name, pool)?;
            ledger.check(address, &self.claim)?;
        }
        Search::new(self, pool, ledger).take(addresses).map_err(not_for_service)?;
        Ok(Assignment { addresses: addresses.clone(), pool: name.clone() })
    }

    /// With the addresses that the Service lacks, as far as the pool has them.
    fn extend(&self, mut found: Found, ledger: &Ledger, choice: Choice) -> Found {
        let Assignment { addresses, pool } = &mut found.assignment;
        let Some(pool) = self.pools.pools.get(pool) else { return found };
        if !self.service.wants_more_than(addresses) {
            return found;
        }
        if pool.is_draining {
            return Found { short: Some(Obstacle::Draining), ..found };
        }
        let mut search = Search::new(self, pool, ledger).with(addresses);
        for family in [Family::V4, Family::V6] {
            let before = search.clone();
            match search.fill(family, choice) {
                // A pool of one family is how it was set up, nothing that a Service could miss.
                Ok(()) | Err(Obstacle::NoSuchFamily { .. }) => (),
                Err(obstacle) => {
                    found.short.get_or_insert(obstacle);
                    // A family that it does not have yet comes as a whole, as for a new Service.
                    if !before.addresses.iter().any(|address| Family::of(*address) == family) {
                        search = before;
                    }
                }
            }
        }
        *addresses = search.addresses;
        found
    }

    fn choose(&self, ledger: &Ledger, choice: Choice) -> Result<Assignment, Refusal> {
        if self.pools.pools.is_empty() {
            Err(Refusal::NoPools)
        } else if !self.service.requested_addresses.is_empty() {
            self.take(ledger)
        } else if let Some(name) = &self.service.requested_pool {
            let unknown = || Refusal::UnknownPool { pool: name.clone() };
            let pool = self.pools.pools.get(name).ok_or_else(unknown)?;
            self.gives(pool)
                .map_err(|obstacle| Refusal::NotForService { pool: name.clone(), obstacle })?;
            let tier = vec![(name, pool)];
            self.choose_from(vec![tier], Vec::new(), ledger, choice)
        } else {
            let (tiers, tried) = self.tiers();
            self.choose_from(tiers, tried, ledger, choice)
        }
    }

    /// Pools that may serve the Service without being asked for, in three tiers: those that reserve
    /// an address for it, those that select it, then those for everyone. And the others.
    fn tiers(&self) -> (Vec<Tier<'a>>, Tried<'a>) {
        let (mut reserving, mut pinned, mut open) = (Vec::new(), Vec::new(), Vec::new());
        let mut others = Vec::new();
        for (name, pool) in self.pools.pools {
            if let Err(obstacle) = self.gives(pool) {
                others.push((name, obstacle));
                continue;
            }
            let is_reserving = self.is_reserved_in(pool);
            if is_reserving {
                reserving.push((name, pool));
            }
            match (pool.auto_assign, &pool.allocation) {
                (false, _) if is_reserving => (),
                (false, _) => others.push((name, Obstacle::AutoAssignOff)),
                (true, Some(allocation)) => pinned.push((allocation.rank(), name, pool)),
                (true, None) => open.push((name, pool)),
            }
        }
        pinned.sort_by_key(|(rank, name, _)| (*rank, *name));
        let pinned = pinned.into_iter().map(|(_, name, pool)| (name, pool)).collect();
        (vec![reserving, pinned, open], others)
    }

    /// Whether the pool reserves an address for the Service, of a family that it needs.
    fn is_reserved_in(&self, pool: &Pool) -> bool {
        let need = self.service.need();
        pool.reservations.of(self.name).any(|address| need.lacks(Family::of(address), &[]) > 0)
    }

    /// Whether the Service may get something from a pool if it asks for it.
    fn gives(&self, pool: &Pool) -> Result<(), Obstacle> {
        self.admitted(pool)?;
        if pool.is_draining { Err(Obstacle::Draining) } else { Ok(()) }
    }

    fn admitted_to(&self, name: &PoolName, pool: &Pool) -> Result<(), Refusal> {
        let not_for_service = |obstacle| Refusal::NotForService { pool: name.clone(), obstacle };
        self.admitted(pool).map_err(not_for_service)
    }

    fn admitted(&self, pool: &Pool) -> Result<(), Obstacle> {
        pool.allocation.as_ref().map_or(Ok(()), |allocation| allocation.admits(self))
    }

    fn namespace_labels(&self) -> Labels {
        let namespace = &*self.name.namespace;
        let only_its_name = || [("kubernetes.io/metadata.name".into(), namespace.into())].into();
        self.pools.namespaces.get(namespace).cloned().unwrap_or_else(only_its_name)
    }

    /// The pools that come before `given`, each with what is in its way. None if the Service asks
    /// for a pool or for addresses: then no other pool matters.
    pub(super) fn passed_over(
        &self,
        given: &PoolName,
        ledger: &Ledger,
    ) -> Vec<(PoolName, Obstacle)> {
        if !self.service.requested_addresses.is_empty() || self.service.requested_pool.is_some() {
            return Vec::new();
        }
        // Addresses are only added to the ledger, so a pool that was full is full at the end too.
        let (tiers, _) = self.tiers();
        let wishes = wishes(self.service.families).iter();
        let of_tier = |tier| wishes.clone().flat_map(move |wish| iter::repeat(*wish).zip(tier));
        let tried = tiers.iter().flat_map(of_tier).map_while(|(wish, (name, pool))| {
            let search = Search::new(self, pool, ledger).fill_all(wish, Choice::FirstFree);
            search.err().map(|obstacle| (*name, obstacle))
        });
        let mut passed = once_each(tried.collect());
        passed.retain(|(pool, _)| pool != given);
        passed
    }

    /// From the first pool that will do. A tier is left only if none of its pools will do at all.
    fn choose_from(
        &self,
        tiers: Vec<Tier<'a>>,
        others: Tried<'a>,
        ledger: &Ledger,
        choice: Choice,
    ) -> Result<Assignment, Refusal> {
        let mut tried = Tried::new();
        for tier in tiers {
            for wish in wishes(self.service.families) {
                for &(name, pool) in &tier {
                    match Search::new(self, pool, ledger).fill_all(wish, choice) {
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

/// Each pool with its first obstacle. Any other counts more than a missing family, which to a
/// Service that only prefers dual stack means no more than that the pool is not the best.
fn once_each(tried: Tried<'_>) -> Vec<(PoolName, Obstacle)> {
    let mut pools: Vec<(PoolName, Obstacle)> = Vec::new();
    for (name, obstacle) in tried {
        match pools.iter_mut().find(|(known, _)| known == name) {
            None => pools.push((name.clone(), obstacle)),
            Some((_, known)) if matches!(known, Obstacle::NoSuchFamily { .. }) => *known = obstacle,
            Some(_) => (),
        }
    }
    pools
}
