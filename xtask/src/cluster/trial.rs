//! What `cargo xtask test --cluster` sees: ferrolb in a whole cluster, from its first manifest to
//! the last trace of it. Each step needs what the one before has done.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::Probe;

use super::installed::{self, NAMESPACE, READY};
use super::metallb;
use super::place::{self, Host};
use super::process::{self, Status};
use super::session::Session;
use crate::image;
use crate::kube::ClusterPrograms;

/// What a step saw, for people; empty if it goes without saying.
type Seen = Result<String>;

/// Something that the trial does, and what it shows.
type Step = (&'static str, fn(&Session) -> Seen);

/// Steps between the start of the cluster and its end.
const STEPS: [Step; 11] = [
    ("`ctr images import` has brought every image of the file to every node", see_images),
    ("deploy/base is applied", apply_base),
    ("controllers and speakers are ready", wait_ready),
    ("they have the rights that their security contexts give, and no others", see_rights),
    ("settings are taken, and a wrong one is refused by a webhook", try_settings),
    ("a Service gets its address, and a client outside the cluster is answered", expose),
    ("the node that answers loses its power, and another one answers", lose_node),
    ("it comes back, and the address stays where it is", return_node),
    ("everything is rolled over to a new image while a client counts packets", roll_over),
    ("it is removed, and nothing of it is left in the API server", remove),
    ("MetalLB's own manifests run it, with no change but the images", try_metallbs_manifests),
];

/// The steps before and after [`STEPS`].
const BUILD: &str = "the image is built";
const START: &str = "a cluster of two nodes comes up, and takes the file of images";
const END: &str = "the cluster is removed, and nothing of it is left on the machine";

/// How many steps there are.
pub(crate) const COUNT: usize = STEPS.len() + 3;

/// The tag of the image that comes second.
const SECOND: &str = "localhost/ferrolb:second";

/// An address range that no one can mean.
const WRONG: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: wrong, namespace: metallb-system}
spec: {addresses: [10.95.0.219-10.95.0.200]}
";

/// How long an address may be away before the trial gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the probe looks before and after what happens, so that it is seen to work.
const CALM: Duration = Duration::from_millis(500);

/// `CAP_NET_RAW` alone.
const NET_RAW: u64 = 1 << 13;

/// Runs all steps, each with a line on standard output, and says how many were passed: all, or those
/// before the one that failed.
pub(crate) fn run(programs: ClusterPrograms) -> usize {
    // Before the cluster comes up: there is no room for both on a small machine.
    let Some(image) = step(BUILD, || Ok((image::make()?, String::new()))) else { return 0 };
    let start = || {
        let session = Session::start(2, programs)?;
        session.load(&image)?;
        Ok((session, String::new()))
    };
    let Some(session) = step(START, start) else { return 1 };
    let mut passed = 2;
    for (name, body) in STEPS {
        if step(name, || body(&session).map(|seen| ((), seen))).is_none() {
            eprintln!("{}", session.words());
            return passed;
        }
        passed += 1;
    }
    match step(END, || session.end().map(|()| ((), String::new()))) {
        Some(()) => passed + 1,
        None => passed,
    }
}

fn step<T>(name: &str, body: impl FnOnce() -> Result<(T, String)>) -> Option<T> {
    let start = Instant::now();
    let result = body();
    let took = start.elapsed().as_secs_f64();
    match result {
        Ok((value, seen)) => {
            let seen = if seen.is_empty() { seen } else { format!(": {seen}") };
            println!("ok     {name} ({took:.1} s){seen}");
            Some(value)
        }
        Err(error) => {
            println!("FAILED {name} ({took:.1} s): {error:#}");
            None
        }
    }
}

fn see_images(session: &Session) -> Seen {
    let wanted = image::references()?;
    for node in place::nodes()? {
        let there = session.images(node)?;
        for image in &wanted {
            let node = Host::Node(node).name();
            ensure!(there.contains(image), "`{node}` has no `{image}`, but {}", there.join(", "));
        }
    }
    Ok(wanted.join(", "))
}

fn apply_base(session: &Session) -> Seen {
    installed::apply_base(session)?;
    Ok(String::new())
}

fn wait_ready(session: &Session) -> Seen {
    installed::wait_ready(session)?;
    Ok(String::new())
}

fn see_rights(_: &Session) -> Seen {
    for (program, count, capabilities) in [("controller", 2, 0), ("speaker", 2, NET_RAW)] {
        let statuses = process::in_containers(program);
        ensure!(statuses.len() == count, "{} processes `{program}`, not {count}", statuses.len());
        for status in statuses {
            let Status { effective, seccomp, no_new_privileges } = status;
            ensure!(effective == capabilities, "`{program}` has the capabilities {effective:x}");
            ensure!(seccomp == 2, "`{program}` may make any system call");
            ensure!(no_new_privileges == 1, "`{program}` could get more rights");
        }
    }
    Ok(String::new())
}

fn try_settings(session: &Session) -> Seen {
    installed::apply_settings(session)?;
    let refused = session.apply(WRONG).err().context("a wrong IPAddressPool was taken")?;
    let refused = format!("{refused:#}");
    ensure!(refused.contains("10.95.0.219-10.95.0.200"), "it was refused so: {refused}");
    Ok(String::new())
}

fn expose(session: &Session) -> Seen {
    let address = installed::expose(session)?;
    let said = installed::wait_fetched(session, address)?;
    let client = session.client.ipv4.to_string();
    ensure!(said.contains(&client), "the Pod does not see the client's address: `{said}`");
    Ok(format!("{address}, `{said}`"))
}

fn lose_node(session: &Session) -> Seen {
    let address = installed::address(session)?;
    let probe = installed::probe(session, address)?;
    thread::sleep(CALM);
    let node = installed::holder(session, address)?;
    session.stop_node(node)?;
    let seen = end(probe)?;
    let now = installed::holder(session, address)?;
    ensure!(now != node, "the client still sends to `{}`", Host::Node(node).name());
    installed::fetch(session, address)?;
    Ok(format!("{} to {}, {seen}", Host::Node(node).name(), Host::Node(now).name()))
}

fn return_node(session: &Session) -> Seen {
    let address = installed::address(session)?;
    let before = installed::holder(session, address)?;
    let node = if before == 1 { 2 } else { 1 };
    let waited = session.wait_lost(node, READY)?;
    session.start_node(node, READY)?;
    process::wait("there is a speaker on each node", READY, || {
        process::in_containers("speaker").len() == 2
    })?;
    installed::wait_ready(session)?;
    session.wait_rolled_out("deployment/web", "default", READY)?;
    installed::wait_fetched(session, address)?;
    ensure!(installed::holder(session, address)? == before, "the address has moved");
    Ok(format!("it was on again once it was seen to be lost, {:.0} s later", waited.as_secs_f64()))
}

fn roll_over(session: &Session) -> Seen {
    let address = installed::address(session)?;
    session.tag(image::REFERENCE, SECOND)?;
    let probe = installed::probe(session, address)?;
    thread::sleep(CALM);
    for (object, container) in
        [("deployment/controller", "controller"), ("daemonset/speaker", "speaker")]
    {
        let image = format!("{container}={SECOND}");
        session.kubectl(&["--namespace", NAMESPACE, "set", "image", object, &image])?;
    }
    installed::wait_ready(session)?;
    let seen = end(probe)?;
    process::wait("no Pod with the old image is left", READY, || {
        let path = "jsonpath={.items[*].spec.containers[*].image}";
        let images = session.kubectl(&["--namespace", NAMESPACE, "get", "pods", "--output", path]);
        images.is_ok_and(|images| images.split(' ').all(|image| image == SECOND))
    })?;
    ensure!(installed::address(session)? == address, "the Service has another address");
    Ok(seen)
}

/// Waits until the probe is answered, and says what it missed.
fn end(probe: Probe) -> Seen {
    probe.wait_answered(PATIENCE)?;
    thread::sleep(CALM);
    let report = probe.finish();
    let outage = report.longest_outage.as_millis();
    Ok(format!("longest outage {outage} ms, {} of {} packets lost", report.lost, report.sent))
}

fn remove(session: &Session) -> Seen {
    installed::hide(session)?;
    installed::delete_base(session)?;
    see_nothing_left(session)
}

fn see_nothing_left(session: &Session) -> Seen {
    let kinds = "crds,clusterroles,clusterrolebindings,validatingwebhookconfigurations,namespaces";
    let left = session.kubectl(&["get", kinds, "--output", "name"])?;
    let left: Vec<_> = left.lines().filter(|name| name.contains("metallb")).collect();
    ensure!(left.is_empty(), "these are left: {}", left.join(", "));
    Ok(String::new())
}

fn try_metallbs_manifests(session: &Session) -> Seen {
    let manifests = metallb::manifests()?;
    session.apply(&manifests)?;
    installed::wait_ready(session)?;
    installed::apply_settings(session)?;
    let address = installed::expose(session)?;
    let said = installed::wait_fetched(session, address)?;
    installed::hide(session)?;
    session.delete(&manifests, READY)?;
    see_nothing_left(session)?;
    Ok(format!("{address}, `{said}`"))
}
