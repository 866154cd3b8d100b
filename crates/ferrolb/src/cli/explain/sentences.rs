//! What there is to say, as sentences.

use std::fmt;

use planner::assign::Choice;

use super::explanation::{Address, Assignment, Because, Explanation, OnLan, Told};
use crate::cli::node_plan::texts;
use crate::cli::why::{Missing, Why};

/// Hexadecimal digits of a hash that are shown: enough to compare by eye.
const SHOWN_OF_HASH: usize = 12;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, assignment, addresses } = self;
        match &assignment.pool {
            Some(pool) => {
                let addresses = quoted(&assignment.addresses);
                writeln!(f, "{service} has {addresses} from pool `{pool}`.")?;
            }
            None => writeln!(f, "{service} has no address.")?,
        }
        write!(f, "{assignment}")?;
        addresses.iter().try_for_each(|address| write!(f, "\n{address}"))
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(lost) = &self.lost {
            let had = quoted(&lost.addresses);
            writeln!(f, "  It had {had}, and cannot keep that: {}", lost.why)?;
        }
        let many = self.addresses.len() > 1;
        let (it, is) = if many { ("They", "are") } else { ("It", "is") };
        let first_free = match self.choice {
            Choice::FirstFree => "In there it is the first free address.",
            Choice::Hashed => {
                "In there it is the first free address from where the name of the Service hashes to."
            }
        };
        match self.because {
            Because::InStatus => writeln!(f, "  {it} {is} in its status, and it may keep that."),
            Because::Extended => writeln!(
                f,
                "  It keeps the one that is in its status. The other is new: it would like an \
                 address of each family."
            ),
            Because::AddressRequested => writeln!(f, "  It asks for just that."),
            Because::PoolRequested => writeln!(f, "  It asks for the pool. {first_free}"),
            Because::FirstPool => {
                writeln!(f, "  The pool is the first that can serve it. {first_free}")
            }
            Because::Refused => Ok(()),
        }?;
        for passed in &self.passed_over {
            writeln!(f, "  Pool `{}` comes before, but {}.", passed.pool, passed.message)?;
        }
        match &self.refusal {
            Some(why) => writeln!(f, "  It gets none: {why}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, shared_with, l2, bgp, silent } = self;
        let shared = match shared_with.is_empty() {
            true => String::new(),
            false => format!(" It is shared with {}.", quoted(shared_with)),
        };
        let announced = match (l2.is_some(), !bgp.is_empty()) {
            (true, true) => "announced on the LAN and to routers",
            (true, false) => "announced on the LAN",
            (false, true) => "announced to routers",
            (false, false) => "not announced",
        };
        writeln!(f, "{address} is {announced}.{shared}")?;
        if let Some(l2) = l2 {
            write!(f, "{l2}")?;
        }
        bgp.iter().try_for_each(|told| write!(f, "{told}"))?;
        silent.iter().try_for_each(|missing| write!(f, "{missing}"))
    }
}

impl fmt::Display for OnLan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interfaces = match &self.interfaces {
            None => "all interfaces".to_owned(),
            Some(names) => quoted(&texts(names)),
        };
        write!(f, "  Node `{}` answers for it, on {interfaces}: ", self.owner)?;
        if self.order.len() == 1 {
            writeln!(f, "no other node may.")?;
        } else {
            let holder = match self.is_sticky {
                true => "keeps it, unless its score is lower",
                false => "gives it back",
            };
            writeln!(
                f,
                "it comes first, by score and then by the sha256 of `node#address`. Another node \
                 that holds the address {holder}."
            )?;
        }
        for (place, candidate) in self.order.iter().enumerate() {
            let hash = candidate.hash.get(..SHOWN_OF_HASH).unwrap_or(&candidate.hash);
            let (node, score) = (&candidate.node, candidate.score);
            writeln!(f, "    {}. `{node}`, score {score}, hash {hash}", place + 1)?;
        }
        match &self.settings_from {
            Some(name) => writeln!(f, "  How it is held is said by L2Advertisement `{name}`."),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, nodes, route } = self;
        let attributes = match route.attributes() {
            none if none.is_empty() => none,
            attributes => format!(", {attributes}"),
        };
        let tells = if nodes.len() == 1 { "tells" } else { "tell" };
        let nodes = named("Node", nodes);
        writeln!(f, "  {nodes} {tells} peer `{peer}` {}{attributes}.", route.prefix)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, peer, nodes, why } = self;
        let many = nodes.len() != 1;
        let nodes = named("Node", nodes);
        match (protocol, peer) {
            (Some("bgp"), Some(peer)) => {
                let does = if many { "do" } else { "does" };
                writeln!(f, "  {nodes} {does} not tell peer `{peer}`: {why}")
            }
            (Some("bgp"), None) => {
                let tells = if many { "tell" } else { "tells" };
                writeln!(f, "  {nodes} {tells} no peer: {why}")
            }
            (Some(_) | None, _) => {
                let does = if many { "do" } else { "does" };
                writeln!(f, "  {nodes} {does} not answer for it on the LAN: {why}")
            }
        }
    }
}

impl fmt::Display for Why {
    /// What follows a colon: the reason, and on the next line how to mend it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.\n    To mend it: {}.", self.message, self.help)
    }
}

/// `Node `a``, or `Nodes `a` and `b``.
fn named(kind: &str, names: &[String]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{kind}{plural} {}", quoted(names))
}

/// Names in backticks, with a word before the last.
fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
