//! Which kinds are followed, and where.

use std::collections::BTreeSet;
use std::fmt;

/// A kind that is followed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// `metallb.io` BFDProfiles.
    BfdProfile,
    /// `metallb.io` BGPAdvertisements.
    BgpAdvertisement,
    /// `metallb.io` BGPPeers.
    BgpPeer,
    /// ServiceBGPStatuses of one node.
    BgpStatus,
    /// `metallb.io` Communities.
    Community,
    /// The ConfigurationState of one component.
    ConfigurationState,
    /// EndpointSlices of Services.
    EndpointSlice,
    /// `metallb.io` IPAddressPools.
    IpAddressPool,
    /// `metallb.io` L2Advertisements.
    L2Advertisement,
    /// ServiceL2Statuses of one node.
    L2Status,
    /// Namespaces.
    Namespace,
    /// Nodes.
    Node,
    /// Secrets with a password for a router.
    Secret,
    /// Services of any type.
    Service,
    /// Pods that are speakers.
    SpeakerPod,
}

impl Kind {
    /// Whether decisions are made from it. Without all of these nothing is known.
    pub fn is_decisive(self) -> bool {
        match self {
            Self::BgpStatus | Self::ConfigurationState | Self::L2Status => false,
            Self::BfdProfile
            | Self::BgpAdvertisement
            | Self::BgpPeer
            | Self::Community
            | Self::EndpointSlice
            | Self::IpAddressPool
            | Self::L2Advertisement
            | Self::Namespace
            | Self::Node
            | Self::Secret
            | Self::Service
            | Self::SpeakerPod => true,
        }
    }
}

impl fmt::Display for Kind {
    /// As people write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BfdProfile => "BFDProfiles",
            Self::BgpAdvertisement => "BGPAdvertisements",
            Self::BgpPeer => "BGPPeers",
            Self::BgpStatus => "ServiceBGPStatuses",
            Self::Community => "Communities",
            Self::ConfigurationState => "ConfigurationStates",
            Self::EndpointSlice => "EndpointSlices",
            Self::IpAddressPool => "IPAddressPools",
            Self::L2Advertisement => "L2Advertisements",
            Self::L2Status => "ServiceL2Statuses",
            Self::Namespace => "Namespaces",
            Self::Node => "Nodes",
            Self::Secret => "Secrets",
            Self::Service => "Services",
            Self::SpeakerPod => "Pods of speakers",
        })
    }
}

/// What to follow: no more than a component needs, and its roles allow.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The namespace of settings, speakers and what is written about them.
    pub(super) namespace: String,
    /// The component whose ConfigurationState is followed, by that object's name.
    pub(super) component: String,
    /// The node whose statuses are followed.
    pub(super) node: Option<String>,
    /// Labels of the Pods that are speakers.
    pub(super) speaker_labels: Option<String>,
    kinds: BTreeSet<Kind>,
}

impl Scope {
    /// What gives addresses: the pools, and who needs them.
    pub fn controller(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            component: "controller".to_owned(),
            node: None,
            speaker_labels: None,
            kinds: [
                Kind::Community,
                Kind::ConfigurationState,
                Kind::IpAddressPool,
                Kind::Namespace,
                Kind::Service,
            ]
            .into(),
        }
    }

    /// What announces addresses on `node`. Without `speaker_labels` every node counts as having a
    /// speaker.
    pub fn speaker(namespace: &str, node: &str, speaker_labels: Option<&str>) -> Self {
        let mut kinds = BTreeSet::from([
            Kind::BfdProfile,
            Kind::BgpAdvertisement,
            Kind::BgpPeer,
            Kind::BgpStatus,
            Kind::Community,
            Kind::ConfigurationState,
            Kind::EndpointSlice,
            Kind::IpAddressPool,
            Kind::L2Advertisement,
            Kind::L2Status,
            Kind::Namespace,
            Kind::Node,
            Kind::Secret,
            Kind::Service,
        ]);
        if speaker_labels.is_some() {
            kinds.insert(Kind::SpeakerPod);
        }
        Self {
            namespace: namespace.to_owned(),
            component: format!("speaker-{node}"),
            node: Some(node.to_owned()),
            speaker_labels: speaker_labels.map(str::to_owned),
            kinds,
        }
    }

    /// The kinds.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.kinds.iter().copied()
    }
}
