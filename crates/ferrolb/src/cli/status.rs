//! `ferrolb status`: what a cluster says of its Services, and whether its settings are in use.
//!
//! Nothing is decided here: this is what controllers and speakers have written down. `ferrolb explain`
//! says why it is so.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Client, Resource as _};
use planner::names::ServiceName;
use serde::Serialize;

use super::cluster::{Beside, Cluster, block_on, list};
use super::given::EXIT_PROBLEMS;
use super::plan::Output;
use super::table::table;
use crate::api::{ConfigurationResult, ConfigurationState, ServiceBGPStatus, ServiceL2Status};
use crate::k8s::definitions::lacking;
use crate::k8s::pod::Pod;
use crate::speaker::control;

/// The annotation that names the pool of a Service's addresses.
const POOL: &str = "metallb.io/ip-allocated-from-pool";

/// The Lease that the controller in charge holds.
const LEASE: &str = "metallb-controller";

/// Arguments of `ferrolb status`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The cluster to look at.
    #[command(flatten)]
    pub cluster: Cluster,

    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Ask the speaker of this node, not the cluster: who holds each address with which epoch, who
    /// comes next, who stands in, and the last moves with their causes.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    pub node: bool,
}

/// Runs `ferrolb status`. The exit code is 0 if all Services of type LoadBalancer have an address and
/// all settings are in use, 1 if not.
///
/// # Errors
///
/// If the cluster cannot be looked at or the output cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.node {
        let status = control::status()?;
        let mut out = io::stdout().lock();
        match args.output {
            Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&status)?),
            Output::Text => write!(out, "{status}"),
        }
        .context("writing the status")?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = block_on(async {
        let client = args.cluster.client().await?;
        let seen = Seen::of(&client, &args.cluster.namespace).await?;
        Ok(Status::of(&seen))
    })?;
    let mut out = io::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&status)?),
        Output::Text => write!(out, "{}", status.text()),
    }
    .context("writing the status")?;
    Ok(if status.is_good() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_PROBLEMS) })
}

/// The objects that tell.
#[derive(Clone, Debug, Default)]
struct Seen {
    services: Vec<Service>,
    l2: Vec<ServiceL2Status>,
    bgp: Vec<ServiceBGPStatus>,
    configurations: Vec<ConfigurationState>,
    lease: Option<Lease>,
    notes: Vec<String>,
}

impl Seen {
    async fn of(client: &Client, namespace: &str) -> Result<Self> {
        let services = list(&Api::all(client.clone()), "Service").await?;
        let l2 = list(&Api::namespaced(client.clone(), namespace), "ServiceL2Status").await?;
        let bgp = list(&Api::namespaced(client.clone(), namespace), "ServiceBGPStatus").await?;
        let configurations: Api<_> = Api::namespaced(client.clone(), namespace);
        let configurations = list(&configurations, "ConfigurationState").await?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let pods = list(&pods, "Pod").await?.unwrap_or_default();
        let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
        Ok(Self {
            services: services.unwrap_or_default(),
            l2: l2.unwrap_or_default(),
            bgp: bgp.unwrap_or_default(),
            configurations: configurations.unwrap_or_default(),
            lease: leases.get_opt(LEASE).await.context("reading the Lease of the controllers")?,
            notes: [Beside::of(client, namespace, &pods).await?.notes, lacking(client).await?]
                .concat(),
        })
    }
}

/// What a cluster says, as `status -o json` prints it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Status {
    services: Vec<ServiceStatus>,
    configuration: Vec<Configuration>,
    /// The controller in charge; `None` if none has said so.
    controller: Option<String>,
    /// To whom ferrolb gives way, a sentence each.
    notes: Vec<String>,
}

/// A Service of type LoadBalancer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct ServiceStatus {
    service: String,
    addresses: Vec<String>,
    pool: Option<String>,
    l2: Vec<OnLan>,
    bgp: Vec<ToPeers>,
}

/// A node that answers for it on the LAN.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct OnLan {
    node: String,
    /// Empty is all of them.
    interfaces: Vec<String>,
}

/// A node that announces it to routers.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct ToPeers {
    node: String,
    peers: Vec<String>,
}

/// Whether a controller or a speaker uses the settings as they are.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Configuration {
    component: String,
    result: Option<ConfigurationResult>,
    errors: Vec<String>,
    /// What is not as it should be beside the settings.
    warnings: Vec<String>,
}

impl Status {
    fn of(seen: &Seen) -> Self {
        let mut services: BTreeMap<_, _> = seen.services.iter().filter_map(service).collect();
        for status in seen.l2.iter().filter_map(|object| object.status.as_ref()) {
            let name = ServiceName::new(&*status.service_namespace, &*status.service_name);
            if let Some(service) = services.get_mut(&name) {
                let interfaces = status.interfaces.iter().map(|it| it.name.clone()).collect();
                service.l2.push(OnLan { node: status.node.clone(), interfaces });
            }
        }
        for status in seen.bgp.iter().filter_map(|object| object.status.as_ref()) {
            let name = ServiceName::new(&*status.service_namespace, &*status.service_name);
            if let Some(service) = services.get_mut(&name) {
                let (node, peers) = (status.node.clone(), status.peers.clone());
                service.bgp.push(ToPeers { node, peers });
            }
        }
        let mut services: Vec<_> = services.into_values().collect();
        for service in &mut services {
            service.l2.sort_by(|a, b| a.node.cmp(&b.node));
            service.bgp.sort_by(|a, b| a.node.cmp(&b.node));
        }
        let mut configuration: Vec<_> = seen.configurations.iter().map(configuration).collect();
        configuration.sort_by(|a, b| a.component.cmp(&b.component));
        let holder =
            seen.lease.as_ref().and_then(|lease| lease.spec.as_ref()?.holder_identity.clone());
        let controller = holder.filter(|holder| !holder.is_empty());
        Self { services, configuration, controller, notes: seen.notes.clone() }
    }

    fn is_good(&self) -> bool {
        let is_invalid = |it: &Configuration| it.result == Some(ConfigurationResult::Invalid);
        let lacks_address = |service: &ServiceStatus| service.addresses.is_empty();
        !self.services.iter().any(lacks_address) && !self.configuration.iter().any(is_invalid)
    }

    fn text(&self) -> String {
        let services = self.services.iter().map(ServiceStatus::row).collect();
        let mut text = table(["SERVICE", "ADDRESSES", "POOL", "LAN", "BGP"], services);
        if text.is_empty() {
            text = "no Services of type LoadBalancer\n".to_owned();
        }
        text.push('\n');
        text += &table(
            ["COMPONENT", "SETTINGS", "ERRORS", "WARNINGS"],
            self.configuration.iter().map(Configuration::row).collect(),
        );
        text += &match &self.controller {
            Some(name) => format!("controller in charge: {name}\n"),
            None => "no controller is in charge, or it is alone\n".to_owned(),
        };
        text.extend(self.notes.iter().map(|note| format!("note: {note}\n")));
        text
    }
}

/// A Service of type LoadBalancer, without those who announce it.
fn service(service: &Service) -> Option<(ServiceName, ServiceStatus)> {
    let metadata = service.meta();
    let spec = service.spec.as_ref()?;
    (spec.type_.as_deref() == Some("LoadBalancer")).then_some(())?;
    let name = ServiceName::new(metadata.namespace.as_deref()?, metadata.name.as_deref()?);
    let ingress =
        service.status.as_ref().and_then(|it| it.load_balancer.as_ref()?.ingress.as_ref());
    let addresses = ingress.into_iter().flatten().filter_map(|it| it.ip.clone()).collect();
    let pool = metadata.annotations.as_ref().and_then(|all| all.get(POOL).cloned());
    let (l2, bgp) = (Vec::new(), Vec::new());
    let status = ServiceStatus { service: name.to_string(), addresses, pool, l2, bgp };
    Some((name, status))
}

fn configuration(state: &ConfigurationState) -> Configuration {
    let status = state.status.clone().unwrap_or_default();
    // Those of MetalLB are about settings, and their messages are errors.
    let bad = status.conditions.iter().filter(|it| it.status == "False");
    let (of_settings, others): (Vec<_>, Vec<&Condition>) =
        bad.partition(|it| it.type_.ends_with("ReconcilerValid"));
    let messages = of_settings.iter().map(|it| it.message.as_str());
    // The summary has the first problem alone.
    let errors: Vec<_> = messages.filter(|message| !message.is_empty()).collect();
    let errors = if errors.is_empty() { vec![status.error_summary.as_str()] } else { errors };
    let errors = errors.iter().flat_map(|message| message.lines()).map(str::to_owned).collect();
    Configuration {
        errors,
        warnings: others.iter().map(|it| format!("{}: {}", it.type_, it.message)).collect(),
        component: state.metadata.name.clone().unwrap_or_default(),
        result: status.result,
    }
}

impl ServiceStatus {
    fn row(&self) -> [String; 5] {
        let lan = self.l2.iter().map(|it| match it.interfaces.as_slice() {
            [] => it.node.clone(),
            interfaces => format!("{} ({})", it.node, interfaces.join(", ")),
        });
        let bgp = self.bgp.iter().map(|it| format!("{} ({})", it.node, it.peers.join(", ")));
        let pool = self.pool.clone();
        [
            self.service.clone(),
            or_none(self.addresses.join(", ")),
            or_none(pool.unwrap_or_default()),
            or_none(lan.collect::<Vec<_>>().join(", ")),
            or_none(bgp.collect::<Vec<_>>().join(", ")),
        ]
    }
}

impl Configuration {
    fn row(&self) -> [String; 4] {
        let result = self.result.map_or_else(String::new, |result| format!("{result:?}"));
        let [errors, warnings] = [&self.errors, &self.warnings].map(|all| or_none(all.join("\n")));
        [self.component.clone(), or_none(result), errors, warnings]
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
