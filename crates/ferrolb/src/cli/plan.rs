//! `ferrolb plan`: who would get which address and which node would announce it, from manifests.
//!
//! The same code as in the running system, with the disk in place of the network: nothing is
//! announced. Findings go to standard error, the plan goes to standard output.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use comfy_table::{Table, presets};
use planner::announce;
use planner::assign::{self, Assignments, Choice};
use planner::facts::Facts;
use planner::names::{NodeName, ServiceName};
use planner::plan::{Candidacy, Interfaces, Left};
use serde::Serialize;

use crate::parse::{self, Parsed};
use crate::source::files::{self, Files, Reading};
use crate::source::pin::{self, CannotPin};

/// The manifests have problems.
const EXIT_PROBLEMS: u8 = 1;

/// There was nothing to work on.
const EXIT_COULD_NOT_RUN: u8 = 2;

/// Arguments of `ferrolb plan`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Manifest, or directory of manifests; may be given several times.
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    pub filename: Vec<PathBuf>,

    /// Plan of this node; of all nodes without it.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,

    /// Nodes whose speakers are alive; all nodes without it.
    #[arg(long, value_name = "NODE,NODE", value_delimiter = ',')]
    pub speakers: Option<Vec<String>>,

    /// Lets nodes with the label `node.kubernetes.io/exclude-from-external-load-balancers` announce.
    #[arg(long)]
    pub ignore_exclude_lb: bool,

    /// Writes the addresses that were chosen into the Services in this directory.
    ///
    /// Only `status.loadBalancer.ingress` changes; comments and order stay. From then on these
    /// Services keep their addresses whatever else changes.
    #[arg(long, value_name = "DIR")]
    pub write_status: Option<PathBuf>,

    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

impl Args {
    /// Makes facts of what no manifest says.
    fn adjust(&self, facts: &mut Facts) {
        if self.ignore_exclude_lb {
            parse::ignore_exclude_label(facts);
        }
        if let Some(speakers) = &self.speakers {
            facts.speakers = Some(speakers.iter().map(|name| NodeName(name.clone())).collect());
        }
    }
}

/// Form of the output of `ferrolb plan`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// Runs `ferrolb plan`. The exit code is 0 if all is well, 1 if the manifests have problems, 2 if
/// the manifests or the node are not there.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let reading = Files::of(args.filename.iter().cloned()).reload();
    let mut parsed = parse::facts(&reading.objects);
    let mut errors = io::stderr().lock();
    write!(errors, "{}", Findings { reading: &reading, parsed: &parsed })?;
    if reading.unreadable_path().is_some() {
        return Ok(ExitCode::from(EXIT_COULD_NOT_RUN));
    }
    args.adjust(&mut parsed.facts);
    let nodes: Vec<_> = match &args.node {
        Some(node) => vec![NodeName(node.clone())],
        None => parsed.facts.nodes.keys().cloned().collect(),
    };
    if let Some(node) = nodes.iter().find(|node| !parsed.facts.nodes.contains_key(node)) {
        writeln!(
            errors,
            "error: there is no Node `{node}` in the manifests; add one or check the name"
        )?;
        return Ok(ExitCode::from(EXIT_COULD_NOT_RUN));
    }
    let outcome = Outcome::of(parsed.facts);
    write!(errors, "{outcome}")?;
    let plans: Vec<_> = nodes.iter().map(|node| outcome.plan(node)).collect();
    print(args, &outcome, &plans)?;
    let mut is_good = reading.problems.is_empty() && parsed.problems.is_empty();
    if let Some(directory) = &args.write_status {
        is_good &= write_status(directory, &outcome, &mut errors)?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(EXIT_PROBLEMS) })
}

fn print(args: &Args, outcome: &Outcome, plans: &[NodePlan]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let json = match (args.output, plans, &args.node) {
        (Output::Json, [plan], Some(_)) => serde_json::to_string_pretty(plan),
        (Output::Json, plans, _) => serde_json::to_string_pretty(plans),
        (Output::Text, ..) => {
            write!(out, "{}", outcome.table())?;
            for plan in plans {
                write!(out, "\n{}\n{}", plan.node, plan.table())?;
            }
            return out.flush().context("writing the plan");
        }
    };
    writeln!(out, "{}", json?).context("writing the plan")
}

/// What is wrong with files and objects, a line each.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'a> {
    /// What was found in the files.
    pub reading: &'a Reading,
    /// What was found in the objects.
    pub parsed: &'a Parsed,
}

impl fmt::Display for Findings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reading, parsed } = self;
        let origin = |problem: &parse::Problem| match reading.origins.get(&problem.object) {
            Some(origin) => format!("{origin}: "),
            None => String::new(),
        };
        for problem in &reading.problems {
            writeln!(f, "error: {problem}")?;
        }
        for problem in &parsed.problems {
            writeln!(f, "error: {}{problem}", origin(problem))?;
        }
        for warning in &reading.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for warning in &parsed.warnings {
            writeln!(f, "warning: {}{warning}", origin(warning))?;
        }
        for kind in &reading.ignored {
            writeln!(f, "note: objects of the kind {kind} are ignored")?;
        }
        Ok(())
    }
}

/// Facts in which every Service has the addresses that it gets.
#[derive(Clone, Debug)]
pub struct Outcome {
    facts: Facts,
    /// Services that did not have their addresses before.
    new: BTreeSet<ServiceName>,
    assignments: Assignments,
}

impl Outcome {
    /// Gives addresses to the Services in `facts` as nodes without a controller do.
    pub fn of(mut facts: Facts) -> Self {
        let assignments = assign::assign_all(&facts, Choice::Hashed);
        let mut new = BTreeSet::new();
        for (name, service) in &mut facts.services {
            let given = assignments.given.get(name);
            let addresses = given.map(|given| given.addresses.clone()).unwrap_or_default();
            if service.addresses != addresses && !addresses.is_empty() {
                new.insert(name.clone());
            }
            service.addresses = addresses;
        }
        Self { facts, new, assignments }
    }

    /// What one node does.
    pub fn plan(&self, node: &NodeName) -> NodePlan {
        let plan = announce::plan(&self.facts, node);
        let mut l2 = Vec::new();
        let mut standby = Vec::new();
        for (address, candidacy) in &plan.candidacies {
            match candidacy.order.iter().position(|candidate| candidate == node) {
                Some(0) => l2.extend(announced(&address.to_string(), candidacy)),
                Some(place) => standby.extend(candidacy.services.iter().map(|service| Standby {
                    service: service.to_string(),
                    address: address.to_string(),
                    before: candidacy.order[..place].iter().map(ToString::to_string).collect(),
                })),
                None => (),
            }
        }
        let silent = plan.silences.iter().map(Silent::of).collect();
        NodePlan {
            node: node.to_string(),
            l2,
            bgp: [],
            silent,
            assignments: self.assigned(),
            refusals: self.refused(),
            standby,
        }
    }

    fn assigned(&self) -> Vec<Assigned> {
        let new =
            self.new.iter().filter_map(|name| Some((name, self.assignments.given.get(name)?)));
        new.map(|(name, given)| Assigned {
            service: name.to_string(),
            addresses: given.addresses.iter().map(ToString::to_string).collect(),
            pool: given.pool.to_string(),
        })
        .collect()
    }

    fn refused(&self) -> Vec<Refused> {
        let refusals = self.assignments.refusals.iter();
        refusals
            .map(|(name, refusal)| Refused {
                service: name.to_string(),
                reason: refusal.label(),
                message: refusal.to_string(),
            })
            .collect()
    }

    /// The addresses that were chosen, as a table for people; empty if there are none.
    pub fn table(&self) -> String {
        let rows = self
            .assigned()
            .into_iter()
            .map(|row| [row.service, row.addresses.join(", "), row.pool]);
        table(["SERVICE", "CHOSEN", "POOL"], rows.collect())
    }
}

impl fmt::Display for Outcome {
    /// Services that get no address or lose the one that they had, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, refusal) in &self.assignments.lost {
            writeln!(f, "note: {name} cannot keep its address: {refusal}")?;
        }
        for (name, refusal) in &self.assignments.refusals {
            writeln!(f, "note: {name} gets no address: {refusal}")?;
        }
        Ok(())
    }
}

/// What one node does, as `plan -o json` prints it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct NodePlan {
    node: String,
    l2: Vec<Announced>,
    /// Nothing is announced by BGP yet; the key is there for those who read both.
    bgp: [(); 0],
    silent: Vec<Silent>,
    assignments: Vec<Assigned>,
    refusals: Vec<Refused>,
    #[serde(skip)]
    standby: Vec<Standby>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Announced {
    service: String,
    address: String,
    /// `None` is all of them.
    interfaces: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Standby {
    service: String,
    address: String,
    before: Vec<String>,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Silent {
    service: String,
    address: Option<String>,
    protocol: &'static str,
    peer: Option<String>,
    reason: &'static str,
    #[serde(skip)]
    message: String,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Assigned {
    service: String,
    addresses: Vec<String>,
    pool: String,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Refused {
    service: String,
    reason: &'static str,
    message: String,
}

fn announced(address: &str, candidacy: &Candidacy) -> Vec<Announced> {
    let interfaces = match &candidacy.interfaces {
        Interfaces::All => None,
        Interfaces::Named(names) => Some(names.clone()),
    };
    let announced = |service: &ServiceName| Announced {
        service: service.to_string(),
        address: address.to_owned(),
        interfaces: interfaces.clone(),
    };
    candidacy.services.iter().map(announced).collect()
}

impl Silent {
    fn of(left: &Left) -> Self {
        Self {
            service: left.service.to_string(),
            address: left.address.map(|address| address.to_string()),
            protocol: "l2",
            peer: None,
            reason: left.silence.label(),
            message: left.silence.to_string(),
        }
    }
}

impl NodePlan {
    /// The plan as a table for people.
    pub fn table(&self) -> String {
        let mut rows = Vec::new();
        for row in &self.l2 {
            let interfaces = match &row.interfaces {
                None => "on all interfaces".to_owned(),
                Some(names) => {
                    format!("on {}", names.iter().cloned().collect::<Vec<_>>().join(", "))
                }
            };
            rows.push([
                "announces".to_owned(),
                row.address.clone(),
                row.service.clone(),
                interfaces,
            ]);
        }
        for row in &self.standby {
            let after = format!("after {}", row.before.join(", "));
            rows.push(["stands by".to_owned(), row.address.clone(), row.service.clone(), after]);
        }
        for row in &self.silent {
            let address = row.address.clone().unwrap_or_else(|| "-".to_owned());
            rows.push(["is silent".to_owned(), address, row.service.clone(), row.message.clone()]);
        }
        match rows.is_empty() {
            true => "nothing to do\n".to_owned(),
            false => table(["DOES", "ADDRESS", "SERVICE", "DETAIL"], rows),
        }
    }
}

/// A table without lines; nothing if it has no rows.
fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    table.add_rows(rows);
    table.lines().map(|line| format!("{}\n", line.trim())).collect()
}

/// Writes the chosen addresses into the manifests in `directory`. Says whether all went well.
fn write_status(
    directory: &Path,
    outcome: &Outcome,
    said: &mut impl io::Write,
) -> io::Result<bool> {
    let manifests = match files::manifests(directory) {
        Ok(manifests) => manifests,
        Err(cause) => {
            writeln!(said, "error: {} cannot be read: {cause}", directory.display())?;
            return Ok(false);
        }
    };
    let mut is_good = true;
    let mut missing = outcome.new.iter().collect();
    for file in manifests {
        is_good &= pin_all(&file, outcome, &mut missing, said)?;
    }
    for name in &missing {
        let directory = directory.display();
        writeln!(said, "error: Service {name} was not pinned: no manifest in {directory} has it")?;
    }
    Ok(is_good && missing.is_empty())
}

/// Writes the chosen addresses into one manifest, and takes its Services from those `missing`. Says
/// whether all went well.
fn pin_all(
    file: &Path,
    outcome: &Outcome,
    missing: &mut BTreeSet<&ServiceName>,
    said: &mut impl io::Write,
) -> io::Result<bool> {
    let path = file.display();
    let mut text = match files::text(file) {
        Ok(text) => text,
        Err(fault) => {
            writeln!(said, "error: {path}: {fault}")?;
            return Ok(false);
        }
    };
    let mut is_good = true;
    let mut pinned = Vec::new();
    for name in &outcome.new {
        let addresses = &outcome.facts.services[name].addresses;
        match pin::pin(&text, name, addresses) {
            Ok(Some(edited)) => {
                text = edited;
                missing.remove(name);
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                pinned.push(format!("pinned {name} to {} in {path}", addresses.join(", ")));
            }
            Ok(None) => (),
            Err(reason @ CannotPin::NotYaml) => {
                writeln!(said, "error: {path} was left alone: {reason}")?;
                return Ok(false);
            }
            Err(reason) => {
                is_good = false;
                missing.remove(name);
                writeln!(said, "error: {path}: Service {name} was not pinned: {reason}")?;
            }
        }
    }
    if pinned.is_empty() {
        return Ok(is_good);
    }
    if let Err(cause) = pin::replace(file, &text) {
        writeln!(said, "error: {path} was left alone: it cannot be replaced: {cause}")?;
        return Ok(false);
    }
    writeln!(said, "{}", pinned.join("\n"))?;
    Ok(is_good)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    const MANIFESTS: &str = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: main}
spec: {addresses: [192.0.2.7/32]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: main}
spec: {interfaces: [eth0]}
---
apiVersion: v1
kind: Node
metadata: {name: a}
---
apiVersion: v1
kind: Service
metadata: {name: one}
spec:
  type: LoadBalancer # from outside
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: one, labels: {kubernetes.io/service-name: one}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.2], nodeName: a}]
";

    const FULL: &str = "---
apiVersion: v1
kind: Service
metadata: {name: two, annotations: {metallb.io/loadBalancerIPs: 198.51.100.7}}
spec: {type: LoadBalancer}
";

    fn outcome(directory: &Path) -> Outcome {
        Outcome::of(parse::facts(&files::read(directory).objects).facts)
    }

    #[test]
    fn the_keys_of_the_output_for_programs_stay() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("all.yaml"), format!("{MANIFESTS}{FULL}")).unwrap();
        let plan = outcome(directory.path()).plan(&NodeName::from("a"));
        let want = json!({
            "node": "a",
            "l2": [{"service": "default/one", "address": "192.0.2.7", "interfaces": ["eth0"]}],
            "bgp": [],
            "silent": [{
                "service": "default/two", "address": null, "protocol": "l2", "peer": null,
                "reason": "noIPAllocated",
            }],
            "assignments": [
                {"service": "default/one", "addresses": ["192.0.2.7"], "pool": "main"},
            ],
            "refusals": [{
                "service": "default/two", "reason": "ipNotAllowed",
                "message": "`198.51.100.7` is in no pool",
            }],
        });
        assert_eq!(serde_json::to_value(plan).unwrap(), want);
    }

    #[test]
    fn flags_say_who_is_there() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            args: Args,
        }
        let label = "labels: {node.kubernetes.io/exclude-from-external-load-balancers: ''}";
        let excluded =
            MANIFESTS.replace("metadata: {name: a}", &format!("metadata: {{name: a, {label}}}"));
        let rows = [
            ("as it is", MANIFESTS, "", "announces"),
            ("its speaker is alive", MANIFESTS, "--speakers=b,a", "announces"),
            ("only others are", MANIFESTS, "--speakers=b", "is silent"),
            ("excluded", &excluded, "", "is silent"),
            ("excluded, but who cares", &excluded, "--ignore-exclude-lb", "announces"),
        ];
        for (row, manifests, flag, want) in rows {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("all.yaml"), manifests).unwrap();
            let words = ["plan", "-f", "x", flag].into_iter().filter(|word| !word.is_empty());
            let Command { args } = clap::Parser::parse_from(words);
            let mut facts = parse::facts(&files::read(directory.path()).objects).facts;
            args.adjust(&mut facts);
            let plan = Outcome::of(facts).plan(&NodeName::from("a")).table();
            assert!(plan.contains(want), "{row}: {plan}");
        }
    }

    #[test]
    fn a_chosen_address_is_written_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("all.yaml");
        fs::write(&file, MANIFESTS).unwrap();
        let mut said = Vec::new();
        let first = outcome(directory.path());
        assert!(write_status(directory.path(), &first, &mut said).unwrap());
        let want = format!("pinned default/one to 192.0.2.7 in {}\n", file.display());
        assert_eq!(String::from_utf8(said).unwrap(), want);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(
            text.replace("status:\n  loadBalancer:\n    ingress:\n    - ip: 192.0.2.7\n", ""),
            MANIFESTS,
            "nothing else changed"
        );

        let mut said = Vec::new();
        let second = outcome(directory.path());
        assert!(write_status(directory.path(), &second, &mut said).unwrap());
        assert_eq!(said, b"", "there is nothing left to write");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(second.table(), "");
    }

    #[test]
    fn a_manifest_that_cannot_be_edited_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let json = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"},
                       "spec": {"type": "LoadBalancer"}}"#;
        fs::write(directory.path().join("service.json"), json).unwrap();
        let pool = MANIFESTS.split("---").next().unwrap();
        fs::write(directory.path().join("pool.yaml"), pool).unwrap();
        let mut said = Vec::new();
        assert!(!write_status(directory.path(), &outcome(directory.path()), &mut said).unwrap());
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("Service default/one was not pinned: it is written in flow style"));
        assert_eq!(fs::read_to_string(directory.path().join("service.json")).unwrap(), json);

        let mut said = Vec::new();
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(!write_status(elsewhere.path(), &outcome(directory.path()), &mut said).unwrap());
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("no manifest in"), "{said}");
    }
}
