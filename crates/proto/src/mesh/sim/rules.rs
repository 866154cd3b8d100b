//! One test for each rule and each trap that the stories show only in passing.

use super::*;
use crate::mesh::ownership::{CloseWatch, Fate, Fencing, OnConflict};
use crate::mesh::preference_hash;

fn x() -> IpAddr {
    address(0)
}

/// Facts for one address that differ from the default in its policy.
fn with(order: &[usize], policy: Policy) -> Facts {
    [(x(), Fact { policy, ..Fact::of(order) })].into()
}

#[test]
fn a_holder_is_watched_closely_by_its_first_three_heirs_only() {
    let mut cluster = Cluster::up(8, &only(&[0, 1, 2, 3, 4, 5, 6, 7]));
    cluster.run_for(ms(1_000));
    cluster.forget_the_past();
    cluster.run_for(ms(10_000));
    let sent = &cluster.sent;
    // 3 x 20 and 4 x 1 a second, a little sooner each; the others have nobody who watches them.
    assert!((600..=760).contains(&sent[0]), "{sent:?}");
    assert!(sent[1..].iter().all(|sent| (60..=90).contains(sent)), "{sent:?}");
}

#[test]
fn the_first_three_heirs_stand_in_with_the_holders_ethernet_address() {
    // Whether they are candidates or not: two are here, and one is the holder.
    let mut cluster = Cluster::up(6, &only(&[0, 1]));
    cluster.kill(0);
    cluster.run_for(ms(1_000));
    let stand_ins = cluster.stand_ins(x());
    assert_eq!(stand_ins.len(), 3, "{stand_ins:?}");
    assert_eq!(stand_ins[0], 1);
    for index in stand_ins {
        assert_eq!(cluster.nodes[index].standing_in[&x()], lan::mac(0));
    }
    let fate = cluster.engine(1).snapshot().peers[&station(0)].fate;
    assert_eq!(fate, Fate::SpeakerGone);
}

#[test]
fn a_stand_in_ends_when_the_holder_claims_again_and_not_when_it_is_heard() {
    let mut cluster = Cluster::up(4, &only(&[0, 1, 2, 3]));
    cluster.kill(0);
    cluster.run_for(ms(1_000));
    assert!(!cluster.stand_ins(x()).is_empty());
    cluster.start(0);
    cluster.run_for(ms(100));
    assert_eq!((cluster.hands(x()), cluster.stand_ins(x())), (vec![0], vec![]));
    let tally = cluster.tally(x());
    assert!(tally.claims.is_empty() && tally.unanswered <= ms(150), "{tally:?}");
}

#[test]
fn a_deaf_node_does_not_claim() {
    let mut cluster = Cluster::up(3, &only(&[0, 1, 2]));
    cluster.set_hearing(1, false);
    cluster.run_for(ms(10_000));
    assert_eq!(cluster.hands(x()), [0]);
}

#[test]
fn a_node_that_was_deaf_and_holds_nothing_any_more_claims_once_it_hears_again() {
    let mut cluster = Cluster::up(1, &only(&[0]));
    cluster.set_hearing(0, false);
    cluster.run_for(ms(1_000));
    assert!(cluster.engine(0).snapshot().is_deaf);
    cluster.tell(&Facts::new(), |_| Duration::ZERO);
    cluster.run_for(ms(1_000));
    cluster.tell(&only(&[0]), |_| Duration::ZERO);
    cluster.run_for(ms(1_000));
    assert_eq!(cluster.hands(x()), []);
    cluster.heal();
    cluster.run_for(ms(1_000));
    assert_eq!(cluster.hands(x()), [0]);
}

#[test]
fn a_holder_is_not_deaf_on_a_side_without_the_gateway() {
    let mut cluster = Cluster::up(5, &only(&[0, 1, 2, 3, 4]));
    cluster.part(&[0, 4]);
    for _ in 0..100 {
        cluster.run_for(ms(100));
        assert!(!cluster.engine(0).snapshot().is_deaf);
    }
    assert_eq!(cluster.hands(x()), [0, 1], "one on each side");
    assert_eq!(cluster.tally(x()).claims.len(), 1);
}

#[test]
fn a_holder_that_only_the_lan_hears_keeps_its_address() {
    let mut cluster = Cluster::up(5, &only(&[0, 1, 2, 3, 4]));
    cluster.part_mesh(&[0]);
    cluster.run_for(ms(5_000));
    assert_eq!((cluster.hands(x()), cluster.stand_ins(x())), (vec![0], vec![]));
    let fate = cluster.engine(1).snapshot().peers[&station(0)].fate;
    assert_eq!(fate, Fate::Unheard);
}

#[test]
fn two_holders_that_only_the_lan_joins_become_one() {
    let mut cluster = Cluster::up(4, &only(&[0, 1, 2, 3]));
    cluster.part(&[0, 1]);
    cluster.run_for(ms(3_000));
    assert_eq!(cluster.hands(x()), [0, 2]);
    cluster.lan.heal();
    cluster.run_for(ms(5_000));
    let hash = |index: &usize| preference_hash(station(*index).as_str(), x());
    let first = [0, 2].into_iter().min_by_key(hash).unwrap();
    assert_eq!(cluster.hands(x()), [first], "the hash decides");
    cluster.run_for(ms(20_000));
    assert_eq!(cluster.hands(x()), [first], "and it stays there");
}

#[test]
fn a_node_that_starts_behind_a_broken_mesh_asks_the_lan_first() {
    let mut cluster = Cluster::up(4, &only(&[0, 1, 2, 3]));
    cluster.crash(1);
    cluster.run_for(ms(4_000));
    cluster.part_mesh(&[1]);
    cluster.start(1);
    cluster.run_for(ms(10_000));
    assert_eq!(cluster.hands(x()), [0]);
    cluster.heal();
    cluster.run_for(ms(3_000));
    assert_eq!(cluster.hands(x()), [0]);
}

#[test]
fn a_foreign_host_is_told_of_and_announced_against_once_in_ten_seconds() {
    let mut cluster = Cluster::up(3, &only(&[0, 1, 2]));
    for _ in 0..5 {
        cluster.announce_as_stranger(x());
        cluster.run_for(ms(1_000));
    }
    assert_eq!(cluster.conflicts, [(0, x()); 5]);
    assert_eq!(cluster.announced, [(0, x())]);
    assert_eq!(cluster.hands(x()), [0]);
}

#[test]
fn an_address_is_left_to_a_foreign_host_if_the_policy_says_so() {
    let policy = Policy { on_conflict: OnConflict::Yield, ..Policy::default() };
    let mut cluster = Cluster::up(3, &with(&[0, 1, 2], policy));
    cluster.announce_as_stranger(x());
    cluster.run_for(ms(59_000));
    assert_eq!(cluster.hands(x()), []);
    cluster.run_for(ms(3_000));
    assert_eq!(cluster.hands(x()).len(), 1, "it is gone for a minute");
}

#[test]
fn a_fenced_address_is_held_where_the_majority_is() {
    let policy = Policy { fencing: Fencing::Quorum, ..Policy::default() };
    let mut cluster = Cluster::up(5, &with(&[0, 1, 2, 3, 4], policy));
    cluster.run_for(ms(1_000));
    cluster.part(&[0, 1]);
    cluster.run_for(ms(5_000));
    assert_eq!(cluster.hands(x()), [2]);
    let tally = cluster.tally(x());
    assert!(tally.doubled <= ms(5), "{tally:?}");
    cluster.heal();
    cluster.run_for(ms(5_000));
    assert_eq!(cluster.hands(x()), [2]);
}

#[test]
fn a_higher_score_takes_an_address_from_a_live_holder_and_a_place_in_order_does_not() {
    let mut cluster = Cluster::up(3, &only(&[0, 1, 2]));
    cluster.tell(&only(&[2, 1, 0]), |_| Duration::ZERO);
    cluster.run_for(ms(2_000));
    assert_eq!(cluster.hands(x()), [0]);

    let scores = [(2, 5)].into();
    let preferred = Fact { scores, ..Fact::of(&[2, 1, 0]) };
    cluster.tell(&[(x(), preferred)].into(), |_| Duration::ZERO);
    cluster.run_for(ms(1_000));
    assert_eq!(cluster.hands(x()), [2]);
    let tally = cluster.tally(x());
    assert_eq!(tally.claims, [(2, 2, Why::Preferred)]);
    assert_eq!(tally.unanswered, Duration::ZERO);
}

#[test]
fn without_stickiness_the_order_decides_as_in_metallb() {
    let policy = Policy { is_sticky: false, ..Policy::default() };
    let mut cluster = Cluster::up(3, &with(&[0, 1, 2], policy.clone()));
    cluster.crash(0);
    cluster.run_for(ms(5_000));
    assert_eq!(cluster.hands(x()), [1]);
    cluster.start(0);
    cluster.run_for(ms(3_000));
    assert_eq!(cluster.hands(x()), [0]);
}

#[test]
fn only_an_address_that_asks_for_10_ms_is_watched_so_closely() {
    let close_watch = Some(CloseWatch { interval: ms(10), multiplier: 3 });
    let policy = Policy { close_watch, ..Policy::default() };
    let mut facts = with(&[0, 1, 2, 3, 4], policy);
    facts.insert(address(1), Fact::of(&[2, 1, 3, 4, 0]));
    for seed in 0..10 {
        let mut cluster = Cluster::new(5).seeded(seed).settled(&facts);
        cluster.run_for(ms(1_000));
        cluster.forget_the_past();
        cluster.run_for(ms(1_000));
        // 3 x 100 and 1, and the holder of the other one 3 x 20 and 1, a little sooner each.
        let sent = [cluster.sent[0], cluster.sent[2]];
        assert!((300..=340).contains(&sent[0]) && (60..=75).contains(&sent[1]), "{sent:?}");

        cluster.run_for(ms(seed));
        cluster.crash(0);
        cluster.run_for(ms(1_000));
        let tally = cluster.tally(x());
        assert_eq!(cluster.hands(x()), [1], "seed {seed}: {tally:?}");
        assert!(tally.unanswered <= ms(40), "seed {seed}: {tally:?}");
        cluster.run_for(ms(2_000));
        cluster.crash(2);
        cluster.run_for(ms(1_000));
        let tally = cluster.tally(address(1));
        assert!(tally.unanswered > ms(100), "seed {seed}: {tally:?}");
    }
}

#[test]
fn nobody_is_asked_for_more_than_its_scheduler_can_keep_to() {
    let close_watch = Some(CloseWatch { interval: ms(10), multiplier: 3 });
    let policy = Policy { close_watch, ..Policy::default() };
    for seed in 0..10 {
        let mut cluster = Cluster::new(5).seeded(seed);
        cluster.settings[0] = Settings::WIDE;
        // It starts more slowly than the others, who would be first.
        let mut cluster = cluster.settled(&only(&[0]));
        cluster.tell(&with(&[0, 1, 2, 3, 4], policy.clone()), |_| Duration::ZERO);
        cluster.run_for(ms(1_000));
        assert_eq!(cluster.hands(x()), [0]);
        cluster.forget_the_past();
        cluster.run_for(ms(10_000));
        assert!(cluster.sent[0] <= 400, "{}", cluster.sent[0]);
        let tally = cluster.tally(x());
        assert!(tally.claims.is_empty() && tally.stand_ins.is_empty(), "{tally:?}");
        cluster.crash(0);
        cluster.run_for(ms(2_000));
        let tally = cluster.tally(x());
        assert_eq!(cluster.hands(x()), [1], "seed {seed}: {tally:?}");
        assert!(tally.unanswered <= ms(330), "seed {seed}: {tally:?}");
        assert_eq!(tally.doubled, Duration::ZERO, "seed {seed}");
    }
}

#[test]
fn an_address_is_stood_in_for_as_long_as_its_policy_says() {
    let policy = Policy { stand_in_time: ms(5_000), ..Policy::default() };
    let mut cluster = Cluster::up(3, &with(&[0, 1, 2], policy));
    cluster.kill(0);
    cluster.run_for(ms(4_800));
    assert_eq!(cluster.hands(x()), []);
    assert_eq!(cluster.stand_ins(x()), [1, 2]);
    cluster.run_for(ms(400));
    assert_eq!((cluster.hands(x()), cluster.stand_ins(x())), (vec![1], vec![]));
    assert!(cluster.tally(x()).unanswered <= ms(150));
    let status = &cluster.engine(1).snapshot().addresses[&x()];
    assert_eq!(status.moves.last().unwrap().why, Some(Why::StandInOver));
    assert_eq!(status.heirs, [station(2)]);
}
