//! Who is spoken to how often, and who stands where in line (rule 2).
//!
//! In a small cluster every peer is spoken to once a second. Those next in line for what this node
//! holds hear it at the close interval. In a large cluster that would be too much for one speaker,
//! so packets are given out in the order of what depends on them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{Address, Output, Ownership, Peer, Station};
use crate::mesh::message::{MAX_INTERVAL, Message, Wish};
use crate::mesh::ownership::Settings;
use crate::mesh::peer::{CLOSE, Class, INTERESTED, Occasion};
use crate::time::Instant;

/// In tenths of the close interval: how often a peer is spoken to that nothing much depends on.
const IDLE: u32 = 200;

/// How often a silent one is, and one that would like to watch closely and is not the next.
const SLOW: u32 = 50;

/// Heirs that a new holder speaks to closely before it knows that they wish it, and for how long.
const UNASKED: usize = 4;
const UNASKED_FOR: u32 = 400;

/// Candidates of an address, from the first, who must know of one another in a large cluster.
const RELATED: usize = 6;

// Packets a second, so that all together are less than 1,000 in steady state.
const CLOSE_BUDGET: u32 = 450;
const RELATED_BUDGET: u32 = 200;
const OTHER_BUDGET: u32 = 100;
const SILENT_BUDGET: u32 = 100;

/// How much is sent, and to how many.
pub(super) struct Traffic {
    number: u64,
    dice: u64,
    classes: BTreeMap<Class, u32>,
    /// Candidates or peers have changed since relations were counted.
    has_stale_relations: bool,
    /// The version of the claims that everybody was told of.
    told: u64,
    flags: crate::mesh::message::Flags,
    /// When to look again for claims that have ended and that everybody knows of.
    forget_at: Instant,
}

impl Traffic {
    pub(super) fn new(incarnation: u64) -> Self {
        Self {
            number: 0,
            dice: incarnation.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            classes: BTreeMap::new(),
            has_stale_relations: true,
            told: 0,
            flags: crate::mesh::message::Flags::default(),
            forget_at: Instant::START,
        }
    }

    pub(super) fn relations_changed(&mut self) {
        self.has_stale_relations = true;
    }

    pub(super) fn count_in(&mut self, class: Class) {
        *self.classes.entry(class).or_default() += 1;
    }

    pub(super) fn count_out(&mut self, class: Class) {
        if let Some(count) = self.classes.get_mut(&class) {
            *count = count.saturating_sub(1);
        }
    }

    fn count(&self, class: Class) -> u32 {
        self.classes.get(&class).copied().unwrap_or(0)
    }

    fn jitter(&mut self) -> u8 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        u8::try_from(self.dice >> 32 & 0xff).unwrap_or(0)
    }
}

/// The interval at which `count` peers together get `budget` packets a second.
fn share(count: u32, budget: u32) -> Duration {
    Duration::from_millis(u64::from(count) * 1000 / u64::from(budget))
}

impl Ownership {
    // Who stands where in line.

    /// Notes who holds the address and where I stand in line, for those who are counted by it.
    pub(super) fn update_outlook(&mut self, at: IpAddr, address: &mut Address) {
        let outlook = address.look(at, &self.situation(address));
        if outlook == address.outlook {
            return;
        }
        let old = std::mem::replace(&mut address.outlook, outlook);
        let new = address.outlook.as_ref();
        let is_move = new.is_some_and(|new| {
            old.as_ref().is_none_or(|old| (&old.holder, old.epoch) != (&new.holder, new.epoch))
        });
        if let Some(new) = new
            && is_move
            && address
                .moves
                .last()
                .is_none_or(|last| (&last.to, last.epoch) != (&new.holder, new.epoch))
        {
            let (to, epoch) = (new.holder.clone(), new.epoch);
            address.note_move(self.now, &to, epoch, None);
        }
        for (outlook, is_added) in [(old, false), (address.outlook.clone(), true)] {
            let Some(outlook) = outlook else { continue };
            let Some(peer) = self.peers.get_mut(&outlook.holder) else { continue };
            if is_added {
                peer.holdings.insert(at);
            } else {
                peer.holdings.remove(&at);
            }
            if let Some(place) = outlook.place {
                peer.count_interest(place, outlook.watch, is_added);
            }
            self.touched.insert(outlook.holder);
        }
    }

    /// Everybody's place in line may have changed; it is found out within one close interval.
    pub(super) fn line_up_soon(&mut self) {
        self.line_up_at.get_or_insert(self.now + self.settings.close_interval);
    }

    pub(super) fn line_up_if_due(&mut self) {
        if self.line_up_at.is_some_and(|at| at <= self.now) {
            self.line_up();
        }
    }

    /// Finds out everybody's place in line.
    pub(super) fn line_up(&mut self) {
        self.line_up_at = None;
        let mut addresses = std::mem::take(&mut self.addresses);
        for (at, address) in &mut addresses {
            self.update_outlook(*at, address);
        }
        if std::mem::take(&mut self.traffic.has_stale_relations) {
            self.find_relations(&addresses);
        }
        self.addresses = addresses;
    }

    fn find_relations(&mut self, addresses: &BTreeMap<IpAddr, Address>) {
        for peer in self.peers.values_mut() {
            peer.is_related = false;
        }
        for facts in addresses.values().filter_map(Address::candidacy) {
            let first = facts.order.iter().take(RELATED);
            if !first.clone().any(|candidate| candidate.station == self.me) {
                continue;
            }
            for candidate in first {
                if let Some(peer) = self.peers.get_mut(&candidate.station) {
                    peer.is_related = true;
                }
            }
        }
    }

    /// A new holder speaks closely to those who will watch it, without being asked.
    pub(super) fn speak_closely_to_heirs(&mut self, at: IpAddr, address: &Address) {
        let now = self.now;
        let until = now + self.settings.tenths(UNASKED_FOR);
        let situation = self.situation(address);
        let interval = situation.settings.close_interval;
        let heirs = address.heirs(at, &self.me, &situation).take(UNASKED);
        for heir in heirs.cloned().collect::<Vec<_>>() {
            if let Some(peer) = self.peers.get_mut(&heir) {
                let closest = peer.close_until.filter(|until| *until > now);
                let closest = closest.map_or(MAX_INTERVAL, |_| peer.close_interval);
                peer.close_interval = closest.min(interval);
                peer.close_until = Some(until);
                self.touched.insert(heir);
            }
        }
    }

    // How often.

    /// How I wish to hear a peer.
    fn wish(&self, peer: &Peer) -> Wish {
        let close = self.settings.close_interval;
        match peer.place() {
            Some(place) if place < CLOSE => {
                let interval = peer.wanted(self.settings).close_interval;
                Wish { interval, rank: u8::try_from(place).unwrap_or(u8::MAX) }
            }
            // Without a majority the address is to be let go at once.
            _ if !self.fenced.is_empty() => Wish { interval: close, rank: 0 },
            Some(_) | None => Wish { interval: MAX_INTERVAL, rank: u8::MAX },
        }
    }

    fn is_close_unasked(&self, peer: &Peer) -> bool {
        peer.close_until.is_some_and(|until| until > self.now)
    }

    fn class(&self, peer: &Peer) -> Class {
        let is_wished = peer.wish.interval < self.settings.tenths(IDLE);
        if peer.is_silent() {
            Class::Silent
        } else if self.is_close_unasked(peer) {
            Class::Close(0)
        } else if is_wished {
            Class::Close(usize::from(peer.wish.rank).min(INTERESTED))
        } else if peer.is_related {
            Class::Related
        } else {
            Class::Other
        }
    }

    /// How often a peer of this class is spoken to.
    fn pace(&self, class: Class, peer: &Peer) -> Duration {
        let traffic = &self.traffic;
        let idle = self.settings.tenths(IDLE);
        let all = u32::try_from(self.peers.len()).unwrap_or(u32::MAX);
        let interval = match class {
            Class::Silent => {
                self.settings.tenths(SLOW).max(share(traffic.count(class), SILENT_BUDGET))
            }
            Class::Close(rank) => self.close_pace(rank, peer),
            Class::Related | Class::Other if share(all, RELATED_BUDGET) <= idle => idle,
            Class::Related => idle.max(share(traffic.count(class), RELATED_BUDGET)),
            Class::Other => idle.max(share(traffic.count(class), OTHER_BUDGET)),
        };
        interval.min(MAX_INTERVAL)
    }

    /// How often a peer is spoken to that watches me closely.
    fn close_pace(&self, rank: usize, peer: &Peer) -> Duration {
        let Settings { close_interval, least_interval, .. } = self.settings;
        let wished = match self.is_close_unasked(peer) {
            true => peer.wish.interval.min(peer.close_interval),
            false => peer.wish.interval,
        };
        let wished = wished.max(least_interval);
        let ahead = (0..=rank).map(|rank| self.traffic.count(Class::Close(rank))).sum();
        let is_paid_for = |interval| share(ahead, CLOSE_BUDGET) <= interval;
        if is_paid_for(wished) {
            wished
        } else if rank == 0 || is_paid_for(close_interval) {
            wished.max(close_interval)
        } else {
            wished.max(self.settings.tenths(SLOW))
        }
    }

    // Speaking.

    pub(super) fn unschedule(&mut self, station: &Station) {
        if let Some(due) = self.peers.get_mut(station).and_then(|peer| peer.due.take()) {
            self.peer_agenda.remove(&(due, station.clone()));
        }
    }

    fn schedule(&mut self, station: &Station) {
        self.unschedule(station);
        let now = self.now;
        let Some(peer) = self.peers.get_mut(station) else { return };
        peer.due = peer.deadline(now, &peer.settings(self.settings));
        if let Some(due) = peer.due {
            self.peer_agenda.insert((due, station.clone()));
        }
    }

    /// Speaks to whom something is to be said.
    pub(super) fn speak(&mut self) {
        let flags = self.flags();
        if flags != self.traffic.flags {
            self.traffic.flags = flags;
            self.book.touch();
        }
        if self.book.version() != self.traffic.told {
            self.traffic.told = self.book.version();
            self.listeners.extend(self.peers.keys().cloned());
        }
        if self.book.has_ended() && self.traffic.forget_at <= self.now {
            self.traffic.forget_at = self.now + self.settings.tenths(IDLE);
            let heard = self.peers.values().filter(|peer| !peer.is_silent());
            let known = heard.map(|peer| self.book.resume(peer.acked()).version).min();
            self.book.forget(known.unwrap_or_else(|| self.book.version()));
        }
        for station in std::mem::take(&mut self.listeners) {
            self.speak_to(&station);
            self.schedule(&station);
        }
    }

    fn speak_to(&mut self, station: &Station) {
        let jitter = self.traffic.jitter();
        let Some(peer) = self.peers.get(station) else { return };
        let (class, old) = (self.class(peer), peer.class);
        if class != old {
            self.traffic.count_out(old);
            self.traffic.count_in(class);
        }
        let (interval, wish) = (self.pace(class, peer), self.wish(peer));
        let flags = self.traffic.flags;
        let close_interval = self.settings.close_interval.min(interval);
        let settings = Settings { close_interval, ..self.settings };
        let Some(peer) = self.peers.get_mut(station) else { return };
        peer.class = class;
        let occasion = Occasion {
            now: self.now,
            book: &self.book,
            me: &self.me,
            settings: &settings,
            interval,
            wish,
            jitter,
            is_silent: peer.is_silent(),
        };
        for changes in peer.due(&occasion) {
            self.traffic.number += 1;
            let links = changes.as_ref().and_then(|changes| self.book.links_in(changes));
            let message = Message {
                from: self.me.clone(),
                incarnation: self.book.incarnation(),
                number: self.traffic.number,
                interval,
                wish,
                flags,
                ack: peer.known(),
                version: self.book.version(),
                links,
                changes,
            };
            let bytes = message.encode();
            self.outputs.push_back(Output::Send { to: station.clone(), bytes });
        }
    }

    /// Whether nothing waits for anything.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.agenda.is_empty() && self.unsettled.is_empty() && self.seekers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_keeps_to_its_budget() {
        assert_eq!(share(300, 100), Duration::from_secs(3));
        assert_eq!(share(0, 100), Duration::ZERO);
    }
}
