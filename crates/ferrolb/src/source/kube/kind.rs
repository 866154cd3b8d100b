//! The kinds that are followed, and where the API server has them.

use std::fmt;

/// A kind that is followed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// `metallb.io/v1beta1` BFDProfile.
    BFDProfile,
    /// `metallb.io/v1beta1` BGPAdvertisement.
    BGPAdvertisement,
    /// `metallb.io/v1beta2` BGPPeer.
    BGPPeer,
    /// `metallb.io/v1beta1` Community.
    Community,
    /// `metallb.io/v1beta1` ConfigurationState, of this component only.
    ConfigurationState,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `metallb.io/v1beta1` IPAddressPool.
    IPAddressPool,
    /// `metallb.io/v1beta1` L2Advertisement.
    L2Advertisement,
    /// `v1` Namespace, only its metadata.
    Namespace,
    /// `v1` Node.
    Node,
    /// `v1` Secret that holds a password.
    Secret,
    /// `v1` Service.
    Service,
    /// `metallb.io/v1beta1` ServiceBGPStatus, of this node only.
    ServiceBGPStatus,
    /// `metallb.io/v1beta1` ServiceL2Status, of this node only.
    ServiceL2Status,
    /// `v1` Pod of a speaker.
    SpeakerPod,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BFDProfile,
        Self::BGPAdvertisement,
        Self::BGPPeer,
        Self::Community,
        Self::ConfigurationState,
        Self::EndpointSlice,
        Self::IPAddressPool,
        Self::L2Advertisement,
        Self::Namespace,
        Self::Node,
        Self::Secret,
        Self::Service,
        Self::ServiceBGPStatus,
        Self::ServiceL2Status,
        Self::SpeakerPod,
    ];

    /// As the API server calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BFDProfile => "BFDProfile",
            Self::BGPAdvertisement => "BGPAdvertisement",
            Self::BGPPeer => "BGPPeer",
            Self::Community => "Community",
            Self::ConfigurationState => "ConfigurationState",
            Self::EndpointSlice => "EndpointSlice",
            Self::IPAddressPool => "IPAddressPool",
            Self::L2Advertisement => "L2Advertisement",
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Secret => "Secret",
            Self::Service => "Service",
            Self::ServiceBGPStatus => "ServiceBGPStatus",
            Self::ServiceL2Status => "ServiceL2Status",
            Self::SpeakerPod => "Pod",
        }
    }

    /// In paths of the API.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::BFDProfile => "bfdprofiles",
            Self::BGPAdvertisement => "bgpadvertisements",
            Self::BGPPeer => "bgppeers",
            Self::Community => "communities",
            Self::ConfigurationState => "configurationstates",
            Self::EndpointSlice => "endpointslices",
            Self::IPAddressPool => "ipaddresspools",
            Self::L2Advertisement => "l2advertisements",
            Self::Namespace => "namespaces",
            Self::Node => "nodes",
            Self::Secret => "secrets",
            Self::Service => "services",
            Self::ServiceBGPStatus => "servicebgpstatuses",
            Self::ServiceL2Status => "servicel2statuses",
            Self::SpeakerPod => "pods",
        }
    }

    /// API group; empty for the core of Kubernetes.
    pub(super) fn group(self) -> &'static str {
        match self {
            Self::EndpointSlice => "discovery.k8s.io",
            Self::Namespace | Self::Node | Self::Secret | Self::Service | Self::SpeakerPod => "",
            Self::BFDProfile
            | Self::BGPAdvertisement
            | Self::BGPPeer
            | Self::Community
            | Self::ConfigurationState
            | Self::IPAddressPool
            | Self::L2Advertisement
            | Self::ServiceBGPStatus
            | Self::ServiceL2Status => "metallb.io",
        }
    }

    /// Version within the group.
    pub(super) fn version(self) -> &'static str {
        match self.group() {
            "metallb.io" if self == Self::BGPPeer => "v1beta2",
            "metallb.io" => "v1beta1",
            _ => "v1",
        }
    }

    /// Whether only those in our own namespace count.
    pub(super) fn is_ours(self) -> bool {
        self.group() == "metallb.io" || matches!(self, Self::Secret | Self::SpeakerPod)
    }

    /// Whether facts are made of it.
    pub(crate) fn is_for_facts(self) -> bool {
        !matches!(self, Self::ConfigurationState | Self::ServiceBGPStatus | Self::ServiceL2Status)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_that_are_stored() {
        let rows = [
            (Kind::BGPPeer, "metallb.io/v1beta2/bgppeers"),
            (Kind::IPAddressPool, "metallb.io/v1beta1/ipaddresspools"),
            (Kind::EndpointSlice, "discovery.k8s.io/v1/endpointslices"),
            (Kind::SpeakerPod, "/v1/pods"),
        ];
        for (kind, want) in rows {
            let path = [kind.group(), kind.version(), kind.plural()].join("/");
            assert_eq!(path, want, "{kind}");
        }
    }
}
