//! One session, and a peer that says what it is told to say.

use std::num::NonZeroU8;

use super::*;
use crate::bfd::auth::{Key, Method};
use crate::bfd::echo::Echo;
use State::{AdminDown, Down, Init, Up};

const OURS: NonZeroU32 = NonZeroU32::new(0xa).unwrap();
const THEIRS: NonZeroU32 = NonZeroU32::new(0xb).unwrap();

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn three() -> NonZeroU8 {
    NonZeroU8::new(3).unwrap()
}

/// One session, and a peer that says what it is told to say.
struct Bench {
    session: Session,
    now: Instant,
}

impl Bench {
    fn new(config: Config) -> Self {
        let now = Instant::START;
        let session = Session::new(config, Hops::Single, OURS, 7, now);
        let mut bench = Self { session, now };
        bench.take(Input::Timeout);
        bench
    }

    /// A session with a peer that wants a packet each 300 ms, in this state.
    fn in_state(state: State) -> Self {
        let mut bench = Self::new(Config::default());
        bench.hear(peer(Down));
        match state {
            Down => _ = bench.hear(peer(AdminDown)),
            Init => (),
            Up => _ = bench.hear(peer(Init)),
            AdminDown => _ = bench.take(Input::Stop),
        }
        assert_eq!(bench.session.state, state);
        bench
    }

    fn up(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.hear(peer(Down));
        bench.hear(peer(Up));
        bench.hear(Packet { exchange: Exchange::Final, ..peer(Up) });
        assert_eq!(bench.session.state, Up);
        bench
    }

    fn take(&mut self, input: Input<'_>) -> Vec<Output> {
        self.session.handle(self.now, input);
        std::iter::from_fn(|| self.session.poll()).collect()
    }

    /// The packets that follow when the peer says this.
    fn hear(&mut self, packet: Packet) -> Vec<Packet> {
        let bytes = packet.encode(None);
        let (packet, datagram) = Packet::decode(&bytes).unwrap();
        packets(&self.take(Input::Packet(&packet, datagram)))
    }

    /// The packets until then, each with the time since the one before.
    fn run(&mut self, duration: Duration) -> Vec<(Duration, Packet)> {
        let end = self.now + duration;
        let mut last = self.now;
        let mut said = Vec::new();
        while let Some(at) = self.session.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            for packet in packets(&self.take(Input::Timeout)) {
                said.push((self.now - last, packet));
                last = self.now;
            }
        }
        self.now = end;
        said
    }

    fn configure(&mut self, config: Config) -> Vec<Packet> {
        packets(&self.take(Input::Configure(Box::new(config))))
    }
}

/// What a peer says that knows us, and can do 300 ms.
fn peer(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        exchange: Exchange::None,
        is_control_plane_independent: false,
        is_demand: false,
        detect_multiplier: three(),
        my_discriminator: THEIRS,
        your_discriminator: Some(OURS),
        desired_min_tx: Interval::from_millis(300),
        required_min_rx: Interval::from_millis(300),
        required_min_echo_rx: Interval::ZERO,
    }
}

fn packets(outputs: &[Output]) -> Vec<Packet> {
    let packet = |output: &Output| match output {
        Output::Send(bytes) => Some(Packet::decode(bytes).unwrap().0),
        Output::Echo(_) | Output::Changed { .. } | Output::Ignored(_) | Output::Ended => None,
    };
    outputs.iter().filter_map(packet).collect()
}

#[test]
fn the_states_follow_the_table_of_the_rfc() {
    let heard = Why::Heard;
    let neighbor_down = Why::NeighborDown(Diagnostic::NONE);
    let rows = [
        (AdminDown, AdminDown, None),
        (AdminDown, Down, None),
        (AdminDown, Init, None),
        (AdminDown, Up, None),
        (Down, AdminDown, None),
        (Down, Down, Some((Init, heard, 0))),
        (Down, Init, Some((Up, heard, 0))),
        (Down, Up, None),
        (Init, AdminDown, Some((Down, Why::NeighborAdminDown, 3))),
        (Init, Down, None),
        (Init, Init, Some((Up, heard, 0))),
        (Init, Up, Some((Up, heard, 0))),
        (Up, AdminDown, Some((Down, Why::NeighborAdminDown, 3))),
        (Up, Down, Some((Down, neighbor_down, 3))),
        (Up, Init, None),
        (Up, Up, None),
    ];
    for (local, said, want) in rows {
        let mut bench = Bench::in_state(local);
        let bytes = peer(said).encode(None);
        let (packet, datagram) = Packet::decode(&bytes).unwrap();
        let outputs = bench.take(Input::Packet(&packet, datagram));
        let changed = outputs.iter().find_map(|output| match output {
            Output::Changed { to, why, .. } => Some((*to, *why)),
            Output::Send(_) | Output::Echo(_) | Output::Ignored(_) | Output::Ended => None,
        });
        let name = format!("{local} hears {said}");
        assert_eq!(changed, want.map(|(to, why, _)| (to, why)), "{name}");
        if let Some((to, _, code)) = want {
            let told = packets(&outputs);
            assert_eq!((told[0].state, told[0].diagnostic.code()), (to, code), "{name}: at once");
        }
    }
}

#[test]
fn a_session_that_is_not_up_sends_once_a_second() {
    let mut bench = Bench::new(Config::default());
    let said = bench.run(ms(60_000));
    assert!((60..=80).contains(&said.len()), "{}", said.len());
    for (pause, packet) in said {
        assert!(ms(750) <= pause && pause <= ms(1000), "{pause:?}");
        assert_eq!(packet.desired_min_tx, Interval::from_millis(1000));
        assert_eq!((packet.state, packet.your_discriminator), (Down, None));
    }
}

#[test]
fn the_slower_of_both_ends_decides() {
    let millis = |ms| Interval::from_millis(ms);
    // (ours: transmit, receive; theirs: transmit, receive, multiplier; we send every, we wait for)
    let rows = [
        (300, 300, 300, 300, 3, 300, 900),
        (10, 10, 10, 10, 3, 10, 30),
        (10, 10, 500, 400, 2, 400, 1000),
        (500, 400, 10, 10, 5, 500, 2000),
    ];
    for (tx, rx, their_tx, their_rx, multiplier, every, silence) in rows {
        let config =
            Config { desired_min_tx: millis(tx), required_min_rx: millis(rx), ..Config::default() };
        let mut bench = Bench::up(config);
        bench.hear(Packet {
            desired_min_tx: millis(their_tx),
            required_min_rx: millis(their_rx),
            detect_multiplier: NonZeroU8::new(multiplier).unwrap(),
            ..peer(Up)
        });
        let status = bench.session.status();
        let got = (status.transmit, status.detection_time);
        assert_eq!(got, (millis(every), millis(silence)), "{tx} {rx} {their_tx} {their_rx}");
    }
}

#[test]
fn one_loss_that_is_the_end_is_jittered_less() {
    for (multiplier, most) in [(1, 90), (2, 100)] {
        let detect_multiplier = NonZeroU8::new(multiplier).unwrap();
        let mut bench = Bench::up(Config { detect_multiplier, ..Config::default() });
        bench.hear(Packet { detect_multiplier: NonZeroU8::MAX, ..peer(Up) });
        let said = bench.run(ms(60_000));
        let (least, most) = (ms(225), ms(3 * most));
        assert!(said.len() > 190, "{}", said.len());
        assert!(said.iter().skip(1).all(|(pause, _)| (least..=most).contains(pause)));
    }
}

#[test]
fn silence_ends_the_session_after_the_detection_time_and_not_before() {
    let mut bench = Bench::up(Config::default());
    bench.run(ms(899));
    assert_eq!(bench.session.state, Up);
    let said = bench.run(ms(1));
    let status = bench.session.status();
    assert_eq!((status.state, status.peer), (Down, None));
    assert_eq!(status.last_down.map(|(_, why)| why), Some(Why::DetectionTimeExpired));
    let (_, packet) = said.last().unwrap();
    assert_eq!((packet.state, packet.diagnostic.code()), (Down, 1));
    assert_eq!(packet.your_discriminator, None);
    assert_eq!((status.counters.ups, status.counters.downs), (1, 1));
}

#[test]
fn a_question_is_answered_at_once_in_every_state() {
    for state in [AdminDown, Down, Init, Up] {
        let mut bench = Bench::in_state(state);
        let said = match state {
            AdminDown | Down => AdminDown,
            Init => Down,
            Up => Up,
        };
        let answer = bench.hear(Packet { exchange: Exchange::Poll, ..peer(said) });
        assert_eq!(answer.len(), 1, "{state}");
        assert_eq!((answer[0].exchange, answer[0].state), (Exchange::Final, state));
    }
}

#[test]
fn coming_up_asks_the_peer_until_it_answers() {
    let mut bench = Bench::in_state(Init);
    let said = bench.hear(peer(Init));
    assert_eq!((said[0].state, said[0].exchange), (Up, Exchange::Poll));
    assert_eq!(said[0].desired_min_tx, Interval::from_millis(300));
    assert!(bench.run(ms(600)).iter().all(|(_, packet)| packet.exchange == Exchange::Poll));
    bench.hear(Packet { exchange: Exchange::Final, ..peer(Up) });
    let said = bench.run(ms(600));
    assert!(said.len() >= 2 && said.iter().all(|(_, packet)| packet.exchange == Exchange::None));
}

#[test]
fn settings_that_change_reset_nothing() {
    let slow = Interval::from_millis(2000);
    let fast = Interval::from_millis(50);
    let mut bench = Bench::up(Config::default());
    let config = Config { desired_min_tx: slow, required_min_rx: fast, ..Config::default() };
    let said = bench.configure(config);
    assert_eq!((said[0].state, said[0].exchange), (Up, Exchange::Poll));
    assert_eq!((said[0].desired_min_tx, said[0].required_min_rx), (slow, fast));
    let agreed = |bench: &Bench| {
        let status = bench.session.status();
        (status.transmit, status.detection_time)
    };
    let millis = Interval::from_millis;
    bench.hear(Packet { desired_min_tx: fast, ..peer(Up) });
    assert_eq!(agreed(&bench), (millis(300), millis(900)), "until the peer knows");
    bench.hear(Packet { desired_min_tx: fast, exchange: Exchange::Final, ..peer(Up) });
    assert_eq!(agreed(&bench), (slow, millis(150)));
}

#[test]
fn a_peer_that_wants_packets_faster_has_them_at_once() {
    let mut bench =
        Bench::up(Config { desired_min_tx: Interval::from_millis(10), ..Config::default() });
    bench.hear(Packet { required_min_rx: Interval::from_millis(5000), ..peer(Up) });
    bench.run(ms(200));
    let said = bench.hear(Packet { required_min_rx: Interval::from_millis(100), ..peer(Up) });
    assert_eq!(said.len(), 1, "100 ms have passed since the last one");
}

#[test]
fn a_silenced_session_speaks_again_when_the_peer_is_lost() {
    let mut bench = Bench::up(Config::default());
    bench.hear(Packet { required_min_rx: Interval::ZERO, ..peer(Up) });
    assert!(bench.run(ms(899)).is_empty());
    bench.run(ms(1));
    assert_eq!(bench.session.state, Down);
    assert!(bench.run(ms(3000)).len() >= 3);
}

#[test]
fn a_peer_that_wants_no_packets_still_hears_of_changes() {
    let mut bench = Bench::new(Config::default());
    let said = bench.hear(Packet { required_min_rx: Interval::ZERO, ..peer(Down) });
    assert_eq!(said[0].state, Init);
    assert!(bench.run(ms(899)).is_empty());
}

#[test]
fn a_passive_end_waits_and_falls_silent_with_the_peer() {
    let mut bench = Bench::new(Config { role: Role::Passive, ..Config::default() });
    assert_eq!(bench.session.deadline(), None);
    assert_eq!(bench.hear(peer(Down))[0].state, Init);
    assert!(!bench.run(ms(899)).is_empty());
    bench.run(ms(60_000));
    assert_eq!((bench.session.state, bench.session.deadline()), (Down, None));
}

#[test]
fn a_peer_in_demand_mode_hears_answers_and_news_alone() {
    let mut bench = Bench::up(Config::default());
    let demand = |exchange| Packet { is_demand: true, exchange, ..peer(Up) };
    for _ in 0..5 {
        bench.hear(demand(Exchange::None));
        assert!(bench.run(ms(300)).is_empty());
    }
    assert_eq!(bench.hear(demand(Exchange::Poll))[0].exchange, Exchange::Final);
    let said = bench.configure(Config { detect_multiplier: NonZeroU8::MAX, ..Config::default() });
    assert_eq!(said[0].exchange, Exchange::Poll, "the peer must confirm what it hears so seldom");
    assert!(!bench.run(ms(600)).is_empty(), "until it does");
    bench.hear(demand(Exchange::Final));
    assert!(bench.run(ms(300)).is_empty());
    bench.hear(peer(Up));
    assert!(!bench.run(ms(300)).is_empty(), "demand mode is over");
}

#[test]
fn the_end_is_told_and_then_there_is_silence() {
    let mut bench = Bench::up(Config::default());
    let outputs = bench.take(Input::Stop);
    let said = packets(&outputs);
    assert_eq!((said[0].state, said[0].diagnostic), (AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN));
    bench.now = bench.now + ms(899);
    assert!(!bench.take(Input::Timeout).contains(&Output::Ended));
    bench.now = bench.now + ms(1);
    assert!(bench.take(Input::Timeout).contains(&Output::Ended));
    assert!(bench.run(ms(10_000)).is_empty());
    let back = packets(&bench.take(Input::Start));
    assert_eq!((back[0].state, back[0].diagnostic), (Down, Diagnostic::NONE));
}

#[test]
fn nobody_is_told_of_the_end_who_was_never_heard() {
    let mut bench = Bench::new(Config::default());
    let outputs = bench.take(Input::Stop);
    assert!(outputs.contains(&Output::Ended) && packets(&outputs).is_empty());
}

/// A session that sends echo packets each 50 ms, and one of them.
fn echoing() -> (Bench, Config, Packet) {
    let config = Config { echo: Some(Interval::from_millis(20)), ..Config::default() };
    let looping = Packet { required_min_echo_rx: Interval::from_millis(50), ..peer(Up) };
    (Bench::up(config.clone()), config, looping)
}

fn echoes(outputs: &[Output]) -> Vec<Echo> {
    let echo = |output: &Output| match output {
        Output::Echo(bytes) => Echo::decode(bytes),
        Output::Send(_) | Output::Changed { .. } | Output::Ignored(_) | Output::Ended => None,
    };
    outputs.iter().filter_map(echo).collect()
}

/// Lets time pass at a peer that loops or does not; how many packets were looped.
fn loop_for(bench: &mut Bench, looping: &Packet, loops: impl Fn(usize) -> bool) -> usize {
    let end = bench.now + ms(899);
    let mut count = 0;
    bench.hear(looping.clone());
    while let Some(at) = bench.session.deadline().filter(|at| *at <= end) {
        bench.now = bench.now.max(at);
        for echo in echoes(&bench.take(Input::Timeout)) {
            count += 1;
            if loops(count) {
                bench.take(Input::Echo(echo));
            }
        }
    }
    bench.now = end;
    count
}

#[test]
fn echo_packets_are_sent_as_often_as_both_allow() {
    let (mut bench, config, looping) = echoing();
    let told = bench.configure(Config { echo: None, ..config.clone() });
    assert_eq!(told[0].required_min_echo_rx, Interval::ZERO);
    assert_eq!(loop_for(&mut bench, &looping, |_| true), 0, "none are wanted");

    let (mut bench, _, looping) = echoing();
    assert_eq!(loop_for(&mut bench, &peer(Up), |_| true), 0, "the peer loops none");
    assert_eq!(bench.session.status().echo, None);
    let count = loop_for(&mut bench, &looping, |_| true);
    assert!((18..=24).contains(&count), "{count} in 899 ms");
    assert_eq!(bench.session.status().echo, Some(Interval::from_millis(50)));
    let counters = bench.session.status().counters;
    // The first goes out with the packet that allows it, before the loop looks.
    assert_eq!(counters.echo_sent, counters.echo_received + 1);
}

#[test]
fn echo_packets_that_do_not_return_end_the_session() {
    let (mut bench, _, looping) = echoing();
    let began = bench.now;
    loop_for(&mut bench, &looping, |_| false);
    assert_eq!(bench.session.status().last_down, Some((began + ms(150), Why::EchoFailed)));
    assert_eq!(bench.session.diagnostic, Diagnostic::ECHO_FAILED);

    let (mut bench, _, looping) = echoing();
    loop_for(&mut bench, &looping, |count| count % 2 == 0);
    assert_eq!(bench.session.state, Up, "every other one is enough");
}

#[test]
fn an_echo_counts_once_and_only_if_it_is_ours() {
    let (mut bench, _, looping) = echoing();
    let bytes = looping.encode(None);
    let (packet, datagram) = Packet::decode(&bytes).unwrap();
    let ours = echoes(&bench.take(Input::Packet(&packet, datagram)))[0];
    let forged = Echo { secret: !ours.secret, ..ours };
    let future = Echo { sequence: ours.sequence + 1, ..ours };
    let ignored = Output::Ignored(Ignored::Echo);
    for echo in [forged, future] {
        assert!(bench.take(Input::Echo(echo)).contains(&ignored));
    }
    assert!(!bench.take(Input::Echo(ours)).contains(&ignored));
    assert!(bench.take(Input::Echo(ours)).contains(&ignored), "it came back before");
}

#[test]
fn there_is_no_echo_over_several_hops() {
    let config = Config { echo: Some(Interval::from_millis(20)), ..Config::default() };
    let session = Session::new(config, Hops::Multi, OURS, 7, Instant::START);
    let mut bench = Bench { session, now: Instant::START };
    bench.take(Input::Timeout);
    let said = bench.hear(peer(Down));
    assert_eq!(said[0].required_min_echo_rx, Interval::ZERO);
    bench.hear(Packet { required_min_echo_rx: Interval::from_millis(50), ..peer(Up) });
    assert_eq!(bench.session.status().echo, None);
}

#[test]
fn a_packet_that_is_not_believed_changes_nothing() {
    let key = Key::new(Method::MeticulousKeyedSha1, 1, b"secret").ok();
    let mut bench = Bench::new(Config { key, ..Config::default() });
    let bytes = peer(Down).encode(None);
    let (packet, datagram) = Packet::decode(&bytes).unwrap();
    let outputs = bench.take(Input::Packet(&packet, datagram));
    let missing = crate::bfd::auth::Refused::Missing;
    assert_eq!(outputs, [Output::Ignored(Ignored::Refused(missing))]);
    assert_eq!(bench.session.status().peer, None);
}
