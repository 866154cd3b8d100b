//! What happens on a connection, from its beginning to its end.

use std::collections::BTreeSet;

use super::super::adj_rib_out::Markers;
use super::super::message::attribute::Treatment;
use super::super::message::open::Open;
use super::super::message::refresh::Refresh;
use super::super::message::update::Update;
use super::super::message::{self, Error, Frame, Kind, Notification, keepalive, update};
use super::connection::{Connected, Connection, ConnectionId, End, Established, Phase, survivor};
use super::ending::Down;
use super::opening::{self, Negotiated, Restarting};
use super::report::Event;
use super::{Ending, OPEN_HOLD, Openings, Output, Session};
use crate::time::Instant;

impl Session {
    /// Takes a connection, if there is to be one.
    pub(super) fn connected(&mut self, now: Instant, made: Connected) {
        let is_wanted = match made.end {
            End::Dialled => matches!(self.dial, super::Dial::Dialling { .. }),
            End::Accepted => {
                let takes = self.config.openings != Openings::Active;
                self.is_running && self.leaving.is_none() && takes
            }
        };
        if !is_wanted || self.find(made.id).is_some() {
            self.counters.refused += 1;
            self.outputs.push_back(Output::Close(made.id));
            return;
        }
        match made.end {
            End::Dialled => self.dial = super::Dial::Off,
            End::Accepted => self.forget_former(now),
        }
        let until = now + self.config.delay_open.unwrap_or_default();
        self.connections.push(Connection::new(made, Phase::Delayed { until }));
        if self.config.delay_open.is_none() {
            self.send_open(now, made.id);
        }
    }

    /// Closes a connection that the peer made before and that came to nothing: it would not make
    /// another if it still knew of that one. So a peer can have one of them and no more.
    fn forget_former(&mut self, now: Instant) {
        let is_former =
            |one: &&Connection| one.made.end == End::Accepted && one.established().is_none();
        if let Some(id) = self.connections.iter().find(is_former).map(|one| one.made.id) {
            self.close(now, id, Ending::Notify(Error::CollisionResolution.into()));
        }
    }

    pub(super) fn send_open(&mut self, now: Instant, id: ConnectionId) {
        let ours = self.our_open();
        let bytes = ours.encode();
        if let Some(connection) = self.find(id) {
            connection.phase = Phase::OpenSent { ours };
            connection.hold_at = Some(now + OPEN_HOLD);
            self.counters.sent.opens += 1;
            self.write(now, id, bytes);
        }
    }

    fn our_open(&self) -> Open {
        let restarting = if self.rib.is_complete() { Restarting::No } else { Restarting::Yes };
        opening::ours(&self.config, restarting)
    }

    /// Takes in bytes, and what they complete.
    pub(super) fn receive(&mut self, now: Instant, id: ConnectionId, bytes: &[u8]) {
        let Some(connection) = self.find(id) else { return };
        let mut inbox = std::mem::take(&mut connection.inbox);
        inbox.extend_from_slice(bytes);
        let mut taken = 0;
        loop {
            match message::first(&inbox[taken..]) {
                Ok(Some(frame)) => {
                    taken += frame.size();
                    self.hear(now, id, &frame);
                }
                Ok(None) => break,
                Err(last_words) => {
                    self.close(now, id, Ending::Notify(last_words));
                }
            }
            if self.find(id).is_none() {
                return;
            }
        }
        inbox.drain(..taken);
        if inbox.is_empty() {
            // A quiet connection needs no memory.
            inbox = Vec::new();
        }
        if let Some(connection) = self.find(id) {
            connection.inbox = inbox;
        }
    }

    fn hear(&mut self, now: Instant, id: ConnectionId, frame: &Frame<'_>) {
        let counted = &mut self.counters.received;
        match frame.kind {
            Kind::Open => counted.opens += 1,
            Kind::Update => counted.updates += 1,
            Kind::Notification => counted.notifications += 1,
            Kind::Keepalive => counted.keepalives += 1,
            Kind::RouteRefresh => counted.refreshes += 1,
        }
        let Some(connection) = self.find(id) else { return };
        if let Some(error) = connection.objection(frame.kind) {
            let last_words = Notification::new(error, vec![frame.kind.number()]);
            self.close(now, id, Ending::Notify(last_words));
            return;
        }
        connection.hear(now);
        let heard = match frame.kind {
            Kind::Open => self.hear_open(now, id, frame.body),
            Kind::Update => self.hear_update(id, frame.body),
            Kind::RouteRefresh => self.hear_refresh(id, frame),
            Kind::Keepalive => {
                self.confirm(now, id);
                Ok(())
            }
            Kind::Notification => {
                let last_words = Notification::decode(frame.body);
                self.last_received = Some(last_words.clone());
                self.close(now, id, Ending::Silent(Down::Received(last_words)));
                Ok(())
            }
        };
        if let Err(last_words) = heard {
            self.close(now, id, Ending::Notify(last_words));
        }
    }

    fn hear_open(
        &mut self,
        now: Instant,
        id: ConnectionId,
        body: &[u8],
    ) -> Result<(), Notification> {
        let Some(connection) = self.find(id) else { return Ok(()) };
        let end = connection.made.end;
        if let Phase::Delayed { .. } = connection.phase {
            self.send_open(now, id);
        }
        let ours = match self.find(id).map(|connection| &connection.phase) {
            Some(Phase::OpenSent { ours }) => ours.clone(),
            _ => return Ok(()),
        };
        let negotiated = opening::judge(&self.config, &ours, Open::decode(body)?)?;
        self.resolve_collisions(now, (id, end), &negotiated)?;
        if let Some(connection) = self.find(id) {
            connection.phase = Phase::OpenConfirm(Box::new(negotiated));
            connection.hear(now);
        }
        self.counters.sent.keepalives += 1;
        self.write(now, id, keepalive());
        Ok(())
    }

    /// Leaves one connection of several to the same peer, RFC 4271 section 6.8.
    ///
    /// # Errors
    ///
    /// If it is not this one.
    fn resolve_collisions(
        &mut self,
        now: Instant,
        this: (ConnectionId, End),
        negotiated: &Negotiated,
    ) -> Result<(), Notification> {
        let collision = || Notification::from(Error::CollisionResolution);
        let kept = survivor(negotiated);
        for id in self.ids().into_iter().filter(|id| *id != this.0) {
            let Some(other) = self.find(id) else { continue };
            let end = other.made.end;
            match &other.phase {
                // Neither is known to be better before the peer has said who it is.
                Phase::Delayed { .. } | Phase::OpenSent { .. } => (),
                // RFC 4724 section 5: the peer has restarted, and the old connection is dead.
                Phase::Established(other) if other.negotiated.has_restart_helper() => {
                    self.close(now, id, Ending::Silent(Down::Replaced));
                }
                Phase::Established(_) => return Err(collision()),
                Phase::OpenConfirm(_) if end != this.1 && end == kept => return Err(collision()),
                Phase::OpenConfirm(_) => self.close(now, id, Ending::Notify(collision())),
            }
        }
        Ok(())
    }

    /// The peer has said that our OPEN is fine.
    fn confirm(&mut self, now: Instant, id: ConnectionId) {
        let local_as = self.config.local_as;
        let Some(connection) = self.find(id) else { return };
        let Phase::OpenConfirm(negotiated) = &connection.phase else { return };
        let negotiated = (**negotiated).clone();
        let (over, next_hops) = (connection.made.over, connection.made.next_hops);
        let reading = negotiated.reading();
        let established = Established {
            negotiated: negotiated.clone(),
            since: now,
            reading,
            ends: BTreeSet::new(),
        };
        connection.phase = Phase::Established(Box::new(established));
        let markers = Markers {
            end_of_rib: negotiated.has_restart_helper(),
            refresh: negotiated.reads_refresh_marks(),
        };
        self.rib.open(negotiated.export(local_as, next_hops, over), markers);
        self.counters.established += 1;
        self.outputs.push_back(Output::Event(Event::Established(Box::new(negotiated))));
        self.hang_up();
        for other in self.ids().into_iter().filter(|other| *other != id) {
            self.close(now, other, Ending::Notify(Error::CollisionResolution.into()));
        }
    }

    fn hear_update(&mut self, id: ConnectionId, body: &[u8]) -> Result<(), Notification> {
        let Some(connection) = self.find(id) else { return Ok(()) };
        let Phase::Established(established) = &mut connection.phase else { return Ok(()) };
        let update = Update::decode(body, &established.reading)?;
        if let Some(fault) = update.fault
            && let (Treatment::DisableFamily, update::What::Routes(family)) =
                (fault.treatment, fault.what)
        {
            established.reading.families.remove(&family);
        }
        let ended = update.end_of_rib.filter(|family| established.ends.insert(*family));
        self.counters.routes_announced += update.announced;
        self.counters.routes_withdrawn += update.withdrawn;
        if let Some(family) = ended {
            self.outputs.push_back(Output::Event(Event::EndOfRibReceived(family)));
        }
        if let Some(fault) = update.fault {
            self.counters.malformed += 1;
            if !std::mem::replace(&mut self.has_told_malformed, true) {
                let malformed = Event::Malformed { fault, body: body.to_vec() };
                self.outputs.push_back(Output::Event(malformed));
            }
        }
        Ok(())
    }

    fn hear_refresh(&mut self, id: ConnectionId, frame: &Frame<'_>) -> Result<(), Notification> {
        let heard = Refresh::decode(frame)?;
        let Some(connection) = self.find(id) else { return Ok(()) };
        // We hold no routes of the peer, so where its own begin and end is nothing to us. What it
        // asks for is noted and not yet done: asking a thousand times costs one answer.
        if let (Some((Refresh::Request, family)), Some(established)) =
            (heard, connection.established())
            && established.negotiated.families.contains(&family)
        {
            self.rib.refresh(family);
        }
        Ok(())
    }

    /// Ends a connection. If it was the session, the session has ended, and the next is planned.
    pub(super) fn close(&mut self, now: Instant, id: ConnectionId, ending: Ending) {
        let mut ids = self.connections.iter();
        let Some(index) = ids.position(|connection| connection.made.id == id) else { return };
        let is_open = !matches!(ending, Ending::Lost(_));
        let down = match ending {
            Ending::Notify(last_words) => {
                self.say_last_words(now, id, &last_words);
                Down::Sent(last_words)
            }
            Ending::Silent(down) | Ending::Lost(down) => down,
        };
        let connection = self.connections.remove(index);
        if is_open {
            self.outputs.push_back(Output::Close(id));
        }
        if let Some(established) = connection.established() {
            self.retry.ended_after(now - established.since);
            self.rib.close();
            self.last_down = Some(down.clone());
            self.outputs.push_back(Output::Event(Event::Down(down)));
            self.end_leaving(now);
        } else if self.connections.is_empty() {
            self.fail(down);
        }
        let is_on_its_way = |one: &Connection| !one.is_before_open();
        if !self.connections.iter().any(is_on_its_way) {
            self.plan(now);
        }
    }

    /// RFC 4271 section 8.1.1: nothing is said to a peer that has not had our OPEN.
    fn say_last_words(&mut self, now: Instant, id: ConnectionId, last_words: &Notification) {
        let Some(connection) = self.find(id) else { return };
        if let Phase::Delayed { .. } = connection.phase {
            return;
        }
        self.counters.sent.notifications += 1;
        self.last_sent = Some(last_words.clone());
        self.write(now, id, last_words.encode());
    }

    /// Whoever wanted to leave a session that is gone has left.
    fn end_leaving(&mut self, now: Instant) {
        if let Some(super::Leaving::Draining { .. } | super::Leaving::Withdrawn { .. }) =
            self.leaving.take()
        {
            self.left(now, String::new());
        }
    }
}
