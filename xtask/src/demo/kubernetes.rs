//! The story in a whole Kubernetes: the API server gives and takes, containers run ferrolb.

use std::net::IpAddr;
use std::thread;

use anyhow::{Context as _, Result, ensure};

use super::{CALM, PATIENCE, Story, Teller};
use crate::cluster::place::Host;
use crate::cluster::{self, Session, installed};
use crate::image;

/// The Service of `tests/kube/node/web.yaml`.
const SERVICE: &str = "default/web";

pub(super) fn tell_story(tell: &Teller) -> Result<Story> {
    let programs = cluster::bring()?;
    tell.title(
        "Two nodes with kubelet and containerd, their API server, and a client on one switch.",
    );
    let image = image::make()?;
    let session = Session::start(2, programs)?;
    session.load(&image)?;
    let story = act(&session, tell).with_context(|| session.words())?;
    session.end()?;
    tell.step("the cluster is removed, nothing of it is left on this machine");
    Ok(story)
}

fn act(session: &Session, tell: &Teller) -> Result<Story> {
    installed::apply_base(session)?;
    tell.step("kubectl apply -k deploy/base");
    installed::wait_ready(session)?;
    installed::apply_settings(session)?;
    tell.step("two controllers and a speaker on every node are ready, and have addresses to give");
    let address = installed::expose(session)?;
    tell.step(&format!("{SERVICE} is given the address {address}"));
    let first_answer = fetch(session, address, tell)?;

    let probe = installed::probe(session, address)?;
    let owner = installed::holder(session, address)?;
    tell.step(&format!("{} answers ARP for it", Host::Node(owner).name()));
    thread::sleep(CALM);
    session.stop_node(owner)?;
    tell.step(&format!("{} loses its power", Host::Node(owner).name()));
    probe.wait_answered(PATIENCE)?;
    thread::sleep(CALM);
    let report = probe.finish();
    let outage_ms = report.longest_outage.as_secs_f64() * 1000.0;
    tell.step(&format!(
        "out of reach for {outage_ms:.0} ms ({} packets, one a millisecond)",
        report.lost
    ));

    let new_owner = installed::holder(session, address)?;
    ensure!(new_owner != owner, "the client still sends to a node that is off");
    tell.step(&format!("{} answers for {address} now", Host::Node(new_owner).name()));
    let second_answer = fetch(session, address, tell)?;
    Ok(Story {
        service: SERVICE,
        address: address.to_string(),
        owner: Host::Node(owner).name(),
        first_answer,
        outage_ms,
        packets_lost: report.lost,
        new_owner: Host::Node(new_owner).name(),
        second_answer,
        cleaned_up: true,
        ok: true,
    })
}

fn fetch(session: &Session, address: IpAddr, tell: &Teller) -> Result<String> {
    let answer = installed::wait_fetched(session, address)?;
    tell.step(&format!("GET http://{address}/ from the client: `{answer}`"));
    Ok(answer)
}
