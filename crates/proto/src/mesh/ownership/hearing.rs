//! What the peers say, and what becomes of them (rules 1, 3 and 8).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Ignored, Link, MAX_UNKNOWN_PEERS, Output, Ownership, Ring, Station};
use crate::l2::Mac;
use crate::mesh::address::Mine;
use crate::mesh::message::{Changes, Claim, Message, State};
use crate::mesh::peer::{Arrival, Peer};

/// Interfaces that a speaker tells of, and addresses on each: what a datagram has room for beside
/// claims.
const MAX_LINKS: usize = 4;
const MAX_LINK_ADDRESSES: usize = 4;

impl Ownership {
    pub(super) fn set_links(&mut self, mut links: Vec<Link>) {
        links.truncate(MAX_LINKS);
        for link in &mut links {
            link.addresses.truncate(MAX_LINK_ADDRESSES);
        }
        let could_ask = self.can_ask();
        self.book.set_links(links);
        self.carrier_changed(could_ask);
    }

    pub(super) fn set_peers(&mut self, mut stations: BTreeMap<Station, Vec<IpAddr>>) {
        stations.remove(&self.me);
        let removed: Vec<_> =
            self.peers.extract_if(.., |name, _| !stations.contains_key(name)).collect();
        for (station, peer) in &removed {
            self.forget_peer(station, peer);
        }
        let has_new = stations.keys().any(|station| !self.peers.contains_key(station));
        for (station, addresses) in stations {
            self.add_peer(&station, addresses);
        }
        if has_new || !removed.is_empty() {
            let all = self.peers.keys().chain([&self.me]).cloned();
            self.ring = Ring::new(all);
            self.traffic.relations_changed();
            self.line_up();
            self.reconsider_unsettled();
        }
        self.peers_came();
    }

    fn add_peer(&mut self, station: &Station, mut addresses: Vec<IpAddr>) {
        addresses.truncate(MAX_LINK_ADDRESSES);
        if !self.peers.contains_key(station) {
            self.peers.insert(station.clone(), Peer::new(self.now));
            self.traffic.count_in(crate::mesh::peer::Class::Silent);
            self.silent += 1;
            self.touch(station);
        }
        let Some(peer) = self.peers.get_mut(station) else { return };
        if peer.links.is_empty() && !addresses.is_empty() {
            peer.links = vec![Link { mac: Mac::BROADCAST, addresses }];
        }
    }

    fn forget_peer(&mut self, station: &Station, peer: &Peer) {
        if let Some(due) = peer.due {
            self.peer_agenda.remove(&(due, station.clone()));
        }
        self.touched.remove(station);
        self.listeners.remove(station);
        self.traffic.count_out(peer.class);
        if peer.is_silent() {
            self.silent -= 1;
        }
        self.forget_macs(station);
        let all = peer.claims().chain(peer.holdings.iter().copied());
        for at in all.collect::<std::collections::BTreeSet<_>>() {
            if let Some(address) = self.addresses.get_mut(&at) {
                address.hear_end(station);
            }
            self.reconsider(at);
        }
    }

    pub(super) fn admit(&mut self, from: &Station, bytes: &[u8]) -> Result<Message, Ignored> {
        // Without the API nobody says who there is, and a speaker must learn what it held.
        let is_open = self.phase.is_listening_for_peers()
            && self.peers.len() < MAX_UNKNOWN_PEERS
            && *from != self.me;
        if !self.peers.contains_key(from) && !is_open {
            return Err(Ignored::UnknownStation);
        }
        let message = Message::decode(bytes).map_err(Ignored::Malformed)?;
        if message.from != *from {
            return Err(Ignored::Misnamed);
        }
        self.add_peer(from, Vec::new());
        let now = self.now;
        let peer = self.peers.get_mut(from).ok_or(Ignored::UnknownStation)?;
        match peer.arrival(&message) {
            Arrival::New | Arrival::Overtaken => Ok(message),
            Arrival::PastLife => {
                // Its clock may have been set back: then it learns from the answer which of its
                // lives is heard, and goes on as the next one.
                peer.answer_soon(now);
                self.touch(from);
                Err(Ignored::PastLife)
            }
            Arrival::Repeated => Err(Ignored::Repeated),
        }
    }

    pub(super) fn receive(&mut self, message: Message) {
        self.note_hearing();
        let from = message.from.clone();
        let is_news = self.hear(&message);
        self.follow(message);
        self.touch(&from);
        if is_news {
            self.attend(&from);
            self.line_up_soon();
            self.reconsider_peer(&from);
        }
    }

    /// Takes in all but the changes, unless a later datagram brought it. Says whether it changes
    /// what the peer can hold or take over.
    fn hear(&mut self, message: &Message) -> bool {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&message.from) else { return false };
        if peer.arrival(message) != Arrival::New {
            return false;
        }
        if message.ack.incarnation > self.book.incarnation() {
            // The clock was set back between two lives, and the peer takes this one for the past.
            self.book.outlive(message.ack.incarnation);
        }
        let was_silent = peer.is_silent();
        let is_new_life = message.incarnation > peer.life();
        let is_news = peer.hear(now, message);
        peer.acknowledge(message.ack);
        if was_silent {
            self.silent -= 1;
            self.outputs.push_back(Output::PeerHeard(message.from.clone()));
            let claims: Vec<_> = peer.claims().filter(|_| !is_new_life).collect();
            for at in claims {
                self.defend(at, &message.from);
            }
        }
        is_news
    }

    /// Applies the changes of a message, and looks again at the addresses that they name.
    fn follow(&mut self, message: Message) {
        let Message { from, links, changes, .. } = message;
        let Some(changes) = changes else { return };
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if let Err(cause) = peer.follow(self.now, &changes) {
            self.count(cause);
            return;
        }
        if let Some(links) = links {
            peer.links = links;
            self.forget_macs(&from);
            self.note_macs(&from);
        }
        let Changes { claims, .. } = changes;
        let touched: Vec<_> = claims.iter().map(|claim| claim.address).collect();
        for claim in claims {
            self.learn(&from, claim);
        }
        for at in touched {
            self.defend(at, &from);
            self.reconsider(at);
        }
    }

    fn learn(&mut self, from: &Station, claim: Claim) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(from) else { return };
        let Claim { address: at, epoch, state } = claim;
        match state {
            State::Held | State::Released if peer.note_claim(at) => {
                let claim = Mine { epoch, is_released: state == State::Released };
                let life = peer.life();
                self.addresses.entry(at).or_default().hear_claim(now, from, life, claim);
            }
            State::StandingIn { holder } if peer.note_claim(at) => {
                self.addresses.entry(at).or_default().hear_stand_in(from);
                self.hear_of_absent(at, holder, epoch);
            }
            State::Held | State::Released | State::StandingIn { .. } => {
                self.count(Ignored::TooManyClaims);
            }
            State::Yielded { to } => {
                peer.remove_claim(at);
                let Some(address) = self.addresses.get_mut(&at) else { return };
                // It claimed and yielded without being heard; hosts may still believe it.
                let is_late = to == self.me && address.claim_of(from).is_none();
                address.hear_end(from);
                address.hear_promise(now, at, to.clone(), epoch);
                if is_late && address.may_announce(now) {
                    self.outputs.push_back(Output::Announce(at));
                }
                // It can be asked on the LAN.
                if self.peers.get(&to).is_some_and(Peer::is_silent) {
                    self.hear_of_claim(at, &to, epoch);
                }
            }
            State::Dropped => {
                peer.remove_claim(at);
                if let Some(address) = self.addresses.get_mut(&at) {
                    address.hear_end(from);
                }
            }
        }
    }

    /// Somebody stands in for a holder whose speaker is away. If that is mine, it is back.
    fn hear_of_absent(&mut self, at: IpAddr, holder: Station, epoch: u64) {
        if holder == self.me {
            self.resume(at, epoch);
            return;
        }
        let Some(peer) = self.peers.get(&holder) else { return };
        let is_heard = peer.is_synced() && !peer.flags.is_starting && !peer.flags.is_restarting;
        let known = self.addresses.get(&at).and_then(|address| address.claim_of(&holder));
        if !is_heard && known.is_none_or(|claimed| claimed.epoch < epoch) {
            self.hear_of_claim(at, &holder, epoch);
        }
    }

    /// Goes on with the claim of my last life, without asking anybody.
    fn resume(&mut self, at: IpAddr, epoch: u64) {
        let flags = self.flags();
        let has_facts = self.phase.has_facts();
        let Some(address) = self.addresses.get_mut(&at) else { return };
        let may = match has_facts {
            true => address.may_resume(epoch),
            false => address.may_resume_unseen(epoch),
        };
        if may && !flags.is_restarting && !flags.is_leaving {
            address.resume(epoch);
            self.book.set(at, epoch, State::Held);
            self.outputs.push_back(Output::Resumed { address: at, epoch });
            self.reconsider(at);
        }
    }

    /// Against an older claim: the sender learns of mine as of every change, the LAN by this.
    fn defend(&mut self, at: IpAddr, from: &Station) {
        let Some(address) = self.addresses.get_mut(&at) else { return };
        if address.is_contested_by(at, &self.me, from) && address.may_announce(self.now) {
            self.outputs.push_back(Output::Announce(at));
        }
    }

    // What becomes of a peer.

    /// The peer is to be looked at, and perhaps to be spoken to, before this event is done with.
    pub(super) fn touch(&mut self, station: &Station) {
        if self.peers.contains_key(station) {
            self.touched.insert(station.clone());
        }
    }

    /// Looks at a peer: whether it fell silent, what it no longer claims, what became of it.
    pub(super) fn attend(&mut self, station: &Station) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(station) else { return };
        let settings = peer.settings(self.settings);
        let is_silent_now = peer.is_silent_now(now, &settings);
        let swept = peer.sweep();
        if is_silent_now {
            self.silent += 1;
            self.outputs.push_back(Output::PeerSilent(station.clone()));
            self.line_up_soon();
        }
        for at in swept {
            if let Some(address) = self.addresses.get_mut(&at) {
                address.hear_end(station);
            }
            self.reconsider(at);
        }
        let Some(peer) = self.peers.get_mut(station) else { return };
        let is_to_be_asked = peer.is_to_be_asked(now, &settings);
        let has_new_fate = peer.has_new_fate(now, &settings);
        if is_to_be_asked {
            self.ask_peer(station);
        }
        if has_new_fate || is_silent_now {
            self.reconsider_peer(station);
        }
    }
}
