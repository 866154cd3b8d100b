//! The book of addresses: who holds which, and who may share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rangemap::RangeInclusiveSet;

use crate::facts::{Family, Pool, Port, Service, TrafficPolicy};
use crate::names::ServiceName;
use crate::range::{Range, bits};
use crate::reason::{Conflict, Refusal};
use crate::selector::Labels;

/// Who has which address.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    book: BTreeMap<IpAddr, Vec<Claim>>,
    // The four below follow from `book`. Finding a free address in a full pool of 65,536, and
    // releasing a Service, would otherwise walk all of it, once for each Service.
    taken: Taken,
    by_service: BTreeMap<ServiceName, Vec<IpAddr>>,
    by_sharing_key: BTreeMap<String, BTreeSet<IpAddr>>,
    by_namespace: BTreeMap<Arc<str>, Taken>,
}

/// Addresses in use, as ranges of their bits.
#[derive(Clone, Debug, Default)]
struct Taken {
    v4: RangeInclusiveSet<u128>,
    v6: RangeInclusiveSet<u128>,
}

/// Which addresses [`Ledger::first_fit`] looks at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Free ones, and those that Services share.
    All,
    /// Those that Services of the same namespace share, which count once for its quota.
    HeldByNamespace,
}

/// What decides whether a Service can share an address with others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    service: ServiceName,
    sharing_key: Option<String>,
    backends: Labels,
    ports: BTreeSet<Port>,
}

impl Claim {
    /// The claim of `service`.
    pub fn new(name: &ServiceName, service: &Service) -> Self {
        // As in MetalLB, a Service that forwards to any node and one without a pod selector are
        // alike.
        let backends = match service.traffic_policy {
            TrafficPolicy::Cluster => Labels::new(),
            TrafficPolicy::Local => service.pod_selector.clone(),
        };
        Self {
            service: name.clone(),
            sharing_key: service.sharing_key.clone().filter(|key| !key.is_empty()),
            backends,
            ports: service.ports.clone(),
        }
    }

    /// The Service that claims.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The key under which the Service shares; never empty.
    pub fn sharing_key(&self) -> Option<&str> {
        self.sharing_key.as_deref()
    }

    /// Whether the Service can share an address with `holder`.
    ///
    /// # Errors
    ///
    /// Says what keeps them apart. A Service is never in its own way.
    fn share_with(&self, holder: &Self) -> Result<(), Conflict> {
        if self.service == holder.service {
            return Ok(());
        }
        let name = || holder.service.clone();
        match (&self.sharing_key, &holder.sharing_key) {
            (None, _) | (_, None) => return Err(Conflict::Unshared { holder: name() }),
            (Some(ours), Some(theirs)) if ours != theirs => {
                return Err(Conflict::OtherSharingKey { holder: name() });
            }
            (Some(_), Some(_)) => (),
        }
        if self.backends != holder.backends {
            return Err(Conflict::OtherBackends { holder: name() });
        }
        match self.ports.intersection(&holder.ports).next() {
            Some(port) => Err(Conflict::PortTaken { port: *port, holder: name() }),
            None => Ok(()),
        }
    }
}

impl Ledger {
    /// Gives all `addresses` to the Service of `claim`, in place of what it had.
    ///
    /// # Errors
    ///
    /// Names the first Service in the way. The ledger is then unchanged.
    pub fn book(&mut self, addresses: &[IpAddr], claim: &Claim) -> Result<(), Refusal> {
        for &address in addresses {
            self.check(address, claim)?;
        }
        self.release(&claim.service);
        for &address in addresses {
            self.insert(address, claim);
        }
        Ok(())
    }

    /// Whether the Service of `claim` can have `address`.
    ///
    /// # Errors
    ///
    /// Names the first Service in the way.
    pub fn check(&self, address: IpAddr, claim: &Claim) -> Result<(), Refusal> {
        for holder in self.holders(address) {
            let taken = |conflict| Refusal::Taken { address, conflict };
            claim.share_with(holder).map_err(taken)?;
        }
        Ok(())
    }

    /// Takes back every address of a Service.
    pub fn release(&mut self, service: &ServiceName) {
        for address in self.by_service.remove(service).unwrap_or_default() {
            self.remove(address, service);
        }
    }

    /// Who has `address`, in the order of their names.
    pub fn holders(&self, address: IpAddr) -> impl Iterator<Item = &Claim> {
        self.book.get(&address).into_iter().flatten()
    }

    /// What a Service has, in the order in which it was booked.
    pub fn addresses(&self, service: &ServiceName) -> &[IpAddr] {
        self.by_service.get(service).map_or(&[], Vec::as_slice)
    }

    /// How many addresses of `pool` are in use; a shared one counts once.
    pub fn used(&self, pool: &Pool, family: Family) -> u128 {
        pool.ranges_of(family).map(|range| self.taken.count(range)).sum()
    }

    /// How many addresses of `pool` nobody has because they are reserved.
    pub fn unused_reservations(&self, pool: &Pool, family: Family) -> u128 {
        let reserved = pool.reservations.addresses();
        let is_unused =
            |address: &IpAddr| Family::of(*address) == family && !self.taken.contains(*address);
        reserved.filter(is_unused).fold(0, |count, _| count + 1)
    }

    /// How many addresses of `pool` the Services of a namespace have; one that they share counts
    /// once.
    pub fn used_by(&self, namespace: &str, pool: &Pool) -> u128 {
        let Some(taken) = self.by_namespace.get(namespace) else { return 0 };
        pool.ranges.iter().map(|range| taken.count(*range)).sum()
    }

    /// Whether a Service of the namespace has `address`.
    pub fn is_used_by(&self, namespace: &str, address: IpAddr) -> bool {
        self.by_namespace.get(namespace).is_some_and(|taken| taken.contains(address))
    }

    /// The first address of `range` that the Service of `claim` can have from `pool`: one that is
    /// free and not reserved, or one that it can share.
    pub fn first_fit(
        &self,
        range: Range,
        pool: &Pool,
        claim: &Claim,
        reach: Reach,
    ) -> Option<IpAddr> {
        let free = match reach {
            Reach::All => self.first_free(range, pool),
            Reach::HeldByNamespace => None,
        };
        let end = free.unwrap_or_else(|| range.last());
        let mut shared = self.shareable(range.first()..=end, pool, claim);
        let first_shared = match reach {
            Reach::All => shared.next(),
            Reach::HeldByNamespace => {
                shared.find(|address| self.is_used_by(&claim.service.namespace, *address))
            }
        };
        free.into_iter().chain(first_shared).min()
    }

    fn first_free(&self, range: Range, pool: &Pool) -> Option<IpAddr> {
        let mut rest = Some(range);
        while let Some(range) = rest {
            let offset = self.taken.first_gap(range)?;
            let free = range.nth(offset)?;
            let reserved = pool.reservations.run_end(free);
            if reserved.is_none() && !pool.is_avoided(free) {
                return Some(free);
            }
            rest = range.after(reserved.unwrap_or(free));
        }
        None
    }

    fn shareable(
        &self,
        among: RangeInclusive<IpAddr>,
        pool: &Pool,
        claim: &Claim,
    ) -> impl Iterator<Item = IpAddr> {
        let of_key = claim.sharing_key.as_ref().and_then(|key| self.by_sharing_key.get(key));
        let shared = of_key.into_iter().flat_map(move |shared| shared.range(among.clone()));
        shared.copied().filter(|address| {
            self.check(*address, claim).is_ok() && pool.offers(*address, &claim.service)
        })
    }

    fn insert(&mut self, address: IpAddr, claim: &Claim) {
        let holders = self.book.entry(address).or_default();
        let place = holders.binary_search_by(|holder| holder.service.cmp(&claim.service));
        // The same address twice is one address.
        let Err(place) = place else { return };
        holders.insert(place, claim.clone());
        self.taken.insert(address);
        let namespace = claim.service.namespace.clone();
        self.by_namespace.entry(namespace).or_default().insert(address);
        self.by_service.entry(claim.service.clone()).or_default().push(address);
        if let Some(key) = &claim.sharing_key {
            self.by_sharing_key.entry(key.clone()).or_default().insert(address);
        }
    }

    fn remove(&mut self, address: IpAddr, service: &ServiceName) {
        let Some(holders) = self.book.get_mut(&address) else { return };
        let Some(index) = holders.iter().position(|holder| holder.service == *service) else {
            return;
        };
        let claim = holders.remove(index);
        let namespace = &service.namespace;
        if !holders.iter().any(|holder| holder.service.namespace == *namespace)
            && let Some(taken) = self.by_namespace.get_mut(namespace)
        {
            taken.remove(address);
            if taken.is_empty() {
                self.by_namespace.remove(namespace);
            }
        }
        if !holders.is_empty() {
            // Those that are left have the same sharing key.
            return;
        }
        self.book.remove(&address);
        self.taken.remove(address);
        if let Some(key) = claim.sharing_key
            && let Some(addresses) = self.by_sharing_key.get_mut(&key)
        {
            addresses.remove(&address);
            if addresses.is_empty() {
                self.by_sharing_key.remove(&key);
            }
        }
    }
}

impl Taken {
    fn of(&self, family: Family) -> &RangeInclusiveSet<u128> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn of_mut(&mut self, family: Family) -> &mut RangeInclusiveSet<u128> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    fn insert(&mut self, address: IpAddr) {
        let bits = bits(address);
        self.of_mut(Family::of(address)).insert(bits..=bits);
    }

    fn remove(&mut self, address: IpAddr) {
        let bits = bits(address);
        self.of_mut(Family::of(address)).remove(bits..=bits);
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.of(Family::of(address)).contains(&bits(address))
    }

    fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// How many addresses of `range` come before the first that is free.
    fn first_gap(&self, range: Range) -> Option<u128> {
        let (first, last) = (bits(range.first()), bits(range.last()));
        let gap = self.of(range.family()).gaps(&(first..=last)).next()?;
        Some(gap.start() - first)
    }

    /// How many addresses of `range` are in use.
    fn count(&self, range: Range) -> u128 {
        let (first, last) = (bits(range.first()), bits(range.last()));
        let runs = self.of(range.family()).overlapping(first..=last);
        runs.map(|run| ((*run.end()).min(last) - (*run.start()).max(first)).saturating_add(1)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{Build, address, pool, service};

    fn book(ledger: &mut Ledger, of: &Build, at: &[&str]) -> Result<(), String> {
        let addresses: Vec<_> = at.iter().map(|text| address(text)).collect();
        ledger.book(&addresses, &of.claim()).map_err(|refusal| refusal.label().to_owned())
    }

    #[test]
    fn who_may_share() {
        let s1 = || service("s1").ports(["TCP/80"]).shares("k");
        let s2 = || service("s2").ports(["TCP/443"]).shares("k");
        let local = |build: Build| build.local([("app", "x")]);
        let rows = [
            ("no key", service("s1"), service("s2").ports(["TCP/443"]), Err("notShared")),
            ("only the holder has a key", s1(), service("s2"), Err("notShared")),
            ("only the newcomer has a key", service("s1"), s2(), Err("notShared")),
            ("empty keys", s1().shares(""), s2().shares(""), Err("notShared")),
            ("another key", s1(), s2().shares("x"), Err("differentSharingKey")),
            ("the same key", s1(), s2(), Ok(())),
            ("the same port", s1(), s2().ports(["TCP/443", "TCP/80"]), Err("portTaken")),
            ("the same number, another protocol", s1(), s2().ports(["UDP/80"]), Ok(())),
            ("Cluster and Local", s1(), local(s2()), Err("differentBackends")),
            ("Local, the same pods", local(s1()), local(s2()), Ok(())),
            (
                "Local, other pods",
                local(s1()),
                s2().local([("app", "y")]),
                Err("differentBackends"),
            ),
            ("Cluster and Local without a selector", s1(), s2().local([]), Ok(())),
        ];
        for (name, holder, newcomer, want) in rows {
            let mut ledger = Ledger::default();
            book(&mut ledger, &holder, &["192.0.2.1"]).unwrap();
            let found = book(&mut ledger, &newcomer, &["192.0.2.1"]);
            assert_eq!(found, want.map_err(str::to_owned), "{name}");
        }
    }

    #[test]
    fn a_refusal_names_the_service_in_the_way() {
        let mut ledger = Ledger::default();
        book(&mut ledger, &service("shop/web").shares("k"), &["192.0.2.1"]).unwrap();
        let refusal = ledger
            .book(&[address("192.0.2.1")], &service("shop/api").shares("k").claim())
            .unwrap_err();
        let want = "`192.0.2.1` is shared by `shop/web`, which listens on TCP/80 as well";
        assert_eq!(refusal.to_string(), want);
    }

    #[test]
    fn one_address_after_the_other() {
        let conflict = |label: &str| Err(label.to_owned());
        let (s1, s2) = (service("s1"), service("s2").ports(["TCP/443"]));
        // Each line is one step on the same ledger.
        let steps: [(_, Build, &[&str], _, &[&str]); 9] = [
            ("s1 takes one", s1.clone(), &["192.0.2.1"], Ok(()), &["192.0.2.1"]),
            ("s1 takes it again", s1.clone(), &["192.0.2.1"], Ok(()), &["192.0.2.1"]),
            (
                "s2 gets all or nothing",
                s2.clone(),
                &["fc00::1", "192.0.2.1"],
                conflict("notShared"),
                &[],
            ),
            ("s2 takes the other", s2.clone(), &["fc00::1"], Ok(()), &["fc00::1"]),
            (
                "s1 cannot have both",
                s1.clone(),
                &["192.0.2.1", "fc00::1"],
                conflict("notShared"),
                &["192.0.2.1"],
            ),
            ("s1 moves", s1.clone(), &["192.0.2.2"], Ok(()), &["192.0.2.2"]),
            ("s2 takes its former one", s2.clone(), &["192.0.2.1"], Ok(()), &["192.0.2.1"]),
            ("s2 wants to share", s2.shares("k"), &["192.0.2.1"], Ok(()), &["192.0.2.1"]),
            ("s1 shares it", s1.shares("k"), &["192.0.2.1"], Ok(()), &["192.0.2.1"]),
        ];
        let mut ledger = Ledger::default();
        for (step, build, at, want, held) in steps {
            assert_eq!(book(&mut ledger, &build, at), want, "{step}");
            let addresses = ledger.addresses(&build.name).iter().map(ToString::to_string);
            assert_eq!(addresses.collect::<Vec<_>>(), held, "{step}");
        }
    }

    #[test]
    fn a_shared_address_is_free_when_the_last_has_left() {
        let (s1, s2) = (service("s1").shares("k"), service("s2").shares("k").ports(["TCP/443"]));
        let s3 = service("s3").shares("k").ports(["TCP/25"]);
        let (pool, range) = (pool(["192.0.2.1-192.0.2.2"]), Range::parse("192.0.2.1-192.0.2.2"));
        let range = range.unwrap();
        let mut ledger = Ledger::default();
        book(&mut ledger, &s1, &["192.0.2.1"]).unwrap();
        book(&mut ledger, &s2, &["192.0.2.1"]).unwrap();
        assert_eq!(ledger.used(&pool, Family::V4), 1, "a shared address counts once");

        ledger.release(&s1.name);
        assert_eq!(ledger.used(&pool, Family::V4), 1, "s2 still has it");
        assert_eq!(
            ledger.first_fit(range, &pool, &s3.claim(), Reach::All),
            Some(address("192.0.2.1"))
        );
        let apart = service("s4").claim();
        assert_eq!(ledger.first_fit(range, &pool, &apart, Reach::All), Some(address("192.0.2.2")));

        ledger.release(&s2.name);
        assert_eq!(ledger.used(&pool, Family::V4), 0);
        assert_eq!(ledger.first_fit(range, &pool, &apart, Reach::All), Some(address("192.0.2.1")));
    }

    #[test]
    fn the_first_fit_is_the_lowest_that_is_free_or_shared() {
        let mut ledger = Ledger::default();
        book(&mut ledger, &service("s1"), &["192.0.2.1"]).unwrap();
        book(&mut ledger, &service("s2").shares("k"), &["192.0.2.2"]).unwrap();
        let range = Range::parse("192.0.2.0-192.0.3.0").unwrap();
        let rows = [
            ("a free one before", "192.0.2.0-192.0.3.0", false, service("s3"), Some("192.0.2.0")),
            ("0 is avoided", "192.0.2.0-192.0.3.0", true, service("s3"), Some("192.0.2.3")),
            ("a shared one is next", "192.0.2.1-192.0.3.0", false, s3_sharing(), Some("192.0.2.2")),
            ("a full range", "192.0.2.1-192.0.2.2", false, service("s3"), None),
            ("only avoided ones", "192.0.2.255-192.0.3.0", true, service("s3"), None),
        ];
        for (name, text, avoid_buggy_ips, build, want) in rows {
            let pool = Pool { avoid_buggy_ips, ..pool([text]) };
            let range = Range::parse(text).unwrap();
            let found = ledger.first_fit(range, &pool, &build.claim(), Reach::All);
            assert_eq!(found, want.map(address), "{name}");
        }
        assert!(ledger.holders(range.first()).next().is_none(), "looking books nothing");
    }

    fn s3_sharing() -> Build {
        service("s3").shares("k").ports(["TCP/443"])
    }
}
