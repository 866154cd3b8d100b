//! What is sent, told in words, and that it is the least that will do.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::bgp::listener::Listener;
use crate::bgp::message::attribute::AsWidth;
use crate::bgp::message::update::{Reading, Update};
use crate::bgp::message::{MAX_EXTENDED_LEN, MAX_LEN, attribute::Context, first};
use crate::bgp::{Community, NextHops, Relation};

const MARKERS: Markers = Markers { end_of_rib: true, refresh: true };

fn export() -> Export {
    Export {
        relation: Relation::External,
        local_as: 65000,
        as_width: AsWidth::Four,
        max_message: MAX_LEN,
        families: Family::ALL.into(),
        next_hops: NextHops {
            ipv4: Some(Ipv4Addr::new(192, 0, 2, 1)),
            ipv6: Some("2001:db8::1".parse().unwrap()),
            link_local: None,
        },
        ipv4_over_ipv6: crate::bgp::attributes::Ipv4OverIpv6::Never,
    }
}

fn rib() -> AdjRibOut {
    let mut rib = AdjRibOut::default();
    rib.open(export(), Markers::default());
    rib
}

fn tagged(number: u32) -> Arc<Attributes> {
    Arc::new(Attributes { communities: [Community(number)].into(), ..Attributes::default() })
}

/// Routes as `number:community`; the first ten are IPv4, the others IPv6.
fn routes(text: &str) -> Routes {
    let route = |one: &str| {
        let (number, tag) = one.split_once(':').unwrap();
        (prefix(number.parse().unwrap()), tagged(tag.parse().unwrap()))
    };
    text.split_whitespace().map(route).collect()
}

fn prefix(number: u32) -> IpNet {
    match number {
        0..10 => IpNet::new(Ipv4Addr::from(0x0a00_0000 + number).into(), 32).unwrap(),
        _ => format!("2001:db8:{number:x}::/48").parse().unwrap(),
    }
}

/// All that is sent now; every message must be one that a peer can read.
fn sent(rib: &mut AdjRibOut) -> Vec<Sent> {
    let context = Context { relation: Relation::External, as_width: AsWidth::Four };
    let reading = Reading { context, families: Family::ALL.into() };
    let mut all = Vec::new();
    let mut out = Vec::new();
    while let Some(sent) = rib.next(&mut out) {
        let frame = first(&out).unwrap().unwrap();
        assert_eq!(frame.size(), out.len());
        match sent {
            Sent::Announced(count) => {
                let update = Update::decode(frame.body, &reading).unwrap();
                assert_eq!((update.announced, update.fault), (count as u64, None));
            }
            Sent::Withdrawn(count) => {
                let update = Update::decode(frame.body, &reading).unwrap();
                assert_eq!((update.withdrawn, update.fault), (count as u64, None));
            }
            Sent::EndOfRib(family) => {
                let update = Update::decode(frame.body, &reading).unwrap();
                assert_eq!(update.end_of_rib, Some(family));
            }
            Sent::Refresh(refresh, family) => {
                assert_eq!(Refresh::decode(&frame), Ok(Some((refresh, family))));
            }
        }
        all.push(sent);
        out.clear();
    }
    assert_eq!(rib.pending(), 0);
    all
}

#[test]
fn only_differences_are_sent() {
    use Sent::{Announced, Withdrawn};
    let mut rib = rib();
    let steps = [
        ("first routes go together", "1:1 2:1", vec![Announced(2)]),
        ("nothing changed", "1:1 2:1", vec![]),
        ("new attributes replace, without withdrawal", "1:1 2:2", vec![Announced(1)]),
        ("one comes, then one leaves", "2:2 3:2", vec![Announced(1), Withdrawn(1)]),
        ("each family has messages of its own", "2:2 3:2 11:2", vec![Announced(1)]),
        ("all gone", "", vec![Withdrawn(2), Withdrawn(1)]),
    ];
    for (step, wanted, expected) in steps {
        rib.want_all(&routes(wanted));
        assert_eq!(sent(&mut rib), expected, "{step}");
    }
    assert!(rib.routes.is_empty(), "what is gone takes no room");
}

#[test]
fn a_change_of_mind_before_it_was_sent_costs_nothing() {
    let mut rib = rib();
    rib.want_all(&routes("1:1 2:1"));
    sent(&mut rib);
    rib.want_all(&routes("2:2 3:3"));
    rib.want_all(&routes("1:1 2:1"));
    assert_eq!(sent(&mut rib), []);
}

#[test]
fn bits_beyond_the_prefix_are_no_other_route() {
    let mut rib = rib();
    rib.want("192.0.2.7/24".parse().unwrap(), Some(&tagged(1)));
    rib.want("192.0.2.9/24".parse().unwrap(), Some(&tagged(1)));
    assert_eq!(sent(&mut rib), [Sent::Announced(1)]);
}

#[test]
fn a_new_session_hears_everything_again() {
    let mut rib = rib();
    rib.want_all(&routes("1:1 2:1"));
    sent(&mut rib);
    assert_eq!(rib.announced(), 2);
    rib.close();
    rib.want_all(&routes("1:1"));
    assert_eq!((rib.announced(), sent(&mut rib)), (0, vec![]), "there is no session");
    rib.open(export(), Markers::default());
    assert_eq!(sent(&mut rib), [Sent::Announced(1)]);
}

#[test]
fn the_end_of_rib_waits_until_all_routes_are_known() {
    let mut rib = AdjRibOut::default();
    rib.open(export(), MARKERS);
    rib.want_all(&routes("1:1"));
    assert_eq!(sent(&mut rib), [Sent::Announced(1)]);
    rib.want_all(&routes("1:1 11:1"));
    rib.complete();
    let want = [Sent::EndOfRib(Family::Ipv4), Sent::Announced(1), Sent::EndOfRib(Family::Ipv6)];
    assert_eq!(sent(&mut rib), want);
    rib.want_all(&routes("1:2"));
    assert_eq!(sent(&mut rib), [Sent::Announced(1), Sent::Withdrawn(1)], "once is enough");
}

#[test]
fn a_refresh_sends_what_the_peer_knows_between_its_marks() {
    let begin = Sent::Refresh(Refresh::Begin, Family::Ipv4);
    let end = Sent::Refresh(Refresh::End, Family::Ipv4);
    let mut rib = AdjRibOut::default();
    rib.open(export(), MARKERS);
    rib.want_all(&routes("1:1 11:1"));
    rib.refresh(Family::Ipv4);
    assert_eq!(sent(&mut rib), [Sent::Announced(1); 2], "not before End-of-RIB");
    rib.complete();
    let [end_of_v4, end_of_v6] = Family::ALL.map(Sent::EndOfRib);
    assert_eq!(sent(&mut rib), [end_of_v4, begin, Sent::Announced(1), end, end_of_v6]);
    rib.refresh(Family::Ipv4);
    rib.refresh(Family::Ipv4);
    assert_eq!(sent(&mut rib), [begin, Sent::Announced(1), end], "twice asked, once answered");
}

#[test]
fn a_route_that_goes_during_a_refresh_is_withdrawn() {
    let mut rib = rib();
    rib.want_all(&routes("1:1 2:2"));
    sent(&mut rib);
    rib.refresh(Family::Ipv4);
    let mut out = Vec::new();
    assert_eq!(rib.next(&mut out), Some(Sent::Announced(1)), "one of two groups");
    rib.want_all(&routes("1:1"));
    assert_eq!(sent(&mut rib), [Sent::Withdrawn(1)]);
}

#[test]
fn a_node_that_leaves_says_so_and_withdraws() {
    let mut rib = rib();
    rib.want_all(&routes("1:1 2:1"));
    sent(&mut rib);
    rib.set_stance(Stance::Draining);
    rib.want_all(&routes("1:1 2:1 3:1"));
    assert_eq!(sent(&mut rib), [Sent::Announced(3)]);
    rib.set_stance(Stance::Withdrawn);
    rib.want_all(&routes("1:1 2:1 3:1 4:1"));
    assert_eq!(sent(&mut rib), [Sent::Withdrawn(3)]);
    rib.set_stance(Stance::Serving);
    assert_eq!(sent(&mut rib), [Sent::Announced(4)]);
}

#[test]
fn messages_are_full_and_never_too_long() {
    for (limit, announcements, withdrawals) in [(MAX_LEN, 13, 13), (MAX_EXTENDED_LEN, 1, 1)] {
        let mut rib = AdjRibOut::default();
        rib.open(Export { max_message: limit, ..export() }, Markers::default());
        let host = |number: u32| IpNet::from(std::net::IpAddr::V4((0x0a00_0000 + number).into()));
        let wanted: Routes = (0..10_000).map(|number| (host(number), tagged(1))).collect();
        rib.want_all(&wanted);
        let all = sent(&mut rib);
        assert_eq!(all.len(), announcements, "{limit}");
        rib.want_all(&Routes::new());
        let all = sent(&mut rib);
        assert_eq!(all.len(), withdrawals, "{limit}");
    }
}

#[test]
fn a_route_that_cannot_be_said_is_refused_and_withdrawn() {
    let mut rib = rib();
    rib.want_all(&routes("1:1"));
    sent(&mut rib);
    let communities = (0..1100).map(Community).collect();
    let long = Arc::new(Attributes { communities, ..Attributes::default() });
    rib.want(prefix(1), Some(&long));
    assert_eq!(sent(&mut rib), [Sent::Withdrawn(1)]);
    assert_eq!(rib.refused(), &[(prefix(1), Refusal::TooLong)].into());
    rib.want(prefix(1), Some(&tagged(1)));
    assert_eq!((sent(&mut rib), rib.refused().len()), (vec![Sent::Announced(1)], 0));
}

#[test]
fn a_family_that_is_not_carried_is_refused() {
    let mut rib = AdjRibOut::default();
    rib.complete();
    rib.open(Export { families: [Family::Ipv6].into(), ..export() }, MARKERS);
    rib.want_all(&routes("1:1 11:1"));
    rib.refresh(Family::Ipv4);
    assert_eq!(sent(&mut rib), [Sent::Announced(1), Sent::EndOfRib(Family::Ipv6)]);
    assert_eq!(rib.refused(), &[(prefix(1), Refusal::Family)].into());
}

/// Lets a peer hear the next message, if there is one.
fn tell(listener: &mut Listener, rib: &mut AdjRibOut) -> bool {
    let mut out = Vec::new();
    let sent = rib.next(&mut out);
    listener.hear(&out);
    sent.is_some()
}

#[derive(Clone, Debug)]
enum Step {
    Want(u32, Option<u32>),
    Send,
    Refresh(Family),
    Stance(Stance),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let family = prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    let stances = [Stance::Serving, Stance::Draining, Stance::Withdrawn];
    prop_oneof![
        6 => (0u32..20, proptest::option::of(0u32..3)).prop_map(|(n, tag)| Step::Want(n, tag)),
        4 => Just(Step::Send),
        1 => family.prop_map(Step::Refresh),
        1 => proptest::sample::select(stances.to_vec()).prop_map(Step::Stance),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_peer_ends_up_knowing_what_is_wanted(
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut rib = rib();
        let mut wanted = Routes::new();
        let mut listener = Listener::default();
        for step in steps {
            match step {
                Step::Want(number, Some(tag)) => {
                    wanted.insert(prefix(number), tagged(tag));
                    rib.want(prefix(number), Some(&tagged(tag)));
                }
                Step::Want(number, None) => {
                    wanted.remove(&prefix(number));
                    rib.want(prefix(number), None);
                }
                Step::Send => {
                    tell(&mut listener, &mut rib);
                }
                Step::Refresh(family) => rib.refresh(family),
                Step::Stance(stance) => rib.set_stance(stance),
                Step::Reopen => {
                    listener = Listener::default();
                    rib.open(export(), MARKERS);
                }
            }
            prop_assert_eq!(rib.announced(), listener.routes.len());
        }
        rib.set_stance(Stance::Serving);
        while tell(&mut listener, &mut rib) {}
        prop_assert_eq!(rib.pending(), 0);
        let tag = |attributes: &Attributes| attributes.communities.first().map(|tag| tag.0);
        let wanted: BTreeMap<_, _> = wanted.iter().map(|(at, one)| (*at, tag(one))).collect();
        let heard: BTreeMap<_, _> =
            listener.routes.iter().map(|(at, heard)| (*at, heard.communities.first().copied())).collect();
        prop_assert_eq!(heard, wanted);
    }
}
