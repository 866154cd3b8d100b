//! A real Kubernetes in the lab: etcd, kube-apiserver, kube-proxy and kubectl.
//!
//! There is no kubelet, no scheduler and no controller manager: tests write the Nodes, Pods and
//! EndpointSlices that those would.
//!
//! | file | what |
//! | --- | --- |
//! | [`programs`] | where the programs are |
//! | `directory` | a place in memory for the files of one cluster |
//! | [`pki`] | its certificates |
//! | [`api`] | a client of the API server |
//! | [`control_plane`] | etcd and the API server, and their faults |
//! | [`gateway`] | what stands before the API server and answers badly when told to |
//! | [`cluster`] | Nodes, kube-proxy, pods and their EndpointSlices |
//! | [`ferrolb`] | controllers and speakers in such a cluster |
//! | [`services`] | Services for them, and who has which address |
//! | [`kills`] | controllers killed at random meanwhile |

pub mod api;
pub mod cluster;
pub mod control_plane;
pub mod ferrolb;
pub mod gateway;
pub mod kills;
pub mod pki;
pub mod programs;
pub mod services;

mod directory;

pub use api::{Api, Patch, Refused};
pub use cluster::Cluster;
pub use control_plane::ControlPlane;
pub use ferrolb::{Installation, Installed};
pub use gateway::Gateway;
