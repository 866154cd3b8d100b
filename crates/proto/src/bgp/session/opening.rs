//! What both ends say of themselves, and what the session is then.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::attributes::{Export, Ipv4OverIpv6, NextHops};
use super::super::message::attribute::{AsWidth, Context};
use super::super::message::capability::{Capabilities, GracefulRestart, LongLived, Restarted};
use super::super::message::open::Open;
use super::super::message::update::Reading;
use super::super::message::{Error, MAX_EXTENDED_LEN, MAX_LEN, Notification};
use super::super::{Family, Relation};
use super::config::{Config, Forwarding, Multiprotocol, RemoteAs, Restart};

/// What two ends have agreed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Negotiated {
    /// What the peer said.
    pub peer: Open,
    /// What we said.
    pub ours: Open,
    /// The same AS, or another.
    pub relation: Relation,
    /// Silence that ends the session; `None` does not end it.
    pub hold_time: Option<Duration>,
    /// How often we give a sign of life; `None` is never.
    pub keepalive: Option<Duration>,
    /// The families that both ends carry.
    pub families: BTreeSet<Family>,
    /// How wide AS numbers are.
    pub as_width: AsWidth,
}

impl Negotiated {
    /// Octets of the longest message that the peer reads.
    pub fn max_message(&self) -> usize {
        if self.peer.capabilities.extended_messages { MAX_EXTENDED_LEN } else { MAX_LEN }
    }

    /// Whether the peer knows graceful restart, and so waits for End-of-RIB.
    pub fn has_restart_helper(&self) -> bool {
        self.peer.capabilities.graceful_restart.is_some()
    }

    /// Whether the peer keeps our routes while we restart.
    pub fn keeps_our_routes(&self) -> bool {
        let offered = self.ours.capabilities.graceful_restart.as_ref();
        let is_offered = offered.is_some_and(|restart| !restart.families.is_empty());
        is_offered && self.has_restart_helper()
    }

    /// Whether a NOTIFICATION starts a graceful restart, unless it is a hard reset (RFC 8538).
    pub fn survives_notifications(&self) -> bool {
        let covers = |open: &Open| {
            let restart = open.capabilities.graceful_restart.as_ref();
            restart.is_some_and(|restart| restart.covers_notifications)
        };
        covers(&self.ours) && covers(&self.peer)
    }

    /// Whether the peer has marks around a refresh read, RFC 7313.
    pub fn reads_refresh_marks(&self) -> bool {
        self.peer.capabilities.enhanced_route_refresh
    }

    /// How our routes are written for this session.
    pub(super) fn export(&self, local_as: u32, next_hops: NextHops, over: Family) -> Export {
        let has = |open: &Open| open.capabilities.ipv6_next_hop.contains(&Family::Ipv4);
        let ipv4_over_ipv6 = match (has(&self.ours) && has(&self.peer), over) {
            (false, _) => Ipv4OverIpv6::Never,
            (true, Family::Ipv4) => Ipv4OverIpv6::Possible,
            (true, Family::Ipv6) => Ipv4OverIpv6::Preferred,
        };
        Export {
            relation: self.relation,
            local_as,
            as_width: self.as_width,
            max_message: self.max_message(),
            families: self.families.clone(),
            next_hops,
            ipv4_over_ipv6,
        }
    }

    /// How UPDATEs of the peer are read.
    pub(super) fn reading(&self) -> Reading {
        let context = Context { relation: self.relation, as_width: self.as_width };
        Reading { context, families: self.families.clone() }
    }
}

/// Whether we say that we have restarted, RFC 4724 section 3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Restarting {
    /// The routes are not all known yet: the peer need not wait for them before it sends its own.
    Yes,
    No,
}

/// Our OPEN.
pub(super) fn ours(config: &Config, restarting: Restarting) -> Open {
    let families = match config.multiprotocol {
        Multiprotocol::Offered => config.families.clone(),
        Multiprotocol::Withheld => BTreeSet::new(),
    };
    let ipv6_next_hop = match config.multiprotocol {
        Multiprotocol::Offered => config.ipv6_next_hop.clone(),
        Multiprotocol::Withheld => BTreeSet::new(),
    };
    let restart = config.graceful_restart;
    let graceful_restart = restart.map(|restart| GracefulRestart {
        has_restarted: restarting == Restarting::Yes,
        covers_notifications: true,
        restart_time: restart.restart_time,
        families: families.iter().map(|family| kept(*family, restart)).collect(),
    });
    let long_lived = |restart: Restart| {
        let stale_time = restart.long_lived?;
        let one = |family: &Family| LongLived {
            family: *family,
            is_forwarding_kept: restart.forwarding == Forwarding::Kept,
            stale_time,
        };
        Some(families.iter().map(one).collect())
    };
    let long_lived = restart.and_then(long_lived).unwrap_or_default();
    Open {
        asn: config.local_as,
        hold_time: config.hold_time,
        identifier: config.identifier,
        capabilities: Capabilities {
            families,
            route_refresh: true,
            ipv6_next_hop,
            extended_messages: true,
            graceful_restart,
            four_octet_as: Some(config.local_as),
            enhanced_route_refresh: true,
            long_lived,
            host_name: config.host_name.clone(),
            unknown: BTreeSet::new(),
        },
    }
}

fn kept(family: Family, restart: Restart) -> Restarted {
    Restarted { family, is_forwarding_kept: restart.forwarding == Forwarding::Kept }
}

/// What the session is with this peer.
///
/// # Errors
///
/// If it can be none, with what to tell the peer: RFC 4271 section 6.2.
pub(super) fn judge(config: &Config, ours: &Open, peer: Open) -> Result<Negotiated, Notification> {
    let relation = relation(config, peer.asn)?;
    if peer.identifier.is_unspecified()
        || relation == Relation::Internal && peer.identifier == config.identifier
    {
        return Err(Error::BadIdentifier.into());
    }
    if matches!(peer.hold_time, 1 | 2) {
        return Err(Error::UnacceptableHoldTime.into());
    }
    let families = common_families(config, &ours.capabilities, &peer.capabilities)?;
    let as_width = match peer.capabilities.four_octet_as {
        Some(_) => AsWidth::Four,
        None => AsWidth::Two,
    };
    let hold_time = Duration::from_secs(config.hold_time.min(peer.hold_time).into());
    let hold_time = Some(hold_time).filter(|time| !time.is_zero());
    let keepalive = hold_time.map(|time| keepalive(config, time));
    Ok(Negotiated { peer, ours: ours.clone(), relation, hold_time, keepalive, families, as_width })
}

fn relation(config: &Config, asn: u32) -> Result<Relation, Notification> {
    let is_ours = asn == config.local_as;
    let is_expected = match config.remote_as {
        RemoteAs::Number(number) => asn == number,
        RemoteAs::Internal => is_ours,
        RemoteAs::External => !is_ours,
    };
    // RFC 7607 section 2: AS 0 is nobody's.
    if !is_expected || asn == 0 {
        return Err(Error::BadPeerAs.into());
    }
    Ok(if is_ours { Relation::Internal } else { Relation::External })
}

/// A third of the hold time, or more often; never more than one a second (section 4.4).
pub(super) fn keepalive(config: &Config, hold_time: Duration) -> Duration {
    let third = hold_time / 3;
    config.keepalive.unwrap_or(third).min(third).max(Duration::from_secs(1))
}

/// The families that both ends carry; without any, a session would be good for nothing.
fn common_families(
    config: &Config,
    ours: &Capabilities,
    peer: &Capabilities,
) -> Result<BTreeSet<Family>, Notification> {
    // RFC 4760 section 8: who names no family speaks of IPv4.
    let carried = |capabilities: &Capabilities| match capabilities.families.is_empty() {
        true => [Family::Ipv4].into(),
        false => capabilities.families.clone(),
    };
    let common: BTreeSet<Family> = &carried(ours) & &carried(peer);
    if common.is_empty() {
        let needed = Capabilities { families: config.families.clone(), ..Capabilities::default() };
        let mut data = Vec::new();
        needed.encode(&mut data);
        return Err(Notification::new(Error::UnsupportedCapability, data));
    }
    Ok(common)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn config() -> Config {
        super::super::tests::config(65000, 1)
    }

    fn peer() -> Open {
        let theirs =
            Config { local_as: 65001, identifier: Ipv4Addr::new(192, 0, 2, 2), ..config() };
        ours(&theirs, Restarting::No)
    }

    fn judge_with(config: &Config, peer: Open) -> Result<Negotiated, Notification> {
        judge(config, &ours(config, Restarting::No), peer)
    }

    #[test]
    fn the_as_of_the_peer_is_the_one_that_was_expected() {
        let cases = [
            ("the right one", RemoteAs::Number(65001), 65001, Some(Relation::External)),
            ("a wrong one", RemoteAs::Number(65001), 65002, None),
            ("our own", RemoteAs::Number(65000), 65000, Some(Relation::Internal)),
            ("our own, where any other would do", RemoteAs::External, 65000, None),
            ("any other", RemoteAs::External, 4_200_000_000, Some(Relation::External)),
            ("ours, by name", RemoteAs::Internal, 65000, Some(Relation::Internal)),
            ("another, where ours is meant", RemoteAs::Internal, 65001, None),
            ("AS 0, where any would do", RemoteAs::External, 0, None),
        ];
        for (name, remote_as, asn, want) in cases {
            let config = Config { remote_as, ..config() };
            let got = judge_with(&config, Open { asn, ..peer() });
            assert_eq!(got.clone().ok().map(|agreed| agreed.relation), want, "{name}");
            if let Err(notification) = got {
                assert_eq!(notification, Error::BadPeerAs.into(), "{name}");
            }
        }
    }

    #[test]
    fn an_identifier_is_not_0_and_unique_within_an_as() {
        let same = config().identifier;
        let inside = Config { remote_as: RemoteAs::Internal, ..config() };
        let is_fine = |config: &Config, asn, identifier| {
            judge_with(config, Open { asn, identifier, ..peer() }).is_ok()
        };
        assert!(!is_fine(&config(), 65001, Ipv4Addr::UNSPECIFIED));
        assert!(is_fine(&config(), 65001, same), "RFC 6286 section 2.1");
        assert!(!is_fine(&inside, 65000, same));
        assert!(is_fine(&config(), 65001, Ipv4Addr::new(224, 0, 0, 1)), "any four octets");
    }

    #[test]
    fn the_shorter_hold_time_counts() {
        let secs = Duration::from_secs;
        let cases = [
            ("theirs", 90, None, 30, Some((secs(30), secs(10)))),
            ("ours", 9, None, 90, Some((secs(9), secs(3)))),
            ("a sign of life more often", 90, Some(secs(5)), 90, Some((secs(90), secs(5)))),
            ("but not too rarely", 90, Some(secs(60)), 30, Some((secs(30), secs(10)))),
            ("once a second at most", 3, Some(Duration::ZERO), 3, Some((secs(3), secs(1)))),
            ("none", 90, None, 0, None),
        ];
        for (name, hold_time, keepalive, theirs, want) in cases {
            let config = Config { hold_time, keepalive, ..config() };
            let agreed = judge_with(&config, Open { hold_time: theirs, ..peer() }).unwrap();
            assert_eq!(agreed.hold_time.zip(agreed.keepalive), want, "{name}");
        }
        for hold_time in [1, 2] {
            let got = judge_with(&config(), Open { hold_time, ..peer() });
            assert_eq!(got, Err(Error::UnacceptableHoldTime.into()));
        }
    }

    #[test]
    fn a_session_carries_what_both_ends_do() {
        use Family::{Ipv4, Ipv6};
        let of = |families: &[Family]| families.iter().copied().collect::<BTreeSet<_>>();
        let cases = [
            ("both", of(&[Ipv4, Ipv6]), of(&[Ipv4, Ipv6]), Some(of(&[Ipv4, Ipv6]))),
            ("one", of(&[Ipv4, Ipv6]), of(&[Ipv6]), Some(of(&[Ipv6]))),
            ("a peer that names none", of(&[Ipv4, Ipv6]), of(&[]), Some(of(&[Ipv4]))),
            ("nothing in common", of(&[Ipv6]), of(&[]), None),
        ];
        for (name, ours, theirs, want) in cases {
            let config = Config { families: ours, ..config() };
            let mut peer = peer();
            peer.capabilities.families = theirs;
            let got = judge_with(&config, peer);
            assert_eq!(got.clone().ok().map(|agreed| agreed.families), want, "{name}");
            if let Err(notification) = got {
                let needed =
                    Notification::new(Error::UnsupportedCapability, vec![1, 4, 0, 2, 0, 1]);
                assert_eq!(notification, needed, "{name}");
            }
        }
    }

    #[test]
    fn without_families_there_are_no_routes_to_keep() {
        let restart =
            Restart { restart_time: 120, forwarding: Forwarding::Kept, long_lived: Some(9) };
        let config = Config { graceful_restart: Some(restart), ..config() };
        let open = ours(&config, Restarting::Yes);
        let capability = open.capabilities.graceful_restart.unwrap();
        assert!(capability.has_restarted && capability.covers_notifications);
        assert_eq!((capability.families.len(), open.capabilities.long_lived.len()), (2, 2));
        let withheld = Config { multiprotocol: Multiprotocol::Withheld, ..config };
        let open = ours(&withheld, Restarting::No);
        assert_eq!(open.capabilities.graceful_restart.unwrap().families, []);
    }
}
