//! Which controller decides: the one that has the lease.

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time;

use crate::k8s::lease::requests::Requests;
use crate::k8s::lease::{Charge, Elector, Input};
use crate::k8s::retry::chance;
use crate::net::clock::Clock;

/// The Lease, in the namespace of the settings.
const NAME: &str = "metallb-controller";

/// How long giving back the lease may take.
const LEAVE: Duration = Duration::from_secs(2);

/// Whether this process may write, and in which of its terms.
#[derive(Clone, Copy, Debug)]
struct Term {
    charge: Charge,
    /// One more each time it comes to be in charge, also if that was never noticed.
    number: u64,
}

/// Takes part in the choice of who decides.
#[derive(Debug)]
pub(super) struct Leadership {
    permit: Permit,
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Says whether this process may write.
#[derive(Clone, Debug)]
pub(super) struct Permit {
    term: watch::Receiver<Term>,
    clock: Clock,
}

impl Leadership {
    /// Starts to take part, as `identity`, which no other process may have.
    pub(super) fn start(client: Client, namespace: &str, identity: String, clock: Clock) -> Self {
        let (tell, term) = watch::channel(Term { charge: Charge::Off, number: 0 });
        let (leave, leaves) = oneshot::channel();
        let requests = Requests::new(client, namespace, NAME);
        let elector = Elector::new(identity, clock.now(), chance());
        let task = tokio::spawn(run(elector, requests, clock, tell, leaves));
        Self { permit: Permit { term, clock }, leave, task }
    }

    /// Whether this process may write.
    pub(super) fn permit(&self) -> Permit {
        self.permit.clone()
    }

    /// Lets another take over at once.
    pub(super) async fn leave(self) {
        // One that has ended already has nothing to give back.
        let _ = self.leave.send(());
        if time::timeout(LEAVE, self.task).await.is_err() {
            tracing::warn!("the lease could not be given back: another takes over when it expires");
        }
    }
}

impl Permit {
    /// The number of the term in which this process may write at this moment.
    pub(super) fn term(&self) -> Option<u64> {
        let term = *self.term.borrow();
        term.charge.holds(self.clock.now()).then_some(term.number)
    }

    /// Waits until that may have changed.
    pub(super) async fn changed(&mut self) {
        if self.term.changed().await.is_err() {
            // The process is ending.
            std::future::pending::<()>().await;
        }
    }
}

async fn run(
    mut elector: Elector,
    requests: Requests,
    clock: Clock,
    tell: watch::Sender<Term>,
    mut leave: oneshot::Receiver<()>,
) {
    let mut answers = FuturesUnordered::new();
    let mut is_leaving = false;
    while !elector.has_left() {
        while let Some(output) = elector.poll() {
            answers.push(requests.clone().ask(output));
        }
        let timeout = clock.until(elector.deadline()).unwrap_or(LEAVE);
        let input = tokio::select! {
            Some(input) = answers.next(), if !answers.is_empty() => input,
            () = time::sleep(timeout) => Input::Timeout,
            _ = &mut leave, if !is_leaving => {
                is_leaving = true;
                Input::Leave
            }
        };
        let now = clock.now();
        let held = tell.borrow().charge.holds(now);
        elector.handle(now, input);
        let charge = elector.charge();
        let is_new = charge.holds(now) && !held;
        if is_new && charge == Charge::Alone {
            tracing::warn!(
                "leases are not allowed in this namespace, so this controller decides alone: run \
                 only one, or let its role get, create and update leases"
            );
        }
        tell.send_if_modified(|term| {
            let is_changed = term.charge != charge;
            *term = Term { charge, number: term.number + u64::from(is_new) };
            is_changed
        });
    }
}
