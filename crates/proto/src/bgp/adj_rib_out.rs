//! What a peer has been told, and what it should know instead.
//!
//! Wanted routes go in, as a whole or one by one; messages come out, each the next of the fewest
//! that turn what was sent into what is wanted. They are made when there is room for them and not
//! before, so that a change of mind costs a slow peer nothing and us no memory.
//!
//! Announcements go before withdrawals: where one route takes the place of another, both are there
//! for a moment rather than none.

mod lane;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use ipnet::IpNet;

use super::attributes::{Attributes, Export, Refusal};
use super::message::refresh::Refresh;
use super::{Family, packing};
use lane::{Lane, Marker};

/// The routes of one peer, by prefix.
pub type Routes = BTreeMap<IpNet, Arc<Attributes>>;

/// How a node stands behind its routes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stance {
    /// It serves them.
    Serving,
    /// It still does, and asks for others to be preferred (RFC 8326).
    Draining,
    /// It has left: whatever is wanted, nothing is announced.
    Withdrawn,
}

/// What is done for a peer that reads the markers around routes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Markers {
    /// It waits for End-of-RIB (RFC 4724).
    pub end_of_rib: bool,
    /// It reads BoRR and EoRR (RFC 7313).
    pub refresh: bool,
}

/// What one message was for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// Routes that are there, and how many.
    Announced(usize),
    /// Routes that are gone, and how many.
    Withdrawn(usize),
    /// All routes of the family were sent.
    EndOfRib(Family),
    /// A refresh of a family begins or ends.
    Refresh(Refresh, Family),
}

/// The routes of one peer: those it was told, and those it should know.
#[derive(Debug)]
pub struct AdjRibOut {
    routes: BTreeMap<IpNet, Route>,
    stance: Stance,
    is_complete: bool,
    session: Option<Open>,
    announced: usize,
    refused: BTreeMap<IpNet, Refusal>,
}

/// What there is while a session is established.
#[derive(Debug)]
struct Open {
    export: Export,
    markers: Markers,
    lanes: [Lane; 2],
}

#[derive(Debug, Default)]
struct Route {
    wanted: Option<Arc<Attributes>>,
    /// What the peer knows, before the stance changed it.
    sent: Option<Arc<Attributes>>,
    /// To be sent although the peer knows it.
    is_asked_for: bool,
    is_refused: bool,
}

/// Where a route waits.
enum Place {
    Nowhere,
    Due(Arc<Attributes>),
    Gone,
}

impl Route {
    fn place(&self, stance: Stance) -> Place {
        let is_announced = !self.is_refused && stance != Stance::Withdrawn;
        match (self.wanted.as_ref().filter(|_| is_announced), &self.sent) {
            (Some(wanted), sent) if self.is_asked_for || !is_same(sent.as_ref(), wanted) => {
                Place::Due(wanted.clone())
            }
            (None, Some(_)) => Place::Gone,
            (Some(_) | None, _) => Place::Nowhere,
        }
    }

    /// Whether nobody wants or knows it.
    fn is_needless(&self) -> bool {
        self.wanted.is_none() && self.sent.is_none()
    }
}

/// Whether these are the attributes that were sent; mostly they are the very same ones.
fn is_same(sent: Option<&Arc<Attributes>>, wanted: &Arc<Attributes>) -> bool {
    sent.is_some_and(|sent| Arc::ptr_eq(sent, wanted) || sent == wanted)
}

impl Open {
    fn lane(&mut self, family: Family) -> &mut Lane {
        match family {
            Family::Ipv4 => &mut self.lanes[0],
            Family::Ipv6 => &mut self.lanes[1],
        }
    }

    /// Takes a route from where it waited, and puts it where it has to wait now.
    fn relocate(&mut self, prefix: IpNet, from: Place, to: Place) {
        let lane = self.lane(Family::of(&prefix));
        match from {
            Place::Nowhere => (),
            Place::Due(attributes) => lane.remove_due(&attributes, &prefix),
            Place::Gone => lane.remove_gone(&prefix),
        }
        match to {
            Place::Nowhere => (),
            Place::Due(attributes) => lane.add_due(attributes, prefix),
            Place::Gone => lane.add_gone(prefix),
        }
    }
}

impl Default for AdjRibOut {
    /// Nothing wanted, and no session.
    fn default() -> Self {
        Self {
            routes: BTreeMap::new(),
            stance: Stance::Serving,
            is_complete: false,
            session: None,
            announced: 0,
            refused: BTreeMap::new(),
        }
    }
}

impl AdjRibOut {
    /// Replaces the whole set of wanted routes. What stays the same costs a look and no message.
    pub fn want_all(&mut self, wanted: &Routes) {
        let known: Vec<IpNet> = self.routes.keys().copied().collect();
        for prefix in known.iter().filter(|prefix| !wanted.contains_key(*prefix)) {
            self.want(*prefix, None);
        }
        for (prefix, attributes) in wanted {
            self.want(*prefix, Some(attributes));
        }
    }

    /// Changes one route; `None` wants it no more. Bits beyond the prefix length do not count.
    pub fn want(&mut self, prefix: IpNet, attributes: Option<&Arc<Attributes>>) {
        let prefix = prefix.trunc();
        let route = match (self.routes.entry(prefix), attributes) {
            (Entry::Vacant(_), None) => return,
            (Entry::Vacant(place), Some(_)) => place.insert(Route::default()),
            (Entry::Occupied(place), _) => place.into_mut(),
        };
        let is_unchanged = match (&route.wanted, attributes) {
            (None, None) => true,
            (before, Some(attributes)) => is_same(before.as_ref(), attributes),
            (Some(_), None) => false,
        };
        if is_unchanged {
            return;
        }
        let before = route.place(self.stance);
        route.wanted = attributes.cloned();
        if std::mem::take(&mut route.is_refused) {
            self.refused.remove(&prefix);
        }
        let after = route.place(self.stance);
        let is_needless = route.is_needless();
        if let Some(session) = &mut self.session {
            session.relocate(prefix, before, after);
        }
        if is_needless {
            self.routes.remove(&prefix);
        }
    }

    /// Takes it that every wanted route is known by now, so that End-of-RIB may be sent.
    pub fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Whether every wanted route is known.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Changes how the node stands behind all its routes.
    pub fn set_stance(&mut self, stance: Stance) {
        if self.stance == stance {
            return;
        }
        let former = std::mem::replace(&mut self.stance, stance);
        for (prefix, route) in &mut self.routes {
            let before = route.place(former);
            route.is_asked_for |= route.sent.is_some() && stance != Stance::Withdrawn;
            let after = route.place(stance);
            if let Some(session) = &mut self.session {
                session.relocate(*prefix, before, after);
            }
        }
    }

    /// Starts a session: the peer knows nothing.
    pub fn open(&mut self, export: Export, markers: Markers) {
        self.close();
        let mut session = Open { export, markers, lanes: Default::default() };
        for (prefix, route) in &self.routes {
            session.relocate(*prefix, Place::Nowhere, route.place(self.stance));
        }
        self.session = Some(session);
    }

    /// The session was lost: the peer has forgotten everything, or forgets it by itself.
    pub fn close(&mut self) {
        self.session = None;
        self.announced = 0;
        self.refused.clear();
        self.routes.retain(|_, route| {
            *route = Route { wanted: route.wanted.take(), ..Route::default() };
            route.wanted.is_some()
        });
    }

    /// The peer asks for all routes of a family again (RFC 2918).
    pub fn refresh(&mut self, family: Family) {
        if let Some(session) = &mut self.session {
            session.lane(family).ask();
        }
    }

    /// Routes that the peer knows.
    pub fn announced(&self) -> usize {
        self.announced
    }

    /// Routes that the peer has yet to be told of, or that they are gone.
    pub fn pending(&self) -> usize {
        let lanes = self.session.iter().flat_map(|session| &session.lanes);
        lanes.map(Lane::pending).sum()
    }

    /// Routes that are not told to the peer, and why.
    pub fn refused(&self) -> &BTreeMap<IpNet, Refusal> {
        &self.refused
    }

    /// Appends the next message, if there is one, and takes it as sent.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Option<Sent> {
        Family::ALL.into_iter().find_map(|family| self.next_of(family, out))
    }

    fn next_of(&mut self, family: Family, out: &mut Vec<u8>) -> Option<Sent> {
        let is_complete = self.is_complete;
        loop {
            let session = self.session.as_mut()?;
            let markers = session.markers;
            let is_carried = session.export.families.contains(&family);
            let lane = session.lane(family);
            if lane.begins_refresh(markers) && is_carried {
                self.ask_for_all(family);
                if markers.refresh {
                    Refresh::Begin.encode(family, out);
                    return Some(Sent::Refresh(Refresh::Begin, family));
                }
                continue;
            }
            if let Some(attributes) = lane.first_due() {
                match self.announce(family, &attributes, out) {
                    0 => continue,
                    count => return Some(Sent::Announced(count)),
                }
            }
            if lane.has_gone() {
                return Some(Sent::Withdrawn(self.withdraw(family, out)));
            }
            return match lane.marker(markers, is_complete).filter(|_| is_carried)? {
                Marker::EndOfRib => {
                    packing::end_of_rib(family, out);
                    Some(Sent::EndOfRib(family))
                }
                Marker::EndOfRefresh => {
                    Refresh::End.encode(family, out);
                    Some(Sent::Refresh(Refresh::End, family))
                }
            };
        }
    }

    /// Writes one message of routes with these attributes, and says how many are in it.
    ///
    /// None are if they cannot be sent; then they wait no more.
    fn announce(
        &mut self,
        family: Family,
        attributes: &Arc<Attributes>,
        out: &mut Vec<u8>,
    ) -> usize {
        let Some(session) = &mut self.session else { return 0 };
        let drained;
        let said = match self.stance {
            Stance::Draining => {
                drained = attributes.draining();
                &drained
            }
            Stance::Serving | Stance::Withdrawn => attributes,
        };
        let message = packing::Announcement::new(said, family, &session.export);
        let lane = session.lane(family);
        let room = match message {
            Ok(message) => {
                let prefixes = lane.take_due(attributes, message.room());
                message.write(&prefixes, out);
                Ok(prefixes)
            }
            Err(refusal) => Err((refusal, lane.take_due(attributes, usize::MAX))),
        };
        match room {
            Ok(prefixes) => {
                for prefix in &prefixes {
                    if let Some(route) = self.routes.get_mut(prefix) {
                        self.announced += usize::from(route.sent.is_none());
                        route.sent = Some(attributes.clone());
                        route.is_asked_for = false;
                    }
                }
                prefixes.len()
            }
            Err((refusal, prefixes)) => {
                for prefix in prefixes {
                    self.refused.insert(prefix, refusal);
                    let Some(route) = self.routes.get_mut(&prefix) else { continue };
                    route.is_refused = true;
                    route.is_asked_for = false;
                    session.relocate(prefix, Place::Nowhere, route.place(self.stance));
                }
                0
            }
        }
    }

    /// Writes one message of routes that are gone, and says how many are in it.
    fn withdraw(&mut self, family: Family, out: &mut Vec<u8>) -> usize {
        let Some(session) = &mut self.session else { return 0 };
        let message = packing::Withdrawal::new(family, &session.export);
        let prefixes = session.lane(family).take_gone(message.room());
        message.write(&prefixes, out);
        for prefix in &prefixes {
            if let Some(route) = self.routes.get_mut(prefix) {
                self.announced -= usize::from(route.sent.take().is_some());
                route.is_asked_for = false;
                if route.is_needless() {
                    self.routes.remove(prefix);
                }
            }
        }
        prefixes.len()
    }

    fn ask_for_all(&mut self, family: Family) {
        let Some(session) = &mut self.session else { return };
        for (prefix, route) in &mut self.routes {
            if Family::of(prefix) == family && route.sent.is_some() {
                let before = route.place(self.stance);
                route.is_asked_for = true;
                session.relocate(*prefix, before, route.place(self.stance));
            }
        }
    }
}

#[cfg(test)]
mod tests;
