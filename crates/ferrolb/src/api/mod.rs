//! What users write: one file a kind, of the group `metallb.io`.
//!
//! The documentation of a field is its reference manual: what it does, its default and bounds, and
//! when to use it. Services, Nodes, Namespaces and EndpointSlices are those of `k8s-openapi`. What
//! a field means is decided in [`crate::parse`], never here.

mod bfd_profile;
mod bgp_advertisement;
mod bgp_peer;
pub mod bgp_peer_conversion;
pub mod bgp_peer_v1beta1;
mod community;
mod configuration_state;
pub mod crds;
pub mod duration;
mod ip_address_pool;
mod l2_advertisement;
mod password;
mod service_bgp_status;
mod service_l2_status;

pub use bfd_profile::{
    BFDProfile, BFDProfileSpec, BFDProfileStatus, BfdAuthentication, BfdAuthenticationType,
    BfdSecret,
};
pub use bgp_advertisement::{BGPAdvertisement, BGPAdvertisementSpec, BGPAdvertisementStatus};
pub use bgp_peer::{BGPPeer, BGPPeerSpec, BGPPeerStatus, DynamicAsn, SecretReference};
pub use community::{Community, CommunityAlias, CommunitySpec, CommunityStatus};
pub use configuration_state::{
    ConfigurationResult, ConfigurationState, ConfigurationStateSpec, ConfigurationStateStatus,
};
pub use duration::Duration;
pub use ip_address_pool::{
    IPAddressPool, IPAddressPoolSpec, IPAddressPoolStatus, Quota, Reservation, ServiceAllocation,
};
pub use l2_advertisement::{
    Announcements, CloseWatch, ConflictPolicy, DuplicateProbe, Fencing, L2Advertisement,
    L2AdvertisementSpec, L2AdvertisementStatus, PlannedMove, PlannedMoves, PreferredNodeSelector,
};
pub use password::Password;
pub use service_bgp_status::{ServiceBGPStatus, ServiceBGPStatusSpec, ServiceBGPStatusStatus};
pub use service_l2_status::{
    InterfaceInfo, ServiceL2Status, ServiceL2StatusSpec, ServiceL2StatusStatus,
};
