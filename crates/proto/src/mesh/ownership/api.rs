//! What goes into the engine and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::Candidacy;
use crate::l2::{Heard, Mac};
use crate::mesh::Station;
use crate::mesh::address::{Dropping, Releasing};
use crate::mesh::message::{Link, Malformed};

/// What happens to a speaker.
#[derive(Clone, Debug)]
pub enum Input {
    /// All addresses that are to be announced, whenever they may have changed. Before the first
    /// set and the first [`Input::Peers`], nothing is claimed.
    Candidacies(BTreeMap<IpAddr, Candidacy>),
    /// What [`Input::Candidacies`] would say differently, by address; `None` where it would no
    /// longer name one. It does not stand for a first set.
    CandidacyEdits(BTreeMap<IpAddr, Option<Candidacy>>),
    /// A UDP payload came in, from an address of the station `from`.
    Datagram {
        /// Whose address it came from. Before the first [`Input::Peers`], when only the API knows
        /// the addresses, it is whom an authentic datagram names.
        from: Station,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Something was heard on the LAN.
    Heard(Heard),
    /// The speaker is about to stop: others shall take over. There is no way back.
    Leave,
    /// The interfaces with carrier on which this node announces, whenever they may have changed.
    /// Until there is one, nobody is asked anything and silence alone decides. When the last one
    /// goes, others shall take over at once; when one is back, what is still held is announced as
    /// soon as no peer claims it.
    Own(Vec<Link>),
    /// All other speakers, whenever they may have changed, and the addresses at which their hosts
    /// can be asked on the LAN. This one may be among them.
    Peers(BTreeMap<Station, Vec<IpAddr>>),
    /// Who held which address by the cluster's own records (ServiceL2Status). It counts once, at
    /// the end of the start, for addresses that nobody claims.
    Remembered(BTreeMap<IpAddr, Station>),
    /// The speaker is about to stop and to come back: others shall stand in. There is no way back.
    Restart,
    /// [`Ownership::deadline`](super::Ownership::deadline) has come. Harmless when it has not.
    Timeout,
    /// Hosts on the LAN that should answer when they are asked: gateways.
    Witnesses(BTreeSet<IpAddr>),
}

/// What a speaker wants done, or says that it did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Announce the address again: somebody else claimed or announced it, or may yet.
    Announce(IpAddr),
    /// Ask for an address: a request of ARP or NDP to this Ethernet address, or to everybody if it
    /// is [`Mac::BROADCAST`].
    Ask {
        /// The address to ask for.
        address: IpAddr,
        /// Whom to ask.
        mac: Mac,
    },
    /// This node answers for the address from now on; announce it.
    Claimed {
        /// The address.
        address: IpAddr,
        /// Epoch of the claim.
        epoch: u64,
        /// Why it could be claimed.
        why: Why,
        /// How long ago its last holder was heard, if that is known: the time of the detection.
        unheard_for: Option<Duration>,
    },
    /// A host that is no speaker uses an address that this node holds.
    Conflict {
        /// The address.
        address: IpAddr,
        /// The Ethernet address of the host.
        mac: Mac,
    },
    /// Announce the address once, against a host that is no speaker and uses it (RFC 5227 section
    /// 2.4).
    Defend(IpAddr),
    /// This node stopped answering although nobody took over.
    Dropped {
        /// The address.
        address: IpAddr,
        /// Epoch of the claim.
        epoch: u64,
        /// Why.
        why: Dropping,
    },
    /// The address was released, nobody took it, and this node may hold it again.
    Kept {
        /// The address.
        address: IpAddr,
        /// Epoch of the claim, the same as before.
        epoch: u64,
    },
    /// The peer is heard, for the first time or again.
    PeerHeard(Station),
    /// Nothing was heard from the peer for three of its intervals.
    PeerSilent(Station),
    /// Somebody else shall hold the address; this node answers until it hears that claim.
    Released {
        /// The address.
        address: IpAddr,
        /// Epoch of the claim.
        epoch: u64,
        /// Why.
        why: Releasing,
    },
    /// This node goes on with the claim of its last life, which others kept for it. It answers from
    /// now on; hosts know it already, so there is nothing to announce.
    Resumed {
        /// The address.
        address: IpAddr,
        /// Epoch of the claim, the same as before.
        epoch: u64,
    },
    /// Send this datagram to the peer.
    Send {
        /// The peer.
        to: Station,
        /// The payload.
        bytes: Vec<u8>,
    },
    /// Answer for the address with the Ethernet address of its holder, whose speaker is away.
    StandIn {
        /// The address.
        address: IpAddr,
        /// What to answer with.
        mac: Mac,
        /// Who holds it.
        holder: Station,
    },
    /// Stop answering with the Ethernet address of another node. The address may be claimed next.
    StoodIn(IpAddr),
    /// A newer claim was heard; this node stopped answering.
    Yielded {
        /// The address.
        address: IpAddr,
        /// Who claims it.
        to: Station,
        /// Epoch of the newer claim; of its own if the other is heard only on the LAN.
        epoch: u64,
    },
}

/// Why an address could be claimed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Why {
    /// Its last holder is heard and claims it no more.
    HolderGone,
    /// Its live holder is no candidate.
    HolderNoCandidate,
    /// Its holder released it.
    HolderReleased,
    /// Its holder is silent, and its host does not answer if it can be asked.
    HolderSilent,
    /// Nobody was ever heard to hold it.
    NeverHeld,
    /// This node is preferred to its live holder.
    Preferred,
    /// The cluster remembers that this node held it.
    Remembered,
    /// Others stood in for its holder for as long as they may.
    StandInOver,
}

impl Why {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::HolderGone => "holder_gone",
            Self::HolderNoCandidate => "holder_no_candidate",
            Self::HolderReleased => "holder_released",
            Self::HolderSilent => "holder_silent",
            Self::NeverHeld => "never_held",
            Self::Preferred => "preferred",
            Self::Remembered => "remembered",
            Self::StandInOver => "stand_in_over",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HolderGone => "its last holder claims it no more",
            Self::HolderNoCandidate => "its holder is no candidate",
            Self::HolderReleased => "its holder released it",
            Self::HolderSilent => "its holder fell silent",
            Self::NeverHeld => "nobody was heard to hold it",
            Self::Preferred => "this node is preferred to its holder",
            Self::Remembered => "this node held it before all speakers ended",
            Self::StandInOver => "the speaker of its holder did not come back in time",
        })
    }
}

/// Why a datagram, or a part of it, was ignored.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Ignored {
    /// Changes that follow others which were not heard; they will be sent again.
    Gap,
    /// It is not a valid message.
    Malformed(Malformed),
    /// It names another station than the one whose address it came from.
    Misnamed,
    /// It is from a life of its sender that ended.
    PastLife,
    /// It was heard before, or a later one was and it has nothing to add.
    Repeated,
    /// A claim beyond those that are remembered of one peer.
    TooManyClaims,
    /// Its sender is no peer.
    UnknownStation,
}

impl Ignored {
    /// The value of a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Malformed(cause) => cause.label(),
            Self::Misnamed => "misnamed",
            Self::PastLife => "past_life",
            Self::Repeated => "repeated",
            Self::TooManyClaims => "too_many_claims",
            Self::UnknownStation => "unknown_station",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap => f.write_str("changes before these were not heard yet"),
            Self::Malformed(cause) => write!(f, "it is no valid message: {cause}"),
            Self::Misnamed => f.write_str("it names another station than its address belongs to"),
            Self::PastLife => f.write_str("it is from a life of its sender that ended"),
            Self::Repeated => f.write_str("it was heard before, or a later one was"),
            Self::TooManyClaims => f.write_str("its sender claims more than is remembered"),
            Self::UnknownStation => f.write_str("its sender is no peer"),
        }
    }
}
