//! The loop: what the watches see goes to the desk, what the desk wants is written.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use planner::converge::News;
use planner::names::{PoolName, ServiceName};
use proto::time::earliest;
use tokio::sync::{mpsc, watch};
use tokio::time;

use super::census::Census;
use super::desk::Desk;
use super::leadership::Permit;
use super::shelf::Freshness;
use crate::api::IPAddressPool;
use crate::k8s::client::WRITE_TIMEOUT;
use crate::k8s::configuration_state::{Component, Report, Reporter};
use crate::k8s::events::{EventType, Recorder};
use crate::k8s::own_pod::own_pod;
use crate::k8s::pool_status::PoolStatuses;
use crate::k8s::reference::Reference;
use crate::k8s::retry::{Backoff, chance};
use crate::k8s::service_status;
use crate::metrics::{self, Config, Role, Update};
use crate::net::clock::Clock;
use crate::parse::live::Live;
use crate::parse::{Problem, Warning};
use crate::rivals::{self, Me};
use crate::source::kube::{Scope, Seen, StatusObject};
use crate::source::object::{Object, ObjectName};
use crate::told::Told;

/// How many Services are written at once.
const WRITES: usize = 64;

/// How much of what was seen is taken in before a decision.
const BATCH: usize = 4096;

/// After which time the Services are counted again if not all of them have been seen: one may have
/// gone meanwhile.
const COUNT_AGAIN: Duration = Duration::from_secs(1);

/// The loop, and what it knows.
pub(super) struct Office {
    client: Client,
    permit: Permit,
    recorder: Recorder,
    clock: Clock,
    live: Live,
    desk: Desk,
    pools: PoolStatuses,
    stage: Stage,
    /// How often Services were counted.
    counts: u64,
    /// A MetalLB beside us, once that is known.
    rivals: Option<rivals::Known>,
    warning: rivals::Warning,
    backoff: Backoff<ServiceName>,
    /// Services whose addresses somebody else takes away again.
    undone: Backoff<ServiceName>,
    /// What is told about Services once they are written.
    untold: BTreeMap<ServiceName, Vec<News>>,
    requests: FuturesUnordered<BoxFuture<'static, Answer>>,
    problems: Told,
    warnings: Told,
    /// What Services have been told.
    complaints: Told<Problem>,
    metrics: metrics::Controller,
    /// Where this process runs.
    me: Me,
    /// Says what is wrong with the pools, while this controller decides.
    reporter: Option<Reporter>,
}

/// What the office works with.
pub(super) struct Means {
    pub(super) client: Client,
    pub(super) permit: Permit,
    pub(super) recorder: Recorder,
    pub(super) clock: Clock,
    pub(super) metrics: metrics::Controller,
}

/// How far this controller is on its way to decide.
#[derive(Debug)]
enum Stage {
    /// Another one does.
    Following,
    /// It is its turn, in this term, and a controller of MetalLB that still runs has to go first.
    WaitingForMetalLb(u64),
    /// It is its turn, in this term, and Services are being counted.
    Counting(u64),
    /// They are counted, and not all have been seen.
    CatchingUp(u64, Census),
    /// It does, in this term.
    Leading(u64),
}

/// The answer to a request.
enum Answer {
    Service(ServiceName, Result<Box<core::Service>, Failure>),
    Pool(Result<Box<IPAddressPool>, Failure>),
    /// The Services, by the number of the count.
    Counted(u64, kube::Result<Census>),
}

/// Why a write was not carried out, as far as is known.
enum Failure {
    /// The lease was lost meanwhile.
    NotInCharge,
    /// There was no answer in time.
    NoAnswer,
    /// The API server refused it.
    Refused(Error),
}

impl Office {
    /// For the Services that `me` serves, from what `scope` follows.
    pub(super) fn new(me: Me, scope: &Scope, means: Means) -> Self {
        let Means { client, permit, recorder, clock, metrics } = means;
        Self {
            client,
            permit,
            recorder,
            clock,
            live: Live::new(&me.class, scope),
            desk: Desk::default(),
            pools: PoolStatuses::default(),
            stage: Stage::Following,
            counts: 0,
            rivals: None,
            backoff: Backoff::default(),
            undone: Backoff::default(),
            untold: BTreeMap::new(),
            requests: FuturesUnordered::new(),
            problems: Told::default(),
            warnings: Told::default(),
            complaints: Told::default(),
            metrics,
            warning: rivals::Warning::new(me.clone()),
            me,
            reporter: None,
        }
    }

    /// Runs until the watches end. Says when everything has been seen once.
    pub(super) async fn run(
        mut self,
        mut seen: mpsc::Receiver<Seen>,
        mut rivals: watch::Receiver<Option<rivals::Known>>,
        ready: watch::Sender<bool>,
    ) {
        let (mut batch, mut permit) = (Vec::new(), self.permit.clone());
        loop {
            self.stage();
            self.decide();
            self.write();
            let pause = self.pause();
            tokio::select! {
                count = seen.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    self.take(mem::take(&mut batch));
                    ready.send_if_modified(|is_ready| {
                        let is_news = *is_ready != self.live.is_synced();
                        *is_ready = self.live.is_synced();
                        is_news
                    });
                }
                Some(answer) = self.requests.next(), if !self.requests.is_empty() => {
                    self.answered(answer);
                }
                Ok(()) = rivals.changed() => self.give_way(rivals.borrow_and_update().clone()),
                () = permit.changed() => {}
                () = time::sleep(pause) => {}
            }
        }
    }

    fn take(&mut self, batch: Vec<Seen>) {
        for seen in batch {
            match &seen {
                Seen::Service(name, service) => self.see(name.clone(), service.clone()),
                Seen::Put(Object::IPAddressPool(pool)) => {
                    let name = PoolName(pool.metadata.name.clone().unwrap_or_default());
                    self.pools.see(name, Some(pool.clone()));
                    self.live.take(&seen);
                }
                Seen::Gone(name) if name.kind == "IPAddressPool" => {
                    self.pools.see(PoolName(name.name.clone()), None);
                    self.live.take(&seen);
                }
                Seen::Unavailable(kind, cause) => {
                    tracing::warn!(%kind, "nothing is changed because of it: {cause}");
                    self.live.take(&seen);
                }
                Seen::Status(object) => {
                    if let (StatusObject::Gone(_), Some(reporter)) = (&**object, &self.reporter) {
                        reporter.is_gone();
                    }
                }
                Seen::Put(_)
                | Seen::Gone(_)
                | Seen::Misfit(..)
                | Seen::Slice { .. }
                | Seen::SpeakerPod { .. }
                | Seen::Synced(_) => self.live.take(&seen),
            }
        }
        self.understand();
    }

    fn see(&mut self, name: ServiceName, service: Option<Arc<core::Service>>) {
        let is_leading = matches!(self.stage, Stage::Leading(_));
        let is_undone = |it: &core::Service| is_leading && self.desk.is_undone(&name, it);
        let is_undone = service.as_deref().is_some_and(is_undone);
        if self.desk.see(&name, service.as_deref()) == Freshness::Stale {
            return;
        }
        if is_undone {
            self.undone.failed(&name, self.clock.now(), chance());
        }
        if service.is_none() {
            self.backoff.succeeded(&name);
            self.undone.succeeded(&name);
            self.untold.remove(&name);
            if let Stage::CatchingUp(_, census) = &mut self.stage {
                census.forget(&name);
            }
        }
        self.live.take(&Seen::Service(name, service));
    }

    /// Hands on what has another meaning now.
    fn understand(&mut self) {
        for change in self.live.changes() {
            self.desk.change(change);
        }
        for text in self.problems.news(self.live.problems().map(Problem::to_string)) {
            tracing::error!("{text}");
        }
        for text in self.warnings.news(self.live.warnings().map(Warning::to_string)) {
            tracing::warn!("{text}");
        }
        self.complain();
        if self.live.is_synced() {
            let is_stale = self.live.problems_of_settings().next().is_some();
            let config = if is_stale { Config::Stale } else { Config::Current };
            self.metrics.process().config(config);
            self.report();
        }
    }

    /// Says what is wrong with the pools, to whoever looks.
    fn report(&self) {
        if let Some(reporter) = &self.reporter {
            reporter.report(Report::of(self.live.problems_of_settings()));
        }
    }

    fn start_reporting(&mut self) {
        let Me { namespace, pod, .. } = self.me.clone();
        let at = (self.client.clone(), namespace);
        let (client, namespace) = at.clone();
        let owner = async move { own_pod(&client, &namespace, &pod).await };
        self.reporter = Some(Reporter::start(at, Component::Controller, owner));
        self.report();
    }

    /// Tells Services what is wrong with them. That is for the one who decides, and it tells what
    /// was wrong before its turn came, too.
    fn complain(&mut self) {
        if !matches!(self.stage, Stage::Leading(_)) {
            return;
        }
        let findings = self.live.problems().chain(self.live.warnings());
        let findings = findings.filter(|finding| finding.object.kind == "Service").cloned();
        for finding in self.complaints.news(findings) {
            let message = words(&finding);
            let ObjectName { namespace, name, .. } = finding.object;
            let name = ServiceName::new(namespace.unwrap_or_default(), name);
            let about = Reference::service(&name, self.desk.uid(&name));
            self.recorder.tell(&about, EventType::Warning, "LoadBalancerFailed", message);
        }
    }

    /// Takes in who else gives addresses.
    fn give_way(&mut self, rivals: Option<rivals::Known>) {
        if let Some(known) = &rivals {
            self.warning.tell(known, &self.recorder);
            self.metrics.process().rivals(known.rivals.len());
            self.rivals = rivals;
        }
    }

    /// Starts or stops to decide.
    fn stage(&mut self) {
        let known = self.rivals.as_ref().filter(|_| self.live.is_synced());
        let turn = self.permit.term().zip(known.map(|known| known.rivals.is_empty()));
        let is_in_stage = match (&self.stage, turn) {
            (Stage::Following, turn) => turn.is_none(),
            (Stage::WaitingForMetalLb(now), turn) => turn == Some((*now, false)),
            (Stage::Counting(now) | Stage::CatchingUp(now, _) | Stage::Leading(now), turn) => {
                turn == Some((*now, true))
            }
        };
        if !is_in_stage {
            if matches!(self.stage, Stage::Leading(_)) {
                match turn {
                    None => tracing::info!("another controller decides from now on"),
                    Some(_) => tracing::info!("this controller gives way to MetalLB's"),
                }
                self.metrics.role(Role::Follower);
                self.reporter = None;
            }
            self.desk.follow();
            self.untold.clear();
            self.complaints = Told::default();
            self.stage = match turn {
                None => Stage::Following,
                Some((term, false)) => Stage::WaitingForMetalLb(term),
                // After that, too: what MetalLB gave last may not have been seen yet.
                Some((term, true)) => self.count(term, Duration::ZERO),
            };
        }
        if let Stage::CatchingUp(term, census) = &mut self.stage
            && census.is_seen_by(&self.desk)
        {
            tracing::info!("this controller decides from now on");
            self.metrics.role(Role::Leader);
            self.stage = Stage::Leading(*term);
            self.start_reporting();
            self.desk.lead();
            self.complain();
        }
    }

    fn count(&mut self, term: u64, pause: Duration) -> Stage {
        let client = self.client.clone();
        self.counts += 1;
        let count = self.counts;
        self.requests.push(Box::pin(async move {
            time::sleep(pause).await;
            let census = time::timeout(WRITE_TIMEOUT, Census::take(client)).await;
            Answer::Counted(
                count,
                census.unwrap_or_else(|_| {
                    Err(Error::ReadEvents(std::io::ErrorKind::TimedOut.into()))
                }),
            )
        }));
        Stage::Counting(term)
    }

    fn decide(&mut self) {
        if !matches!(self.stage, Stage::Leading(_)) || !self.desk.is_due() {
            return;
        }
        let begin = self.clock.now();
        let decided = self.desk.decide();
        self.metrics.process().decided(self.clock.now() - begin);
        for (name, news) in decided {
            tracing::info!("{name}: {news}");
            match self.desk.is_wrong(&name) {
                true => self.untold.entry(name).or_default().push(news),
                false => tell(&self.recorder, &name, self.desk.uid(&name), &news),
            }
        }
        let usage = self.desk.usage();
        self.metrics.pools(&usage);
        self.pools.want(&usage);
    }

    /// Starts as many writes as may be under way.
    fn write(&mut self) {
        if self.permit.term().is_none() || !matches!(self.stage, Stage::Leading(_)) {
            return;
        }
        let now = self.clock.now();
        let free = WRITES.saturating_sub(self.requests.len());
        if free > 0 {
            let backoffs = [&self.backoff, &self.undone];
            let is_waiting =
                |name: &ServiceName| backoffs.iter().any(|backoff| backoff.is_waiting(name, now));
            let ready = self.desk.ready().filter(|name| !is_waiting(name));
            for name in ready.take(free).cloned().collect::<Vec<_>>() {
                let Some(write) = self.desk.begin(&name) else { continue };
                let write = write_service(self.client.clone(), self.permit.clone(), name, write);
                self.requests.push(Box::pin(write));
            }
        }
        if let Some(pool) = self.pools.next(now) {
            self.requests.push(Box::pin(write_pool(
                self.client.clone(),
                self.permit.clone(),
                pool,
            )));
        }
    }

    /// How long there is nothing to do if nothing happens.
    fn pause(&self) -> Duration {
        let now = self.clock.now();
        let retry = earliest([self.backoff.deadline(now), self.undone.deadline(now)]);
        let deadline = earliest([retry, self.pools.deadline()]);
        self.clock.until(deadline).unwrap_or(Duration::from_secs(60))
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Service(name, Ok(service)) => self.service_written(name, *service),
            Answer::Service(name, Err(failure)) => {
                self.desk.written(&name, None);
                self.service_failed(&name, &failure);
            }
            Answer::Pool(pool) => {
                if let Err(Failure::Refused(error)) = &pool {
                    tracing::debug!("the status of a pool is not written: {error}");
                }
                self.pools.written(pool.ok().map(|pool| *pool));
            }
            Answer::Counted(count, census) => {
                let Stage::Counting(term) = self.stage else { return };
                if count == self.counts {
                    self.stage = self.counted(term, census);
                }
            }
        }
    }

    fn counted(&mut self, term: u64, census: kube::Result<Census>) -> Stage {
        match census {
            Ok(census) => Stage::CatchingUp(term, census),
            Err(error) => {
                tracing::warn!("cannot list Services yet: {error}");
                self.count(term, COUNT_AGAIN)
            }
        }
    }

    fn service_written(&mut self, name: ServiceName, mut service: core::Service) {
        self.metrics.process().update(Update::Taken);
        service.metadata.managed_fields = None;
        self.backoff.succeeded(&name);
        let about = Reference::from(&service);
        for key in service_status::deprecated(&service) {
            let message = format!("Service uses deprecated annotation {key}");
            self.recorder.tell(&about, EventType::Warning, "deprecatedAnnotation", message);
        }
        for news in self.untold.remove(&name).unwrap_or_default() {
            tell(&self.recorder, &name, self.desk.uid(&name), &news);
        }
        if self.desk.written(&name, Some(&service)) == Freshness::New {
            self.live.take(&Seen::Service(name, Some(Arc::new(service))));
            self.understand();
        }
    }

    fn service_failed(&mut self, name: &ServiceName, failure: &Failure) {
        self.metrics.process().update(Update::Failed);
        let now = self.clock.now();
        match failure {
            Failure::Refused(Error::Api(status)) if status.code == 409 => {
                self.backoff.outrun(name, now, chance());
            }
            Failure::NotInCharge | Failure::NoAnswer | Failure::Refused(_) => {
                self.backoff.failed(name, now, chance());
            }
        }
        match failure {
            Failure::NotInCharge => (),
            Failure::NoAnswer => tracing::warn!("{name}: no answer to the write of its status"),
            Failure::Refused(Error::Api(status)) if matches!(status.code, 404 | 409) => {
                // The watch shows the Service as it is now.
                tracing::debug!("{name}: has changed while its status was written");
            }
            Failure::Refused(error) => {
                tracing::warn!("{name}: its status is not written, and tried again: {error}");
            }
        }
    }
}

/// How an Event says what is wrong.
fn words(Problem { field, message, .. }: &Problem) -> String {
    match field.as_str() {
        "" => message.clone(),
        // MetalLB's words for it.
        field if field.contains("loadBalancerIP") => {
            format!("invalid requested loadbalancer IPs: {field}: {message}")
        }
        field => format!("{field}: {message}"),
    }
}

fn tell(recorder: &Recorder, name: &ServiceName, uid: &str, news: &News) {
    let event_type = if news.is_warning() { EventType::Warning } else { EventType::Normal };
    let about = Reference::service(name, uid);
    recorder.tell(&about, event_type, news.label(), news.to_string());
}

async fn write_service(
    client: Client,
    permit: Permit,
    name: ServiceName,
    service: core::Service,
) -> Answer {
    let services: Api<core::Service> = Api::namespaced(client, &name.namespace);
    let params = PostParams::default();
    let written = services.replace_status(&name.name, &params, &service);
    let answer = send(&permit, written).await;
    Answer::Service(name, answer.map(Box::new))
}

async fn write_pool(client: Client, permit: Permit, pool: IPAddressPool) -> Answer {
    let namespace = pool.metadata.namespace.clone().unwrap_or_default();
    let name = pool.metadata.name.clone().unwrap_or_default();
    let pools: Api<IPAddressPool> = Api::namespaced(client, &namespace);
    let params = PostParams::default();
    Answer::Pool(send(&permit, pools.replace_status(&name, &params, &pool)).await.map(Box::new))
}

/// Writes if this process is still in charge at this very moment.
async fn send<T>(
    permit: &Permit,
    write: impl Future<Output = kube::Result<T>>,
) -> Result<T, Failure> {
    if permit.term().is_none() {
        return Err(Failure::NotInCharge);
    }
    match time::timeout(WRITE_TIMEOUT, write).await {
        Ok(answer) => answer.map_err(Failure::Refused),
        Err(_) => Err(Failure::NoAnswer),
    }
}
