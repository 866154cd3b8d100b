//! A real Kubernetes in the lab: etcd, kube-apiserver, kube-proxy and kubectl.
//!
//! There is no kubelet, no scheduler and no controller manager: tests write the Nodes, Pods and
//! EndpointSlices that those would.
//!
//! | file | what |
//! | --- | --- |
//! | [`programs`] | where the programs are |
//! | `directory` | a place in memory for the files of one cluster |
//! | `pki` | its certificates |
//! | [`api`] | a client of the API server |
//! | [`control_plane`] | etcd and the API server, and their faults |
//! | [`cluster`] | Nodes, kube-proxy, pods and their EndpointSlices |
//! | [`ferrolb`] | controllers and speakers in such a cluster |

pub mod api;
pub mod cluster;
pub mod control_plane;
pub mod ferrolb;
pub mod programs;

mod directory;
mod pki;

pub use api::{Api, Patch, Refused};
pub use cluster::Cluster;
pub use control_plane::ControlPlane;
pub use ferrolb::{Installation, Installed};
