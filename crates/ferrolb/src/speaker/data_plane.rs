//! Whether the node forwards what comes for the addresses of Services: what its kube-proxy says.
//!
//! kube-proxy tells at `/healthz` whether its rules are in place, and whether the node is about to
//! be removed. A node that says no should not hold addresses while another one can.

mod damper;

use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use tokio::sync::watch;
use tokio::time;

use crate::net::clock::Clock;
use crate::net::http_status;
use damper::Damper;

pub use damper::Verdict;

/// How often kube-proxy is asked. It is on the same host, and an answer costs it microseconds.
const PERIOD: Duration = Duration::from_secs(1);

/// For how long an answer is waited for. It is as late as this only if the host is stuck.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a speaker finds out whether its node forwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Check {
    /// By kube-proxy, once it has answered.
    Auto,
    /// By kube-proxy, which must be there.
    KubeProxy,
    /// Not at all: it always does.
    None,
}

/// What kube-proxy said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    /// All is well.
    Healthy,
    /// It is there and says that the node does not forward, or soon will not.
    Unhealthy,
    /// Nothing, or something that kube-proxy never says.
    Silent,
}

/// Asks the kube-proxy at `address` from now on, and tells what to make of it.
pub(super) fn watch(check: Check, address: SocketAddr) -> watch::Receiver<Verdict> {
    let (sender, receiver) = watch::channel(Verdict::Unseen);
    if check != Check::None {
        tokio::spawn(ask_always(Damper::new(check), address, sender));
    }
    receiver
}

async fn ask_always(mut damper: Damper, address: SocketAddr, sender: watch::Sender<Verdict>) {
    let clock = Clock::start();
    while !sender.is_closed() {
        let answer = time::timeout(PATIENCE, ask(address)).await;
        let verdict = damper.hear(clock.now(), answer.unwrap_or(Answer::Silent));
        sender.send_if_modified(|last| std::mem::replace(last, verdict) != verdict);
        time::sleep(PERIOD).await;
    }
}

async fn ask(address: SocketAddr) -> Answer {
    match http_status::get(address, "/healthz").await {
        Ok(200) => Answer::Healthy,
        Ok(503) => Answer::Unhealthy,
        Ok(code) => {
            tracing::debug!(%address, code, "kube-proxy would not answer so");
            Answer::Silent
        }
        Err(error) => {
            tracing::debug!(%address, %error, "no answer from kube-proxy");
            Answer::Silent
        }
    }
}
