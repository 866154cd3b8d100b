//! The series of addresses that a node holds.
//!
//! There may be thousands of them. The library keeps the whole description of a metric with each of
//! its series, more than a kilobyte; here a series is a name and a number until somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use planner::names::{NodeName, ServiceName};

use super::{Layer2, Protocol};

/// Name, description and type of the metric of what is announced.
const ANNOUNCED: [&str; 3] = [
    "metallb_speaker_announced",
    "Services being announced from this node. This is desired state, it does not guarantee that the \
     routing protocols have converged.",
    "gauge",
];

/// The same of what is seen and sent on the LAN. MetalLB's counters end in no `_total` either.
const LAYER2: [(Layer2, [&str; 3]); 3] = [
    (
        Layer2::GratuitousSent,
        [
            "metallb_layer2_gratuitous_sent",
            "Number of gratuitous layer2 packets sent for owned IPs as a result of failovers",
            "counter",
        ],
    ),
    (
        Layer2::RequestReceived,
        [
            "metallb_layer2_requests_received",
            "Number of layer2 requests received for owned IPs",
            "counter",
        ],
    ),
    (
        Layer2::ResponseSent,
        [
            "metallb_layer2_responses_sent",
            "Number of layer2 responses sent for owned IPs in response to requests",
            "counter",
        ],
    ),
];

/// The series of addresses. Clones count into the same ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    node: Arc<str>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    announced: BTreeMap<ServiceName, Box<[(Protocol, IpAddr)]>>,
    counts: BTreeMap<IpAddr, Counts>,
}

/// Packets for one address.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests_received: u64,
    responses_sent: u64,
    gratuitous_sent: u64,
}

impl Counts {
    fn of(&mut self, what: Layer2) -> &mut u64 {
        match what {
            Layer2::RequestReceived => &mut self.requests_received,
            Layer2::ResponseSent => &mut self.responses_sent,
            Layer2::GratuitousSent => &mut self.gratuitous_sent,
        }
    }
}

impl Addresses {
    /// None yet, on this node.
    pub(super) fn on(NodeName(node): NodeName) -> Self {
        Self { node: node.into(), known: Arc::default() }
    }

    /// Takes note of what is announced of a Service now, which may be nothing.
    pub(super) fn announced(&self, service: &ServiceName, now: BTreeSet<(Protocol, IpAddr)>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match now.is_empty() {
            true => _ = known.announced.remove(service),
            false => _ = known.announced.insert(service.clone(), now.into_iter().collect()),
        }
    }

    /// Counts packets.
    pub(super) fn count(&self, ip: IpAddr, what: Layer2, packets: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.counts.entry(ip).or_default().of(what) += packets;
    }

    /// Adds all series to a page in the text format of Prometheus.
    pub(super) fn write(&self, page: &mut String) {
        // Writing into memory does not fail.
        let _ = self.try_write(page);
    }

    fn try_write(&self, page: &mut String) -> fmt::Result {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (what, metric) in LAYER2.iter().filter(|_| !known.counts.is_empty()) {
            let name = begin(page, metric)?;
            for (ip, counts) in &known.counts {
                writeln!(page, "{name}{{ip=\"{ip}\"}} {}", counts.clone().of(*what))?;
            }
        }
        if known.announced.is_empty() {
            return Ok(());
        }
        let (name, node) = (begin(page, &ANNOUNCED)?, &self.node);
        for (service, announced) in &known.announced {
            for (protocol, ip) in announced {
                write!(page, "{name}{{ip=\"{ip}\",node=\"{node}\",")?;
                writeln!(page, "protocol=\"{protocol}\",service=\"{service}\"}} 1")?;
            }
        }
        Ok(())
    }
}

/// Writes what comes before the series of a metric, and returns its name. Nothing in it has to be
/// escaped, nor in names of nodes and Services.
fn begin<'a>(page: &mut String, [name, help, kind]: &[&'a str; 3]) -> Result<&'a str, fmt::Error> {
    writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    Ok(name)
}
