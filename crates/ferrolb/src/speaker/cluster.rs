//! `ferrolb speaker`: announces the Services of a real cluster from one node.
//!
//! What the watches see goes to the [`Speaker`]; what that does goes to Events, metrics and status
//! objects. Nothing is announced before everything has been seen once, and what is announced stays
//! so while the API server is away.

mod remarks;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use ipnet::IpNet;
use kube::Client;
use planner::facts::{Change, Facts};
use planner::names::{NodeName, ServiceName};
use proto::l2::Mac;
use proto::mesh::Station;
use proto::mesh::ownership::OnConflict;
use proto::mesh::seal::Key;
use proto::time::Instant;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time;

use super::announced::{Announced, News};
use super::beside::Beside;
use super::bgp_extras;
use super::control::{Control, Request};
use super::data_plane;
use super::excluded::{self, Excluded};
use super::held::{Held, Holding, News as HeldNews};
use super::mesh::SAY_AGAIN;
use super::mesh::status::Status;
use super::routed::Routed;
use super::virtual_mac::Failures;
use super::{
    Effect, Given, Identity, Keys, Observers, Speaker, Unfit, Verdict, VirtualMacs, bgp,
    may_answer_arp, touched,
};
use crate::api::ServiceL2Status;
use crate::args;
use crate::http::{self, Reach, tls};
use crate::k8s::announcement::writer::Order;
use crate::k8s::client;
use crate::k8s::configuration_state::Report;
use crate::k8s::events::{EventType, Recorder};
use crate::k8s::reference::Reference;
use crate::metrics::{self, Config, Protocol, Update};
use crate::net::clock::Clock;
use crate::net::gateways;
use crate::net::interfaces::{self, Interface};
use crate::parse::live::Live;
use crate::rivals::{self, Me};
use crate::source::kube::{Scope, Seen, StatusObject, follow};
use crate::terminated::terminated;
use crate::told::Told;

use remarks::{conflict_remark, fitness_remarks, remarks, session_remark};
use written::Written;

/// The source of our Events, as MetalLB names it.
const COMPONENT: &str = "metallb-speaker";

/// How much of what was seen is taken in before a decision.
const BATCH: usize = 4096;

/// For how long after the start a holder may have gone before this speaker could hear it.
const STRANGER: Duration = Duration::from_secs(30);

/// Of the sidecar that MetalLB's FRR mode has for metrics.
const FRR_METRICS_PORT: u16 = 9121;

/// A file that MetalLB reads and this does not.
const GOSSIP_FILE: &str = "/etc/metallb/memberlist/config.json";

/// Runs until SIGTERM or SIGINT, then hands over to the other nodes.
///
/// # Errors
///
/// When it cannot start: no cluster is named anywhere, a mounted file is wrong, or packet sockets
/// are not allowed.
pub fn run(args: &args::Speaker) -> anyhow::Result<ExitCode> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the async runtime")?.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &args::Speaker) -> anyhow::Result<()> {
    let station = Station::new(&args.node_name)
        .map_err(|error| anyhow!("`--node-name {}`: {error}", args.node_name))?;
    let excluded = Excluded::read(Path::new(excluded::FILE))?;
    let given =
        Given::by_metallb(args.ml_secret_key_path.as_deref(), args.ml_secret_key.as_deref());
    let mend = "mount the Secret `memberlist` and name its directory in METALLB_ML_SECRET_KEY_PATH";
    let keys = Keys::open(given, mend)?;
    may_answer_arp("add NET_RAW to `securityContext.capabilities` of the container")?;
    let tls = tls::Settings::read(&args.tls)?;
    let (client, own_namespace) = client::connect(args.kubeconfig.as_deref()).await?;
    let namespace = args.namespace.clone().unwrap_or(own_namespace);
    let mut terminated = pin!(terminated()?);
    let mut interfaces = interfaces::watch().await.context("listing network interfaces")?;
    let mut gateways = gateways::watch().await.context("listing routes")?;
    let node = NodeName(args.node_name.clone());
    let metrics = metrics::Speaker::new(node.clone()).context("making metrics")?;
    let (synced, is_ready) = watch::channel(false);
    let counted = (metrics.process().clone(), client.clone());
    let servers = start_servers(args, tls, is_ready, counted)?;
    tell_start(args, &namespace);
    let identity =
        Identity { node, station, mesh_port: args.ml_bindport, keys: keys.current().to_vec() };
    let scope = Scope::speaker(&namespace, &args.node_name, Some(&speaker_labels(args)));
    let seen = follow(client.clone(), &scope);
    let live = Live::new(&args.lb_class, &scope);
    let me = me(args, &namespace);
    let rivals = rivals::follow(client.clone(), me.clone());
    let written = Written::start(client.clone(), &namespace, &args.node_name, &args.pod_name);
    tokio::spawn(bgp_extras::warn(client.clone(), namespace.clone()));
    let recorder = Recorder::start(client, COMPONENT);
    let warning = rivals::Warning::new(me);
    let virtual_macs = VirtualMacs::start().context("opening netlink")?;
    let told = (written, recorder, warning);
    let seen_here = (excluded, virtual_macs.clone());
    let mut cluster = Cluster::new(identity, live, seen_here, metrics, told);
    cluster.change(vec![Change::IgnoreExcludeLabel(args.ignore_exclude_lb)]).await;
    cluster.use_interfaces(&interfaces.borrow_and_update()).await?;
    cluster.use_gateways(&gateways.borrow_and_update());
    let sessions = Arc::clone(&cluster.sessions);
    cluster.metrics.sessions(Arc::clone(&sessions)).context("making metrics")?;
    let mut ears = Ears {
        control: Control::open(),
        data_plane: data_plane::watch(args.data_plane_check, args.kube_proxy_healthz),
        gateways,
        held: Arc::clone(&cluster.held),
        interfaces,
        keys,
        rivals,
        seen,
        sessions,
        virtual_macs,
    };
    let left = tokio::select! {
        () = &mut terminated => None,
        left = ears.listen(&mut cluster, &synced) => Some(left?),
    };
    ears.control.end(cluster.speaker, left, &ears.virtual_macs, terminated).await?;
    drop(servers);
    Ok(())
}

/// What a speaker listens to.
struct Ears {
    control: Control,
    data_plane: watch::Receiver<Verdict>,
    gateways: watch::Receiver<BTreeSet<IpAddr>>,
    held: Arc<Held>,
    interfaces: watch::Receiver<Vec<Interface>>,
    keys: Keys,
    rivals: watch::Receiver<Option<rivals::Known>>,
    seen: mpsc::Receiver<Seen>,
    sessions: Arc<bgp::Sessions>,
    virtual_macs: VirtualMacs,
}

impl Ears {
    /// Tells `cluster` all that happens, until somebody wants everything to be handed over: that is
    /// returned.
    async fn listen(
        &mut self,
        cluster: &mut Cluster,
        synced: &watch::Sender<bool>,
    ) -> anyhow::Result<oneshot::Sender<()>> {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                request = self.control.next() => match request {
                    Request::Leave(left) => return Ok(left),
                    Request::Status(asker) => cluster.tell_status(asker),
                },
                news = self.held.changed() => cluster.hold(&news).await,
                () = self.sessions.changed() => cluster.remark(),
                () = time::sleep(cluster.calm_in()) => cluster.calm(),
                Ok(()) = self.rivals.changed() => {
                    let known = self.rivals.borrow_and_update().clone().unwrap_or_default();
                    cluster.give_way(known).await?;
                }
                Ok(()) = self.gateways.changed() => {
                    cluster.use_gateways(&self.gateways.borrow_and_update());
                }
                keys = self.keys.changed() => cluster.use_keys(keys),
                failures = self.virtual_macs.changed() => cluster.use_failures(&failures).await,
                Ok(()) = self.data_plane.changed() => {
                    let verdict = *self.data_plane.borrow_and_update();
                    cluster.use_data_plane(verdict).await;
                }
                Ok(()) = self.interfaces.changed() => {
                    cluster.use_interfaces(&self.interfaces.borrow_and_update()).await?;
                }
                count = self.seen.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        bail!("all watches of the API server have ended");
                    }
                    cluster.see(batch.drain(..)).await?;
                }
            }
            cluster.tell_synced(synced);
        }
    }
}

fn tell_start(args: &args::Speaker, namespace: &str) {
    for note in without_effect(args, Path::new(GOSSIP_FILE).exists()) {
        tracing::warn!("{note}");
    }
    tracing::info!(node = args.node_name, namespace, class = args.lb_class, "started");
}

/// Health and metrics. `is_ready` says whether all has been seen once.
fn start_servers(
    args: &args::Speaker,
    tls: tls::Settings,
    is_ready: watch::Receiver<bool>,
    (metrics, client): (metrics::Process, Client),
) -> Result<JoinSet<()>, rustls::Error> {
    http::start(http::Servers {
        health_reach: Reach::Loopback,
        health_port: args.health_probe_port,
        is_ready,
        metrics_port: args.port,
        more_metrics_port: frr_metrics_port(args),
        metrics,
        tls,
        metrics_cert_dir: args.tls.metrics_cert_dir.clone(),
        client,
    })
}

/// Where MetalLB's FRR mode has the metrics of sessions, which rules for scraping may name.
fn frr_metrics_port(args: &args::Speaker) -> u16 {
    match args.unused.bgp_type.as_deref() {
        Some("frr") if args.port != 0 => FRR_METRICS_PORT,
        _ => 0,
    }
}

/// Who this process is to a MetalLB beside it.
fn me(args: &args::Speaker, namespace: &str) -> Me {
    Me {
        namespace: namespace.to_owned(),
        pod: args.pod_name.clone(),
        component: rivals::Component::Speaker,
        class: args.lb_class.clone(),
    }
}

/// As in MetalLB, Pods are looked at only if there is an address to be heard at too.
fn speaker_labels(args: &args::Speaker) -> String {
    if args.ml_bindaddr.is_empty() { String::new() } else { args.ml_labels.clone() }
}

/// What was given and changes nothing, with the reason.
fn without_effect(args: &args::Speaker, has_gossip_file: bool) -> Vec<String> {
    let unused = &args.unused;
    let bgp = "ferrolb speaks BGP itself";
    let gossip = "speakers hear each other by heartbeats, not by gossip";
    let given = [
        (unused.bgp_type.is_some(), "METALLB_BGP_TYPE", bgp),
        (unused.bgp_debounce_timeout.is_some(), "--bgp-debounce-timeout", bgp),
        (unused.frrk8s_namespace.is_some(), "--frrk8s-namespace", bgp),
        (unused.frrk8s_secret_passthrough, "--frrk8s-secret-passthrough", bgp),
        (unused.ml_wan_config, "--ml-wan-config", gossip),
        (has_gossip_file, GOSSIP_FILE, gossip),
        (!unused.pprof_bind_address.is_empty(), "--pprof-bind-address", "there is no Go profiler"),
    ];
    let given = given.into_iter().filter(|(is_given, ..)| *is_given);
    given.map(|(_, what, why)| format!("`{what}` has no effect: {why}")).collect()
}

/// The loop's state.
struct Cluster {
    identity: Identity,
    live: Live,
    excluded: Excluded,
    interfaces: Vec<Interface>,
    data_plane: Verdict,
    virtual_macs: VirtualMacs,
    gateways: BTreeSet<IpAddr>,
    /// What is known before all is.
    facts: Facts,
    /// Once everything has been seen.
    speaker: Option<Speaker>,
    held: Arc<Held>,
    sessions: Arc<bgp::Sessions>,
    announced: Announced,
    /// Services that this node answered for in an earlier life, by its status objects.
    answered_before: BTreeSet<ServiceName>,
    routed: Routed,
    beside: Beside,
    warning: rivals::Warning,
    /// `metadata.uid` of Services, for Events.
    uids: BTreeMap<ServiceName, Box<str>>,
    metrics: metrics::Speaker,
    written: Written,
    recorder: Recorder,
    clock: Clock,
    /// When it is over that foreign hosts use addresses, if no more is heard of that.
    in_conflict_until: Option<Instant>,
    problems: Told,
    warnings: Told,
}

impl Cluster {
    fn new(
        identity: Identity,
        live: Live,
        (excluded, virtual_macs): (Excluded, VirtualMacs),
        metrics: metrics::Speaker,
        (written, recorder, warning): (Written, Recorder, rivals::Warning),
    ) -> Self {
        Self {
            identity,
            live,
            excluded,
            interfaces: Vec::new(),
            data_plane: Verdict::Unseen,
            virtual_macs,
            gateways: BTreeSet::new(),
            facts: Facts::default(),
            speaker: None,
            held: Arc::default(),
            sessions: Arc::default(),
            announced: Announced::default(),
            answered_before: BTreeSet::new(),
            routed: Routed::default(),
            beside: Beside::default(),
            warning,
            uids: BTreeMap::new(),
            metrics,
            written,
            recorder,
            clock: Clock::start(),
            in_conflict_until: None,
            problems: Told::default(),
            warnings: Told::default(),
        }
    }

    /// Takes in what the watches saw, and acts on what that means.
    async fn see(&mut self, batch: impl Iterator<Item = Seen>) -> io::Result<()> {
        for seen in batch {
            self.live.take(&seen);
            self.metrics.process().update(match &seen {
                Seen::Misfit(..) | Seen::Unavailable(..) => Update::Failed,
                Seen::Gone(_)
                | Seen::Put(_)
                | Seen::Service(..)
                | Seen::Slice { .. }
                | Seen::SpeakerPod { .. }
                | Seen::Status(_)
                | Seen::Synced(_) => Update::Taken,
            });
            match seen {
                Seen::Service(name, Some(service)) => {
                    let uid = service.metadata.uid.as_deref().unwrap_or_default();
                    self.uids.insert(name, uid.into());
                }
                Seen::Service(name, None) => _ = self.uids.remove(&name),
                Seen::Status(object) => {
                    if self.speaker.is_none()
                        && let StatusObject::L2(status) = &*object
                    {
                        self.answered_before.extend(service_answered_for(status));
                    }
                    self.written.see(*object).await;
                }
                Seen::Synced(kind) => self.written.synced(kind).await,
                Seen::Unavailable(kind, cause) => {
                    tracing::warn!(%kind, "nothing is withdrawn because of it: {cause}");
                }
                Seen::Gone(_)
                | Seen::Misfit(..)
                | Seen::Put(_)
                | Seen::Slice { .. }
                | Seen::SpeakerPod { .. } => (),
            }
        }
        let changes = self.live.changes();
        self.report();
        let changes = self.beside.of_ours(changes);
        self.change(changes).await;
        self.begin_in_time().await
    }

    /// Takes in what a MetalLB beside us does, and leaves that to it.
    async fn give_way(&mut self, known: rivals::Known) -> io::Result<()> {
        self.warning.tell(&known, &self.recorder);
        self.metrics.process().rivals(known.rivals.len());
        let uids = known.rivals.iter().map(|rival| rival.uid.clone()).collect();
        self.written.leave(uids).await;
        let changes = self.beside.take(known);
        self.change(changes).await;
        self.begin_in_time().await
    }

    /// Starts announcing once everything has been seen.
    async fn begin_in_time(&mut self) -> io::Result<()> {
        if self.speaker.is_none() && self.live.is_synced() && self.beside.is_known() {
            self.begin().await?;
        }
        Ok(())
    }

    /// Starts announcing.
    async fn begin(&mut self) -> io::Result<()> {
        let facts = std::mem::take(&mut self.facts);
        let observers = Observers {
            held: Arc::clone(&self.held),
            metrics: self.metrics.clone(),
            sessions: Arc::clone(&self.sessions),
        };
        let (identity, virtual_macs) = (self.identity.clone(), self.virtual_macs.clone());
        let mut speaker =
            Speaker::start(identity, facts, &self.interfaces, Some(observers), virtual_macs)?;
        speaker.use_witnesses(&self.gateways);
        let effect = speaker.begin();
        speaker.use_data_plane(self.data_plane);
        let plan = speaker.planner().plan();
        let (addresses, peers) = (plan.candidacies.len(), plan.peers.len());
        tracing::info!(addresses, peers, "all was seen");
        let routes: BTreeSet<_> = plan.peers.values().flat_map(|all| all.keys().copied()).collect();
        self.speaker = Some(speaker);
        self.remark();
        self.follow_up(effect, &BTreeMap::new()).await;
        self.follow_routes(routes).await;
        Ok(())
    }

    async fn change(&mut self, changes: Vec<Change>) {
        let Some(speaker) = &mut self.speaker else {
            changes.into_iter().for_each(|change| self.facts.apply(change));
            return;
        };
        let since = self.clock.now();
        let effect = speaker.apply(changes);
        self.metrics.process().decided(self.clock.now() - since);
        self.follow_up(effect, &BTreeMap::new()).await;
    }

    fn use_keys(&mut self, keys: &[Key]) {
        self.identity.keys = keys.to_vec();
        if let Some(speaker) = &mut self.speaker {
            speaker.use_keys(keys);
        }
    }

    /// One that has not begun has nothing to say.
    fn tell_status(&self, asker: oneshot::Sender<Status>) {
        if let Some(speaker) = &self.speaker {
            speaker.tell_status(asker);
        }
    }

    fn tell_synced(&self, synced: &watch::Sender<bool>) {
        let has_begun = self.speaker.is_some();
        synced.send_if_modified(|synced| !std::mem::replace(synced, has_begun) && has_begun);
    }

    fn use_gateways(&mut self, gateways: &BTreeSet<IpAddr>) {
        self.gateways.clone_from(gateways);
        if let Some(speaker) = &mut self.speaker {
            speaker.use_witnesses(gateways);
        }
    }

    async fn use_interfaces(&mut self, table: &[Interface]) -> io::Result<()> {
        self.interfaces = self.excluded.rest(table);
        if let Some(speaker) = &mut self.speaker {
            let effect = speaker.use_interfaces(&self.interfaces);
            self.follow_up(effect, &BTreeMap::new()).await;
        }
        Ok(())
    }

    async fn use_failures(&mut self, failures: &Failures) {
        if let Some(speaker) = &mut self.speaker {
            let effect = speaker.use_failures(failures);
            self.follow_up(effect, &BTreeMap::new()).await;
        }
    }

    async fn use_data_plane(&mut self, verdict: Verdict) {
        match verdict.is_fit() {
            false => tracing::error!("{verdict}"),
            true => tracing::info!("{verdict}"),
        }
        self.data_plane = verdict;
        self.metrics.data_plane(verdict);
        if let Some(speaker) = &mut self.speaker {
            speaker.use_data_plane(verdict);
        }
        self.follow_up(Effect::default(), &BTreeMap::new()).await;
    }

    async fn hold(&mut self, news: &HeldNews) {
        self.follow_up(Effect::default(), &news.held).await;
        if !news.conflicts.is_empty() {
            self.tell_conflicts(&news.conflicts);
        }
    }

    /// Tells that foreign hosts use addresses of this node.
    fn tell_conflicts(&mut self, conflicts: &BTreeMap<IpAddr, Mac>) {
        let Some(speaker) = &self.speaker else { return };
        for (address, mac) in conflicts {
            let Some(planned) = speaker.planner().plan().candidacies.get(address) else { continue };
            let what = match planned.settings.policy.on_conflict {
                OnConflict::Defend => "announces it again",
                OnConflict::Yield => "does not answer for it meanwhile",
            };
            let message = format!(
                "the host with the Ethernet address {mac}, which is no node, uses \"{address}\" too; \
                 node \"{}\" {what}: give the host another address, or take this one out of its \
                 pool",
                self.identity.node
            );
            for name in planned.services.iter() {
                let about = reference(name, &self.uids);
                self.recorder.tell(&about, EventType::Warning, "addressConflict", message.clone());
            }
        }
        self.in_conflict_until = Some(self.clock.now() + 2 * SAY_AGAIN);
        self.remark();
    }

    /// How long it is until no conflict has been told of for long enough.
    fn calm_in(&self) -> Duration {
        self.clock.until(self.in_conflict_until).unwrap_or(Duration::MAX)
    }

    fn calm(&mut self) {
        self.in_conflict_until = None;
        self.remark();
    }

    /// Tells others what has been done.
    async fn follow_up(&mut self, effect: Effect, held: &BTreeMap<IpAddr, Holding>) {
        let Some(speaker) = &self.speaker else { return };
        self.remark();
        self.metrics.unfit(speaker.lacks().values().map(|lack| lack.why));
        let plan = speaker.planner().plan();
        for left in effect.diffs.iter().flat_map(|diff| &diff.silences_added) {
            tracing::debug!("{left}");
        }
        let node = &self.identity.node;
        for lack in effect.lacks.iter().filter(|lack| lack.is_first) {
            let message = match lack.why {
                // As MetalLB has it, and others look for it.
                Unfit::NoSuchInterface => format!(
                    "the interfaces specified by LB IP \"{}\" doesn't exist in assigned node \
                     \"{node}\" with protocol \"layer2\"",
                    lack.address
                ),
                Unfit::NoInterfaceInSubnet | Unfit::VirtualMac(_) => lack.to_string(),
                // It comes and goes with a cable, and another node takes over.
                Unfit::NoUsableInterface => continue,
            };
            for name in lack.services.iter() {
                let about = reference(name, &self.uids);
                self.recorder.tell(&about, EventType::Warning, "announceFailed", message.clone());
            }
        }
        let inherited = held.iter().filter(|(_, holding)| **holding == Holding::Inherited);
        let inherited = inherited.filter_map(|(address, _)| plan.candidacies.get(address));
        let inherited: BTreeSet<_> =
            inherited.flat_map(|one| one.services.iter().cloned()).collect();
        let touched = effect.diffs.iter().flat_map(touched).chain(effect.moved);
        let news = self.announced.update(plan, held, touched);
        let is_stranger = self.clock.now() < Instant::START + STRANGER;
        if !is_stranger {
            self.answered_before = BTreeSet::new();
        }
        for (name, news) in news {
            // Whoever looks at it knows, and a restart is not to write as many Events as there are
            // Services.
            let is_told = news == News::Gained && self.answered_before.remove(&name);
            self.tell(&name, if is_told { &News::Same } else { &news }, Protocol::Layer2);
            let interfaces = self.announced.interfaces(plan, &name, &self.interfaces);
            self.written.layer2(Order::Want(name.clone(), interfaces)).await;
            if inherited.contains(&name) || news == News::Gained && is_stranger {
                self.written.layer2(Order::Inherit(name)).await;
            }
        }
        let touched = self.routed.touched(&effect.diffs);
        self.follow_routes(touched).await;
    }

    /// Tells others which Services routers are told of, as far as these prefixes are concerned.
    async fn follow_routes(&mut self, touched: BTreeSet<IpNet>) {
        let Some(speaker) = &self.speaker else { return };
        let news = self.routed.update(speaker.planner().plan(), touched);
        for (name, news) in news {
            self.tell(&name, &news, Protocol::Bgp);
            let peers = self.routed.peers(&name);
            self.written.bgp(Order::Want(name, peers)).await;
        }
    }

    /// Counts what is announced of a Service now, and says in an Event that more is.
    fn tell(&self, name: &ServiceName, news: &News, protocol: Protocol) {
        let layer2 = self.announced.addresses(name).map(|address| (Protocol::Layer2, address));
        let facts = self.speaker.as_ref().map(|speaker| speaker.planner().facts());
        let service = facts.and_then(|facts| facts.services.get(name));
        let addresses = service.into_iter().flat_map(|service| &service.addresses);
        let is_routed = |at: &&IpAddr| self.routed.prefixes(name).any(|net| net.contains(*at));
        let bgp = addresses.filter(is_routed).map(|address| (Protocol::Bgp, *address));
        self.metrics.announced(name, layer2.chain(bgp).collect());
        if *news == News::Gained {
            let node = &self.identity.node;
            let message = format!("announcing from node \"{node}\" with protocol \"{protocol}\"");
            let about = reference(name, &self.uids);
            self.recorder.tell(&about, EventType::Normal, "nodeAssigned", message);
        }
    }

    /// Says of this speaker what there is to say beside its settings.
    fn remark(&self) {
        let Some(speaker) = &self.speaker else { return };
        let mut remarks = remarks(&self.identity.keys, speaker.punctuality());
        remarks.extend(fitness_remarks(speaker.lacks(), self.data_plane));
        remarks.extend(session_remark(&self.sessions.all()));
        remarks.push(conflict_remark(self.in_conflict_until.is_some()));
        self.written.reporter.remark(remarks);
    }

    /// Says what is wrong with the settings, each once.
    fn report(&mut self) {
        if !self.live.is_synced() {
            return;
        }
        let report = Report::of(self.live.problems_of_settings());
        self.metrics.process().config(match &report {
            Report::Invalid { .. } => Config::Stale,
            Report::Unknown | Report::Valid => Config::Current,
        });
        self.written.reporter.report(report);
        for problem in self.problems.news(self.live.problems().map(ToString::to_string)) {
            tracing::error!("{problem}");
        }
        let warnings = self.live.warnings().map(ToString::to_string);
        for warning in self.warnings.news(warnings) {
            tracing::warn!("{warning}");
        }
    }
}

/// The Service that a status object of this node is about; none if it says nothing yet.
fn service_answered_for(object: &ServiceL2Status) -> Option<ServiceName> {
    let status = object.status.as_ref()?;
    Some(ServiceName::new(&*status.service_namespace, &*status.service_name))
}

fn reference(name: &ServiceName, uids: &BTreeMap<ServiceName, Box<str>>) -> Reference {
    Reference::service(name, uids.get(name).map_or("", |uid| uid))
}
