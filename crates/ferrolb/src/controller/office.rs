//! The loop: what the watches see goes to the desk, what the desk wants is written.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use k8s_openapi::api::core::v1 as core;
use kube::{Client, Error};
use planner::converge::News;
use planner::names::{PoolName, ServiceName};
use proto::time::earliest;
use tokio::sync::{mpsc, watch};
use tokio::time;

use super::attempts::{Attempts, Step};
use super::census::Census;
use super::desk::{Desk, Orphans};
use super::last_pool::LastPool;
use super::leadership::Permit;
use super::requests::{Answer, Failure, count_services, look_at, write_pool, write_service};
use super::shelf::Freshness;
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
use crate::source::kube::{Kind, Scope, Seen, StatusObject};
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
    last_pool: LastPool,
    stage: Stage,
    /// How often Services were counted.
    counts: u64,
    /// A MetalLB beside us, once that is known.
    rivals: Option<rivals::Known>,
    warning: rivals::Warning,
    attempts: Attempts,
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
            last_pool: LastPool::default(),
            stage: Stage::Following,
            counts: 0,
            rivals: None,
            attempts: Attempts::default(),
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
                    self.last_pool.see(name.clone());
                    self.pools.see(name, Some(pool.clone()));
                    self.live.take(&seen);
                }
                Seen::Gone(name) if name.kind == "IPAddressPool" => {
                    let pool = PoolName(name.name.clone());
                    self.last_pool.gone(&pool, self.clock.now());
                    self.pools.see(pool, None);
                    self.live.take(&seen);
                }
                Seen::Unavailable(kind, cause) => {
                    tracing::warn!(%kind, "nothing is changed because of it: {cause}");
                    if *kind == Kind::IPAddressPool {
                        self.last_pool.unknown();
                    }
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
            self.attempts.ended(&name);
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
            let ObjectName { namespace, name, .. } = finding.object.clone();
            let name = ServiceName::new(namespace.unwrap_or_default(), name);
            let about = Reference::service(&name, self.desk.uid(&name));
            self.recorder.tell(&about, EventType::Warning, label(&finding.field), message);
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
        self.counts += 1;
        let count = count_services(self.client.clone(), self.counts, pause);
        self.requests.push(Box::pin(count));
        Stage::Counting(term)
    }

    fn decide(&mut self) {
        let begin = self.clock.now();
        self.desk.without_pools(match self.last_pool.is_given_up(begin) {
            true => Orphans::Clear,
            false => Orphans::Leave,
        });
        if !matches!(self.stage, Stage::Leading(_)) || !self.desk.is_due() {
            return;
        }
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
            let step = |name: &ServiceName| match self.undone.is_waiting(name, now) {
                true => Step::Wait,
                false => self.attempts.step(name, now),
            };
            let ready = self.desk.ready().map(|name| (name, step(name)));
            let ready = ready.filter(|(_, step)| *step != Step::Wait).take(free);
            for (name, step) in ready.map(|(name, step)| (name.clone(), step)).collect::<Vec<_>>() {
                self.start(name, step);
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

    /// Starts what is to be done for a Service.
    fn start(&mut self, name: ServiceName, step: Step) {
        let client = self.client.clone();
        match step {
            Step::Wait => (),
            Step::Look => {
                self.attempts.looking(&name);
                self.requests.push(Box::pin(look_at(client, name)));
            }
            Step::Write => {
                let Some(service) = self.desk.begin(&name) else { return };
                let way = self.attempts.way(&name);
                let write = write_service(client, self.permit.clone(), name, service, way);
                self.requests.push(Box::pin(write));
            }
        }
    }

    /// How long there is nothing to do if nothing happens.
    fn pause(&self) -> Duration {
        let now = self.clock.now();
        let retry = earliest([self.attempts.deadline(now), self.undone.deadline(now)]);
        let own = earliest([self.pools.deadline(), self.last_pool.deadline(now)]);
        let deadline = earliest([retry, own]);
        self.clock.until(deadline).unwrap_or(Duration::from_secs(60))
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Service(name, Ok(service)) => self.service_written(name, *service),
            Answer::Service(name, Err(failure)) => {
                self.desk.written(&name, None);
                self.service_failed(&name, &failure);
            }
            Answer::Looked(name, Ok(service)) => self.service_looked_at(name, *service),
            Answer::Looked(name, Err(error)) => {
                tracing::debug!("{name}: cannot be read, and is tried again: {error}");
                self.attempts.failed(&name, self.clock.now(), chance());
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
        self.attempts.ended(&name);
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

    /// Takes in a Service that was read because somebody else writes it. One that was made anew by
    /// the same name meanwhile is left to the watch, which shows that the other is gone.
    fn service_looked_at(&mut self, name: ServiceName, mut service: core::Service) {
        self.attempts.looked(&name);
        service.metadata.managed_fields = None;
        if self.desk.is_same(&name, &service) {
            self.see(name, Some(Arc::new(service)));
            self.understand();
        }
    }

    fn service_failed(&mut self, name: &ServiceName, failure: &Failure) {
        self.metrics.process().update(Update::Failed);
        let now = self.clock.now();
        match failure.is_conflict() {
            true => self.attempts.lost(name, now, chance()),
            false => self.attempts.failed(name, now, chance()),
        }
        match failure {
            Failure::NotInCharge => (),
            Failure::NoAnswer => tracing::warn!("{name}: no answer to the write of its status"),
            Failure::Refused(Error::Api(status)) if matches!(status.code, 404 | 409) => {
                tracing::debug!("{name}: has changed while its status was written");
            }
            Failure::Refused(error) => {
                tracing::warn!("{name}: its status is not written, and tried again: {error}");
            }
        }
    }
}

/// The reason of an Event about what is wrong with a field of a Service, by MetalLB's words.
fn label(field: &str) -> &'static str {
    if field == "spec.clusterIPs" { "not enough clusterips" } else { "LoadBalancerFailed" }
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
