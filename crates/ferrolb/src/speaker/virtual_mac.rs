//! The macvlans of a node: one for each address that it holds and that has an Ethernet address of its
//! own.
//!
//! What is wanted comes in as a whole, and what is there is read from the kernel, so a macvlan that an
//! earlier life of the speaker left behind is one that is there. It is deleted only after the node
//! has had time to hold the address again: until then it forwards, and it sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use proto::l2::virtual_mac::virtual_mac;
use proto::time::Instant;
use rtnetlink::Handle;
use tokio::sync::watch;
use tokio::time;

use crate::net::capability;
use crate::net::clock::Clock;
use crate::net::macvlan::{self, Macvlan};

/// How many there may be. Each gets a copy of what is broadcast on the LAN.
const LIMIT: usize = 256;

/// For how long a macvlan stays when another node has taken the address: frames may be on their way.
const LINGER: Duration = Duration::from_secs(1);

/// For how long those of an earlier life stay. A speaker knows what it holds again after two seconds
/// at most.
const LEFT_OVER: Duration = Duration::from_secs(10);

/// How often it is tried again to make one.
const RETRY: Duration = Duration::from_secs(10);

/// For how long a node where it failed leaves the address to others.
const FORGIVEN: Duration = Duration::from_secs(60);

/// How often it is looked whether somebody deleted one.
const IDLE: Duration = Duration::from_secs(60);

/// For which addresses there is to be one, and on which interface.
pub(super) type Wanted = BTreeMap<IpAddr, u32>;

/// For which addresses there is none, and why.
pub(super) type Failures = BTreeMap<IpAddr, Failure>;

/// Why an address has no macvlan.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Failure {
    /// This process may not make one.
    NotPermitted,
    /// There are too many.
    TooMany,
    /// Another one has the same Ethernet address: two addresses share a hash.
    Taken,
    /// The kernel has none, or none on that interface.
    Unsupported,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPermitted => {
                "making interfaces needs CAP_NET_ADMIN, which this process lacks: add NET_ADMIN to \
                 `securityContext.capabilities` of the container"
            }
            Self::Taken => {
                "another interface has its Ethernet address, perhaps of another ferrolb on this \
                 node, or of an address with the same hash: give the Service another address"
            }
            Self::TooMany => {
                "this node has as many macvlans as it may, and each costs a copy of what is \
                 broadcast: have fewer addresses with Ethernet addresses of their own, or more nodes"
            }
            Self::Unsupported => {
                "the kernel refuses a macvlan, as the log has it: load the module `macvlan`, or name \
                 another interface in `spec.interfaces`"
            }
        })
    }
}

/// A place to say what is wanted, and to hear what failed.
#[derive(Clone, Debug)]
pub struct VirtualMacs {
    /// `None` until it is known, so that nothing is deleted before.
    wanted: watch::Sender<Option<Wanted>>,
    failures: watch::Receiver<Failures>,
    handle: Handle,
    is_permitted: bool,
}

impl VirtualMacs {
    /// Starts to do what is wanted, once that is said.
    ///
    /// # Errors
    ///
    /// When netlink cannot be opened.
    pub fn start() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let (wanted, orders) = watch::channel(None);
        let (failed, failures) = watch::channel(Failures::new());
        tokio::spawn(Keeper::new(handle.clone()).run(orders, failed));
        Ok(Self { wanted, failures, handle, is_permitted: capability::has_net_admin() })
    }

    /// Whether this process may make any.
    pub fn are_permitted(&self) -> bool {
        self.is_permitted
    }

    /// Wants this from now on. Costs nothing if it did before.
    pub fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|last| {
            let is_new = last.as_ref() != Some(&wanted);
            *last = Some(wanted);
            is_new
        });
    }

    /// Before the process ends: deletes what is not wanted any more, however short a while ago.
    pub async fn tidy(&self) {
        let Some(wanted) = self.wanted.borrow().clone() else { return };
        let tidied: io::Result<()> = async {
            let plan = Plan::new(&wanted, &macvlan::list(&self.handle).await?);
            for one in plan.surplus {
                macvlan::remove(&self.handle, one.index).await?;
            }
            Ok(())
        }
        .await;
        if let Err(error) = tidied {
            tracing::error!(%error, "cannot delete the macvlans of this node");
        }
    }

    /// Waits until something else fails than before, or works again.
    pub async fn changed(&mut self) -> Failures {
        // The other end ends with the process.
        if self.failures.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.failures.borrow_and_update().clone()
    }
}

/// Makes and deletes.
struct Keeper {
    handle: Handle,
    clock: Clock,
    /// What failed, and when.
    failures: BTreeMap<IpAddr, (Failure, Instant)>,
    /// Since when there are some that nobody wants.
    surplus_since: Option<Instant>,
    /// When it was first said what is wanted.
    begun: Option<Instant>,
}

impl Keeper {
    fn new(handle: Handle) -> Self {
        Self {
            handle,
            clock: Clock::start(),
            failures: BTreeMap::new(),
            surplus_since: None,
            begun: None,
        }
    }

    async fn run(
        mut self,
        mut orders: watch::Receiver<Option<Wanted>>,
        failed: watch::Sender<Failures>,
    ) {
        loop {
            let wanted = orders.borrow_and_update().clone();
            if let Some(wanted) = &wanted
                && let Err(error) = self.keep(wanted).await
            {
                tracing::error!(%error, "reading the macvlans of this node failed");
            }
            let failures: Failures =
                self.failures.iter().map(|(address, (failure, _))| (*address, *failure)).collect();
            failed.send_if_modified(|last| {
                let is_new = *last != failures;
                *last = failures;
                is_new
            });
            let pause = match (self.surplus_since, self.failures.is_empty()) {
                (Some(_), _) => LINGER,
                (None, false) => RETRY,
                (None, true) => IDLE,
            };
            tokio::select! {
                changed = orders.changed() => if changed.is_err() { return },
                () = time::sleep(pause) => (),
            }
        }
    }

    /// Makes what is wanted and missing; deletes what is there and has not been wanted for a while.
    async fn keep(&mut self, wanted: &Wanted) -> io::Result<()> {
        let there = macvlan::list(&self.handle).await?;
        let plan = Plan::new(wanted, &there);
        for one in plan.misplaced {
            self.remove(one).await;
        }
        let now = self.clock.now();
        self.failures.retain(|_, (_, at)| now - *at < FORGIVEN);
        self.failures.extend(plan.too_many.iter().map(|at| (*at, (Failure::TooMany, now))));
        for (address, parent) in plan.missing {
            let mac = virtual_mac(address);
            match macvlan::add(&self.handle, mac, parent, address).await {
                Ok(()) => {
                    tracing::info!(%address, %mac, "its Ethernet address is here");
                    self.failures.remove(&address);
                }
                Err(error) => {
                    tracing::error!(%address, %mac, %error, "cannot make a macvlan");
                    self.failures.insert(address, (Failure::of(&error), now));
                }
            }
        }
        let begun = *self.begun.get_or_insert(now);
        let patience = if now - begun < LEFT_OVER { LEFT_OVER } else { LINGER };
        let since = *self.surplus_since.get_or_insert(now);
        if plan.surplus.is_empty() {
            self.surplus_since = None;
        } else if now - since >= patience {
            for one in plan.surplus {
                self.remove(one).await;
            }
            self.surplus_since = None;
        }
        Ok(())
    }

    async fn remove(&self, one: Macvlan) {
        match macvlan::remove(&self.handle, one.index).await {
            Ok(()) => tracing::info!(mac = %one.mac, "the Ethernet address is not here any more"),
            Err(error) => tracing::error!(mac = %one.mac, %error, "cannot delete a macvlan"),
        }
    }
}

/// What is to be done.
#[derive(Debug, Default, Eq, PartialEq)]
struct Plan {
    missing: Vec<(IpAddr, u32)>,
    too_many: Vec<IpAddr>,
    /// On another interface than wanted.
    misplaced: Vec<Macvlan>,
    surplus: Vec<Macvlan>,
}

impl Plan {
    fn new(wanted: &Wanted, there: &[Macvlan]) -> Self {
        let mut plan = Self::default();
        let parents: BTreeMap<_, _> =
            wanted.iter().map(|(address, parent)| (virtual_mac(*address), *parent)).collect();
        let mut in_place = BTreeSet::new();
        for one in there {
            match parents.get(&one.mac) {
                Some(parent) if *parent == one.parent && one.is_up => _ = in_place.insert(one.mac),
                Some(_) => plan.misplaced.push(*one),
                None => plan.surplus.push(*one),
            }
        }
        let missing =
            wanted.iter().filter(|(address, _)| !in_place.contains(&virtual_mac(**address)));
        for (address, parent) in missing {
            if in_place.len() + plan.missing.len() < LIMIT {
                plan.missing.push((*address, *parent));
            } else {
                plan.too_many.push(*address);
            }
        }
        plan
    }
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NotPermitted,
            Some(libc::EADDRINUSE | libc::EBUSY | libc::EEXIST) => Self::Taken,
            _ => Self::Unsupported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u16) -> IpAddr {
        let [high, low] = last.to_be_bytes();
        IpAddr::from([192, 0, high, low])
    }

    fn macvlan(last: u16, parent: u32) -> Macvlan {
        Macvlan { index: 100 + u32::from(last), mac: virtual_mac(at(last)), parent, is_up: true }
    }

    #[test]
    fn what_is_there_is_kept_and_the_rest_made_or_deleted() {
        let wanted = Wanted::from([(at(1), 2), (at(2), 2), (at(3), 2), (at(4), 2)]);
        let (elsewhere, half) = (macvlan(2, 3), Macvlan { is_up: false, ..macvlan(3, 2) });
        let left_over = macvlan(9, 2);
        let plan = Plan::new(&wanted, &[macvlan(1, 2), elsewhere, half, left_over]);
        let want = Plan {
            missing: vec![(at(2), 2), (at(3), 2), (at(4), 2)],
            too_many: Vec::new(),
            misplaced: vec![elsewhere, half],
            surplus: vec![left_over],
        };
        assert_eq!(plan, want);
    }

    #[test]
    fn there_is_a_limit_and_those_that_are_there_come_first() {
        let wanted: Wanted = (0..300).map(|last| (at(last), 2)).collect();
        let there: Vec<_> = (200..300).map(|last| macvlan(last, 2)).collect();
        let plan = Plan::new(&wanted, &there);
        assert_eq!((plan.missing.len(), plan.too_many.len()), (LIMIT - 100, 300 - LIMIT));
        assert!(plan.misplaced.is_empty() && plan.surplus.is_empty());
    }
}
