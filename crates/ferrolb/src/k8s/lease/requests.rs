//! What an elector asks of the API server.

use std::time::Duration;

use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::time;

use super::{DURATION, Failure, Input, Lease, Output, Write};
use crate::net::clock::wall_micros;

/// How long an answer may take: shorter than the time that a holder has left.
const TIMEOUT: Duration = Duration::from_secs(2);

/// One Lease on the API server.
#[derive(Clone, Debug)]
pub struct Requests {
    leases: Api<coordination::Lease>,
    name: String,
}

impl Requests {
    /// The Lease `name` in `namespace`.
    pub fn new(client: Client, namespace: &str, name: impl Into<String>) -> Self {
        Self { leases: Api::namespaced(client, namespace), name: name.into() }
    }

    /// Asks, and waits for the answer.
    pub async fn ask(self, output: Output) -> Input {
        match output {
            Output::Read => {
                let answer = in_time(self.leases.get_opt(&self.name)).await;
                Input::Read(answer.map(|lease| lease.map(Lease::from)))
            }
            Output::Write(write) => Input::Written(self.write(write).await),
        }
    }

    async fn write(&self, write: Write) -> Result<Lease, Failure> {
        let (lease, params) = (self.object(&write), PostParams::default());
        let written = match write.version {
            Some(_) => in_time(self.leases.replace(&self.name, &params, &lease)).await,
            None => in_time(self.leases.create(&params, &lease)).await,
        };
        written.map(Lease::from)
    }

    fn object(&self, write: &Write) -> coordination::Lease {
        let now = wall_micros();
        coordination::Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: write.version.clone(),
                ..ObjectMeta::default()
            },
            spec: Some(coordination::LeaseSpec {
                holder_identity: Some(write.holder.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                lease_transitions: Some(write.transitions),
                acquire_time: micro_time(write.acquired.unwrap_or(now)),
                renew_time: micro_time(now),
                ..coordination::LeaseSpec::default()
            }),
        }
    }
}

impl From<coordination::Lease> for Lease {
    fn from(lease: coordination::Lease) -> Self {
        let spec = lease.spec.unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let acquired = spec.acquire_time.map(|time| time.0.as_microsecond());
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            version: lease.metadata.resource_version.unwrap_or_default(),
            duration: seconds.map_or(DURATION, Duration::from_secs),
            transitions: spec.lease_transitions.unwrap_or_default(),
            acquired: acquired.and_then(|micros| u64::try_from(micros).ok()),
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    let answer = time::timeout(TIMEOUT, answer).await.map_err(|_| Failure::Unknown)?;
    answer.map_err(|error| {
        let code = if let Error::Api(status) = &error { status.code } else { 0 };
        match code {
            // 404 is a lease that was deleted under the one who renews it.
            404 | 409 => Failure::Conflict,
            403 => Failure::Forbidden,
            _ => {
                tracing::debug!("the lease: {error}");
                Failure::Unknown
            }
        }
    })
}

fn micro_time(micros: u64) -> Option<MicroTime> {
    let micros = i64::try_from(micros).ok()?;
    Timestamp::from_microsecond(micros).ok().map(MicroTime)
}
