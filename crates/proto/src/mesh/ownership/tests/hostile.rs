//! Peers that say anything.

use super::*;

/// What a hostile peer, or chance, may do to an engine.
#[derive(Clone, Debug)]
enum Event {
    Facts(Vec<(u8, bool)>),
    Leave,
    Message(Message),
    Pass(u64),
    Peers(bool),
}

fn any_claim() -> impl Strategy<Value = Claim> {
    let epoch = prop_oneof![8 => 0..4_u64, 1 => Just(u64::MAX)];
    let names = prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")];
    let state = prop_oneof![
        Just(State::Held),
        Just(State::Released),
        Just(State::Dropped),
        names.prop_map(to),
    ];
    (0..3_u8, epoch, state).prop_map(|(last, epoch, state)| Claim {
        address: IpAddr::from([192, 0, 2, last]),
        epoch,
        state,
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let numbers = prop::array::uniform7(prop_oneof![9 => 0..5_u64, 1 => Just(u64::MAX)]);
    let flags = any::<[bool; 3]>();
    let claims = prop::collection::vec(any_claim(), 0..4);
    (any::<bool>(), numbers, 0..6_u64, flags, claims).prop_map(
        |(is_b, numbers, after, [is_starting, is_leaving, has_changes], claims)| {
            let [incarnation, number, of, base, known, from, step] = numbers;
            let upto = after.saturating_add(step);
            Message {
                from: station(if is_b { "b" } else { "c" }),
                incarnation,
                number,
                interval: ms(100),
                wish: Wish { interval: ms(50), rank: 0 },
                flags: Flags { is_starting, is_leaving, ..Flags::default() },
                links: None,
                ack: Position { incarnation: of, base, version: known },
                version: upto,
                changes: has_changes.then_some(Changes { base: from, after, upto, claims }),
            }
        },
    )
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => any_message().prop_map(Event::Message),
        4 => (0..400_u64).prop_map(Event::Pass),
        2 => prop::collection::vec((0..3_u8, any::<bool>()), 0..3).prop_map(Event::Facts),
        1 => any::<bool>().prop_map(Event::Peers),
        1 => Just(Event::Leave),
    ]
}

proptest! {
    #[test]
    fn no_peer_can_make_an_engine_panic_or_spin(
        events in prop::collection::vec(any_event(), 1..60),
    ) {
        let mut bench = Bench::new();
        for event in events {
            match event {
                Event::Facts(facts) => {
                    let fact = |(last, is_fit): (u8, bool)| {
                        let candidacy = Candidacy { is_fit, ..candidacy("c a b") };
                        (IpAddr::from([192, 0, 2, last]), candidacy)
                    };
                    bench.handle(Input::Candidacies(facts.into_iter().map(fact).collect()));
                }
                Event::Leave => bench.handle(Input::Leave),
                Event::Message(message) => {
                    let from = message.from.clone();
                    bench.hears(from.as_str(), message.encode());
                }
                Event::Pass(millis) => {
                    bench.now = bench.now + ms(millis);
                    bench.handle(Input::Timeout);
                }
                Event::Peers(has_c) => {
                    let peers = if has_c { vec!["b", "c"] } else { vec!["b"] };
                    bench.handle(Input::Peers(self::peers(&peers)));
                }
            }
            let held = bench.a.addresses.values().filter(|address| address.mine().is_some());
            prop_assert_eq!(held.count(), bench.a.answering().len());
        }
    }
}
