//! A thousand nodes and ten thousand addresses.

use super::*;
use crate::mesh::preference_hash;

/// How many nodes and addresses: all in a release build.
const SIZE: (usize, u32) = if cfg!(debug_assertions) { (24, 240) } else { (1_000, 10_000) };

/// How many nodes know of all addresses. The others know of those for which they are among the first
/// candidates, which is all that counts for what they send.
const ALL_KNOWING: usize = 10;

/// Candidates that know of an address.
const NEAR: usize = 8;

#[test]
fn a_large_cluster_keeps_to_its_packets_and_replaces_a_dead_holder_in_200_ms() {
    let (nodes, addresses) = SIZE;
    let order = |at: IpAddr| {
        let mut order: Vec<_> = (0..nodes).collect();
        order.sort_by_cached_key(|index| preference_hash(station(*index).as_str(), at));
        order
    };
    let facts: Facts = (0..addresses).map(address).map(|at| (at, Fact::of(&order(at)))).collect();
    let mut cluster = Cluster::new(nodes);
    cluster.lan.is_terse = true;
    for index in 0..nodes {
        cluster.start(index);
    }
    let all = cluster.candidacies(&facts);
    let mut near = vec![BTreeMap::new(); nodes];
    for (at, fact) in &facts {
        for index in &fact.order[..NEAR] {
            near[*index].insert(*at, all[at].clone());
        }
    }
    for (index, near) in near.into_iter().enumerate() {
        let is_all_knowing = index < ALL_KNOWING;
        if !is_all_knowing {
            cluster.known[index] = near.keys().copied().collect();
        }
        let candidacies = if is_all_knowing { all.clone() } else { near };
        cluster.step(index, Input::Candidacies(candidacies));
    }
    cluster.run_for(ms(8_000));
    cluster.forget_the_past();
    cluster.run_for(ms(2_000));
    let most = cluster.sent.iter().max().unwrap() / 2;
    let mean = cluster.sent.iter().sum::<u64>() / 2 / u64::try_from(nodes).unwrap();
    println!("{nodes} nodes, {addresses} addresses: {mean} datagrams/s a speaker, {most} at most");
    assert!(most <= 1_000, "{most} datagrams a second");

    let dead = 1;
    cluster.crash(dead);
    cluster.run_for(ms(2_000));
    let mut longest = Duration::ZERO;
    for (at, fact) in facts.iter().filter(|(_, fact)| fact.order[0] == dead) {
        assert_eq!(cluster.hands(*at), [fact.order[1]], "{at}");
        longest = longest.max(cluster.tally(*at).unanswered);
    }
    println!("its addresses were unanswered for {longest:?} at most");
    assert!(longest <= ms(200), "{longest:?}");
    cluster.run_for(ms(3_000));
    let related = facts.values().filter(|fact| fact.order[..6].contains(&dead));
    for index in related.flat_map(|fact| &fact.order[..6]).filter(|index| **index != dead) {
        let status = cluster.engine(*index).snapshot().peers[&station(dead)];
        assert!(!status.is_heard, "node {index} does not notice within 5 s");
    }
}

impl Cluster {
    /// One set for all nodes, which share what does not differ.
    fn candidacies(&self, facts: &Facts) -> BTreeMap<IpAddr, Candidacy> {
        let candidate = |index: &usize| Candidate { station: self.names[*index].clone(), score: 0 };
        let candidacy = |fact: &Fact| Candidacy {
            order: fact.order.iter().map(candidate).collect(),
            is_fit: true,
            policy: Policy::default(),
        };
        facts.iter().map(|(at, fact)| (*at, candidacy(fact))).collect()
    }
}
