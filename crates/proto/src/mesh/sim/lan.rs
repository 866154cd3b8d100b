//! The LAN: requests, answers, announcements; hosts that answer for themselves, a gateway, and two
//! clients with ARP caches as Linux has them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::{Cluster, Flight, address, ms};
use crate::l2::Mac;
use crate::mesh::ownership::{Heard, Input, Link, Ownership};
use crate::time::Instant;

/// Endpoints besides the nodes, counted from behind the last one.
const CLIENTS: usize = 2;
/// The client that is on the smaller side of a partition.
const FAR_CLIENT: usize = 1;
const GATEWAY: usize = 2;
const ENDPOINTS: usize = 3;

pub(super) fn mac(index: usize) -> Mac {
    let [.., a, b] = u32::try_from(index).unwrap().to_be_bytes();
    Mac([2, 0, 0, 0, a, b])
}

pub(super) fn node_of(mac: Mac) -> usize {
    usize::from(mac.0[4]) << 8 | usize::from(mac.0[5])
}

/// Where a node is on the LAN.
pub(super) fn link(index: usize) -> Link {
    Link { mac: mac(index), addresses: vec![host(index)] }
}

/// The own address of a node.
pub(super) fn host(index: usize) -> IpAddr {
    let [.., a, b] = u32::try_from(index).unwrap().to_be_bytes();
    IpAddr::from([192, 168, a, b])
}

pub(super) fn gateway() -> IpAddr {
    IpAddr::from([192, 168, 255, 254])
}

/// What a frame says.
#[derive(Clone, Copy)]
pub(super) enum Wire {
    Request { from: usize, address: IpAddr, is_unicast: bool },
    Answer { address: IpAddr, mac: Mac },
    Announcement { address: IpAddr, mac: Mac },
}

/// A client's entry for the address.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Asking { next: Instant },
    Fresh { mac: Mac, until: Instant },
    Stale { mac: Mac },
    Delayed { mac: Mac, until: Instant },
    Probing { mac: Mac, tries: u32, next: Instant },
}

impl Entry {
    fn mac(self) -> Option<Mac> {
        match self {
            Self::Asking { .. } => None,
            Self::Fresh { mac, .. }
            | Self::Stale { mac }
            | Self::Delayed { mac, .. }
            | Self::Probing { mac, .. } => Some(mac),
        }
    }
}

/// What the clients of the address noticed, each the longest time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noticed {
    /// A request would not have been answered.
    pub(super) unanswered: Duration,
    /// Packets did not reach a node that forwards them.
    pub(super) outage: Duration,
    /// Two nodes that hear one another held it.
    pub(super) doubled: Duration,
    /// Some stood in for a node that is dead.
    pub(super) wrong: Duration,
}

#[derive(Default)]
struct Stopwatch(Duration);

impl Stopwatch {
    fn tick(&mut self, is_on: bool, longest: &mut Duration) {
        self.0 = if is_on { self.0 + ms(1) } else { Duration::ZERO };
        *longest = (*longest).max(self.0);
    }
}

pub(super) struct Lan {
    size: usize,
    pub(super) cut: BTreeSet<(usize, usize)>,
    pub(super) loss_percent: u64,
    announcements: BTreeMap<(Instant, usize, IpAddr), ()>,
    clients: Option<[Entry; CLIENTS]>,
    next_tick: Instant,
    watches: [Stopwatch; 6],
    /// Frames that nobody would answer are left out: with a thousand nodes there are many millions.
    pub(super) is_terse: bool,
    pub(super) noticed: Noticed,
}

impl Lan {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            cut: BTreeSet::new(),
            loss_percent: 0,
            announcements: BTreeMap::new(),
            clients: None,
            next_tick: Instant::START,
            watches: Default::default(),
            is_terse: false,
            noticed: Noticed::default(),
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let burst = self.announcements.keys().next().map(|(at, ..)| *at);
        let tick = self.clients.as_ref().map(|_| self.next_tick);
        crate::time::earliest([burst, tick])
    }

    /// Announces as the driver does after a claim.
    pub(super) fn burst(&mut self, now: Instant, index: usize, at: IpAddr) {
        let pauses = [0, 100, 500, 1_000, 2_000];
        for pause in pauses.into_iter().filter(|_| !self.is_terse) {
            self.announcements.insert((now + ms(pause), index, at), ());
        }
    }

    pub(super) fn part(&mut self, some: &[usize]) {
        let is_far = |it: usize| some.contains(&it) || it == self.size + FAR_CLIENT;
        let all = 0..self.size + ENDPOINTS;
        for a in all.clone() {
            self.cut.extend(all.clone().filter(|b| is_far(a) != is_far(*b)).map(|b| (a, b)));
        }
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.loss_percent = 0;
    }

    pub(super) fn is_whole(&self) -> bool {
        self.cut.is_empty() && self.loss_percent == 0
    }

    pub(super) fn forget(&mut self) {
        self.noticed = Noticed::default();
        self.watches = Default::default();
    }
}

impl Cluster {
    /// Two clients begin to use the address.
    pub(super) fn with_clients(mut self) -> Self {
        self.lan.clients = Some([Entry::Asking { next: self.now }; CLIENTS]);
        self.lan.next_tick = self.now;
        self
    }

    pub(super) fn noticed(&self) -> Noticed {
        self.lan.noticed
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let size = self.size();
        let is_sent = from >= size || self.nodes[from].is_up && self.nodes[from].can_speak;
        let is_heard = to >= size || self.nodes[to].is_up && self.nodes[to].can_hear;
        is_sent && is_heard && !self.lan.cut.contains(&(from, to))
    }

    fn send_frame(&mut self, from: usize, to: usize, wire: Wire) {
        if !self.reaches(from, to) || self.roll(100) < self.lan.loss_percent {
            return;
        }
        let mut arrival = self.now + Duration::from_micros(200 + self.roll(800));
        if self.roll(20) == 0 {
            arrival = arrival + Duration::from_micros(self.roll(8_000));
        }
        self.fly(arrival, Flight::Frame { to, wire });
    }

    fn broadcast(&mut self, from: usize, wire: Wire) {
        for to in (0..self.size() + ENDPOINTS).filter(|to| *to != from) {
            if !self.lan.is_terse || self.would_answer(to, wire) {
                self.send_frame(from, to, wire);
            }
        }
    }

    fn would_answer(&self, to: usize, wire: Wire) -> bool {
        let Wire::Request { address, .. } = wire else { return false };
        let holds = |engine: &Ownership| engine.answering().contains(&address);
        let node = self.nodes.get(to);
        let is_held = node.and_then(|node| node.engine.as_ref()).is_some_and(holds);
        is_held || address == host(to) || address == gateway() && to == self.size() + GATEWAY
    }

    pub(super) fn announce(&mut self, index: usize, address: IpAddr) {
        self.broadcast(index, Wire::Announcement { address, mac: mac(index) });
    }

    /// A host that is no speaker announces an address.
    pub(super) fn announce_as_stranger(&mut self, address: IpAddr) {
        let mac = Mac([2, 9, 9, 9, 9, 9]);
        self.broadcast(self.size(), Wire::Announcement { address, mac });
    }

    pub(super) fn ask(&mut self, from: usize, address: IpAddr, to: Mac) {
        if to == Mac::BROADCAST {
            self.broadcast(from, Wire::Request { from, address, is_unicast: false });
        } else {
            let wire = Wire::Request { from, address, is_unicast: true };
            self.send_frame(from, node_of(to), wire);
        }
    }

    pub(super) fn take_frame(&mut self, to: usize, wire: Wire) {
        if to >= self.size() {
            self.take_frame_elsewhere(to, wire);
            return;
        }
        if !self.nodes[to].is_up || !self.nodes[to].can_hear {
            return;
        }
        match wire {
            Wire::Request { from, address, is_unicast } => {
                if address == host(to) {
                    self.send_frame(to, from, Wire::Answer { address, mac: mac(to) });
                    return;
                }
                let Some(engine) = &self.nodes[to].engine else { return };
                let holds = engine.answering().contains(&address).then(|| mac(to));
                let stands_in = self.nodes[to].standing_in.get(&address).copied();
                let stands_in = stands_in.filter(|_| !is_unicast);
                if let Some(mac) = holds.or(stands_in) {
                    self.send_frame(to, from, Wire::Answer { address, mac });
                }
                let from = Mac([2, 1, 0, 0, 0, 0]);
                self.step(to, Input::Heard(Heard::Question { address, from }));
            }
            Wire::Answer { address, mac } => {
                self.step(to, Input::Heard(Heard::Answer { address, mac }));
            }
            Wire::Announcement { address, mac } => {
                self.step(to, Input::Heard(Heard::Announcement { address, mac }));
            }
        }
    }

    fn take_frame_elsewhere(&mut self, to: usize, wire: Wire) {
        let until = self.now + ms(15_000 + self.roll(30_000));
        if to == self.size() + GATEWAY {
            if let Wire::Request { from, address, .. } = wire
                && address == gateway()
            {
                let mac = Mac([2, 8, 8, 8, 8, 8]);
                self.send_frame(to, from, Wire::Answer { address, mac });
            }
            return;
        }
        let Some(clients) = &mut self.lan.clients else { return };
        let entry = &mut clients[to - self.nodes.len()];
        match wire {
            Wire::Announcement { address: at, mac } if at == address(0) => {
                if entry.mac().is_some_and(|known| known != mac) {
                    *entry = Entry::Stale { mac };
                }
            }
            Wire::Answer { mac, .. } => *entry = Entry::Fresh { mac, until },
            Wire::Announcement { .. } | Wire::Request { .. } => (),
        }
    }

    /// Announces what is due, and lets the clients go on.
    pub(super) fn tick_lan(&mut self) {
        while let Some(((due, index, at), ())) =
            self.lan.announcements.first_key_value().map(|(key, ())| (*key, ()))
        {
            if due > self.now {
                break;
            }
            self.lan.announcements.remove(&(due, index, at));
            let holds = |engine: &Ownership| engine.answering().contains(&at);
            if self.nodes[index].engine.as_ref().is_some_and(holds) {
                self.announce(index, at);
            }
        }
        if self.lan.clients.is_some() && self.lan.next_tick <= self.now {
            self.lan.next_tick = self.now + ms(1);
            for client in 0..CLIENTS {
                self.tick_client(client);
            }
            self.measure();
        }
    }

    /// Whether packets of a client for this Ethernet address reach a node that forwards them.
    fn delivers(&self, mac: Option<Mac>, client: usize) -> bool {
        mac.map(node_of).filter(|node| *node < self.size()).is_some_and(|node| {
            let end = self.size() + client;
            self.nodes[node].is_up && self.reaches(end, node) && self.reaches(node, end)
        })
    }

    fn tick_client(&mut self, client: usize) {
        let Some(clients) = &self.lan.clients else { return };
        let (now, end, entry) = (self.now, self.size() + client, clients[client]);
        // The second one uses TCP, whose progress tells its kernel that the entry is right.
        let confirms = client == 1 && self.delivers(entry.mac(), client);
        let next = match entry {
            Entry::Asking { next } if next <= now => {
                let wire = Wire::Request { from: end, address: address(0), is_unicast: false };
                self.broadcast(end, wire);
                Entry::Asking { next: now + ms(1_000) }
            }
            Entry::Asking { .. } => entry,
            Entry::Fresh { mac, until } if confirms => {
                Entry::Fresh { mac, until: until.max(now + ms(15_000)) }
            }
            Entry::Fresh { mac, until } if until <= now => Entry::Stale { mac },
            Entry::Fresh { .. } => entry,
            Entry::Stale { mac } => Entry::Delayed { mac, until: now + ms(5_000) },
            Entry::Delayed { mac, .. } if confirms => Entry::Fresh { mac, until: now + ms(20_000) },
            Entry::Delayed { mac, until } if until <= now => {
                Entry::Probing { mac, tries: 0, next: now }
            }
            Entry::Delayed { .. } => entry,
            Entry::Probing { tries: 3, next, .. } if next <= now => Entry::Asking { next: now },
            Entry::Probing { mac, tries, next } if next <= now => {
                let wire = Wire::Request { from: end, address: address(0), is_unicast: true };
                self.send_frame(end, node_of(mac), wire);
                Entry::Probing { mac, tries: tries + 1, next: now + ms(1_000) }
            }
            Entry::Probing { .. } => entry,
        };
        if let Some(clients) = &mut self.lan.clients {
            clients[client] = next;
        }
    }

    fn measure(&mut self) {
        let Some(clients) = self.lan.clients else { return };
        let hands = self.hands(address(0));
        let stand_ins = self.stand_ins(address(0));
        let both = |a: usize, b: usize| self.reaches(a, b) && self.reaches(b, a);
        let mut unanswered = [false; CLIENTS];
        let mut outage = [false; CLIENTS];
        for client in 0..CLIENTS {
            let end = self.size() + client;
            // A node could serve the client: it is up, knows its facts, and has a speaker.
            let could = (0..self.size()).any(|node| {
                both(end, node)
                    && self.nodes[node].engine.is_some()
                    && self.nodes[node].facts.as_ref().is_some_and(|facts| {
                        facts.get(&address(0)).is_some_and(|fact| fact.order.contains(&node))
                    })
            });
            let answered = hands.iter().chain(&stand_ins).any(|node| both(end, *node));
            unanswered[client] = could && !answered;
            let delivers = self.delivers(clients[client].mac(), client);
            outage[client] = could && !delivers && self.lan.loss_percent == 0;
        }
        let pairs = || hands.iter().flat_map(|a| hands.iter().map(move |b| (*a, *b)));
        let doubled = pairs().any(|(a, b)| a != b && both(a, b));
        let wrong = self.nodes.iter().any(|node| {
            let dead = |mac: &Mac| !self.nodes[node_of(*mac)].is_up;
            node.standing_in.get(&address(0)).is_some_and(dead)
        });
        let Lan { watches, noticed, .. } = &mut self.lan;
        let [a, b, c, d, e, f] = watches;
        a.tick(unanswered[0], &mut noticed.unanswered);
        b.tick(unanswered[1], &mut noticed.unanswered);
        c.tick(outage[0], &mut noticed.outage);
        d.tick(outage[1], &mut noticed.outage);
        e.tick(doubled, &mut noticed.doubled);
        f.tick(wrong, &mut noticed.wrong);
    }
}
