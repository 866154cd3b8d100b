//! One story each, with the figures that it must keep to.

use super::*;
use crate::mesh::preference_hash;

/// The address that the stories are about.
fn x() -> IpAddr {
    address(0)
}

/// Who claimed it, in turn.
fn claimants(tally: &Tally) -> Vec<usize> {
    tally.claims.iter().map(|(index, ..)| *index).collect()
}

#[test]
fn a_crashed_holder_is_replaced_by_the_next_in_order_within_310_ms() {
    for wait in 0..20 {
        let mut cluster = Cluster::up(5, &only(&[0, 1, 2, 3, 4])).seeded(wait);
        cluster.run_for(ms(wait * 5));
        cluster.crash(0);
        cluster.run_for(ms(2_000));
        let tally = cluster.tally(x());
        assert_eq!(tally.claims, [(1, 2, Why::HolderSilent)], "wait {wait}");
        assert!(tally.unanswered <= ms(310), "{:?}", tally.unanswered);
        assert_eq!(cluster.hands(x()), [1]);
    }
}

#[test]
fn four_holders_that_crash_in_turn_are_each_replaced_within_310_ms() {
    let mut cluster = Cluster::up(5, &only(&[0, 1, 2, 3, 4]));
    for index in 0..4 {
        cluster.crash(index);
        cluster.run_for(ms(3_000));
        assert_eq!(cluster.hands(x()), [index + 1]);
    }
    assert_eq!(claimants(&cluster.tally(x())), [1, 2, 3, 4]);
    assert!(cluster.tally(x()).unanswered <= ms(310));
}

#[test]
fn a_holder_and_its_heir_that_crash_at_once_are_replaced_within_310_ms() {
    let mut cluster = Cluster::up(5, &only(&[0, 1, 2, 3, 4]));
    cluster.crash(0);
    cluster.crash(1);
    cluster.run_for(ms(2_000));
    let tally = cluster.tally(x());
    assert_eq!(claimants(&tally), [2]);
    // Both are noticed within one heartbeat of each other, so patience may add that much.
    assert!(tally.unanswered <= ms(410), "{:?}", tally.unanswered);
}

#[test]
fn a_speaker_that_leaves_is_answered_for_without_a_gap() {
    let mut cluster = Cluster::up(3, &only(&[0, 1, 2]));
    cluster.leave(0);
    assert!(cluster.is_up(0), "it waits for somebody to take over");
    cluster.run_for(ms(50));
    assert!(!cluster.is_up(0), "it leaves as soon as somebody did");
    cluster.run_for(ms(3_000));
    let tally = cluster.tally(x());
    assert_eq!(tally.claims, [(1, 2, Why::HolderReleased)]);
    assert_eq!(tally.unanswered, Duration::ZERO);
    assert!(tally.doubled <= ms(10), "{:?}", tally.doubled);
}

#[test]
fn a_rolling_restart_is_answered_without_a_gap() {
    let mut cluster = Cluster::up(4, &only(&[0, 1, 2, 3]));
    for index in 0..4 {
        cluster.leave(index);
        cluster.run_for(ms(1_000));
        cluster.start(index);
        cluster.run_for(ms(2_000));
    }
    let tally = cluster.tally(x());
    // Node 0 is back when node 1 leaves, and first in order: two moves are needed.
    assert_eq!(claimants(&tally), [1, 0]);
    assert_eq!(tally.unanswered, Duration::ZERO);
}

#[test]
fn the_last_speaker_leaves_at_once_because_nobody_could_take_over() {
    let mut cluster = Cluster::up(2, &only(&[0, 1]));
    cluster.crash(1);
    cluster.run_for(ms(3_100));
    cluster.leave(0);
    assert!(!cluster.is_up(0));
}

#[test]
fn a_speaker_leaves_after_a_second_when_its_heirs_do_not_take_over() {
    let mut cluster = Cluster::up(2, &only(&[0, 1]));
    cluster.set_unfit(1, true);
    cluster.leave(0);
    cluster.run_for(ms(990));
    assert_eq!(cluster.hands(x()), [0]);
    cluster.run_for(ms(20));
    assert!(!cluster.is_up(0));
}

#[test]
fn a_speaker_that_restarts_within_the_silence_window_moves_nothing() {
    let mut cluster = Cluster::up(3, &only(&[0, 1, 2]));
    cluster.run_for(ms(30));
    cluster.crash(0);
    cluster.run_for(ms(100));
    cluster.start(0);
    cluster.run_for(ms(3_000));
    let tally = cluster.tally(x());
    assert_eq!(claimants(&tally), [], "it goes on with its claim");
    assert_eq!(cluster.hands(x()), [0]);
    assert!(tally.unanswered <= ms(150), "{:?}", tally.unanswered);
}

#[test]
fn a_node_that_comes_back_leaves_the_address_where_it_is() {
    let mut cluster = Cluster::up(3, &only(&[0, 1, 2]));
    cluster.crash(0);
    cluster.run_for(ms(5_000));
    cluster.start(0);
    cluster.run_for(ms(5_000));
    assert_eq!(claimants(&cluster.tally(x())), [1]);
    assert_eq!(cluster.hands(x()), [1]);
}

#[test]
fn a_speaker_whose_clock_was_set_back_is_heard_after_one_round_trip() {
    for (name, pause) in [("its peers still hear its last life", 20), ("it is silent", 1_000)] {
        let mut cluster = Cluster::up(4, &only(&[0, 1, 2, 3]));
        cluster.kill(0);
        cluster.run_for(ms(pause));
        cluster.set_clock(0, 1);
        cluster.start(0);
        // An answer may wait for 5 ms, and a datagram is late by 8 ms at most.
        cluster.run_for(ms(35));
        for index in 1..4 {
            let status = cluster.engine(index).snapshot().peers[&station(0)];
            assert!(status.is_heard && status.is_synced, "{name}: by {index}");
            assert!(status.last_heard.is_some_and(|last| cluster.now - last < ms(35)), "{name}");
        }
        cluster.run_for(ms(3_000));
        assert_eq!(cluster.hands(x()), [0], "{name}: it goes on with its claim");
        assert_eq!(cluster.tally(x()).claims, [], "{name}");
    }
}

#[test]
fn a_holder_whose_carrier_is_back_listens_before_it_announces() {
    let table = [("another took over", 1_000, 1, vec![]), ("nobody did", 60, 0, vec![(0, x())])];
    for (name, pause, holder, announced) in table {
        for seed in 0..10 {
            let mut cluster = Cluster::up(4, &only(&[0, 1, 2, 3])).seeded(seed);
            cluster.unplug(0);
            cluster.run_for(ms(pause));
            cluster.plug(0);
            cluster.announced.clear();
            cluster.run_for(ms(100));
            let by_0 = |all: &[(usize, IpAddr)]| -> Vec<_> {
                all.iter().filter(|(index, _)| *index == 0).copied().collect()
            };
            assert_eq!(by_0(&cluster.announced), announced, "{name}, seed {seed}");
            assert_eq!(cluster.hands(x()), [holder], "{name}, seed {seed}");
            cluster.run_for(ms(3_000));
            let tally = cluster.tally(x());
            assert_eq!(tally.claims.len(), holder, "{name}, seed {seed}: {tally:?}");
            assert!(tally.doubled_when_whole <= ms(30), "{name}, seed {seed}: {tally:?}");
        }
    }
}

#[test]
fn a_holder_without_peers_announces_as_soon_as_its_carrier_is_back() {
    let mut cluster = Cluster::up(1, &only(&[0]));
    cluster.unplug(0);
    cluster.run_for(ms(1_000));
    cluster.plug(0);
    assert_eq!(cluster.announced, [(0, x())]);
}

#[test]
fn a_holder_whose_peers_do_not_answer_announces_a_second_after_its_carrier_is_back() {
    let mut cluster = Cluster::up(2, &only(&[0, 1]));
    cluster.crash(1);
    cluster.run_for(ms(1_000));
    cluster.unplug(0);
    cluster.run_for(ms(1_000));
    cluster.plug(0);
    cluster.announced.clear();
    cluster.run_for(ms(999));
    assert_eq!(cluster.announced, []);
    cluster.run_for(ms(1));
    assert_eq!(cluster.announced, [(0, x())]);
}

#[test]
fn an_heir_whose_carrier_is_back_takes_what_nobody_holds() {
    let mut cluster = Cluster::up(2, &only(&[0, 1]));
    cluster.unplug(1);
    let mut facts = only(&[0, 1]);
    facts.insert(address(1), Fact::of(&[1]));
    cluster.tell(&facts, |_| Duration::ZERO);
    cluster.run_for(ms(1_000));
    cluster.plug(1);
    cluster.run_for(ms(500));
    assert_eq!(cluster.hands(address(1)), [1]);
    cluster.unplug(1);
    cluster.crash(0);
    cluster.run_for(ms(1_000));
    cluster.plug(1);
    cluster.run_for(ms(1_300));
    assert_eq!(cluster.hands(x()), [1]);
}

#[test]
fn a_holder_that_loses_its_carrier_and_keeps_the_mesh_hands_over_at_once() {
    let mut cluster = Cluster::up(4, &only(&[0, 1, 2, 3]));
    cluster.step(0, Input::Own(Vec::new()));
    cluster.run_for(ms(20));
    assert_eq!(cluster.hands(x()), [1]);
    assert_eq!(cluster.tally(x()).unanswered, Duration::ZERO);
}

#[test]
fn a_partition_that_heals_leaves_one_holder_within_500_ms_after_one_move() {
    for seed in 0..8 {
        let mut cluster = Cluster::up(5, &only(&[0, 1, 2, 3, 4])).seeded(seed);
        cluster.part(&[0]);
        cluster.run_for(ms(2_000 + seed * 31));
        assert_eq!(cluster.hands(x()), [0, 1], "one on each side");
        cluster.heal();
        cluster.run_for(ms(500));
        assert_eq!(cluster.hands(x()), [1], "seed {seed}");
        cluster.run_for(ms(5_000));
        let tally = cluster.tally(x());
        assert_eq!(claimants(&tally), [1], "seed {seed}");
        assert_eq!(tally.unanswered, Duration::ZERO);
        assert_eq!(cluster.announced, [(1, x())], "hosts that believed node 0 are told");
    }
}

#[test]
fn a_holder_cut_from_most_of_the_mesh_stays_where_it_is() {
    let mut cluster = Cluster::up(5, &only(&[0, 1, 2, 3, 4]));
    cluster.part(&[0, 4]);
    cluster.run_for(ms(45_000));
    assert_eq!(claimants(&cluster.tally(x())), [1], "one move, on the other side");
    cluster.heal();
    cluster.run_for(ms(2_000));
    assert_eq!(claimants(&cluster.tally(x())), [1]);
}

#[test]
fn one_direction_that_is_cut_leaves_one_holder() {
    let mut cluster = Cluster::up(3, &only(&[0, 1, 2]));
    cluster.cut_one_way(0, 1);
    cluster.run_for(ms(5_000));
    let tally = cluster.tally(x());
    // Node 1 hears nothing and claims; node 0 hears that and yields.
    assert_eq!(claimants(&tally), [1]);
    assert_eq!(cluster.hands(x()), [1]);
    assert!(tally.doubled <= ms(10), "{:?}", tally.doubled);
}

#[test]
fn an_address_is_answered_without_a_gap_while_a_third_of_the_datagrams_is_lost() {
    for seed in 0..4 {
        let mut cluster = Cluster::up(4, &only(&[0, 1, 2, 3])).seeded(seed);
        cluster.lose(30);
        cluster.run_for(ms(60_000));
        let tally = cluster.tally(x());
        assert_eq!(tally.unanswered, Duration::ZERO, "seed {seed}");
        assert!(tally.doubled <= ms(500), "seed {seed}: {:?}", tally.doubled);
        cluster.heal();
        cluster.run_for(ms(1_000));
        assert_eq!(cluster.hands(x()).len(), 1, "seed {seed}");
    }
}

#[test]
fn a_change_of_the_candidates_is_answered_without_a_gap_however_late_the_news() {
    let changes: [(&str, &[usize]); 6] = [
        ("the holder is no candidate", &[1, 2, 3]),
        ("it is again", &[0, 1, 2, 3]),
        ("nobody stays", &[3]),
        ("all change places", &[2, 1, 0]),
        ("one more", &[3, 2, 1, 0]),
        ("two others", &[1, 3]),
    ];
    for seed in 0..4 {
        let mut cluster = Cluster::up(4, &only(&[0, 1, 2, 3])).seeded(seed);
        for (name, order) in changes {
            let delays: Vec<_> = (0..4).map(|_| ms(cluster.roll(5_000))).collect();
            cluster.tell(&only(order), |index| delays[index]);
            cluster.run_for(ms(7_000));
            let holders = cluster.hands(x());
            assert_eq!(holders.len(), 1, "{name}, seed {seed}: {holders:?}");
            assert!(order.contains(&holders[0]), "{name}, seed {seed}: {holders:?}");
        }
        let tally = cluster.tally(x());
        assert_eq!(tally.unanswered, Duration::ZERO, "seed {seed}");
        assert!(tally.doubled <= ms(20), "seed {seed}: {:?}", tally.doubled);
        assert!(tally.claims.len() <= 2 * changes.len(), "seed {seed}: {:?}", tally.claims);
    }
}

#[test]
fn an_address_that_is_gone_goes_quiet_as_each_node_learns_it() {
    let mut cluster = Cluster::up(3, &only(&[0, 1, 2]));
    cluster.tell(&Facts::new(), |_| Duration::ZERO);
    cluster.run_for(ms(1));
    assert_eq!(cluster.hands(x()), []);
    cluster.run_for(ms(2_000));
    assert_eq!(claimants(&cluster.tally(x())), []);
    assert!(cluster.engine(1).snapshot().holders.is_empty());
}

#[test]
fn a_holder_that_is_unfit_answers_until_it_is_relieved() {
    let mut cluster = Cluster::up(3, &only(&[0, 1, 2]));
    cluster.set_unfit(0, true);
    cluster.run_for(ms(150));
    assert_eq!(cluster.hands(x()), [0], "the others believe it a candidate for a while");
    cluster.run_for(ms(1_000));
    let tally = cluster.tally(x());
    assert_eq!(tally.claims, [(1, 2, Why::HolderReleased)]);
    assert_eq!(tally.unanswered, Duration::ZERO);
}

#[test]
fn a_holder_that_is_fit_again_in_time_keeps_its_claim() {
    let mut cluster = Cluster::up(3, &only(&[0, 1, 2]));
    cluster.set_unfit(0, true);
    cluster.run_for(ms(150));
    cluster.set_unfit(0, false);
    cluster.run_for(ms(3_000));
    assert_eq!(claimants(&cluster.tally(x())), [], "nobody claimed");
    assert_eq!(cluster.engine(2).snapshot().holders[&x()], (station(0), 1));
}

#[test]
fn a_whole_cluster_starts_with_the_first_in_order_holding_each_address() {
    for seed in 0..5 {
        let mut cluster = Cluster::new(5).seeded(seed);
        let addresses: Vec<_> = (0..100).map(address).collect();
        let order = |at: &IpAddr| {
            let mut order: Vec<_> = (0..5).collect();
            order.sort_by_key(|index| preference_hash(station(*index).as_str(), *at));
            order
        };
        let facts: Facts = addresses.iter().map(|at| (*at, Fact::of(&order(at)))).collect();
        for index in 0..5 {
            cluster.start(index);
            let pause = cluster.roll(20);
            cluster.run_for(ms(pause));
        }
        let delays: Vec<_> = (0..5).map(|_| ms(cluster.roll(80))).collect();
        cluster.tell(&facts, |index| delays[index]);
        cluster.run_for(ms(2_000));
        for at in addresses {
            assert_eq!(cluster.hands(at), [facts[&at].order[0]], "seed {seed}");
            let tally = cluster.tally(at);
            assert_eq!(tally.doubled, Duration::ZERO, "seed {seed}");
            assert_eq!(tally.claims, [(facts[&at].order[0], 1, Why::NeverHeld)], "seed {seed}");
        }
    }
}

#[test]
fn nothing_is_claimed_before_the_facts_are_known() {
    let mut cluster = Cluster::new(2);
    cluster.start(0);
    cluster.run_for(ms(60_000));
    assert_eq!(cluster.hands(x()), []);
    cluster.tell(&only(&[0, 1]), |_| Duration::ZERO);
    cluster.run_for(ms(10));
    assert_eq!(cluster.hands(x()), [0], "it has listened for long enough");
}

#[test]
fn a_peer_that_is_not_heard_is_waited_for_for_a_second() {
    let mut cluster = Cluster::new(2);
    cluster.start(0);
    cluster.tell(&only(&[0, 1]), |_| Duration::ZERO);
    cluster.run_for(ms(990));
    assert_eq!(cluster.hands(x()), []);
    cluster.run_for(ms(20));
    assert_eq!(cluster.hands(x()), [0]);
}

#[test]
fn a_single_node_claims_after_listening_for_others() {
    let mut cluster = Cluster::new(1);
    cluster.start(0);
    cluster.tell(&only(&[0]), |_| Duration::ZERO);
    cluster.run_for(ms(190));
    assert_eq!(cluster.hands(x()), []);
    cluster.run_for(ms(20));
    assert_eq!(cluster.hands(x()), [0]);
}

/// Ten thousand addresses, spread evenly over five nodes.
fn many() -> Facts {
    (0..10_000)
        .map(|number| {
            let first = usize::try_from(number).unwrap();
            let order: Vec<_> = (0..5).map(|next| (first + next) % 5).collect();
            (address(number), Fact::of(&order))
        })
        .collect()
}

#[test]
fn ten_thousand_addresses_survive_a_crash_and_quiet_heartbeats_stay_small() {
    let mut cluster = Cluster::up(5, &many());
    cluster.run_for(ms(1_000));
    assert!(cluster.longest <= 100, "{} bytes a heartbeat", cluster.longest);

    cluster.crash(3);
    cluster.run_for(ms(1_000));
    let longest = super::super::message::MAX_DATAGRAM;
    assert!(cluster.longest <= longest, "{} bytes a datagram", cluster.longest);
    for (at, order) in many() {
        let holder = if order.order[0] == 3 { 4 } else { order.order[0] };
        assert_eq!(cluster.hands(at), [holder], "{at}");
        assert!(cluster.tally(at).unanswered <= ms(310));
    }
    let holders = cluster.engine(0).snapshot().holders;
    assert_eq!(holders.len(), 10_000, "every node knows every holder");
}

#[test]
fn ten_thousand_addresses_are_handed_over_by_a_speaker_that_leaves() {
    let mut cluster = Cluster::up(5, &many());
    cluster.leave(3);
    cluster.run_for(ms(1_000));
    assert!(!cluster.is_up(3));
    for (at, order) in many() {
        let holder = if order.order[0] == 3 { 4 } else { order.order[0] };
        assert_eq!(cluster.hands(at), [holder], "{at}");
        assert_eq!(cluster.tally(at).unanswered, Duration::ZERO, "{at}");
    }
}

#[test]
fn a_newcomer_learns_ten_thousand_claims_also_over_a_bad_mesh() {
    let mut cluster =
        Cluster::up(2, &(0..10_000).map(|n| (address(n), Fact::of(&[0, 1]))).collect());
    cluster.crash(1);
    cluster.run_for(ms(1_000));
    cluster.lose(20);
    cluster.start(1);
    cluster.run_for(ms(1_400));
    assert!(cluster.engine(1).snapshot().peers[&station(0)].is_synced);
    assert_eq!(cluster.engine(1).snapshot().holders.len(), 10_000);
    assert_eq!(cluster.engine(1).answering().len(), 0);
}
