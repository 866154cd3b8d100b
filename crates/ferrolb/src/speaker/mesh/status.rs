//! What a speaker knows of who holds what, for people.

use std::fmt;
use std::time::Duration;

use proto::mesh::ownership::{AddressStatus, Move, PeerStatus, Snapshot};
use proto::time::Instant;
use serde::{Deserialize, Serialize};

/// What the speaker of one node believes at one moment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// All addresses that anything is known of, in order.
    pub addresses: Vec<Address>,
    /// The other speakers, by name.
    pub peers: Vec<Peer>,
    /// This node holds something and hears nothing from the LAN.
    pub is_deaf: bool,
}

/// Who has to do with an address.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Address {
    /// The address.
    pub address: String,
    /// The node that holds it, heard or not.
    pub holder: Option<String>,
    /// Epoch of its claim.
    pub epoch: Option<u64>,
    /// Who would take over or stand in, the first first.
    pub heirs: Vec<String>,
    /// Who answers for the holder while its speaker is away.
    pub stand_ins: Vec<String>,
    /// The last moves, the oldest first.
    pub moves: Vec<Moved>,
}

/// That an address got another holder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Moved {
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
    /// Who holds it since.
    pub to: String,
    /// Epoch of the claim.
    pub epoch: u64,
    /// Why; only the node that takes an address knows.
    pub cause: Option<String>,
}

/// Another speaker.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Peer {
    /// Its node.
    pub node: String,
    /// It is heard.
    pub is_heard: bool,
    /// How long ago it was heard last, in milliseconds.
    pub heard_ago_ms: Option<u64>,
    /// How often it says that it speaks, in milliseconds.
    pub interval_ms: u64,
    /// What became of it, as far as what it holds is concerned.
    pub fate: String,
}

impl Status {
    pub(super) fn of(snapshot: &Snapshot, now: Instant) -> Self {
        let addresses = snapshot.addresses.iter();
        let peers = snapshot.peers.iter();
        Self {
            addresses: addresses.map(|(at, it)| Address::of(at.to_string(), it, now)).collect(),
            peers: peers.map(|(name, it)| Peer::of(name.to_string(), it, now)).collect(),
            is_deaf: snapshot.is_deaf,
        }
    }
}

impl Address {
    fn of(address: String, status: &AddressStatus, now: Instant) -> Self {
        let (holder, epoch) = status.holder.clone().unzip();
        Self {
            address,
            holder: holder.map(|station| station.to_string()),
            epoch,
            heirs: status.heirs.iter().map(ToString::to_string).collect(),
            stand_ins: status.stand_ins.iter().map(ToString::to_string).collect(),
            moves: status.moves.iter().map(|it| Moved::of(it, now)).collect(),
        }
    }
}

impl Moved {
    fn of(moved: &Move, now: Instant) -> Self {
        let Move { at, to, epoch, why } = moved;
        let cause = why.map(|why| why.to_string());
        Self { ago_ms: millis(now - *at), to: to.to_string(), epoch: *epoch, cause }
    }
}

impl Peer {
    fn of(node: String, status: &PeerStatus, now: Instant) -> Self {
        Self {
            node,
            is_heard: status.is_heard,
            heard_ago_ms: status.last_heard.map(|at| millis(now - at)),
            interval_ms: millis(status.interval),
            fate: status.fate.label().to_owned(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for address in &self.addresses {
            writeln!(f, "{address}")?;
        }
        for Peer { node, is_heard, heard_ago_ms, interval_ms, .. } in &self.peers {
            let state = if *is_heard { "heard" } else { "silent" };
            let ago = heard_ago_ms.map(|ago| format!(", last {ago} ms ago")).unwrap_or_default();
            writeln!(f, "speaker of `{node}`: {state}{ago}, every {interval_ms} ms")?;
        }
        if self.is_deaf {
            writeln!(f, "this node hears nothing from the LAN")?;
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, holder, epoch, heirs, stand_ins, moves } = self;
        match (holder, epoch) {
            (Some(holder), Some(epoch)) => {
                write!(f, "{address} is held by `{holder}` with epoch {epoch}")?;
            }
            (None, _) | (_, None) => write!(f, "{address} is held by nobody")?,
        }
        if !stand_ins.is_empty() {
            write!(f, "; its speaker is away, and {} stand in", stand_ins.join(", "))?;
        }
        if !heirs.is_empty() {
            write!(f, "; heirs: {}", heirs.join(", "))?;
        }
        for Moved { ago_ms, to, epoch, cause } in moves.iter().rev() {
            let cause = cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
            write!(f, "\n  {ago_ms} ms ago to `{to}` with epoch {epoch}{cause}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_in_sentences() {
        let moved = Moved {
            ago_ms: 5_000,
            to: String::from("b"),
            epoch: 2,
            cause: Some(String::from("its holder fell silent")),
        };
        let address = Address {
            address: String::from("192.0.2.1"),
            holder: Some(String::from("b")),
            epoch: Some(2),
            heirs: vec![String::from("c")],
            stand_ins: vec![String::from("c")],
            moves: vec![moved],
        };
        let peer = Peer {
            node: String::from("b"),
            is_heard: false,
            heard_ago_ms: Some(300),
            interval_ms: 50,
            fate: String::from("speaker_gone"),
        };
        let status = Status { addresses: vec![address], peers: vec![peer], is_deaf: true };
        let want = "192.0.2.1 is held by `b` with epoch 2; its speaker is away, and c stand in; heirs: c\n  \
                    5000 ms ago to `b` with epoch 2: its holder fell silent\n\
                    speaker of `b`: silent, last 300 ms ago, every 50 ms\n\
                    this node hears nothing from the LAN\n";
        assert_eq!(status.to_string(), want);
    }
}
