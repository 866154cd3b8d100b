//! Random faults: what must never happen, and what must happen in the end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use ipnet::IpNet;

use super::*;
use crate::bgp::session::{Forwarding, Leave, Restart, Stop};
use crate::bgp::{Attributes, Community};

fn prefix(number: u64) -> IpNet {
    let number = u32::try_from(number).unwrap();
    match number % 2 {
        0 => IpNet::new(Ipv4Addr::from(0x0a00_0000 + number).into(), 32).unwrap(),
        _ => format!("2001:db8:{number:x}::/48").parse().unwrap(),
    }
}

/// What both speakers want their peer to know: for each a tag by prefix.
type Wanted = [BTreeMap<IpNet, u32>; 2];

fn strike(network: &mut Network, wanted: &mut Wanted) {
    let index = usize::try_from(network.roll(2)).unwrap();
    match network.roll(14) {
        0 => network.break_all(),
        1 => network.is_cut = !network.is_cut,
        2 => network.input(index, Input::Stop(Stop::Shutdown("maintenance".to_owned()))),
        3 => network.input(index, Input::Stop(Stop::Restart)),
        4 | 5 => network.input(index, Input::Start),
        6 => network.input(index, Input::Reset("again".to_owned())),
        7 => network.input(index, Input::PathDown),
        8 => {
            let leave = Leave {
                text: "node drains".to_owned(),
                before_withdrawal: secs(1),
                before_close: secs(1),
            };
            network.input(index, Input::Leave(leave));
        }
        9 => {
            let number = network.roll(40);
            wanted[index].remove(&prefix(number));
            network.input(index, Input::Route { prefix: prefix(number), attributes: None });
        }
        _ => {
            let (number, tag) = (network.roll(40), u32::try_from(network.roll(3)).unwrap());
            wanted[index].insert(prefix(number), tag);
            let communities = [Community(tag)].into();
            let attributes = Some(Arc::new(Attributes { communities, ..Attributes::default() }));
            network.input(index, Input::Route { prefix: prefix(number), attributes });
        }
    }
}

fn weather(seed: u64) {
    let restart = Restart { restart_time: 120, forwarding: Forwarding::Kept, long_lived: None };
    let mut network = Network::new(seed, |config| {
        config.hold_time = 9;
        config.connect_retry = secs(5);
        config.graceful_restart = seed.is_multiple_of(2).then_some(restart);
    });
    let mut wanted = Wanted::default();
    network.start();
    for _ in 0..30 {
        strike(&mut network, &mut wanted);
        let pause = network.roll(1500);
        network.run_for(Duration::from_millis(pause));
    }
    network.is_cut = false;
    network.start();
    network.run_for(secs(60));
    // Whoever was leaving has left by now.
    network.start();
    network.run_for(secs(60));

    assert_eq!(network.states(), [State::Established; 2]);
    for (index, wanted) in wanted.iter().enumerate() {
        assert_eq!(network.speakers[index].open.len(), 1);
        let known = &network.speakers[1 - index].learned.routes;
        let known: BTreeMap<_, _> =
            known.iter().map(|(at, heard)| (*at, heard.communities[0])).collect();
        assert_eq!(&known, wanted, "what {} knows", 1 - index);
        assert_eq!(network.speakers[index].engine.status().pending, 0);
    }
}

#[test]
fn after_any_weather_each_knows_what_the_other_wants_it_to() {
    for seed in 0..300 {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| weather(seed))) {
            eprintln!("seed {seed}");
            resume_unwind(cause);
        }
    }
}
