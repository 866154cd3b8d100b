//! Every flag and environment variable.

mod controller;
pub mod go;
mod speaker;
mod tls;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::cli::{explain, plan, simulate, status, validate};

pub use controller::{Controller, WebhookMode};
pub use speaker::{Speaker, Unused};
pub use tls::Tls;

/// A load balancer for bare-metal Kubernetes: gives Services of type LoadBalancer an address and
/// announces it to the network.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Args {
    /// The least important messages to show.
    #[arg(long, global = true, value_enum, default_value = "info", env = "FERROLB_LOG_LEVEL")]
    pub log_level: LogLevel,
    /// How to write messages to standard error; by default as it suits the command.
    #[arg(long, global = true, value_enum, env = "FERROLB_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give Services of a cluster their addresses.
    Controller(Box<Controller>),
    /// Give addresses and announce them from a directory of manifests, without Kubernetes.
    Standalone(Standalone),
    /// Announce the Services of a Kubernetes cluster from one of its nodes.
    Speaker(Box<Speaker>),
    /// Show which addresses Services get and which nodes announce them.
    Plan(plan::Args),
    /// Say why a Service has its address, and why these nodes announce it.
    Explain(explain::Args),
    /// Make the speaker of this node hand all its addresses over to other nodes at once, and announce
    /// nothing until it is started again. For the time before it is uninstalled: one that merely
    /// stops is expected back.
    Leave,
    /// Say what would move if a node failed, were drained, or other manifests were applied.
    Simulate(simulate::Args),
    /// Show what a cluster says of its Services, and whether its settings are in use.
    Status(status::Args),
    /// Say what is wrong with manifests, and where.
    Validate(validate::Args),
}

impl Command {
    /// How messages are written unless a flag says it: for people, but for collectors of logs where
    /// MetalLB does.
    pub fn log_format(&self) -> LogFormat {
        match self {
            Self::Controller(_) | Self::Speaker(_) => LogFormat::Json,
            Self::Standalone(_)
            | Self::Status(_)
            | Self::Plan(_)
            | Self::Explain(_)
            | Self::Leave
            | Self::Simulate(_)
            | Self::Validate(_) => LogFormat::Text,
        }
    }
}

/// `ferrolb standalone`.
#[derive(Debug, clap::Args)]
pub struct Standalone {
    /// Directory of Kubernetes manifests: every `*.yaml` in it is read, and again when it changes.
    /// Give all nodes the same directory.
    #[arg(long, value_name = "DIR")]
    pub manifests: PathBuf,
    /// Which Node of the manifests this host is.
    #[arg(long, value_name = "NAME", env = "METALLB_NODE_NAME")]
    pub node_name: String,
    /// UDP port on which speakers hear each other; the same on all nodes.
    #[arg(long, value_name = "PORT", default_value_t = 7946, value_parser = clap::value_parser!(u16).range(1..))]
    pub mesh_port: u16,
    /// File with the secret that speakers know each other by, the same on all nodes; one in a file
    /// of the same name with `-previous` behind it is accepted too. Both are read again when they
    /// change.
    #[arg(long, value_name = "FILE", env = "FERROLB_MESH_KEY_FILE")]
    pub mesh_key_file: Option<PathBuf>,
}

/// The least important messages to show.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogLevel {
    /// Everything, each heartbeat too.
    All,
    /// Each frame that is answered or sent.
    Debug,
    /// What changes.
    Info,
    /// What is surely not meant.
    Warn,
    /// What does not work.
    Error,
    /// Nothing.
    None,
}

/// How to write messages.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line, with MetalLB's keys `ts`, `level`, `caller` and `msg`.
    Json,
}
