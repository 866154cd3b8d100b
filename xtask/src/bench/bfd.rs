//! Whether BFD holds at 10 ms x 3, on the machine as it is and with all cores busy, and how fast it
//! notices a crash.
//!
//! Two nodes with the program watch each other; then FRR's bfdd, in a real-time class, watches the
//! program. A sample of a crash is the time from the last frame until the program has written that
//! the session is down.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab::bfd::{Kind, Watcher, needs};
use lab::ferrolb::Ferrolb;
use lab::{Lan, Manifests};

use super::row::{Goal, Row};

/// How long sessions must hold.
const HOLD: Duration = Duration::from_secs(60);

/// How long sessions may take to come up.
const START: Duration = Duration::from_secs(60);

/// What a run counts that did not notice.
const NEVER: Duration = Duration::from_secs(10);

/// Busy threads for each core.
const LOAD: usize = 2;

const UP: &str = "BFD session up";
const DOWN: &str = "BFD session down";

/// The rows of this benchmark; `runs` crashes.
pub(super) fn run(runs: u16, binary: &Path) -> Result<Vec<Row>> {
    let mut rows = vec![
        held("downs in 60 s, 10 ms x 3, two of ours", binary, Far::Ours, Load::None)?,
        held("downs in 60 s, 10 ms x 3, two of ours, cores busy", binary, Far::Ours, Load::Full)?,
    ];
    match needs(Kind::Frr) {
        Ok(()) => {
            let name = "downs in 60 s, 10 ms x 3, with FRR, cores busy";
            rows.push(held(name, binary, Far::Frr, Load::Full)?);
        }
        Err(missing) => eprintln!("FRR is not measured: {missing}"),
    }
    let mut samples = Vec::new();
    for run in 1..=runs {
        let took = crash(binary).with_context(|| format!("run {run} of {runs}"))?;
        eprintln!("bfd crash, run {run} of {runs}: {:.1} ms", took.as_secs_f64() * 1e3);
        samples.push(took.as_secs_f64() * 1e3);
    }
    let goal = Goal { p99: Some(50.0), ..Goal::default() };
    rows.push(Row::percentiles("bfd", "crash noticed, 10 ms x 3", "ms", samples, goal));
    Ok(rows)
}

/// Who is at the other end.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Far {
    Ours,
    Frr,
}

/// What else the machine does.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Load {
    None,
    Full,
}

/// A session that is up.
struct Pair {
    lan: Lan,
    near: Ferrolb,
    _far: (Option<Ferrolb>, Option<Watcher>),
    _manifests: Manifests,
}

impl Pair {
    fn start(binary: &Path, far: Far) -> Result<Self> {
        let lan = Lan::with_nodes(2)?;
        let [a, b] = ["a", "b"].map(|letter| &lan.node(letter).host);
        let manifests = Manifests::of_examples()?;
        let peers = [(&a.name, b.ipv4), (&b.name, a.ipv4)].map(|(node, at)| peer(node, at.into()));
        manifests.write("peers.yaml", &format!("{}{PROFILE}", peers.concat()))?;
        let start = |host| Ferrolb::start(host, binary, manifests.path(), &[]);
        let near = start(a)?;
        let far = match far {
            Far::Ours => (Some(start(b)?), None),
            Far::Frr => {
                let lines = format!(
                    " peer {} interface eth0\n  transmit-interval 10\n  receive-interval 10",
                    a.ipv4
                );
                let watcher = Watcher::start(b, Kind::Frr, &lines)?;
                watcher.make_real_time()?;
                (None, Some(watcher))
            }
        };
        near.process().wait_for_log(UP, START)?;
        if let (Some(far), _) = &far {
            far.process().wait_for_log(UP, START)?;
        }
        Ok(Self { lan, near, _far: far, _manifests: manifests })
    }
}

/// How often a session goes down that has no reason to.
fn held(name: &str, binary: &Path, far: Far, load: Load) -> Result<Row> {
    let is_over = Arc::new(AtomicBool::new(false));
    let pair = Pair::start(binary, far)?;
    if load == Load::Full {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores * LOAD {
            let is_over = Arc::clone(&is_over);
            thread::spawn(move || while !is_over.load(Ordering::Relaxed) {});
        }
    }
    thread::sleep(HOLD);
    is_over.store(true, Ordering::Relaxed);
    let downs = pair.near.log().matches(DOWN).count();
    eprintln!("bfd: {name}: {downs}");
    Ok(Row::value("bfd", name.to_owned(), "", downs as f64, 0.0))
}

/// From the crash of the other node until the program knows.
fn crash(binary: &Path) -> Result<Duration> {
    let pair = Pair::start(binary, Far::Ours)?;
    // The intervals of a session that is up are agreed on within one packet of a second.
    thread::sleep(Duration::from_secs(2));
    pair.lan.crash("node-b")?;
    let cut = Instant::now();
    Ok(match pair.near.process().wait_for_log(DOWN, NEVER) {
        Ok(()) => cut.elapsed(),
        Err(_) => NEVER,
    })
}

const PROFILE: &str = "apiVersion: metallb.io/v1beta1\nkind: BFDProfile\n\
    metadata: {name: fast, namespace: ferrolb-system}\n\
    spec: {transmitInterval: 10, receiveInterval: 10}\n";

/// The peer of one node.
fn peer(node: &str, at: IpAddr) -> String {
    format!(
        "apiVersion: metallb.io/v1beta2\nkind: BGPPeer\n\
         metadata: {{name: of-{node}, namespace: ferrolb-system}}\n\
         spec:\n  myASN: 64512\n  peerASN: 64513\n  peerAddress: {at}\n  bfdProfile: fast\n  \
         nodeSelectors: [{{matchLabels: {{kubernetes.io/hostname: {node}}}}}]\n---\n"
    )
}
