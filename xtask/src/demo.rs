//! `cargo xtask demo`: the main job of ferrolb, told as a story.
//!
//! Everything in it is real: the binary, the frames, the client's kernel. It happens in network
//! namespaces; the machine's own network is not touched.

use std::cell::Cell;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::cluster::{Cluster, examples};
use lab::http;
use serde::Serialize;

use crate::output::Format;
use crate::program::{self, Profile};
use crate::{packages, rights};

mod kubernetes;

/// The Service of the examples.
const SERVICE: &str = "shop/web";

/// How long the nodes may take to start and agree.
const START: Duration = Duration::from_secs(20);

/// How long the address may be away before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the probe looks before the crash, so that it is seen to work, and after.
const CALM: Duration = Duration::from_millis(500);

/// What was seen.
#[derive(Debug, Serialize)]
struct Story {
    service: &'static str,
    address: String,
    owner: String,
    first_answer: String,
    outage_ms: f64,
    packets_lost: u64,
    new_owner: String,
    second_answer: String,
    cleaned_up: bool,
    ok: bool,
}

/// Show the main job: an address, its owner's death, and who answers then
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For people or for programs
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    /// In a whole Kubernetes on this machine: kubelets, containers, and ferrolb as it is installed
    #[arg(long)]
    kubernetes: bool,
}

/// Tells the story; fails when a step of it is not seen.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    packages::bring(packages::LAB)?;
    let tell = Teller::new(arguments.output);
    let story = if arguments.kubernetes {
        kubernetes::tell_story(&tell)?
    } else {
        let binary = program::build(Profile::Debug)?;
        if let Some(code) = rights::again_with_rights()? {
            return Ok(code);
        }
        tell_story(&binary, &tell)?
    };
    if matches!(arguments.output, Format::Json) {
        println!("{}", serde_json::to_string(&story)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_story(binary: &Path, tell: &Teller) -> Result<Story> {
    tell.title("Three nodes and a client on one switch, a pod behind each node.");
    let cluster = Cluster::start(3, binary, &examples(), SERVICE)?;
    let address = cluster.address.to_string();
    tell.step(&format!("{SERVICE} is given the address {address}"));

    let probe = cluster.probe(START)?;
    let owner = cluster.owner()?.host.name.clone();
    tell.step(&format!("{owner} answers ARP for it"));
    let first_answer = fetch(&cluster)?;
    tell.step(&format!("GET http://{address}/ from the client: {first_answer}"));

    std::thread::sleep(CALM);
    cluster.lan.crash(&owner)?;
    tell.step(&format!("{owner} dies: its frames stop, nobody else sees a link go down"));
    probe.wait_answered(PATIENCE).with_context(|| cluster.logs())?;
    std::thread::sleep(CALM);
    let report = probe.finish();
    let outage_ms = report.longest_outage.as_secs_f64() * 1000.0;
    tell.step(&format!(
        "out of reach for {outage_ms:.0} ms ({} packets, one a millisecond)",
        report.lost
    ));

    let new_owner = cluster.owner()?.host.name.clone();
    ensure!(new_owner != owner, "{owner} is dead, and the client still sends to it");
    tell.step(&format!("{new_owner} answers for {address} now"));
    let second_answer = fetch(&cluster)?;
    tell.step(&format!("GET http://{address}/ from the client: {second_answer}"));

    let cleaned_up = clean_up(cluster)?;
    ensure!(cleaned_up, "a speaker is still there after the end");
    tell.step("all speakers stopped, the namespaces are gone with them");
    Ok(Story {
        service: SERVICE,
        address,
        owner,
        first_answer,
        outage_ms,
        packets_lost: report.lost,
        new_owner,
        second_answer,
        cleaned_up,
        ok: true,
    })
}

/// One request through the address: status and body on one line.
fn fetch(cluster: &Cluster) -> Result<String> {
    let limit = Duration::from_secs(2);
    let response = http::get(&cluster.lan.client, cluster.http(), "/", limit)?;
    ensure!(response.status == 200, "the Service answered {}", response.status);
    Ok(format!("{} `{}`", response.status, response.body.trim_end()))
}

/// Stops every speaker as an operator would, and takes the lab down. Says whether all are gone.
fn clean_up(mut cluster: Cluster) -> Result<bool> {
    let speakers = std::mem::take(&mut cluster.speakers);
    let processes: Vec<_> = speakers.iter().map(|speaker| speaker.process().id()).collect();
    for mut speaker in speakers {
        let status = speaker.stop()?;
        ensure!(status.success(), "a speaker ended with {status}:\n{}", speaker.log());
    }
    drop(cluster);
    Ok(processes.iter().all(|id| !Path::new("/proc").join(id.to_string()).exists()))
}

/// Numbers the steps, on standard output, unless the output is data.
struct Teller {
    aloud: bool,
    steps: Cell<u32>,
}

impl Teller {
    fn new(format: Format) -> Self {
        Self { aloud: matches!(format, Format::Text), steps: Cell::new(0) }
    }

    fn title(&self, text: &str) {
        if self.aloud {
            println!("\n{text}\n");
        }
    }

    fn step(&self, text: &str) {
        self.steps.set(self.steps.get() + 1);
        if self.aloud {
            println!("{:>3}. {text}", self.steps.get());
        }
    }
}
