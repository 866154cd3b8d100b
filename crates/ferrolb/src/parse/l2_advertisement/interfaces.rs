//! On which interfaces a node answers.

use planner::interfaces::{InterfaceSelector, Subnet};

use super::Findings;
use crate::api::L2AdvertisementSpec;

/// How long the name of an interface may be, in bytes: `IFNAMSIZ` and its final zero.
const LONGEST_NAME: usize = 15;

/// MetalLB takes every text, so one that can be no name is only warned of.
pub(super) fn read(spec: &L2AdvertisementSpec, findings: &mut Findings) -> InterfaceSelector {
    for (index, entry) in spec.interfaces.iter().enumerate() {
        let pattern = entry.strip_prefix('!').unwrap_or(entry);
        if !can_match(pattern) {
            let message = format!("`{entry}` matches no interface: its name cannot be like that");
            let help = "write a name, with `*` for any characters and `!` before it to exclude it";
            findings.warning(format!("spec.interfaces[{index}]"), message, help);
        }
    }
    let subnet = if spec.require_subnet { Subnet::OfAddress } else { Subnet::Any };
    InterfaceSelector::new(spec.interfaces.iter().map(String::as_str), subnet)
}

/// Whether an interface can have a name that the pattern matches, by the rules of the kernel
/// (`dev_valid_name`).
fn can_match(pattern: &str) -> bool {
    let is_bad =
        |character: char| character == '/' || character == ':' || character.is_whitespace();
    let fixed = pattern.len() - pattern.matches('*').count();
    !pattern.is_empty() && fixed <= LONGEST_NAME && !pattern.contains(is_bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_interface_can_have_are_told_apart() {
        for pattern in
            ["eth0", "*", "eth0.7", "br-0123456789ab", "**br-0123456789ab", "netze\u{df}"]
        {
            assert!(can_match(pattern), "{pattern}");
        }
        for pattern in ["", "br-0123456789abc", "eth0:1", "/dev/eth0", "eth0, eth1"] {
            assert!(!can_match(pattern), "{pattern}");
        }
    }
}
