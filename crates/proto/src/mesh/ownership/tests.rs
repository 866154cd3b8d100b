//! One engine, `a`, whose peers `b` and `c` say what each test makes them say.

mod edits;
mod hostile;
mod lan;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::mesh::message::{Changes, Claim, Flags, Malformed, Message, Position, Wish};
use crate::mesh::preference_hash;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn station(name: &str) -> Station {
    Station::new(name).unwrap()
}

fn x() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

fn candidacy(order: &str) -> Candidacy {
    let candidate = |name: &str| Candidate { station: station(name), score: 0 };
    Candidacy {
        order: order.split_whitespace().map(candidate).collect(),
        is_fit: true,
        policy: Policy::default(),
    }
}

fn peers(names: &[&str]) -> BTreeMap<Station, Vec<IpAddr>> {
    names.iter().map(|name| (station(name), Vec::new())).collect()
}

fn to(name: &str) -> State {
    State::Yielded { to: station(name) }
}

/// The last thing that a peer said.
struct Peer {
    message: Message,
    is_mute: bool,
    /// It acknowledges nothing.
    is_deaf: bool,
}

struct Bench {
    now: Instant,
    a: Ownership,
    peers: BTreeMap<&'static str, Peer>,
    /// What `a` said.
    said: Vec<(Station, Message)>,
    /// All else that `a` did.
    done: Vec<Output>,
}

impl Bench {
    /// `a` knows `b` and `c`, who claim nothing yet, and no address.
    fn new() -> Self {
        let mut bench = Self {
            now: Instant::START,
            a: Ownership::new(station("a"), 1, Settings::DEFAULT),
            peers: BTreeMap::new(),
            said: Vec::new(),
            done: Vec::new(),
        };
        bench.handle(Input::Peers(peers(&["a", "b", "c"])));
        for name in ["b", "c"] {
            let message = Message {
                from: station(name),
                incarnation: 1,
                number: 0,
                interval: ms(100),
                wish: Wish { interval: ms(1_000), rank: u8::MAX },
                flags: Flags::default(),
                ack: Position::default(),
                version: 0,
                links: None,
                changes: None,
            };
            bench.peers.insert(name, Peer { message, is_mute: false, is_deaf: false });
            bench.says(name, &[]);
        }
        bench
    }

    /// The same, and `holder` holds the address, whose candidates are `order`.
    fn held_by(holder: &'static str, order: &str) -> Self {
        let mut bench = Self::new();
        if holder != "a" {
            bench.says(holder, &[(x(), 1, State::Held)]);
        }
        bench.order(order);
        bench.pass(400);
        assert_eq!(bench.holder(), Some((holder, 1)));
        bench.done.clear();
        bench.said.clear();
        bench
    }

    fn order(&mut self, order: &str) {
        self.handle(Input::Candidacies([(x(), candidacy(order))].into()));
    }

    fn handle(&mut self, input: Input) {
        self.a.handle(self.now, input);
        while let Some(output) = self.a.poll() {
            if let Output::Send { to, bytes } = output {
                let message = Message::decode(&bytes).unwrap();
                self.acknowledge(to.as_str(), &message);
                self.said.push((to, message));
            } else if let Output::Claimed { address, epoch, why, .. } = output {
                self.done.push(Output::Claimed { address, epoch, why, unheard_for: None });
            } else {
                self.done.push(output);
            }
        }
        assert!(self.a.deadline().is_none_or(|at| at > self.now), "nothing due is left");
    }

    /// The peer takes in what `a` said.
    fn acknowledge(&mut self, name: &str, message: &Message) {
        let Some(peer) = self.peers.get_mut(name).filter(|peer| !peer.is_deaf) else { return };
        if let Some(Changes { base, upto, .. }) = message.changes {
            peer.message.ack = Position { incarnation: message.incarnation, base, version: upto };
        }
    }

    fn hears(&mut self, name: &str, bytes: Vec<u8>) {
        self.handle(Input::Datagram { from: station(name), bytes });
    }

    /// Makes a peer send its next heartbeat, with these claims.
    fn says(&mut self, name: &'static str, claims: &[(IpAddr, u64, State)]) {
        let bytes = self.next(name, claims).encode();
        self.hears(name, bytes);
    }

    fn next(&mut self, name: &str, claims: &[(IpAddr, u64, State)]) -> Message {
        let message = &mut self.peers.get_mut(name).unwrap().message;
        message.number += 1;
        message.changes = (!claims.is_empty()).then(|| {
            let after = message.version;
            message.version += u64::try_from(claims.len()).unwrap();
            let claim = |(address, epoch, state): &(IpAddr, u64, State)| Claim {
                address: *address,
                epoch: *epoch,
                state: state.clone(),
            };
            let claims = claims.iter().map(claim).collect();
            Changes { base: 0, after, upto: message.version, claims }
        });
        message.clone()
    }

    fn flags(&mut self, name: &'static str, is_starting: bool, is_leaving: bool) {
        let message = &mut self.peers.get_mut(name).unwrap().message;
        message.flags = Flags { is_starting, is_leaving, ..Flags::default() };
        self.says(name, &[]);
    }

    fn wishes(&mut self, name: &'static str, wish: Wish) {
        self.peers.get_mut(name).unwrap().message.wish = wish;
        self.says(name, &[]);
    }

    fn mute(&mut self, name: &str) {
        self.peers.get_mut(name).unwrap().is_mute = true;
    }

    /// Lets time pass while the peers that are not mute send their heartbeats.
    fn pass(&mut self, millis: u64) {
        for passed in 1..=millis {
            self.now = self.now + ms(1);
            if passed % 50 == 0 {
                for name in ["b", "c"] {
                    if !self.peers[name].is_mute {
                        self.says(name, &[]);
                    }
                }
            }
            if self.a.deadline().is_some_and(|at| at <= self.now) {
                self.handle(Input::Timeout);
            }
        }
    }

    fn holder(&self) -> Option<(&'static str, u64)> {
        let snapshot = self.a.snapshot();
        let (holder, epoch) = snapshot.holders.get(&x())?;
        ["a", "b", "c"].into_iter().find(|name| station(name) == *holder).map(|n| (n, *epoch))
    }

    /// What `a` said to a peer since the last time.
    fn said_to(&mut self, name: &str) -> Vec<Message> {
        let said = std::mem::take(&mut self.said);
        said.into_iter().filter(|(to, _)| *to == station(name)).map(|(_, said)| said).collect()
    }

    #[track_caller]
    fn did(&mut self, want: &[Output]) {
        assert_eq!(std::mem::take(&mut self.done), want);
    }
}

/// What a row of a table does before the test goes on.
type Prepare = fn(&mut Bench);

fn claimed(epoch: u64, why: Why) -> Output {
    Output::Claimed { address: x(), epoch, why, unheard_for: None }
}

fn yielded(name: &str, epoch: u64) -> Output {
    Output::Yielded { address: x(), to: station(name), epoch }
}

#[test]
fn an_epoch_known_by_hearsay_does_not_make_a_newer_claim_an_older_one() {
    let mut bench = Bench::held_by("a", "a b c");
    bench.says("b", &[(x(), 9, to("c"))]);
    bench.did(&[]);
    bench.says("c", &[(x(), 2, State::Held)]);
    bench.did(&[yielded("c", 2)]);
}

#[test]
fn an_epoch_known_by_hearsay_is_not_the_base_of_the_next_claim() {
    let mut bench = Bench::held_by("b", "a b c");
    bench.says("b", &[(x(), 9, to("c"))]);
    bench.pass(1_000);
    bench.did(&[claimed(2, Why::HolderGone)]);
}

#[test]
fn a_yield_that_names_the_winner_leaves_no_vacancy() {
    let promised = || {
        let mut bench = Bench::held_by("b", "a b c");
        bench.says("b", &[(x(), 2, to("c"))]);
        bench.pass(200);
        bench.did(&[]);
        bench
    };

    let mut bench = promised();
    bench.says("c", &[(x(), 2, State::Held)]);
    bench.pass(2_000);
    bench.did(&[]);
    assert_eq!(bench.holder(), Some(("c", 2)), "the winner was heard");

    let mut bench = promised();
    bench.pass(790);
    bench.did(&[]);
    bench.pass(20);
    bench.did(&[claimed(2, Why::HolderGone)]);

    let mut bench = promised();
    bench.says("c", &[(x(), 2, State::Dropped)]);
    bench.did(&[claimed(2, Why::HolderGone)]);

    let mut bench = promised();
    bench.mute("c");
    bench.pass(310);
    bench.did(&[Output::PeerSilent(station("c")), claimed(2, Why::HolderGone)]);
}

#[test]
fn of_equal_epochs_the_lower_hash_wins() {
    let mut outcomes = BTreeSet::new();
    for last in 0..20 {
        let at = IpAddr::from([192, 0, 2, last]);
        let mut bench = Bench::new();
        bench.handle(Input::Candidacies([(at, candidacy("a"))].into()));
        bench.pass(200);
        assert!(bench.a.answering().contains(&at));
        bench.says("b", &[(at, 1, State::Held)]);
        let is_mine = preference_hash("a", at) < preference_hash("b", at);
        assert_eq!(bench.a.answering().contains(&at), is_mine, "{at}");
        outcomes.insert(is_mine);
    }
    assert_eq!(outcomes.len(), 2, "each of them wins somewhere");
}

#[test]
fn a_holder_yields_to_a_newer_claim_whatever_its_facts_say() {
    let mut bench = Bench::held_by("a", "a");
    bench.says("c", &[(x(), 2, State::Held)]);
    bench.did(&[yielded("c", 2)]);
}

#[test]
fn an_older_claim_is_answered_by_an_announcement_once_in_ten_seconds() {
    let mut bench = Bench::held_by("a", "a b c");
    bench.says("c", &[(x(), 2, State::Held)]);
    bench.says("c", &[(x(), 2, State::Dropped)]);
    bench.did(&[yielded("c", 2), claimed(3, Why::HolderGone)]);

    bench.says("b", &[(x(), 1, State::Held)]);
    bench.did(&[Output::Announce(x())]);
    bench.pass(9_990);
    bench.says("b", &[(x(), 1, State::Held)]);
    bench.did(&[]);
    bench.pass(20);
    bench.says("b", &[(x(), 1, State::Held)]);
    bench.did(&[Output::Announce(x())]);
    bench.pass(20_000);
    bench.says("b", &[(x(), 1, State::Released)]);
    bench.did(&[]);
}

#[test]
fn a_live_claim_is_respected_and_a_misplaced_one_for_200_ms() {
    let mut bench = Bench::held_by("b", "a b c");
    bench.pass(10_000);
    bench.did(&[]);
    bench.order("a c");
    bench.pass(199);
    bench.did(&[]);
    bench.pass(1);
    bench.did(&[claimed(2, Why::HolderNoCandidate)]);

    let mut bench = Bench::held_by("b", "c a");
    bench.pass(2_000);
    bench.did(&[]);
}

#[test]
fn who_lost_an_address_takes_it_back_only_with_new_facts() {
    let mut bench = Bench::held_by("a", "a c");
    bench.says("b", &[(x(), 2, State::Held)]);
    bench.did(&[yielded("b", 2)]);
    bench.pass(5_000);
    bench.order("a c");
    bench.pass(5_000);
    bench.did(&[]);
    bench.order("a");
    bench.pass(200);
    bench.did(&[claimed(3, Why::HolderNoCandidate)]);
}

#[test]
fn patience_counts_the_live_candidates_ahead() {
    let wait = |prepare: Prepare| {
        let mut bench = Bench::held_by("c", "b c a");
        prepare(&mut bench);
        bench.done.clear();
        let ended = bench.now;
        bench.says("c", &[(x(), 1, State::Dropped)]);
        while !bench.a.answering().contains(&x()) && bench.now - ended < ms(1_000) {
            bench.pass(1);
            for name in ["b", "c"] {
                if !bench.peers[name].is_mute {
                    bench.says(name, &[]);
                }
            }
        }
        bench.now - ended
    };
    let table: [(&str, Prepare, u64); 4] = [
        ("both are ahead", |_| (), 100),
        ("one is leaving", |bench| bench.flags("b", false, true), 50),
        ("one is starting", |bench| bench.flags("b", true, false), 50),
        (
            "one is silent",
            |bench| {
                bench.mute("b");
                bench.pass(350);
            },
            50,
        ),
    ];
    for (name, prepare, millis) in table {
        let waited = wait(prepare);
        assert!(waited >= ms(millis) && waited <= ms(millis + 1), "{name}: {waited:?}");
    }
}

#[test]
fn a_starting_candidate_ahead_is_waited_for_only_if_nobody_ever_held_the_address() {
    let mut bench = Bench::new();
    bench.flags("b", true, false);
    bench.order("b a");
    bench.pass(299);
    bench.did(&[Output::PeerHeard(station("b")), Output::PeerHeard(station("c"))]);
    bench.pass(1);
    bench.did(&[claimed(1, Why::NeverHeld)]);

    let mut bench = Bench::held_by("c", "c b a");
    bench.flags("b", true, false);
    bench.flags("c", false, true);
    bench.did(&[claimed(2, Why::HolderReleased)]);
}

#[test]
fn a_released_address_is_left_for_200_ms_to_those_who_agree_with_its_holder() {
    let mut bench = Bench::held_by("b", "b a");
    bench.says("b", &[(x(), 1, State::Released)]);
    bench.pass(199);
    bench.did(&[]);
    bench.pass(1);
    bench.did(&[claimed(2, Why::HolderReleased)]);

    let mut bench = Bench::held_by("b", "b a");
    bench.order("a");
    bench.says("b", &[(x(), 1, State::Released)]);
    bench.did(&[claimed(2, Why::HolderReleased)]);
}

#[test]
fn a_holder_answers_until_it_is_relieved_and_not_at_all_for_an_address_that_is_gone() {
    let mut bench = Bench::held_by("a", "a b c");
    bench.order("b c");
    bench.did(&[Output::Released { address: x(), epoch: 1, why: Releasing::NoCandidate }]);
    bench.pass(5_000);
    assert!(bench.a.answering().contains(&x()));
    bench.says("b", &[(x(), 2, State::Held)]);
    bench.did(&[yielded("b", 2)]);
    assert!(bench.a.answering().is_empty());

    for (name, candidacies) in
        [("gone", BTreeMap::new()), ("nobody may", [(x(), candidacy(""))].into())]
    {
        let mut bench = Bench::held_by("a", "a b c");
        bench.handle(Input::Candidacies(candidacies));
        assert_eq!(
            bench.done,
            [Output::Dropped { address: x(), epoch: 1, why: Dropping::Gone }],
            "{name}"
        );
        assert!(bench.a.answering().is_empty(), "{name}");
    }
}

#[test]
fn a_new_life_that_does_not_claim_an_address_leaves_it_vacant_once_it_has_started() {
    let mut bench = Bench::held_by("b", "a b c");
    let message = &mut bench.peers.get_mut("b").unwrap().message;
    (message.incarnation, message.number, message.version) = (2, 0, 0);
    bench.flags("b", true, false);
    bench.pass(1_000);
    bench.did(&[]);
    bench.flags("b", false, false);
    bench.did(&[claimed(2, Why::HolderGone)]);
}

#[test]
fn a_new_life_keeps_its_claims_until_all_of_them_are_known() {
    let other = (IpAddr::from([192, 0, 2, 2]), 1, State::Held);
    for (kept, want) in [(true, vec![]), (false, vec![claimed(2, Why::HolderGone)])] {
        let mut bench = Bench::held_by("b", "a b c");
        let message = &mut bench.peers.get_mut("b").unwrap().message;
        (message.incarnation, message.number, message.version) = (2, 0, 0);
        let mut first = bench.next("b", std::slice::from_ref(&other));
        first.version = 2;
        bench.hears("b", first.encode());
        bench.did(&[]);
        bench.says("b", &[if kept { (x(), 5, State::Held) } else { other.clone() }]);
        bench.did(&want);
    }
}

#[test]
fn a_whole_set_replaces_what_was_known_once_it_is_complete() {
    let mut bench = Bench::held_by("b", "a b c");
    let mut whole = bench.next("b", &[(IpAddr::from([192, 0, 2, 2]), 1, State::Held)]);
    whole.version = 9;
    whole.changes = whole.changes.map(|changes| Changes { base: 7, after: 0, upto: 8, ..changes });
    bench.hears("b", whole.encode());
    bench.did(&[]);
    whole.number += 1;
    let rest = Changes { base: 7, after: 8, upto: 9, claims: Vec::new() };
    whole.changes = Some(rest);
    bench.hears("b", whole.encode());
    bench.did(&[claimed(2, Why::HolderGone)]);
}

#[test]
fn a_new_life_is_not_announced_against_for_what_its_last_one_held() {
    let mut bench = Bench::held_by("b", "a b c");
    bench.mute("b");
    bench.pass(400);
    bench.done.clear();
    let message = &mut bench.peers.get_mut("b").unwrap().message;
    (message.incarnation, message.number, message.version) = (2, 0, 0);
    bench.says("b", &[]);
    bench.did(&[Output::PeerHeard(station("b"))]);
}

#[test]
fn an_older_claim_of_a_peer_that_is_heard_again_is_announced_against() {
    let mut bench = Bench::held_by("b", "a b c");
    bench.mute("b");
    bench.pass(400);
    bench.done.clear();
    bench.says("b", &[(x(), 2, to("a"))]);
    bench.did(&[Output::PeerHeard(station("b")), Output::Announce(x())]);
}

#[test]
fn a_claim_that_was_made_and_yielded_unheard_is_announced_against() {
    let mut bench = Bench::held_by("a", "a b c");
    bench.says("b", &[(x(), 1, to("a"))]);
    bench.did(&[Output::Announce(x())]);
}

#[test]
fn a_peer_is_spoken_to_as_often_as_it_is_told() {
    let mut bench = Bench::held_by("b", "b c a");
    let said_in_1_s = |bench: &mut Bench| {
        bench.said.clear();
        bench.pass(1_000);
        bench.said_to("c")
    };
    let terms = |said: &[Message], interval| {
        said.iter().all(|message| message.interval == interval && message.changes.is_none())
    };
    bench.pass(2_000);
    let said = said_in_1_s(&mut bench);
    assert!((1..=2).contains(&said.len()) && terms(&said, ms(1_000)), "{said:?}");

    bench.wishes("c", Wish { interval: ms(50), rank: 0 });
    bench.pass(100);
    let said = said_in_1_s(&mut bench);
    assert!((20..=24).contains(&said.len()) && terms(&said, ms(50)), "{}", said.len());

    bench.mute("c");
    bench.pass(500);
    let said = said_in_1_s(&mut bench);
    assert!((4..=5).contains(&said.len()) && terms(&said, ms(250)), "{}", said.len());
    bench.says("c", &[]);
    assert_eq!(bench.said_to("c").len(), 1, "who is heard again is told so at once");
}

#[test]
fn what_changes_is_told_at_once_and_until_it_is_acknowledged() {
    let mut bench = Bench::held_by("b", "a b c");
    bench.mute("b");
    bench.pass(290);
    bench.peers.get_mut("c").unwrap().is_deaf = true;
    bench.said.clear();
    bench.pass(20);
    bench.did(&[Output::PeerSilent(station("b")), claimed(2, Why::HolderSilent)]);
    bench.pass(140);
    let told = bench.said_to("c");
    let claims = |message: &Message| message.changes.as_ref().map(|it| it.claims.len());
    // At 0, 20, 40 and 60 ms, and then with each heartbeat.
    let with_claim = told.iter().filter(|message| claims(message) == Some(1));
    assert!(with_claim.count() >= 4, "{told:?}");

    let last = told.first().unwrap();
    let ack = Position { incarnation: last.incarnation, base: 0, version: last.version };
    bench.peers.get_mut("c").unwrap().message.ack = ack;
    bench.says("c", &[]);
    bench.said.clear();
    bench.pass(200);
    assert!(bench.said_to("c").iter().all(|message| message.changes.is_none()));
}

#[test]
fn the_end_of_the_start_and_the_wish_to_leave_are_told_at_once() {
    let mut bench = Bench::new();
    assert!(bench.said_to("b").iter().all(|message| message.flags.is_starting));
    bench.order("b a");
    bench.pass(199);
    bench.said.clear();
    bench.pass(1);
    let flags = |message: Message| (message.flags.is_starting, message.flags.is_leaving);
    assert_eq!(bench.said_to("b").into_iter().map(flags).collect::<Vec<_>>(), [(false, false)]);
    bench.handle(Input::Leave);
    assert_eq!(bench.said_to("b").into_iter().map(flags).collect::<Vec<_>>(), [(false, true)]);
    assert!(bench.a.has_left(), "nothing was held");
}

#[test]
fn a_new_life_that_cannot_start_does_not_block_what_its_last_one_held() {
    let mut bench = Bench::held_by("b", "a b c");
    let message = &mut bench.peers.get_mut("b").unwrap().message;
    (message.incarnation, message.number, message.version) = (2, 0, 0);
    bench.flags("b", true, false);
    bench.pass(1_499);
    bench.did(&[]);
    bench.pass(1);
    bench.did(&[claimed(2, Why::HolderSilent)]);
}

#[test]
fn a_life_that_is_taken_for_a_past_one_is_told_so_and_goes_on_as_the_next() {
    let mut bench = Bench::held_by("b", "a b c");
    bench.pass(300);
    bench.said.clear();
    bench.peers.get_mut("b").unwrap().message.incarnation = 0;
    bench.mute("b");
    for _ in 0..10 {
        bench.says("b", &[]);
    }
    bench.pass(5);
    let said = bench.said_to("b");
    assert_eq!(said.len(), 1, "one answer for all of them: {said:?}");
    assert_eq!(said[0].ack.incarnation, 1);

    let mut bench = Bench::new();
    bench.peers.get_mut("b").unwrap().message.ack.incarnation = 9;
    bench.said.clear();
    bench.says("b", &[]);
    for name in ["b", "c"] {
        let told = bench.said.iter().find(|(to, _)| *to == station(name));
        assert_eq!(told.unwrap().1.incarnation, 10, "{name} is told at once");
    }
}

#[test]
fn changes_that_were_overtaken_are_applied_and_repeated_ones_change_nothing() {
    let mut bench = Bench::held_by("b", "a b c");
    let dropped = bench.next("b", &[(x(), 1, State::Dropped)]).encode();
    let later = bench.next("b", &[]).encode();
    bench.hears("b", later);
    bench.did(&[]);
    bench.hears("b", dropped.clone());
    bench.did(&[claimed(2, Why::HolderGone)]);

    let held = bench.next("b", &[(x(), 3, State::Held)]).encode();
    bench.hears("b", held);
    bench.did(&[yielded("b", 3)]);
    bench.hears("b", dropped);
    bench.did(&[]);
    assert_eq!(bench.a.ignored(), &[(Ignored::Repeated, 1)].into());
}

#[test]
fn what_is_ignored_is_counted_by_cause() {
    let cases: [(&str, Prepare, Ignored); 6] = [
        (
            "noise",
            |bench| bench.hears("b", b"noise".to_vec()),
            Ignored::Malformed(Malformed::Magic),
        ),
        (
            "a stranger",
            |bench| {
                let bytes = bench.next("b", &[]).encode();
                bench.hears("d", bytes);
            },
            Ignored::UnknownStation,
        ),
        (
            "another name",
            |bench| {
                let bytes = bench.next("b", &[]).encode();
                bench.hears("c", bytes);
            },
            Ignored::Misnamed,
        ),
        (
            "twice",
            |bench| {
                let bytes = bench.next("b", &[]).encode();
                bench.hears("b", bytes.clone());
                bench.hears("b", bytes);
            },
            Ignored::Repeated,
        ),
        (
            "from an earlier life",
            |bench| {
                bench.peers.get_mut("b").unwrap().message.incarnation = 0;
                bench.says("b", &[]);
            },
            Ignored::PastLife,
        ),
        (
            "after changes that were lost",
            |bench| {
                bench.next("b", &[(x(), 1, State::Held)]);
                bench.says("b", &[(x(), 1, State::Dropped)]);
            },
            Ignored::Gap,
        ),
    ];
    for (name, offend, want) in cases {
        let mut bench = Bench::new();
        offend(&mut bench);
        assert_eq!(bench.a.ignored(), &[(want, 1)].into(), "{name}");
    }
}

#[test]
fn a_peer_that_claims_without_end_is_remembered_up_to_a_bound() {
    let mut bench = Bench::new();
    let excess = 10;
    let all: Vec<_> = (0..u32::try_from(crate::mesh::peer::MAX_CLAIMS).unwrap() + excess)
        .map(|number| (IpAddr::from(number.to_be_bytes()), 1, State::Held))
        .collect();
    for some in all.chunks(70) {
        bench.says("b", some);
    }
    assert_eq!(bench.a.snapshot().holders.len(), crate::mesh::peer::MAX_CLAIMS);
    assert_eq!(bench.a.ignored(), &[(Ignored::TooManyClaims, u64::from(excess))].into());
    bench.says("b", &[(IpAddr::from([9, 9, 9, 9]), 1, to("c"))]);
    assert_eq!(bench.a.addresses.len(), crate::mesh::peer::MAX_CLAIMS, "a yield makes no entry");
}

#[test]
fn a_claim_with_the_last_epoch_there_is_cannot_be_followed_and_hurts_nobody() {
    let mut bench = Bench::held_by("a", "a b c");
    bench.says("b", &[(x(), u64::MAX, State::Held)]);
    bench.did(&[yielded("b", u64::MAX)]);
    bench.mute("b");
    bench.pass(1_000);
    bench.did(&[Output::PeerSilent(station("b"))]);
}

#[test]
fn when_all_is_settled_nothing_is_on_the_agenda() {
    let mut bench = Bench::new();
    let addresses = (0..300_u32).map(|number| IpAddr::from(number.to_be_bytes()));
    let claims: Vec<_> = addresses.clone().map(|at| (at, 1, State::Held)).collect();
    for (name, claims) in ["b", "c"].into_iter().zip(claims.chunks(70)) {
        bench.says(name, claims);
    }
    bench.handle(Input::Candidacies(addresses.map(|at| (at, candidacy("a b c"))).collect()));
    bench.pass(200);
    assert_eq!(bench.a.answering().len(), 160);
    assert!(bench.a.is_idle());
}

#[test]
fn a_removed_peer_takes_its_claims_with_it() {
    let mut bench = Bench::held_by("b", "a b c");
    bench.handle(Input::Peers(peers(&["c"])));
    bench.did(&[claimed(2, Why::HolderGone)]);

    let mut bench = Bench::held_by("c", "c b a");
    bench.says("c", &[(x(), 1, State::Dropped)]);
    bench.handle(Input::Peers(peers(&["c"])));
    bench.pass(49);
    bench.did(&[]);
    bench.pass(1);
    bench.did(&[claimed(2, Why::HolderGone)]);
}
