//! The loop of one node: facts, plan, engines.
//!
//! [`Speaker::apply`] takes what is new about the facts, and hands each thread what that changes for
//! it: [`mesh`] decides which addresses this node holds, [`l2`] answers for those, [`bgp`] tells
//! routers. What it costs depends on what is new, not on how many Services there are.

mod announced;
mod beside;
pub mod bfd;
pub mod bgp;
mod bgp_extras;
pub mod cluster;
pub mod control;
mod data_plane;
mod excluded;
mod fitness;
pub mod held;
mod keys;
pub mod l2;
mod links;
pub mod mesh;
mod routed;
mod virtual_mac;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, bail};
use planner::announce::Planner;
use planner::facts::{Change, Facts};
use planner::names::NodeName;
use planner::owner::Order;
use planner::plan::{Candidacy, PlanDiff};
use proto::mesh::Station;
use proto::mesh::ownership::{self, Link};
use proto::mesh::seal::Key;
use tokio::sync::oneshot;

use crate::metrics;
use crate::net::clock::Clock;
use crate::net::filter::Filter;
use crate::net::inbox::Inbox;
use crate::net::interfaces::Interface;
use crate::net::packet_socket;

use fitness::fitness;
use held::Held;
use mesh::Punctuality;
use virtual_mac::{Failure, Failures};

pub use data_plane::{Check, Verdict};
pub use fitness::{Lack, Unfit};
pub use keys::{Given, Keys};
pub use mesh::Ending;
pub use virtual_mac::VirtualMacs;

/// Candidates of an address, from the first, that listen to what the LAN says of it. Each is in the
/// multicast groups of its IPv6 addresses for that, so it cannot be all nodes.
const FOLLOWERS: usize = 6;

/// Who a speaker is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The node that it speaks for.
    pub node: NodeName,
    /// The same to other speakers.
    pub station: Station,
    /// The UDP port on which speakers hear each other.
    pub mesh_port: u16,
    /// The keys that they know each other by, the newest first. Without one they believe whoever
    /// sends from the address of a Node.
    pub keys: Vec<Key>,
}

/// Who is told what the threads do.
#[derive(Clone, Debug)]
pub struct Observers {
    /// Which addresses the node answers for.
    pub held: Arc<Held>,
    /// What is sent for them.
    pub metrics: metrics::Speaker,
    /// How the sessions with routers are.
    pub sessions: Arc<bgp::Sessions>,
}

/// What [`Speaker::apply`] did.
#[derive(Debug, Default)]
pub struct Effect {
    /// How the plan changed: diffs that follow each other.
    pub diffs: Vec<PlanDiff>,
    /// Addresses that the node lacks an interface for, and did not before.
    pub lacks: Vec<Lack>,
    /// Addresses that are answered for on other interfaces than before.
    pub moved: BTreeSet<IpAddr>,
}

/// The plan of one node, and the threads that carry it out.
pub struct Speaker {
    node: NodeName,
    planner: Planner,
    interfaces: Vec<Interface>,
    links: Option<Vec<Link>>,
    names: Names,
    lacks: BTreeMap<IpAddr, Lack>,
    data_plane: Verdict,
    /// Addresses that cannot have their Ethernet address here; `None` if none can.
    virtual_macs: Option<Failures>,
    mesh: Arc<Inbox<mesh::Orders>>,
    l2: Arc<Inbox<l2::Orders>>,
    bgp: Arc<Inbox<bgp::Orders>>,
    wanted: bgp::Wanted,
    bfd: Arc<Inbox<bfd::Orders>>,
    /// What the thread of BFD was told to want.
    watched: BTreeMap<proto::bfd::Path, proto::bfd::Config>,
    /// Speaks with routers.
    speaking: Option<JoinHandle<()>>,
    threads: Vec<JoinHandle<()>>,
    punctuality: Punctuality,
}

impl Speaker {
    /// Starts the threads of a node, which claim nothing until the first [`Speaker::begin`].
    ///
    /// # Errors
    ///
    /// When the process may not open files or start threads.
    pub fn start(
        identity: Identity,
        facts: Facts,
        interfaces: &[Interface],
        observers: Option<Observers>,
        virtual_macs: VirtualMacs,
    ) -> io::Result<Self> {
        let Identity { node, station, mesh_port, keys } = identity;
        let clock = Clock::start();
        let (mesh, l2) = (Arc::new(Inbox::<mesh::Orders>::new()?), Arc::new(Inbox::new()?));
        let bgp = Arc::new(Inbox::<bgp::Orders>::new()?);
        let sessions = observers.as_ref().map(|to| Arc::clone(&to.sessions)).unwrap_or_default();
        let (held, metrics) = observers.map(|to| (to.held, to.metrics)).unzip();
        let listeners = mesh::Listeners { l2: Arc::clone(&l2), held, metrics: metrics.clone() };
        mesh.update(|orders| orders.keys = Some(keys));
        let may_have_macs = virtual_macs.are_permitted();
        let l2_listeners =
            l2::Listeners { mesh: Arc::clone(&mesh), metrics: metrics.clone(), virtual_macs };
        let answering = l2::start(clock, Arc::clone(&l2), l2_listeners)?;
        let (hearing, punctuality) =
            mesh::start(clock, station, mesh_port, Arc::clone(&mesh), listeners)?;
        if let Some(metrics) = &metrics {
            metrics.mesh().punctuality(punctuality);
        }
        let broken = Arc::new(Inbox::<bfd::Events>::new()?);
        let speaking = bgp::start(clock, Arc::clone(&bgp), Arc::clone(&broken), sessions)?;
        let bfd = Arc::new(Inbox::<bfd::Orders>::new()?);
        let bfd_listeners = bfd::Listeners { events: Some(broken), metrics };
        let watching = bfd::start(clock, Arc::clone(&bfd), bfd_listeners)?;
        let threads = vec![answering, hearing, watching];
        let wanted = bgp::Wanted::new(node.clone(), Arc::clone(&bgp));
        let planner = Planner::new(node.clone(), facts);
        let (names, lacks) = (Names::default(), BTreeMap::new());
        let interfaces = interfaces.to_vec();
        let links = None;
        Ok(Self {
            node,
            planner,
            interfaces,
            links,
            names,
            lacks,
            data_plane: Verdict::Unseen,
            virtual_macs: may_have_macs.then(Failures::new),
            mesh,
            l2,
            bgp,
            wanted,
            bfd,
            watched: BTreeMap::new(),
            speaking: Some(speaking),
            threads,
            punctuality,
        })
    }

    /// Makes speakers know each other by these keys, the newest first.
    pub fn use_keys(&mut self, keys: &[Key]) {
        self.mesh.update(|orders| orders.keys = Some(keys.to_vec()));
    }

    /// Names hosts that should answer whoever hears the LAN.
    pub fn use_witnesses(&mut self, witnesses: &BTreeSet<IpAddr>) {
        self.mesh.update(|orders| orders.witnesses = Some(witnesses.clone()));
    }

    /// How well the heartbeats of this node can be trusted to be on time.
    pub fn punctuality(&self) -> Punctuality {
        self.punctuality
    }

    /// The plan, and the facts that it is made from.
    pub fn planner(&self) -> &Planner {
        &self.planner
    }

    /// Tells the threads the whole plan.
    pub fn begin(&mut self) -> Effect {
        let all = self.planner.plan().candidacies.keys().copied().collect();
        self.l2.update(|orders| orders.interfaces = Some(self.interfaces.clone()));
        self.tell_ranges();
        self.tell_links();
        self.tell_stations();
        self.wanted.begin(&self.planner);
        self.tell_watched();
        Effect { lacks: self.tell(&all), ..Effect::default() }
    }

    /// Makes the threads want what the plan says after these changes.
    pub fn apply(&mut self, changes: Vec<Change>) -> Effect {
        let is_about_stations = changes.iter().any(|change| moves(self.planner.facts(), change));
        let is_about_ranges = changes.iter().any(|change| matches!(change, Change::Pool(..)));
        let is_about_advertisements =
            changes.iter().any(|change| matches!(change, Change::L2Advertisement(..)));
        let is_about_routers = changes.iter().any(|change| {
            matches!(change, Change::Peer(..) | Change::Node(..) | Change::Speakers(_))
        });
        let diffs = self.planner.apply_all(changes);
        if is_about_ranges {
            self.tell_ranges();
        }
        if is_about_stations || is_about_advertisements {
            self.tell_links();
        }
        if is_about_stations {
            self.tell_stations();
        }
        self.wanted.tell(&self.planner, &diffs);
        if is_about_routers {
            self.tell_watched();
        }
        let touched = diffs.iter().flat_map(touched).collect();
        let lacks = self.tell(&touched);
        Effect { diffs, lacks, ..Effect::default() }
    }

    /// Makes the threads use these interfaces.
    pub fn use_interfaces(&mut self, interfaces: &[Interface]) -> Effect {
        if self.interfaces == interfaces {
            return Effect::default();
        }
        let before = std::mem::replace(&mut self.interfaces, interfaces.to_vec());
        self.l2.update(|orders| orders.interfaces = Some(self.interfaces.clone()));
        self.tell_links();
        self.tell_watched();
        let after = &self.interfaces;
        let gone = before.iter().filter(|one| !after.contains(one));
        let changed: Vec<_> =
            gone.chain(after.iter().filter(|one| !before.contains(one))).collect();
        // Pods come and go with interfaces of their own: those are no news where all will do.
        let differs = |(at, candidacy): &(&IpAddr, &Candidacy)| {
            let wanted = &candidacy.interfaces;
            let is_wanted = |one: &&Interface| wanted.select(&one.name, &one.addresses, **at);
            let is_named = !wanted.are_all() && changed.iter().any(is_wanted);
            is_named || fitness(**at, wanted, &before) != fitness(**at, wanted, after)
        };
        let candidacies = self.planner.plan().candidacies.iter();
        let moved: BTreeSet<_> = candidacies.filter(differs).map(|(at, _)| *at).collect();
        let lacks = self.tell(&moved);
        Effect { lacks, moved, ..Effect::default() }
    }

    /// Makes the threads leave those addresses to other nodes that cannot have their Ethernet address
    /// here.
    pub fn use_failures(&mut self, failures: &Failures) -> Effect {
        let Some(known) = &mut self.virtual_macs else { return Effect::default() };
        let before = std::mem::replace(known, failures.clone());
        let touched = before.keys().chain(failures.keys()).copied().collect();
        Effect { lacks: self.tell(&touched), ..Effect::default() }
    }

    /// Makes the threads leave all addresses to other nodes if this one does not forward, as far as
    /// others can have them.
    pub fn use_data_plane(&mut self, verdict: Verdict) {
        let was_fit = std::mem::replace(&mut self.data_plane, verdict).is_fit();
        if was_fit == verdict.is_fit() {
            return;
        }
        let all: BTreeSet<_> = self.planner.plan().candidacies.keys().copied().collect();
        if verdict.is_fit() {
            let none = all.iter().map(|at| (*at, None));
            self.mesh.update(|orders| orders.last_resort.extend(none));
        }
        self.tell(&all);
    }

    /// Addresses that the node lacks an interface for.
    pub fn lacks(&self) -> &BTreeMap<IpAddr, Lack> {
        &self.lacks
    }

    /// Tells who asks what this node knows of who holds what.
    pub fn tell_status(&self, asker: oneshot::Sender<mesh::status::Status>) {
        self.mesh.update(|orders| orders.asking.push(asker));
    }

    /// Ends the threads, once the other nodes know what becomes of the addresses. Blocks for at most
    /// a little more than five seconds.
    pub fn end(self, ending: Ending) {
        self.bgp.update(|orders| orders.end(ending));
        self.mesh.update(|orders| orders.ending = Some(ending));
        // A router takes the end of BFD for a broken path while there is a session of BGP
        // (RFC 5882 section 4.3). A thread that panicked has already said so.
        let _ = self.speaking.map(JoinHandle::join);
        self.bfd.update(|orders| orders.end = true);
        for thread in self.threads {
            // A thread that panicked has already said so.
            let _ = thread.join();
        }
    }

    fn tell_stations(&mut self) {
        let stations = stations(self.planner.facts(), &self.node, &mut self.names);
        self.mesh.update(|orders| orders.stations = Some(stations));
    }

    /// Tells where this node is on the LAN.
    fn tell_links(&mut self) {
        let facts = self.planner.facts();
        let links = links::of(&self.interfaces, facts, &self.node);
        if self.links.as_ref() != Some(&links) {
            self.links = Some(links.clone());
            self.mesh.update(|orders| orders.links = Some(links));
        }
    }

    /// Tells which routers are watched with BFD.
    fn tell_watched(&mut self) {
        let watched = bfd::wanted(&self.planner, &self.interfaces);
        if self.watched != watched {
            self.watched.clone_from(&watched);
            self.bfd.update(|orders| orders.sessions = Some(watched));
        }
    }

    /// Tells which addresses there may be.
    fn tell_ranges(&mut self) {
        let pools = self.planner.facts().pools.values();
        let filter = Filter::new(pools.flat_map(|pool| pool.ranges.iter().copied()));
        self.l2.update(|orders| orders.filter = Some(filter));
    }

    /// Why this node cannot answer for an address, if so.
    fn unfit(&self, at: IpAddr, planned: &Candidacy) -> Option<Unfit> {
        if let Err(why) = fitness(at, &planned.interfaces, &self.interfaces) {
            return Some(why);
        }
        planned.settings.announcing.has_virtual_mac.then_some(())?;
        let failure = match &self.virtual_macs {
            None => Some(Failure::NotPermitted),
            Some(failures) => failures.get(&at).copied(),
        };
        failure.map(Unfit::VirtualMac)
    }

    /// Tells the threads what is planned for these addresses, and returns those that the node
    /// cannot answer for since now.
    fn tell(&mut self, touched: &BTreeSet<IpAddr>) -> Vec<Lack> {
        let (mut candidacies, mut scopes) = (mesh::Candidacies::new(), BTreeMap::new());
        let (mut last_resort, mut news) = (mesh::Candidacies::new(), Vec::new());
        let mut followed = BTreeMap::new();
        for at in touched {
            let planned = self.planner.plan().candidacies.get(at);
            let order = planned.map(|planned| planned.order.sorted()).unwrap_or_default();
            let unfit = planned.and_then(|planned| self.unfit(*at, planned));
            let candidacy = planned.map(|planned| ownership::Candidacy {
                order: self.names.candidates(&order, &planned.order),
                is_fit: unfit.is_none(),
                policy: planned.settings.policy.clone(),
            });
            let candidacy = if self.data_plane.is_fit() {
                candidacy
            } else {
                let fit = candidacy.clone().filter(|candidacy| candidacy.is_fit);
                last_resort.insert(*at, fit);
                candidacy.map(|candidacy| ownership::Candidacy { is_fit: false, ..candidacy })
            };
            let lack =
                planned.and_then(|one| Lack::of(*at, one, &self.node, &self.interfaces, unfit?));
            candidacies.insert(*at, candidacy);
            scopes.insert(*at, planned.map(scope));
            followed.insert(*at, order.iter().take(FOLLOWERS).any(|node| *node == self.node));
            match lack {
                Some(lack) if self.lacks.get(at) != Some(&lack) => {
                    tracing::error!("{lack}");
                    self.lacks.insert(*at, lack.clone());
                    news.push(lack);
                }
                Some(_) => (),
                None => _ = self.lacks.remove(at),
            }
        }
        self.l2.update(|orders| {
            orders.scopes.extend(scopes);
            orders.followed.extend(followed);
        });
        self.mesh.update(|orders| {
            orders.candidacies.get_or_insert_default().extend(candidacies);
            orders.last_resort.extend(last_resort);
        });
        news
    }
}

/// Says before anything else whether the one right that everything needs is there, and with `mend`
/// how to get it.
///
/// # Errors
///
/// It is not, or packet sockets cannot be opened.
pub(crate) fn may_answer_arp(mend: &str) -> anyhow::Result<()> {
    match packet_socket::probe() {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            bail!("answering ARP needs CAP_NET_RAW, which this process lacks: {mend}")
        }
        Err(error) => Err(error).context("opening a packet socket"),
    }
}

/// The addresses that a diff is about.
pub(crate) fn touched(diff: &PlanDiff) -> impl Iterator<Item = IpAddr> {
    let edits = &diff.candidacies;
    edits.added.keys().chain(edits.changed.keys()).chain(&edits.removed).copied()
}

/// Whether a change is about which speakers there are, and where they are heard.
fn moves(facts: &Facts, change: &Change) -> bool {
    match change {
        Change::Node(name, node) => {
            let before = facts.nodes.get(name).map(|node| &node.internal_ips);
            before != node.as_ref().map(|node| &node.internal_ips)
        }
        Change::Speakers(_) => !change.is_in(facts),
        Change::Service(..)
        | Change::Endpoints(..)
        | Change::Namespace(..)
        | Change::Pool(..)
        | Change::L2Advertisement(..)
        | Change::BgpAdvertisement(..)
        | Change::Peer(..)
        | Change::IgnoreExcludeLabel(_)
        | Change::Rival(..) => false,
    }
}

/// Who there is, as the mesh of `node` is told.
fn stations(facts: &Facts, node: &NodeName, names: &mut Names) -> mesh::Stations {
    names.0.retain(|name, _| facts.nodes.contains_key(name));
    let mut peers = BTreeMap::new();
    for (name, node) in &facts.nodes {
        let has_speaker = facts.speakers.as_ref().is_none_or(|speakers| speakers.contains(name));
        if has_speaker && let Some(station) = names.of(name) {
            peers.insert(station, node.internal_ips.clone());
        }
    }
    let own_addresses = names.of(node).and_then(|me| peers.remove(&me)).unwrap_or_default();
    mesh::Stations { own_addresses, peers }
}

/// The stations of nodes, each made once: they are in every order of candidates.
#[derive(Debug, Default)]
struct Names(HashMap<NodeName, Station>);

impl Names {
    /// `None` for a name that no station can have.
    fn of(&mut self, node: &NodeName) -> Option<Station> {
        if let Some(station) = self.0.get(node) {
            return Some(station.clone());
        }
        let station = Station::new(&node.0).ok()?;
        self.0.insert(node.clone(), station.clone());
        Some(station)
    }

    /// Candidates as the mesh is told of them: these nodes, with their scores.
    fn candidates(&mut self, nodes: &[NodeName], scores: &Order) -> Arc<[ownership::Candidate]> {
        let candidate = |node| {
            Some(ownership::Candidate { station: self.of(node)?, score: scores.score(node) })
        };
        nodes.iter().filter_map(candidate).collect()
    }
}

fn scope(planned: &Candidacy) -> l2::Scope {
    let Candidacy { interfaces, settings, .. } = planned;
    l2::Scope { interfaces: interfaces.clone(), announcing: settings.announcing }
}

#[cfg(test)]
mod tests;
