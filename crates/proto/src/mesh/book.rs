//! My own claims, and the differences that bring a peer from what it knows to what is true.
//!
//! Every change gets the next version, and an entry keeps only the version of its last change, so a
//! peer needs exactly the entries above the version that it acknowledged, however long it was away.
//! What is held no more is forgotten once the peers know it. The highest version so forgotten is
//! the *floor*: a peer below it may remember a claim that nothing contradicts any more, so it gets
//! a whole set, which starts at version zero and is named by the floor of that moment (its *base*).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::message::{Changes, Claim, Link, Position, State};

/// Ended claims that are remembered for peers that do not acknowledge. When there are more, the
/// oldest are forgotten, and such a peer gets a whole set when it is back.
const MAX_ENDED: usize = 16_384;

/// My own claims in the order of their last changes.
pub(super) struct Book {
    incarnation: u64,
    entries: BTreeMap<IpAddr, Entry>,
    by_version: BTreeMap<u64, IpAddr>,
    /// The part of `by_version` whose claims have ended.
    ended: BTreeMap<u64, IpAddr>,
    version: u64,
    floor: u64,
    links: Vec<Link>,
    /// Version of the last change of the links.
    links_version: u64,
}

struct Entry {
    epoch: u64,
    state: State,
    version: u64,
}

impl Book {
    pub(super) fn new(incarnation: u64) -> Self {
        Self {
            incarnation,
            entries: BTreeMap::new(),
            by_version: BTreeMap::new(),
            ended: BTreeMap::new(),
            version: 0,
            floor: 0,
            links: Vec::new(),
            links_version: 0,
        }
    }

    /// Version of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Which life of the speaker claims.
    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Continues as a later life, which everybody is to learn of; the claims stay.
    pub(super) fn outlive(&mut self, incarnation: u64) {
        self.incarnation = self.incarnation.max(incarnation.saturating_add(1));
        self.touch();
    }

    pub(super) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Writes down where I am on the LAN.
    pub(super) fn set_links(&mut self, links: Vec<Link>) {
        if self.links != links {
            self.links = links;
            self.version += 1;
            self.links_version = self.version;
        }
    }

    /// The links, if they are among the changes.
    pub(super) fn links_in(&self, changes: &Changes) -> Option<Vec<Link>> {
        let are_in = changes.after < self.links_version && self.links_version <= changes.upto;
        are_in.then(|| self.links.clone())
    }

    /// Makes a new version without a change of a claim, so that flags are repeated until they are
    /// acknowledged, as claims are.
    pub(super) fn touch(&mut self) {
        self.version += 1;
    }

    /// Whether there is anything to [`Book::forget`].
    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Writes down what became of my claim.
    pub(super) fn set(&mut self, address: IpAddr, epoch: u64, state: State) {
        self.version += 1;
        let version = self.version;
        let is_ended = match state {
            State::Held | State::Released | State::StandingIn { .. } => false,
            State::Yielded { .. } | State::Dropped => true,
        };
        if let Some(old) = self.entries.insert(address, Entry { epoch, state, version }) {
            self.by_version.remove(&old.version);
            self.ended.remove(&old.version);
        }
        self.by_version.insert(version, address);
        if is_ended {
            self.ended.insert(version, address);
        }
        if self.ended.len() > MAX_ENDED {
            self.forget_oldest();
        }
    }

    /// Forgets the ended claims that everybody knows up to `version` knows to have ended.
    pub(super) fn forget(&mut self, version: u64) {
        while self.ended.first_key_value().is_some_and(|(ended, _)| *ended <= version) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((version, address)) = self.ended.pop_first() {
            self.entries.remove(&address);
            self.by_version.remove(&version);
            self.floor = self.floor.max(version);
        }
    }

    /// From where a peer that acknowledged `ack` can go on; the start of a whole set if it cannot.
    pub(super) fn resume(&self, ack: Position) -> Position {
        let is_mine = ack.incarnation == self.incarnation && ack.version <= self.version;
        if is_mine && (ack.version >= self.floor || ack.base == self.floor) {
            ack
        } else {
            Position { incarnation: self.incarnation, base: self.floor, version: 0 }
        }
    }

    /// The next changes after `from`, as many as fit into `room` bytes, and where they lead.
    pub(super) fn changes(&self, from: Position, room: usize) -> (Changes, Position) {
        let mut left = room;
        let mut upto = self.version;
        let mut claims = Vec::new();
        let mut last = from.version;
        for (version, address) in self.by_version.range(from.version.saturating_add(1)..) {
            let Some(entry) = self.entries.get(address) else { continue };
            let claim = Claim { address: *address, epoch: entry.epoch, state: entry.state.clone() };
            let Some(rest) = left.checked_sub(claim.encoded_len()) else {
                upto = last;
                break;
            };
            left = rest;
            last = *version;
            claims.push(claim);
        }
        let changes = Changes { base: from.base, after: from.version, upto, claims };
        (changes, Position { version: upto, ..from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::Station;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn yielded() -> State {
        State::Yielded { to: Station::new("b").unwrap() }
    }

    fn known(book: &Book, base: u64, version: u64) -> Position {
        Position { incarnation: book.incarnation(), base, version }
    }

    /// What a peer at `position` is sent, as last octets.
    fn told(book: &Book, position: Position) -> Vec<u8> {
        let (changes, _) = book.changes(book.resume(position), 1000);
        changes
            .claims
            .iter()
            .map(|claim| match claim.address {
                IpAddr::V4(v4) => v4.octets()[3],
                IpAddr::V6(_) => 0,
            })
            .collect()
    }

    #[test]
    fn a_peer_is_sent_what_changed_since_it_listened() {
        let mut book = Book::new(1);
        for last in 1..=3 {
            book.set(address(last), 1, State::Held);
        }
        assert_eq!(told(&book, Position::default()), [1, 2, 3], "nothing is known");
        assert_eq!(told(&book, known(&book, 0, 2)), [3]);
        book.set(address(1), 1, State::Released);
        assert_eq!(told(&book, known(&book, 0, 2)), [3, 1], "in the order of the changes");
        assert_eq!(told(&book, known(&book, 0, 4)), [0; 0]);
        assert_eq!(told(&book, known(&book, 0, 9)), [2, 3, 1], "nobody knows the future");
        book.outlive(6);
        assert_eq!(told(&book, Position { incarnation: 1, base: 0, version: 4 }), [2, 3, 1]);
    }

    #[test]
    fn ended_claims_are_forgotten_and_who_missed_them_gets_a_whole_set() {
        let mut book = Book::new(1);
        book.set(address(1), 1, State::Held);
        book.set(address(2), 1, State::Held);
        book.set(address(1), 2, yielded());
        book.forget(2);
        assert_eq!(told(&book, known(&book, 0, 1)), [2, 1], "not everybody knew the end");
        book.forget(3);
        assert_eq!(told(&book, known(&book, 0, 3)), [0; 0], "who knew the end goes on");

        let restart = book.resume(known(&book, 0, 1));
        assert_eq!(restart, known(&book, 3, 0), "a whole set, named by the floor");
        assert_eq!(told(&book, known(&book, 0, 1)), [2]);
        assert_eq!(book.resume(known(&book, 3, 2)), known(&book, 3, 2), "and from there on");
    }

    #[test]
    fn changes_are_cut_to_the_room_and_go_on_where_they_ended() {
        let mut book = Book::new(1);
        for last in 0..100 {
            book.set(address(last), 1, State::Held);
        }
        book.touch();
        let mut position = book.resume(Position::default());
        let mut seen = Vec::new();
        while position.version < book.version() {
            let (changes, next) = book.changes(position, 300);
            let used: usize = changes.claims.iter().map(Claim::encoded_len).sum();
            assert!(used <= 300 && next.version > position.version);
            assert_eq!((changes.after, changes.upto), (position.version, next.version));
            seen.extend(changes.claims.iter().map(|claim| claim.address));
            position = next;
        }
        assert_eq!(seen, (0..100).map(address).collect::<Vec<_>>());
    }

    #[test]
    fn ended_claims_are_bounded_when_a_peer_never_acknowledges() {
        let mut book = Book::new(1);
        for count in 0..u32::try_from(MAX_ENDED).unwrap() + 10 {
            book.set(IpAddr::from(count.to_be_bytes()), 1, State::Dropped);
        }
        assert_eq!(book.entries.len(), MAX_ENDED);
        assert_eq!(book.floor, 10);
    }
}
