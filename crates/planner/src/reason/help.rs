//! What to do about each "no".

use super::{Conflict, Obstacle, Refusal, Silence};
use crate::facts::lan::Departure;

impl Refusal {
    /// How to mend it: a sentence without a full stop.
    pub fn help(&self) -> String {
        match self {
            Self::InNoPool { address } => format!(
                "add `{address}` to the `addresses` of an IPAddressPool, or let the Service ask for \
                 an address of a pool"
            ),
            Self::InTwoPools { .. } => {
                "ask for addresses of one pool, or put both ranges into one IPAddressPool"
                    .to_owned()
            }
            Self::Avoided { pool, .. } => format!(
                "ask for another address, or remove `avoidBuggyIPs` from IPAddressPool `{pool}`"
            ),
            Self::NoPools => "create an IPAddressPool".to_owned(),
            Self::NoPoolFits { pools } => match pools.first() {
                Some((pool, obstacle)) => format!("to use pool `{pool}`, {}", obstacle.help()),
                None => "create an IPAddressPool".to_owned(),
            },
            Self::NotForService { pool, obstacle } => {
                format!("to use pool `{pool}`, {}", obstacle.help())
            }
            Self::OtherPool { pool, requested, .. } => format!(
                "ask for pool `{pool}` in the annotation `metallb.io/address-pool`, or for an \
                 address of pool `{requested}`"
            ),
            Self::OtherAddresses { .. } => {
                "it gets what it asks for instead; to keep what it has, ask for that".to_owned()
            }
            Self::Reserved { address, pool, .. } => format!(
                "ask for another address, or take `{address}` out of `spec.reservations` of \
                 IPAddressPool `{pool}`"
            ),
            Self::Taken { conflict, .. } => conflict.help(),
            Self::UnknownPool { pool } => format!(
                "create IPAddressPool `{pool}`, or correct the annotation `metallb.io/address-pool`"
            ),
            Self::WrongFamilies { needed, .. } => format!(
                "ask for {needed}, or change `ipFamilies` and `ipFamilyPolicy` of the Service"
            ),
        }
    }
}

impl Obstacle {
    /// How to mend it: what follows "to use this pool,".
    pub fn help(&self) -> String {
        match self {
            Self::AutoAssignOff => {
                "name it in the annotation `metallb.io/address-pool` of the Service".to_owned()
            }
            Self::Draining => "set its `drain` to false".to_owned(),
            Self::Exhausted { family, .. } => {
                format!("add {family} addresses to it, or free some that Services have")
            }
            Self::LabelsNotSelected => {
                "give the Service labels that its `serviceAllocation.serviceSelectors` match"
                    .to_owned()
            }
            Self::NamespaceNotSelected => {
                "add the namespace to its `serviceAllocation.namespaces`".to_owned()
            }
            Self::NoSuchFamily { family } => format!("add a range of {family} addresses to it"),
            Self::QuotaReached { namespace, .. } => {
                format!("raise its `quota.perNamespace`, or free addresses that `{namespace}` has")
            }
        }
    }
}

impl Conflict {
    /// How to mend it.
    pub fn help(&self) -> String {
        match self {
            Self::OtherBackends { holder } => format!(
                "set `externalTrafficPolicy: Cluster` on it and on `{holder}`, or the same pod \
                 selector"
            ),
            Self::OtherSharingKey { holder } => format!(
                "give it and `{holder}` the same value of the annotation \
                 `metallb.io/allow-shared-ip`, or ask for another address"
            ),
            Self::PortTaken { port, holder } => {
                format!("move it or `{holder}` off {port}, or ask for another address")
            }
            Self::Unshared { holder } => format!(
                "ask for another address, or give it and `{holder}` the same value of the \
                 annotation `metallb.io/allow-shared-ip`"
            ),
        }
    }
}

impl Silence {
    /// How to mend it: a sentence without a full stop.
    pub fn help(&self) -> String {
        match self {
            Self::ConflictingAdvertisements { one, other } => format!(
                "give BGPAdvertisements `{one}` and `{other}` the same `localPref`, or have them \
                 select different nodes or peers"
            ),
            Self::FamilyNotCarried { family } => {
                format!("set `dualStackAddressFamily` on the BGPPeer, or add one over {family}")
            }
            Self::InNoPool => {
                "have one IPAddressPool contain all its addresses, or remove them from its status"
                    .to_owned()
            }
            Self::NoAddress => "see why it gets no address".to_owned(),
            Self::NoAdvertisement { kind, pool } => {
                let kind = kind.advertisement();
                format!(
                    "if it is meant to be announced so, have the `ipAddressPools` of some {kind} name `{pool}`"
                )
            }
            Self::NoCandidate { here } => here.help(),
            Self::NodeDeparting { why } => format!(
                "if it is to announce all the same, set `{}` of the L2Advertisement to `stay`",
                planned_move(*why)
            ),
            Self::NodeExcluded => "remove the label \
                                   `node.kubernetes.io/exclude-from-external-load-balancers` from \
                                   the node, or start with `--ignore-exclude-lb`"
                .to_owned(),
            Self::NodeNetworkUnavailable => "repair the network plugin on the node, which clears \
                                             the condition `NetworkUnavailable`"
                .to_owned(),
            Self::NodeNotSelected { .. } => {
                "have the `nodeSelectors` of one of them match the labels of the node".to_owned()
            }
            Self::NodeUnknown => "create the Node, or correct the name".to_owned(),
            Self::NoHealthyEndpoint => {
                "have a pod of the Service become ready, or correct its selector".to_owned()
            }
            Self::NoHealthyLocalEndpoint => {
                "run a pod of the Service on the node, or set `externalTrafficPolicy: Cluster`"
                    .to_owned()
            }
            Self::NoPeer => {
                "have the `nodeSelectors` of a BGPPeer match the labels of the node".to_owned()
            }
            Self::NoSpeaker => "start the speaker on the node".to_owned(),
            Self::PeerNotSelected { .. } => {
                "name the peer in the `peers` of one of them, if it is meant to be told".to_owned()
            }
            Self::RivalAnnounces { node } => format!(
                "stop the speaker of MetalLB on node `{node}`, or give one of the two `--lb-class`"
            ),
            Self::ServiceNotSelected { .. } => {
                "give the Service labels that the `serviceSelectors` of one of them match"
                    .to_owned()
            }
            Self::SharerNotServed { sharer } => {
                format!("mend what keeps the node from `{sharer}`, or stop sharing the address")
            }
            Self::SharingWithServiceSelectors { advertisement } => format!(
                "remove `serviceSelectors` from L2Advertisement `{advertisement}`, or the \
                 annotation `metallb.io/allow-shared-ip` from the Service"
            ),
        }
    }
}

/// The field that decides whether an address moves away because of it.
fn planned_move(departure: Departure) -> &'static str {
    match departure {
        Departure::Cordoned => "spec.plannedMoves.cordon",
        Departure::Draining => "spec.plannedMoves.drain",
        Departure::NotReady => "spec.plannedMoves.notReady",
        Departure::OutOfService => "spec.plannedMoves.outOfService",
        Departure::ShuttingDown => "spec.plannedMoves.shutdown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Family;

    #[test]
    fn a_full_pool_is_to_be_made_larger_and_a_reserved_one_to_be_named() {
        let full = Obstacle::Exhausted {
            family: Family::V4,
            needed: 1,
            found: 0,
            used: 2,
            reserved: 0,
            total: 2,
        };
        let rows = [
            (full, "to use pool `a`, add IPv4 addresses to it, or free some that Services have"),
            (
                Obstacle::AutoAssignOff,
                "to use pool `a`, name it in the annotation `metallb.io/address-pool` of the \
                 Service",
            ),
        ];
        for (obstacle, want) in rows {
            let refusal = Refusal::NoPoolFits { pools: vec![("a".into(), obstacle)] };
            assert_eq!(refusal.help(), want);
        }
    }

    #[test]
    fn where_no_node_can_announce_the_help_is_for_this_one() {
        let here = Silence::NoSpeaker;
        let silence = Silence::NoCandidate { here: Box::new(here.clone()) };
        assert_eq!(silence.help(), here.help());
    }
}
