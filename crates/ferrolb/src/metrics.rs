//! Metrics: MetalLB's under their names and labels, our own under `ferrolb_`.
//!
//! One set a process, made in its `run`; clones of a set count into the same series. A series of
//! something that is gone, such as a pool, goes with it.

mod addresses;
mod bfd;
mod bgp;
mod mesh;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use planner::names::{NodeName, PoolName, ServiceName};
use planner::usage::Usage;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};
use proto::bfd::packet::State;
use proto::bfd::{Counters, Path};
use proto::l2::Ignored;

use crate::speaker::bgp::Sessions;
use crate::speaker::{Unfit, Verdict};

use self::addresses::Addresses;

pub use mesh::Mesh;

/// How long a decision may take, in seconds: from one Service to a whole large cluster.
const DECISION_BUCKETS: [f64; 8] = [0.000_1, 0.000_5, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0];

/// What every process of ours counts, and the page that shows it.
#[derive(Clone, Debug)]
pub struct Process {
    registry: Registry,
    /// Series that the library would keep in much more room.
    addresses: Addresses,
    updates: IntCounter,
    update_errors: IntCounter,
    config_loaded: IntGauge,
    config_stale: IntGauge,
    decisions: Histogram,
    rivals: IntGauge,
}

/// How a change that the API server told of was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Update {
    /// All of it is in force.
    Taken,
    /// Something of it could not be done, and is tried again.
    Failed,
}

/// Which settings are in force.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Config {
    /// All that there are.
    Current,
    /// For some, what they said before, as they cannot be used as they are now.
    Stale,
}

impl Process {
    fn new(addresses: Addresses) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let build = gauges("ferrolb_build_info", "The program that runs; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        added(&registry, build)?;
        let client = |name: &str| format!("metallb_k8s_client_{name}");
        let decisions = HistogramOpts::new(
            "ferrolb_decision_duration_seconds",
            "Time from a change that was read to the decision what follows from it.",
        );
        Ok(Self {
            updates: added(
                &registry,
                IntCounter::new(
                    client("updates_total"),
                    "Number of k8s object updates that have been processed.",
                )?,
            )?,
            update_errors: added(
                &registry,
                IntCounter::new(
                    client("update_errors_total"),
                    "Number of k8s object updates that failed for some reason.",
                )?,
            )?,
            config_loaded: added(
                &registry,
                IntGauge::new(
                    client("config_loaded_bool"),
                    "1 if the MetalLB configuration was successfully loaded at least once.",
                )?,
            )?,
            config_stale: added(
                &registry,
                IntGauge::new(
                    client("config_stale_bool"),
                    "1 if running on a stale configuration, because the latest config failed to load.",
                )?,
            )?,
            decisions: added(
                &registry,
                Histogram::with_opts(decisions.buckets(DECISION_BUCKETS.to_vec()))?,
            )?,
            rivals: added(
                &registry,
                IntGauge::new(
                    "ferrolb_metallb_pods",
                    "Pods of a MetalLB that still runs, to which this process gives way.",
                )?,
            )?,
            registry,
            addresses,
        })
    }

    /// Shows how many Pods of MetalLB this process gives way to from now on.
    pub fn rivals(&self, count: usize) {
        self.rivals.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a change that the API server told of.
    pub fn update(&self, update: Update) {
        self.updates.inc();
        if update == Update::Failed {
            self.update_errors.inc();
        }
    }

    /// Says which settings are in force from now on.
    pub fn config(&self, config: Config) {
        match config {
            Config::Current => {
                self.config_loaded.set(1);
                self.config_stale.set(0);
            }
            Config::Stale => self.config_stale.set(1),
        }
    }

    /// Counts a decision that took this long.
    pub fn decided(&self, took: Duration) {
        self.decisions.observe(took.as_secs_f64());
    }

    /// All series in the text format of Prometheus.
    pub fn render(&self) -> String {
        // It writes into memory, and each family was checked when it was added.
        let page = TextEncoder::new().encode_to_string(&self.registry.gather());
        let mut page = page.unwrap_or_default();
        self.addresses.write(&mut page);
        page
    }
}

/// What the controller counts.
#[derive(Clone, Debug)]
pub struct Controller {
    process: Process,
    pools: Pools,
    is_leader: IntGauge,
    admissions: IntCounterVec,
    certificate_expiry: Gauge,
}

/// The series of pools.
#[derive(Clone, Debug)]
struct Pools {
    addresses: GaugeVec,
    in_use: GaugeVec,
    addresses_v4: GaugeVec,
    in_use_v4: GaugeVec,
    addresses_v6: GaugeVec,
    in_use_v6: GaugeVec,
    /// Those that have series.
    known: Arc<Mutex<BTreeSet<PoolName>>>,
}

/// Which of the replicas a controller is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The one that gives addresses.
    Leader,
    /// One that waits for the leader to fail.
    Follower,
}

/// What became of a request that a webhook answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// Allowed.
    Allowed,
    /// Refused for what the object says.
    Denied,
    /// Not answered, as something that was needed failed.
    Failed,
}

impl Admission {
    /// The value of the label `result`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

impl Controller {
    /// Metrics that nothing was counted in yet.
    ///
    /// # Errors
    ///
    /// Two metrics have the same name: a defect of ours.
    pub fn new() -> prometheus::Result<Self> {
        let process = Process::new(Addresses::default())?;
        let registry = &process.registry;
        let admissions = Opts::new(
            "ferrolb_webhook_requests_total",
            "Requests that the webhooks answered, by kind of object and result.",
        );
        Ok(Self {
            pools: Pools::new(registry)?,
            is_leader: added(
                registry,
                IntGauge::new("ferrolb_leader", "1 if this replica gives addresses.")?,
            )?,
            admissions: added(registry, IntCounterVec::new(admissions, &["kind", "result"])?)?,
            certificate_expiry: added(
                registry,
                Gauge::new(
                    "ferrolb_webhook_certificate_expiry_timestamp_seconds",
                    "When the certificate of the webhooks expires, in Unix time.",
                )?,
            )?,
            process,
        })
    }

    /// What every process counts, and the page.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Shows how much of each pool is in use. Pools that are not among these any more vanish.
    pub fn pools(&self, usage: &BTreeMap<PoolName, Usage>) {
        self.pools.show(usage);
    }

    /// Says whether this replica leads from now on.
    pub fn role(&self, role: Role) {
        self.is_leader.set(i64::from(role == Role::Leader));
    }

    /// Counts a request about an object of `kind`, which must be one of our own names of kinds.
    pub fn admission(&self, kind: &'static str, admission: Admission) {
        self.admissions.with_label_values(&[kind, admission.label()]).inc();
    }

    /// Shows until when the certificate of the webhooks is good.
    pub fn certificate_expires(&self, at: SystemTime) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.certificate_expiry.set(since.as_secs_f64());
    }
}

impl Pools {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauges = |name: &str, help: &str| {
            let opts = Opts::new(format!("metallb_allocator_{name}"), help);
            added(registry, GaugeVec::new(opts, &["pool"])?)
        };
        Ok(Self {
            addresses: gauges("addresses_total", "Number of usable IP addresses, per pool")?,
            in_use: gauges("addresses_in_use_total", "Number of IP addresses in use, per pool")?,
            addresses_v4: gauges(
                "ipv4_addresses_total",
                "Number of usable IPv4 addresses, per pool",
            )?,
            in_use_v4: gauges(
                "ipv4_addresses_in_use_total",
                "Number of IPv4 addresses in use, per pool",
            )?,
            addresses_v6: gauges(
                "ipv6_addresses_total",
                "Number of usable IPv6 addresses, per pool",
            )?,
            in_use_v6: gauges(
                "ipv6_addresses_in_use_total",
                "Number of IPv6 addresses in use, per pool",
            )?,
            known: Arc::default(),
        })
    }

    fn show(&self, usage: &BTreeMap<PoolName, Usage>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for PoolName(gone) in known.iter().filter(|pool| !usage.contains_key(pool)) {
            for gauges in self.all() {
                // It is an error only if there is no such series, which is what is wanted.
                let _ = gauges.remove_label_values(&[gone]);
            }
        }
        for (PoolName(pool), Usage { v4, v6 }) in usage {
            let values = [
                v4.capacity.saturating_add(v6.capacity),
                v4.used.saturating_add(v6.used),
                v4.capacity,
                v4.used,
                v6.capacity,
                v6.used,
            ];
            for (gauges, value) in self.all().into_iter().zip(values) {
                gauges.with_label_values(&[pool]).set(value as f64);
            }
        }
        *known = usage.keys().cloned().collect();
    }

    fn all(&self) -> [&GaugeVec; 6] {
        let Self { addresses, in_use, addresses_v4, in_use_v4, addresses_v6, in_use_v6, .. } = self;
        [addresses, in_use, addresses_v4, in_use_v4, addresses_v6, in_use_v6]
    }
}

/// What a speaker counts.
#[derive(Clone, Debug)]
pub struct Speaker {
    process: Process,
    ignored: IntCounterVec,
    send_errors: IntCounterVec,
    unfit: IntGaugeVec,
    data_plane: IntGaugeVec,
    mesh: Mesh,
    bfd: bfd::Bfd,
}

/// How an address is announced.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// By ARP or NDP.
    Layer2,
    /// To routers.
    Bgp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Layer2 => "layer2",
            Self::Bgp => "bgp",
        })
    }
}

/// What was seen or sent on the LAN for an address that this node holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layer2 {
    /// Somebody asked for it.
    RequestReceived,
    /// It was answered.
    ResponseSent,
    /// It was announced without being asked for.
    GratuitousSent,
}

impl Speaker {
    /// Metrics of the speaker on `node` that nothing was counted in yet.
    ///
    /// # Errors
    ///
    /// Two metrics have the same name: a defect of ours.
    pub fn new(node: NodeName) -> prometheus::Result<Self> {
        let process = Process::new(Addresses::on(node))?;
        let registry = &process.registry;
        let unfit = gauges(
            "ferrolb_layer2_unfit_addresses",
            "Addresses that this node is a candidate for and cannot answer for, by reason.",
            &["reason"],
        )?;
        let data_plane = gauges(
            "ferrolb_data_plane_state",
            "1 for the state in which this node's kube-proxy is, as far as it is known.",
            &["state"],
        )?;
        let by = |name: &str, help: &str, label: &str| {
            added(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)
        };
        Ok(Self {
            ignored: by(
                "ferrolb_layer2_ignored_frames_total",
                "Frames of ARP and NDP that were received and led to nothing, by reason.",
                "reason",
            )?,
            send_errors: by(
                "ferrolb_layer2_send_errors_total",
                "Frames of ARP and NDP that could not be sent, by interface.",
                "interface",
            )?,
            unfit: added(registry, unfit)?,
            data_plane: added(registry, data_plane)?,
            mesh: Mesh::new(registry)?,
            bfd: bfd::Bfd::new(registry)?,
            process,
        })
    }

    /// What every process counts, and the page.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Shows these sessions with routers too.
    ///
    /// # Errors
    ///
    /// Sessions are shown already.
    pub fn sessions(&self, sessions: Arc<Sessions>) -> prometheus::Result<()> {
        self.process.registry.register(Box::new(bgp::Bgp::new(sessions)?))
    }

    /// Shows why this node cannot answer for addresses that it is a candidate for.
    pub fn unfit(&self, reasons: impl IntoIterator<Item = Unfit>) {
        let mut counts: BTreeMap<_, i64> = Unfit::ALL.map(|why| (why, 0)).into();
        for why in reasons {
            *counts.entry(why).or_default() += 1;
        }
        for (why, count) in counts {
            self.unfit.with_label_values(&[why.label()]).set(count);
        }
    }

    /// Shows whether this node forwards.
    pub fn data_plane(&self, verdict: Verdict) {
        for other in Verdict::ALL {
            let is_so = i64::from(other == verdict);
            self.data_plane.with_label_values(&[other.label()]).set(is_so);
        }
    }

    /// What is heard and decided among speakers.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Shows what this node announces of a Service now, which may be nothing.
    pub fn announced(&self, service: &ServiceName, now: BTreeSet<(Protocol, IpAddr)>) {
        self.process.addresses.announced(service, now);
    }

    /// Counts `packets` for an address that this node holds. What was counted stays, as in MetalLB:
    /// addresses come back, and there are no more than pools have.
    pub fn layer2(&self, ip: IpAddr, what: Layer2, packets: u64) {
        self.process.addresses.count(ip, what, packets);
    }

    /// Counts frames that were received and led to nothing.
    pub fn ignored(&self, cause: Ignored, frames: u64) {
        self.ignored.with_label_values(&[cause.label()]).inc_by(frames);
    }

    /// Shows how a BFD session is, and counts what it did since `before`.
    pub fn bfd(&self, path: &Path, state: State, before: Counters, now: Counters) {
        self.bfd.show(path, state, before, now);
    }

    /// A BFD session is no more, and its series with it.
    pub fn bfd_gone(&self, path: &Path) {
        self.bfd.forget(path);
    }

    /// Counts a BFD packet that led to nothing.
    pub fn bfd_ignored(&self, cause: proto::bfd::Ignored) {
        self.bfd.ignored(cause);
    }

    /// Counts a frame that could not be sent.
    pub fn send_error(&self, interface: &str) {
        self.send_errors.with_label_values(&[interface]).inc();
    }
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), labels)
}

/// Adds a metric to those that are shown.
fn added<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> prometheus::Result<T> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use planner::usage::Count;
    use proto::mesh::ownership::Why;
    use proto::mesh::seal::Refused;

    use super::*;
    use crate::speaker::mesh::Punctuality;

    /// The lines of the page that are about one family, without comments.
    fn series(process: &Process, family: &str) -> Vec<String> {
        let page = process.render();
        page.lines().filter(|line| line.starts_with(family)).map(str::to_owned).collect()
    }

    fn usage(v4: (u128, u128), v6: (u128, u128)) -> Usage {
        let count = |(capacity, used)| Count { capacity, used, ..Count::default() };
        Usage { v4: count(v4), v6: count(v6) }
    }

    #[test]
    fn a_pool_has_its_series_until_it_is_gone() {
        let metrics = Controller::new().unwrap();
        let name = PoolName("main".to_owned());
        metrics.pools(&[(name, usage((256, 3), (1 << 64, 1)))].into());
        assert_eq!(
            series(metrics.process(), "metallb_allocator_"),
            [
                "metallb_allocator_addresses_in_use_total{pool=\"main\"} 4",
                "metallb_allocator_addresses_total{pool=\"main\"} 18446744073709552000",
                "metallb_allocator_ipv4_addresses_in_use_total{pool=\"main\"} 3",
                "metallb_allocator_ipv4_addresses_total{pool=\"main\"} 256",
                "metallb_allocator_ipv6_addresses_in_use_total{pool=\"main\"} 1",
                "metallb_allocator_ipv6_addresses_total{pool=\"main\"} 18446744073709552000",
            ]
        );
        metrics.pools(&BTreeMap::new());
        assert_eq!(series(metrics.process(), "metallb_allocator_"), [""; 0]);
    }

    type Now<'a> = &'a [(Protocol, IpAddr)];

    #[test]
    fn a_service_has_series_only_for_what_is_announced_now() {
        let metrics = Speaker::new(NodeName("n1".to_owned())).unwrap();
        let web = ServiceName::new("default", "web");
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        let rows: [(&str, Now<'_>, &[&str]); 4] = [
            ("one", &[(Protocol::Layer2, one)], &["layer2\"}192.0.2.1"]),
            (
                "another protocol too",
                &[(Protocol::Bgp, one), (Protocol::Layer2, one)],
                &["layer2\"}192.0.2.1", "bgp\"}192.0.2.1"],
            ),
            ("another address", &[(Protocol::Layer2, two)], &["layer2\"}192.0.2.2"]),
            ("none", &[], &[]),
        ];
        for (name, now, lines) in rows {
            metrics.announced(&web, now.iter().copied().collect());
            let lines: Vec<_> = lines
                .iter()
                .map(|line| {
                    let (protocol, ip) = line.split_once("\"}").unwrap();
                    format!(
                        "metallb_speaker_announced{{ip=\"{ip}\",node=\"n1\",\
                         protocol=\"{protocol}\",service=\"default/web\"}} 1"
                    )
                })
                .collect();
            assert_eq!(series(metrics.process(), "metallb_speaker_announced"), lines, "{name}");
        }
    }

    #[test]
    fn packets_are_counted_by_address_without_a_suffix() {
        let metrics = Speaker::new(NodeName("n1".to_owned())).unwrap();
        let ip = "192.0.2.1".parse().unwrap();
        metrics.layer2(ip, Layer2::RequestReceived, 2);
        metrics.layer2(ip, Layer2::ResponseSent, 1);
        metrics.layer2(ip, Layer2::GratuitousSent, 3);
        assert_eq!(
            series(metrics.process(), "metallb_layer2_"),
            [
                "metallb_layer2_gratuitous_sent{ip=\"192.0.2.1\"} 3",
                "metallb_layer2_requests_received{ip=\"192.0.2.1\"} 2",
                "metallb_layer2_responses_sent{ip=\"192.0.2.1\"} 1",
            ]
        );
    }

    #[test]
    fn the_mesh_says_who_is_heard_and_what_is_not_let_in() {
        let metrics = Speaker::new(NodeName("n1".to_owned())).unwrap();
        metrics.mesh().keys(2);
        metrics.mesh().peers_heard(3);
        metrics.mesh().punctuality(Punctuality::RealTime);
        metrics.mesh().refused(Refused::Forged);
        metrics.mesh().claimed(Why::HolderSilent, Some(Duration::from_millis(140)));
        metrics.mesh().claimed(Why::NeverHeld, None);
        let lines = series(metrics.process(), "ferrolb_mesh_");
        let refused = series(metrics.process(), "ferrolb_mesh_datagrams_refused_total");
        assert_eq!(refused.len(), Refused::ALL.len(), "each reason from the start: {lines:#?}");
        for line in [
            "ferrolb_mesh_datagrams_refused_total{reason=\"forged\"} 1",
            "ferrolb_mesh_datagrams_refused_total{reason=\"stale\"} 0",
            "ferrolb_mesh_claims_total{cause=\"holder_silent\"} 1",
            "ferrolb_mesh_claims_total{cause=\"never_held\"} 1",
            "ferrolb_mesh_detection_seconds_count 1",
            "ferrolb_mesh_detection_seconds_bucket{le=\"0.15\"} 1",
            "ferrolb_mesh_keys 2",
            "ferrolb_mesh_peers_heard 3",
            "ferrolb_mesh_real_time 1",
        ] {
            assert!(lines.iter().any(|one| one == line), "{line} is not in {lines:#?}");
        }
    }

    #[test]
    fn settings_that_were_in_force_once_stay_loaded_when_they_are_stale() {
        let metrics = Controller::new().unwrap();
        let process = metrics.process();
        let values = |process: &Process| -> Vec<String> {
            let lines = series(process, "metallb_k8s_client_config_");
            lines.iter().filter_map(|line| line.split(' ').nth(1).map(str::to_owned)).collect()
        };
        assert_eq!(values(process), ["0", "0"]);
        process.config(Config::Current);
        assert_eq!(values(process), ["1", "0"]);
        process.config(Config::Stale);
        assert_eq!(values(process), ["1", "1"]);
        process.config(Config::Current);
        assert_eq!(values(process), ["1", "0"]);
    }

    #[test]
    fn failed_updates_count_as_updates_too() {
        let metrics = Controller::new().unwrap();
        metrics.process().update(Update::Taken);
        metrics.process().update(Update::Failed);
        assert_eq!(
            series(metrics.process(), "metallb_k8s_client_update"),
            ["metallb_k8s_client_update_errors_total 1", "metallb_k8s_client_updates_total 2"]
        );
    }
}
