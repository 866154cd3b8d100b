//! Stories with figures: what clients notice of each fault, over many seeds.
//!
//! In a debug build there are a few seeds a story; in a release build as many as in the simulation
//! that the rules were found with, and the table that is printed has its figures.

use super::*;

/// Seeds of each story.
const SEEDS: u64 = if cfg!(debug_assertions) { 2 } else { 60 };

/// Limits of one story: the figures of that simulation, so that these engines do as well or better.
/// Times are in milliseconds, the 99th percentile over the seeds; the worst seed of that simulation
/// where chance counts for more than the rules. Two hands for 9 ms are one datagram that is late.
struct Story {
    name: &'static str,
    tell: fn(&mut Cluster),
    unanswered: u64,
    outage: u64,
    doubled: u64,
    /// Moves of all seeds, in hundredths of their number.
    moves: usize,
}

fn x() -> IpAddr {
    address(0)
}

fn wait(cluster: &mut Cluster, from: u64, to: u64) {
    let pause = from + cluster.roll(to - from + 1);
    cluster.run_for(ms(pause));
}

fn all(cluster: &Cluster) -> Vec<usize> {
    (0..cluster.size()).collect()
}

/// Tells facts to all nodes, up to 5 s later to three in ten of them.
fn tell_late(cluster: &mut Cluster, facts: &Facts) {
    let late = |cluster: &mut Cluster| match cluster.roll(10) {
        0..3 => 200 + cluster.roll(4_800),
        _ => cluster.roll(50),
    };
    let delays: Vec<_> = (0..cluster.size()).map(|_| ms(late(cluster))).collect();
    cluster.tell(facts, |index| delays[index]);
}

fn crash(cluster: &mut Cluster, count: usize) {
    for index in 0..count {
        cluster.crash(index);
    }
    cluster.run_for(ms(12_000));
}

fn kill(cluster: &mut Cluster, from: u64, to: u64) {
    cluster.kill(0);
    wait(cluster, from, to);
    cluster.start(0);
    cluster.run_for(ms(8_000));
}

fn restart(cluster: &mut Cluster, index: usize, from: u64, to: u64) {
    cluster.restart(index);
    wait(cluster, from, to);
    cluster.start(index);
}

/// All nodes lose power, and have it again within three seconds of each other; each speaker starts
/// half a second after its node.
fn start_all(cluster: &mut Cluster) {
    cluster.record(x(), 0);
    let mut events = Vec::new();
    for index in all(cluster) {
        cluster.crash(index);
        let at = 3_000 + cluster.roll(3_000);
        events.extend([(at, false, index), (at + 500, true, index)]);
    }
    events.sort_unstable();
    let start = cluster.now;
    for (at, is_start, index) in events {
        cluster.run_for(ms(at) - (cluster.now - start));
        if is_start {
            cluster.start(index);
        } else {
            cluster.nodes[index].is_up = true;
        }
    }
    cluster.run_for(ms(12_000));
}

fn back_without_api(cluster: &mut Cluster) {
    cluster.kill(0);
    wait(cluster, 300, 20_000);
    cluster.start_without_api(0);
    cluster.run_for(ms(38_000));
}

fn part(cluster: &mut Cluster, some: &[usize]) {
    cluster.part(some);
    wait(cluster, 100, 8_000);
    cluster.heal();
    cluster.run_for(ms(12_000));
}

fn some(cluster: &mut Cluster) -> Vec<usize> {
    loop {
        let some: Vec<_> = (0..cluster.size()).filter(|_| cluster.roll(2) == 0).collect();
        if !some.is_empty() && some.len() < cluster.size() {
            return some;
        }
    }
}

fn two(cluster: &mut Cluster) -> (usize, usize) {
    let size = u64::try_from(cluster.size()).unwrap();
    let [a, by] = [cluster.roll(size), 1 + cluster.roll(size - 1)];
    (usize::try_from(a).unwrap(), usize::try_from((a + by) % size).unwrap())
}

fn deafen(cluster: &mut Cluster, index: usize) {
    cluster.set_hearing(index, false);
    cluster.run_for(ms(10_000));
    cluster.heal();
    cluster.run_for(ms(8_000));
}

fn change_candidates(cluster: &mut Cluster, mut next: impl FnMut(&mut Cluster, usize) -> Fact) {
    for round in 0..5 {
        let fact = next(cluster, round);
        tell_late(cluster, &[(x(), fact)].into());
        wait(cluster, 100, 7_000);
    }
    cluster.run_for(ms(12_000));
}

/// The stories of a holder's death, of speakers that end, of moves that are planned, of wires, of
/// losses and of facts. No address is to be left in two hands or in none by any of them.
const STORIES: &[Story] = &[
    Story {
        name: "the holder's node crashes",
        tell: |it| crash(it, 1),
        unanswered: 161,
        outage: 163,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "holder and heir crash",
        tell: |it| crash(it, 2),
        unanswered: 211,
        outage: 213,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "holder and two heirs crash",
        tell: |it| crash(it, 3),
        unanswered: 262,
        outage: 268,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "four crash in turn",
        tell: |it| {
            for index in 0..4 {
                it.crash(index);
                it.run_for(ms(3_000));
            }
        },
        unanswered: 161,
        outage: 165,
        doubled: 0,
        moves: 400,
    },
    Story {
        name: "a node returns",
        tell: |it| {
            it.crash(0);
            it.run_for(ms(5_000));
            it.start(0);
            it.run_for(ms(9_000));
        },
        unanswered: 161,
        outage: 163,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "a speaker is killed",
        tell: |it| kill(it, 300, 20_000),
        unanswered: 143,
        outage: 0,
        doubled: 0,
        moves: 0,
    },
    Story {
        name: "it is killed and at once back",
        tell: |it| kill(it, 10, 250),
        unanswered: 143,
        outage: 0,
        doubled: 0,
        moves: 0,
    },
    Story {
        name: "a speaker is killed without the API",
        tell: back_without_api,
        unanswered: 143,
        outage: 0,
        doubled: 0,
        moves: 0,
    },
    Story {
        name: "a speaker restarts",
        tell: |it| {
            restart(it, 0, 300, 15_000);
            it.run_for(ms(8_000));
        },
        unanswered: 0,
        outage: 0,
        doubled: 0,
        moves: 0,
    },
    Story {
        name: "all speakers restart in turn",
        tell: |it| {
            for index in all(it) {
                restart(it, index, 300, 1_500);
                wait(it, 300, 4_000);
            }
            it.run_for(ms(12_000));
        },
        unanswered: 0,
        outage: 0,
        doubled: 0,
        moves: 0,
    },
    Story {
        name: "a restart and then a crash",
        tell: |it| {
            it.restart(0);
            wait(it, 100, 3_000);
            it.crash(0);
            it.run_for(ms(12_000));
        },
        unanswered: 0,
        outage: 132,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "a killed speaker's node dies",
        tell: |it| {
            it.kill(0);
            wait(it, 50, 5_000);
            it.crash(0);
            it.run_for(ms(12_000));
        },
        unanswered: 143,
        outage: 132,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "the stand-in crashes",
        tell: |it| {
            it.kill(0);
            wait(it, 500, 3_000);
            it.crash(1);
            it.run_for(ms(16_000));
            it.start(0);
            it.run_for(ms(8_000));
        },
        unanswered: 143,
        outage: 3,
        doubled: 0,
        moves: 0,
    },
    Story {
        name: "holder and stand-in are killed",
        tell: |it| {
            it.kill(0);
            wait(it, 0, 3_000);
            it.kill(1);
            it.run_for(ms(17_000));
            it.start(0);
            it.start(1);
            it.run_for(ms(12_000));
        },
        unanswered: 141,
        outage: 3,
        doubled: 0,
        moves: 0,
    },
    Story {
        name: "a speaker does not come back",
        tell: |it| {
            it.kill(0);
            it.run_for(ms(45_000));
        },
        unanswered: 143,
        outage: 3,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "all speakers are killed",
        tell: |it| {
            it.record(x(), 0);
            for index in all(it) {
                let pause = ms(300 + it.roll(1_200));
                it.bounce(index, pause);
            }
            it.run_for(ms(14_000));
        },
        unanswered: 1_005,
        outage: 0,
        doubled: 1,
        moves: 10,
    },
    Story {
        name: "a drain",
        tell: |it| {
            it.set_unfit(0, true);
            it.run_for(ms(12_000));
        },
        unanswered: 0,
        outage: 0,
        doubled: 9,
        moves: 100,
    },
    Story {
        name: "a speaker leaves",
        tell: |it| {
            it.leave(0);
            it.run_for(ms(12_000));
        },
        unanswered: 0,
        outage: 0,
        doubled: 9,
        moves: 100,
    },
    Story {
        name: "a part around the holder",
        tell: |it| part(it, &[0]),
        unanswered: 160,
        outage: 162,
        doubled: 94,
        moves: 100,
    },
    Story {
        name: "the mesh is cut and the LAN whole",
        tell: |it| {
            let some = some(it);
            it.part_mesh(&some);
            it.run_for(ms(45_000));
            it.heal();
            it.run_for(ms(7_000));
        },
        unanswered: 0,
        outage: 0,
        doubled: 0,
        moves: 0,
    },
    Story {
        name: "that, and the holder crashes",
        tell: |it| {
            it.part_mesh(&[0]);
            it.run_for(ms(5_000));
            it.crash(0);
            it.run_for(ms(10_000));
        },
        unanswered: 130,
        outage: 136,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "one direction is cut",
        tell: |it| {
            let (a, b) = match it.roll(10) {
                0..7 if it.roll(2) == 0 => (0, 1),
                0..7 => (1, 0),
                _ => two(it),
            };
            it.cut_one_way(a, b);
            wait(it, 3_000, 20_000);
            it.heal();
            it.run_for(ms(8_000));
        },
        unanswered: 0,
        outage: 0,
        doubled: 0,
        moves: 38,
    },
    Story {
        name: "the holder is deaf",
        tell: |it| deafen(it, 0),
        unanswered: 212,
        outage: 214,
        doubled: 325,
        moves: 100,
    },
    Story {
        name: "an heir is deaf",
        tell: |it| {
            let heirs = u64::try_from(it.size() - 1).unwrap();
            let heir = 1 + usize::try_from(it.roll(heirs)).unwrap();
            deafen(it, heir);
        },
        unanswered: 0,
        outage: 0,
        doubled: 1,
        moves: 13,
    },
    Story {
        name: "the holder is mute",
        tell: |it| {
            it.set_speaking(0, false);
            it.run_for(ms(10_000));
            it.heal();
            it.run_for(ms(8_000));
        },
        unanswered: 160,
        outage: 168,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "a third of the mesh is lost",
        tell: |it| {
            it.lose(30);
            it.run_for(ms(30_000));
            it.heal();
            it.run_for(ms(10_000));
        },
        unanswered: 0,
        outage: 0,
        doubled: 0,
        moves: 0,
    },
    Story {
        name: "a third of everything is lost",
        tell: |it| {
            it.lose_everywhere(30);
            it.run_for(ms(30_000));
            it.heal();
            it.run_for(ms(10_000));
        },
        unanswered: 0,
        outage: 0,
        doubled: 21,
        moves: 22,
    },
    Story {
        name: "candidates change",
        tell: |it| {
            let size = it.size();
            change_candidates(it, |it, _| {
                let mut some: Vec<_> = (0..size).filter(|_| it.roll(2) == 0).collect();
                if some.is_empty() {
                    some.push(0);
                }
                Fact::of(&some)
            });
        },
        unanswered: 0,
        outage: 0,
        doubled: 9,
        moves: 292,
    },
    Story {
        name: "scores change",
        tell: |it| {
            let size = it.size();
            let mut scores = BTreeMap::new();
            change_candidates(it, |it, _| {
                let node = usize::try_from(it.roll(u64::try_from(size).unwrap())).unwrap();
                scores.insert(node, i64::try_from(it.roll(4)).unwrap());
                let mut order: Vec<_> = (0..size).collect();
                order.sort_by_key(|node| -scores.get(node).copied().unwrap_or(0));
                Fact { order, scores: scores.clone(), policy: Policy::default() }
            });
        },
        unanswered: 0,
        outage: 0,
        doubled: 9,
        moves: 196,
    },
    Story {
        name: "holder and three heirs crash",
        tell: |it| crash(it, 4),
        unanswered: 2_931,
        outage: 2_933,
        doubled: 0,
        moves: 102,
    },
    Story {
        name: "holder and four heirs crash",
        tell: |it| crash(it, 5),
        unanswered: 3_005,
        outage: 3_007,
        doubled: 0,
        moves: 102,
    },
    Story {
        name: "a crashed node returns without the API",
        tell: |it| {
            it.crash(0);
            it.run_for(ms(5_000));
            it.start_without_api(0);
            it.run_for(ms(9_000));
        },
        unanswered: 161,
        outage: 163,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "two that crash return",
        tell: |it| {
            it.crash(0);
            it.crash(1);
            it.run_for(ms(6_000));
            it.start(0);
            wait(it, 0, 50);
            it.start(1);
            it.run_for(ms(10_000));
        },
        unanswered: 211,
        outage: 218,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "records are wrong after a crash",
        tell: |it| {
            it.crash(0);
            it.run_for(ms(4_000));
            it.record(x(), 0);
            wait(it, 0, 2_000);
            it.start(0);
            it.run_for(ms(9_000));
        },
        unanswered: 160,
        outage: 162,
        doubled: 0,
        moves: 100,
    },
    Story {
        name: "a drain and a crash of the next",
        tell: |it| {
            it.set_unfit(0, true);
            wait(it, 0, 100);
            it.crash(1);
            it.run_for(ms(12_000));
        },
        unanswered: 161,
        outage: 163,
        doubled: 4,
        moves: 200,
    },
    Story {
        name: "all nodes start after a crash of all",
        tell: start_all,
        unanswered: 1_005,
        outage: 1_007,
        doubled: 0,
        moves: 20,
    },
    Story {
        name: "any parts",
        tell: |it| {
            let some = some(it);
            part(it, &some);
        },
        unanswered: 7_202,
        outage: 7_202,
        doubled: 184,
        moves: 90,
    },
    Story {
        name: "a third of everything is lost, and the holder crashes",
        tell: |it| {
            it.lose_everywhere(30);
            it.run_for(ms(2_000));
            it.crash(0);
            it.run_for(ms(12_000));
            it.heal();
            it.run_for(ms(6_000));
        },
        unanswered: 159,
        outage: 0,
        doubled: 41,
        moves: 122,
    },
    Story {
        name: "the only candidate changes",
        tell: |it| {
            let size = it.size();
            change_candidates(it, |_, round| Fact::of(&[(round + 1) % size]));
        },
        unanswered: 0,
        outage: 0,
        doubled: 9,
        moves: 520,
    },
    Story {
        name: "the holder is no candidate and learns it last",
        tell: |it| {
            let order: Vec<_> = (1..it.size()).collect();
            let late = |index| if index == 0 { ms(19_000) } else { Duration::ZERO };
            it.tell(&only(&order), late);
            it.run_for(ms(27_000));
        },
        unanswered: 0,
        outage: 0,
        doubled: 7,
        moves: 100,
    },
    Story {
        name: "the carrier of the holder is lost",
        tell: |it| {
            it.unplug(0);
            it.run_for(ms(10_000));
            it.plug(0);
            it.run_for(ms(8_000));
        },
        unanswered: 160,
        outage: 168,
        doubled: 10,
        moves: 100,
    },
];

/// Three to eight nodes, of which the first holds the address, at a random moment.
fn cluster(story: &Story, seed: u64) -> Cluster {
    let least = if story.name.contains("crash") { 6 } else { 3 };
    let size = least + usize::try_from(seed).unwrap() % (9 - least);
    let order: Vec<_> = (0..size).collect();
    let mut cluster = Cluster::new(size).seeded(seed + 1).with_clients().settled(&only(&order));
    wait(&mut cluster, 0, 1_500);
    cluster.forget_the_past();
    assert_eq!(cluster.hands(x()), [0], "{}, seed {seed}", story.name);
    cluster
}

fn percentile(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values[(values.len() - 1) * 99 / 100]
}

#[test]
fn clients_notice_no_more_than_the_figures_say() {
    let mut failures = Vec::new();
    for story in STORIES {
        let [mut unanswered, mut outage, mut doubled] = [const { Vec::new() }; 3];
        let (mut moves, mut worst) = (0, [(0, 0); 3]);
        for seed in 0..SEEDS {
            let mut cluster = cluster(story, seed);
            (story.tell)(&mut cluster);
            let (noticed, tally) = (cluster.noticed(), cluster.tally(x()));
            let millis = |it: Duration| u64::try_from(it.as_millis()).unwrap();
            unanswered.push(millis(noticed.unanswered));
            outage.push(millis(noticed.outage));
            doubled.push(millis(noticed.doubled));
            moves += tally.moves;
            let now = [millis(noticed.unanswered), millis(noticed.doubled), tally.moves as u64];
            for (worst, now) in worst.iter_mut().zip(now) {
                *worst = (*worst).max((now, seed));
            }
            let hands = cluster.hands(x());
            let is_held =
                hands.len() == 1 || hands.is_empty() && !cluster.stand_ins(x()).is_empty();
            if !is_held {
                failures.push(format!("{}, seed {seed}: {hands:?} hold it", story.name));
            }
        }
        let most = [percentile(&mut unanswered), percentile(&mut outage), percentile(&mut doubled)];
        let seeds = usize::try_from(SEEDS).unwrap();
        let mean = moves * 100 / seeds;
        println!(
            "{:36} unanswered {:4}  outage {:4}  two {:4}  moves {}.{:02}  worst {worst:?}",
            story.name,
            most[0],
            most[1],
            most[2],
            mean / 100,
            mean % 100
        );
        let limits = [story.unanswered, story.outage, story.doubled];
        // Few seeds have no mean.
        let is_moved =
            seeds >= 20 && mean > story.moves || moves > seeds * story.moves.div_ceil(100) * 2;
        if most.iter().zip(limits).any(|(got, limit)| *got > limit) || is_moved {
            failures.push(format!("{}: {most:?} of {limits:?}, moves {mean}", story.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
