//! Events: what is told to whoever looks at an object with `kubectl describe`.
//!
//! Telling never waits and never fails: what the API server does not take is dropped, at last.

mod correlator;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time;

use self::correlator::{Correlator, Written};
use super::client::WRITE_TIMEOUT;
use super::reference::Reference;
use super::retry::{Backoff, chance};
use crate::net::clock::{Clock, wall_micros};

/// How many Events may wait to be written; what is told beyond that is lost.
const QUEUE: usize = 16_384;

/// How often it is tried to write one.
const ATTEMPTS: usize = 5;

/// Whether an Event is good news.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EventType {
    /// It is.
    Normal,
    /// It is not.
    Warning,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Where Events are told.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Told>,
}

/// An Event before it is known how it is written.
#[derive(Clone, Debug)]
struct Told {
    about: Reference,
    event_type: EventType,
    reason: &'static str,
    message: String,
}

impl Recorder {
    /// Starts a task that writes Events of `component`, one at a time, until all clones are gone.
    pub fn start(client: Client, component: &'static str) -> Self {
        let (queue, told) = mpsc::channel(QUEUE);
        let correlator = Correlator::default();
        let writer = Writer { client, component, correlator, backoff: Backoff::default() };
        tokio::spawn(writer.run(told));
        Self { queue }
    }

    /// Tells something about an object.
    pub fn tell(
        &self,
        about: &Reference,
        event_type: EventType,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        let told = Told { about: about.clone(), event_type, reason, message: message.into() };
        if let Err(error) = self.queue.try_send(told) {
            tracing::debug!(object = about.name, "an Event is lost: {error}");
        }
    }
}

struct Writer {
    client: Client,
    component: &'static str,
    correlator: Correlator,
    backoff: Backoff<()>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Told>) {
        let clock = Clock::start();
        while let Some(told) = queue.recv().await {
            let Some(written) = self.correlator.take(clock.now(), &told, wall_micros()) else {
                continue;
            };
            for _ in 0..ATTEMPTS {
                let write = self.write(&told, &written);
                let answer = time::timeout(WRITE_TIMEOUT, write).await;
                match answer {
                    Ok(Ok(())) => {
                        self.backoff.succeeded(&());
                        break;
                    }
                    // What is refused now is refused again: its namespace is being deleted, say.
                    Ok(Err(Error::Api(status))) if (400..429).contains(&status.code) => {
                        let about = &told.about.name;
                        tracing::debug!(object = about, "an Event is refused: {}", status.message);
                        break;
                    }
                    Ok(Err(_)) | Err(_) => self.pause(clock).await,
                }
            }
        }
    }

    async fn pause(&mut self, clock: Clock) {
        let now = clock.now();
        self.backoff.failed(&(), now, chance());
        let pause = clock.until(self.backoff.deadline(now)).unwrap_or(Duration::ZERO);
        time::sleep(pause).await;
    }

    async fn write(&self, told: &Told, written: &Written) -> kube::Result<()> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace(told));
        if written.count > 1 {
            let again = json!({
                "count": written.count,
                "lastTimestamp": time_of(written.last),
                "message": written.message,
            });
            let (name, params) = (&written.name, PatchParams::default());
            match events.patch(name, &params, &Patch::Merge(again)).await {
                Err(Error::Api(status)) if status.code == 404 => (),
                answer => return answer.map(|_| ()),
            }
        }
        let event = self.event(told, written);
        events.create(&PostParams::default(), &event).await.map(|_| ())
    }

    fn event(&self, told: &Told, written: &Written) -> Event {
        Event {
            metadata: ObjectMeta {
                name: Some(written.name.clone()),
                namespace: Some(namespace(told).to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: (&told.about).into(),
            type_: Some(told.event_type.as_str().to_owned()),
            reason: Some(told.reason.to_owned()),
            message: Some(written.message.clone()),
            count: Some(written.count),
            first_timestamp: Some(time_of(written.first)),
            last_timestamp: Some(time_of(written.last)),
            source: Some(EventSource { component: Some(self.component.to_owned()), host: None }),
            reporting_component: Some(self.component.to_owned()),
            ..Event::default()
        }
    }
}

/// Where an Event is: with its object, or in `default` if that is in no namespace.
fn namespace(told: &Told) -> &str {
    match told.about.namespace.as_str() {
        "" => "default",
        namespace => namespace,
    }
}

/// The time so many microseconds after 1970.
fn time_of(micros: u64) -> Time {
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    Time(Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX))
}
