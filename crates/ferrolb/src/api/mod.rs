//! What users write: one file a kind, of the group `metallb.io`.
//!
//! The documentation of a field is its reference manual: what it does, its default and bounds, and
//! when to use it. Services, Nodes, Namespaces and EndpointSlices are those of `k8s-openapi`. What
//! a field means is decided in [`crate::parse`], never here.

mod ip_address_pool;
mod l2_advertisement;

pub use ip_address_pool::{
    IPAddressPool, IPAddressPoolSpec, IPAddressPoolStatus, ServiceAllocation,
};
pub use l2_advertisement::{
    L2Advertisement, L2AdvertisementSpec, L2AdvertisementStatus, PreferredNodeSelector,
};
