//! Free addresses of one pool for one Service.

use std::net::IpAddr;

use super::request::Request;
use super::{Choice, hash};
use crate::facts::{Family, Pool};
use crate::ledger::{Ledger, Reach};
use crate::range::Range;
use crate::reason::Obstacle;

/// Looks in one pool for what one Service lacks.
#[derive(Clone)]
pub(super) struct Search<'a> {
    request: &'a Request<'a>,
    pool: &'a Pool,
    ledger: &'a Ledger,
    /// What the Service has from the pool, and what was found.
    pub(super) addresses: Vec<IpAddr>,
    /// How many addresses more the quota lets the namespace have.
    room: u128,
}

impl<'a> Search<'a> {
    pub(super) fn new(request: &'a Request<'a>, pool: &'a Pool, ledger: &'a Ledger) -> Self {
        let room = pool.namespace_quota.map_or(u128::MAX, |quota| {
            u128::from(quota).saturating_sub(ledger.used_by(&request.name.namespace, pool))
        });
        Self { request, pool, ledger, addresses: Vec::new(), room }
    }

    /// With addresses that the Service has, whether or not the ledger says so.
    pub(super) fn with(mut self, addresses: &[IpAddr]) -> Self {
        addresses.iter().for_each(|address| self.add(*address));
        self
    }

    /// Takes exactly these addresses, which the Service can have but for the quota.
    pub(super) fn take(mut self, addresses: &[IpAddr]) -> Result<(), Obstacle> {
        for &address in addresses {
            if self.room == 0 && !self.is_within_quota(address) {
                return Err(self.quota_reached(self.pool.namespace_quota.unwrap_or(u64::MAX)));
            }
            self.add(address);
        }
        Ok(())
    }

    /// Finds all that the Service needs of each of `families`.
    pub(super) fn fill_all(
        mut self,
        families: &[Family],
        choice: Choice,
    ) -> Result<Vec<IpAddr>, Obstacle> {
        if let Some(&family) = families.iter().find(|family| self.pool.capacity(**family) == 0) {
            return Err(Obstacle::NoSuchFamily { family });
        }
        families.iter().try_for_each(|family| self.fill(*family, choice))?;
        Ok(self.addresses)
    }

    /// Finds what the Service lacks of one family, or as much of it as there is.
    pub(super) fn fill(&mut self, family: Family, choice: Choice) -> Result<(), Obstacle> {
        let needed = self.request.service.need().lacks(family, &self.addresses);
        if needed > 0 && self.pool.capacity(family) == 0 {
            return Err(Obstacle::NoSuchFamily { family });
        }
        for found in 0..needed {
            let address = self.next(family, choice);
            let address = address.ok_or_else(|| self.obstacle(family, needed, found))?;
            self.add(address);
        }
        Ok(())
    }

    fn add(&mut self, address: IpAddr) {
        if !self.is_within_quota(address) {
            self.room = self.room.saturating_sub(1);
        }
        self.addresses.push(address);
    }

    /// Whether the namespace has `address` already, so that it costs nothing of the quota.
    fn is_within_quota(&self, address: IpAddr) -> bool {
        self.ledger.is_used_by(&self.request.name.namespace, address)
    }

    fn next(&self, family: Family, choice: Choice) -> Option<IpAddr> {
        let mut reserved = self.pool.reservations.of(self.request.name);
        let can_have = |address: &IpAddr| {
            Family::of(*address) == family
                && !self.addresses.contains(address)
                && (self.room > 0 || self.is_within_quota(*address))
                && self.ledger.check(*address, &self.request.claim).is_ok()
        };
        reserved.find(can_have).or_else(|| {
            let ranges = self.pool.ranges_of(family).collect();
            let ranges = match choice {
                Choice::FirstFree => ranges,
                Choice::Hashed => rotated(ranges, self.start()),
            };
            ranges.into_iter().find_map(|range| self.first_fit(range))
        })
    }

    /// The first address of `range` that the Service can have and does not have yet.
    fn first_fit(&self, range: Range) -> Option<IpAddr> {
        let reach = if self.room > 0 { Reach::All } else { Reach::HeldByNamespace };
        let mut rest = Some(range);
        while let Some(range) = rest {
            let found = self.ledger.first_fit(range, self.pool, &self.request.claim, reach)?;
            if !self.addresses.contains(&found) {
                return Some(found);
            }
            rest = range.after(found);
        }
        None
    }

    /// Where [`Choice::Hashed`] starts, modulo the number of addresses.
    fn start(&self) -> u128 {
        match self.request.claim.sharing_key() {
            Some(key) => hash(key),
            None => hash(&self.request.name.to_string()),
        }
    }

    fn obstacle(&self, family: Family, needed: usize, found: usize) -> Obstacle {
        match self.pool.namespace_quota {
            Some(quota) if self.room == 0 => self.quota_reached(quota),
            Some(_) | None => Obstacle::Exhausted {
                family,
                needed,
                found,
                used: self.ledger.used(self.pool, family),
                reserved: self.ledger.unused_reservations(self.pool, family),
                total: self.pool.capacity(family),
            },
        }
    }

    fn quota_reached(&self, quota: u64) -> Obstacle {
        let namespace = self.request.name.namespace.to_string();
        let used = self.ledger.used_by(&namespace, self.pool);
        Obstacle::QuotaReached { namespace, used, quota }
    }
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
