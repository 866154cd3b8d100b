//! What the controller asks of the API server, besides watching it.

use std::io::ErrorKind;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use planner::names::ServiceName;
use tokio::time;

use super::attempts::Way;
use super::census::Census;
use super::leadership::Permit;
use crate::api::IPAddressPool;
use crate::k8s::client::WRITE_TIMEOUT;
use crate::k8s::service_status;

/// How often the status of a pool is written before the watch shows what others do to it.
const POOL_ATTEMPTS: u32 = 3;

/// The answer to a request.
pub(super) enum Answer {
    /// A Service as it was written.
    Service(ServiceName, Result<Box<core::Service>, Failure>),
    /// A Service as it is.
    Looked(ServiceName, kube::Result<Box<core::Service>>),
    /// A pool as it was written.
    Pool(Result<Box<IPAddressPool>, Failure>),
    /// The Services, by the number of the count.
    Counted(u64, kube::Result<Census>),
}

/// Why a write was not carried out, as far as is known.
pub(super) enum Failure {
    /// The lease was lost meanwhile.
    NotInCharge,
    /// There was no answer in time.
    NoAnswer,
    /// The API server refused it.
    Refused(Error),
}

impl Failure {
    /// Whether somebody else was quicker.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(Error::Api(status)) if status.code == 409)
    }
}

/// Writes the status of a Service.
pub(super) async fn write_service(
    client: Client,
    permit: Permit,
    name: ServiceName,
    service: core::Service,
    way: Way,
) -> Answer {
    let services: Api<core::Service> = Api::namespaced(client, &name.namespace);
    let written = async {
        if way == Way::Patch {
            let patch = Patch::Merge(service_status::patch(&service));
            match services.patch_status(&name.name, &PatchParams::default(), &patch).await {
                Err(Error::Api(status)) if status.code == 403 => (),
                answer => return answer,
            }
        }
        services.replace_status(&name.name, &PostParams::default(), &service).await
    };
    let answer = send(&permit, written).await;
    Answer::Service(name, answer.map(Box::new))
}

/// Reads a Service.
pub(super) async fn look_at(client: Client, name: ServiceName) -> Answer {
    let services: Api<core::Service> = Api::namespaced(client, &name.namespace);
    let answer = in_time(services.get(&name.name)).await;
    Answer::Looked(name, answer.map(Box::new))
}

/// Writes the status of a pool. Of what others change meanwhile nothing is lost: the status alone is
/// written.
///
/// It is read before: pools are followed without their versions, and the server takes no status
/// without one.
pub(super) async fn write_pool(client: Client, permit: Permit, mut pool: IPAddressPool) -> Answer {
    let namespace = pool.metadata.namespace.clone().unwrap_or_default();
    let name = pool.metadata.name.clone().unwrap_or_default();
    let pools: Api<IPAddressPool> = Api::namespaced(client, &namespace);
    let params = PostParams::default();
    let mut attempts = 0;
    loop {
        match in_time(pools.get(&name)).await {
            Ok(now) if now.metadata.uid == pool.metadata.uid => {
                pool = IPAddressPool { status: pool.status, ..now };
            }
            // Another one of this name, which the watch shows.
            Ok(_) => (),
            Err(error) => return Answer::Pool(Err(Failure::Refused(error))),
        }
        attempts += 1;
        match send(&permit, pools.replace_status(&name, &params, &pool)).await {
            Err(failure) if failure.is_conflict() && attempts < POOL_ATTEMPTS => (),
            answer => return Answer::Pool(answer.map(Box::new)),
        }
    }
}

/// Counts the Services after a pause.
pub(super) async fn count_services(client: Client, number: u64, pause: Duration) -> Answer {
    time::sleep(pause).await;
    Answer::Counted(number, in_time(Census::take(client)).await)
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

async fn in_time<T>(read: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let late = |_| Err(Error::ReadEvents(ErrorKind::TimedOut.into()));
    time::timeout(WRITE_TIMEOUT, read).await.unwrap_or_else(late)
}
