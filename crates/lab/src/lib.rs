//! A network of namespaces in which the binary meets real clients, routers and faults.
//!
//! Everything here is one process: each host is an anonymous network namespace held by a thread
//! ([`netns`]), joined by veth pairs to a bridge ([`topology`]). Nothing has a name in the file
//! system, so labs do not meet one another and vanish with the process, however it dies.
//!
//! | file | what |
//! | --- | --- |
//! | [`needs`] | what a machine must offer, and how tests say that it does not |
//! | [`netns`], [`process`] | a namespace, and programs that live in it |
//! | [`topology`] | the LAN: client, nodes, pods, switch; and its faults |
//! | [`neighbour`] | what a host's kernel believes about the others |
//! | [`kube_proxy`], [`pod`] | what Kubernetes brings: forwarding to pods, and the pods |
//! | [`http`], [`probe`] | a client's view: one request, or a packet each millisecond |
//! | [`bfd`] | FRR's bfdd and BIRD, which watch the program and are watched |
//! | [`capture`] | the switch's view: who says ARP what |
//! | [`datagram`] | an attacker's view: what others said, to say it again |
//! | [`ferrolb`], [`cluster`] | the program under test; one on every node, with a Service to look at |
//! | [`routers`] | FRR, GoBGP: what speaks BGP with ours |
//! | `frr` | how FRR's daemons are started, for either |
//! | [`manifests`] | a copy of the examples that a test may change |
//! | [`kube`] | a real API server, real kube-proxy, Nodes and pods in the network |
//! | [`mac`], [`Report`] | values |

pub mod bfd;
pub mod capture;
pub mod cluster;
pub mod datagram;
pub mod ferrolb;
pub mod http;
pub mod kube;
pub mod kube_proxy;
pub mod mac;
pub mod manifests;
pub mod needs;
pub mod neighbour;
pub mod netns;
pub mod pod;
pub mod probe;
pub mod process;
pub mod routers;
pub mod topology;

mod frr;
mod report;
mod stamp;
mod worker;

pub use mac::Mac;
pub use manifests::Manifests;
pub use netns::Netns;

pub use probe::Probe;
pub use process::Process;
pub use report::{Outage, Report};
pub use topology::{Fault, Host, Lan, Node};
