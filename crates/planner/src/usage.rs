//! How much of each pool is in use.

use std::collections::BTreeMap;

use crate::facts::{Facts, Family, Pool};
use crate::ledger::Ledger;
use crate::names::PoolName;

/// How much of a pool is in use, by family.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// IPv4 addresses.
    pub v4: Count,
    /// IPv6 addresses.
    pub v6: Count,
}

/// Numbers of addresses. All of IPv6 is one more than fits, and counts as [`u128::MAX`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Count {
    /// How many the pool has to give, without those that `avoidBuggyIPs` leaves out.
    pub capacity: u128,
    /// How many of them Services have; a shared one counts once.
    pub used: u128,
    /// How many nobody has because they are reserved.
    pub reserved: u128,
    /// How many any Service may get that the pool is for; none while it is being drained.
    pub available: u128,
}

/// Counts the addresses of every pool.
pub fn usage(facts: &Facts, ledger: &Ledger) -> BTreeMap<PoolName, Usage> {
    let pools = facts.pools.iter();
    pools.map(|(name, pool)| (name.clone(), Usage::of(pool, ledger))).collect()
}

impl Usage {
    /// Counts the addresses of one pool.
    pub fn of(pool: &Pool, ledger: &Ledger) -> Self {
        let count = |family| Count::of(pool, family, ledger);
        Self { v4: count(Family::V4), v6: count(Family::V6) }
    }
}

impl Count {
    fn of(pool: &Pool, family: Family, ledger: &Ledger) -> Self {
        let (capacity, used) = (pool.capacity(family), ledger.used(pool, family));
        let reserved = ledger.unused_reservations(pool, family);
        let free = capacity.saturating_sub(used).saturating_sub(reserved);
        let available = if pool.is_draining { 0 } else { free };
        Self { capacity, used, reserved, available }
    }
}

/// A number for the status of an object or a metric, where the largest integer stands for more.
pub fn int64(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Build, address, pool, service};

    fn buggy<const N: usize>(ranges: [&str; N]) -> Pool {
        Pool { avoid_buggy_ips: true, ..pool(ranges) }
    }

    #[test]
    fn capacity_is_counted_as_metallb_does_and_never_overflows() {
        let rows = [
            ("two prefixes", pool(["1.2.3.0/24", "1.2.4.0/25"]), (384, 0)),
            ("without buggy ones", buggy(["1.2.3.0/24", "1.2.4.0/25"]), (381, 0)),
            ("both families", buggy(["1.2.3.0/31", "1000::/127"]), (1, 2)),
            ("both families, all of them", pool(["1.2.3.0/31", "1000::/127"]), (2, 2)),
            ("IPv6 keeps its zeros", buggy(["fc00::/120"]), (0, 256)),
            ("a range that is no prefix", buggy(["1.2.3.200-1.2.5.10"]), (323 - 4, 0)),
            ("a /64", pool(["fc00::/64"]), (0, 1 << 64)),
            ("a /64 and more", pool(["fc00::/64", "fc01::/120"]), (0, (1 << 64) + 256)),
            ("all of IPv6", pool(["::/0"]), (0, u128::MAX)),
            ("all there is", pool(["0.0.0.0/0", "::/0"]), (1 << 32, u128::MAX)),
        ];
        for (name, pool, (v4, v6)) in rows {
            let usage = Usage::of(&pool, &Ledger::default());
            assert_eq!((usage.v4.capacity, usage.v6.capacity), (v4, v6), "{name}");
            assert_eq!((usage.v4.available, usage.v6.available), (v4, v6), "{name}");
        }
    }

    #[test]
    fn a_status_has_room_for_every_number() {
        assert_eq!(int64(256), 256);
        assert_eq!(int64((1 << 63) - 1), i64::MAX);
        assert_eq!(int64(1 << 64), i64::MAX);
        assert_eq!(int64(u128::MAX), i64::MAX);
    }

    #[test]
    fn what_is_used_and_reserved_is_not_available() {
        let mut ledger = Ledger::default();
        let mut book = |build: Build, at: &str| {
            ledger.book(&[address(at)], &build.claim()).unwrap();
        };
        book(service("a").shares("k"), "192.0.2.1");
        book(service("b").shares("k").ports(["TCP/443"]), "192.0.2.1");
        book(service("c"), "192.0.2.2");
        let reservations =
            ["192.0.2.2", "192.0.2.3"].map(|text| (address(text), service("c").name));
        let reservations = reservations.into_iter().collect();
        let pool = Pool { reservations, ..pool(["192.0.2.0/29"]) };
        let want = Count { capacity: 8, used: 2, reserved: 1, available: 5 };
        assert_eq!(Usage::of(&pool, &ledger).v4, want);
        let draining = Pool { is_draining: true, ..pool };
        assert_eq!(Usage::of(&draining, &ledger).v4, Count { available: 0, ..want });
    }
}
