//! The ConfigMap `bgpextras`: configuration of FRR that MetalLB adds to its own. There is no FRR
//! here, so it is not read; but whoever has it is told which fields do the same.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};

use crate::k8s::retry::keep_trying;

/// The ConfigMap, and its entry.
const NAME: &str = "bgpextras";
const ENTRY: &str = "extras";

/// Words of a statement, and what takes its place. The first that fits counts: some are the begin
/// of others.
const REPLACEMENTS: [(&[&str], &str); 15] = [
    (&["neighbor", "timers connect"], "`connectTime` of the BGPPeer"),
    (&["neighbor", "timers"], "`holdTime` and `keepaliveTime` of the BGPPeer"),
    (&["neighbor", "password"], "`passwordSecret` of the BGPPeer"),
    (&["neighbor", "bfd"], "`bfdProfile` of the BGPPeer"),
    (&["neighbor", "ebgp-multihop"], "`ebgpMultiHop` of the BGPPeer"),
    (&["neighbor", "update-source"], "`sourceAddress` of the BGPPeer"),
    (&["neighbor", "local-as"], "`localASN` of the BGPPeer"),
    (&["neighbor", "port"], "`peerPort` of the BGPPeer"),
    (&["neighbor", "activate"], "`dualStackAddressFamily` of the BGPPeer"),
    (&["graceful-restart"], "`enableGracefulRestart` of the BGPPeer"),
    (&["bgp router-id"], "`routerID` of the BGPPeer"),
    (&["set community"], "`communities` of the BGPAdvertisement"),
    (&["set large-community"], "`communities` of the BGPAdvertisement"),
    (&["set local-preference"], "`localPref` of the BGPAdvertisement"),
    (&["aggregate-address"], "`aggregationLength` of the BGPAdvertisement"),
];

/// Statements that only say where others are.
const FRAMES: [&str; 8] = [
    "router bgp",
    "address-family",
    "exit",
    "exit-address-family",
    "exit-vrf",
    "route-map",
    "on-match",
    "end",
];

/// Statements that are named of those which nothing takes the place of.
const NAMED: usize = 5;

/// Says once what could be set instead, if the ConfigMap is there.
pub(super) async fn warn(client: Client, namespace: String) {
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let say = |cause: &str| {
        tracing::debug!("looking for the ConfigMap `{NAME}`: {cause}; trying again");
    };
    let found: Option<ConfigMap> =
        keep_trying(api, |api| Box::pin(async { Ok(api.get_opt(NAME).await?) }), say).await;
    let extras = found.and_then(|found| found.data?.remove(ENTRY));
    if let Some(warning) = extras.as_deref().and_then(advice) {
        tracing::warn!("{warning}");
    }
}

/// What to do about such a configuration; [`None`] if it says nothing.
fn advice(extras: &str) -> Option<String> {
    let mut instead = BTreeSet::new();
    let mut others = BTreeSet::new();
    for line in extras.lines().map(str::trim) {
        let is_frame = FRAMES.iter().any(|frame| begins(line, frame));
        if line.is_empty() || line.starts_with(['!', '#']) || is_frame {
            continue;
        }
        let fits = |(words, _): &&(&[&str], &str)| words.iter().all(|word| has(line, word));
        if let Some((words, field)) = REPLACEMENTS.iter().find(fits) {
            instead.insert(format!("{field} for `{}`", words.join(" … ")));
        } else {
            // No more of it: it may be a password.
            others.insert(line.split_whitespace().take(1).collect::<String>());
        }
    }
    if instead.is_empty() && others.is_empty() {
        return None;
    }
    let mut text = format!("the ConfigMap `{NAME}` has no effect: ferrolb speaks BGP without FRR");
    if !instead.is_empty() {
        text += "; use ";
        text += &instead.into_iter().collect::<Vec<_>>().join(", ");
    }
    if !others.is_empty() {
        let more = if others.len() > NAMED { " and others" } else { "" };
        let named: Vec<_> = others.into_iter().take(NAMED).map(|it| format!("`{it}`")).collect();
        text +=
            &format!("; no field takes the place of statements with {}{more}", named.join(", "));
    }
    Some(text)
}

fn begins(line: &str, words: &str) -> bool {
    line.strip_prefix(words).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// Whether these words are in a line, one after the other.
fn has(line: &str, words: &str) -> bool {
    let line: Vec<_> = line.split_whitespace().collect();
    let words: Vec<_> = words.split(' ').collect();
    line.windows(words.len()).any(|window| window == words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_common_use_has_its_field() {
        let rows = [
            ("neighbor 192.0.2.1 password swordfish", "`passwordSecret` of the BGPPeer"),
            ("neighbor 192.0.2.1 timers 3 9", "`holdTime` and `keepaliveTime` of the BGPPeer"),
            ("neighbor 192.0.2.1 timers connect 5", "`connectTime` of the BGPPeer"),
            ("neighbor 192.0.2.1 bfd profile fast", "`bfdProfile` of the BGPPeer"),
            ("neighbor 192.0.2.1 ebgp-multihop 2", "`ebgpMultiHop` of the BGPPeer"),
            ("neighbor 192.0.2.1 update-source 10.0.0.1", "`sourceAddress` of the BGPPeer"),
            ("neighbor 192.0.2.1 local-as 65001", "`localASN` of the BGPPeer"),
            ("neighbor 192.0.2.1 activate", "`dualStackAddressFamily` of the BGPPeer"),
            ("  bgp graceful-restart", "`enableGracefulRestart` of the BGPPeer"),
            ("bgp router-id 10.0.0.1", "`routerID` of the BGPPeer"),
            ("set community 65000:1 additive", "`communities` of the BGPAdvertisement"),
            ("set large-community 1:2:3", "`communities` of the BGPAdvertisement"),
            ("set local-preference 200", "`localPref` of the BGPAdvertisement"),
            ("aggregate-address 10.0.0.0/24", "`aggregationLength` of the BGPAdvertisement"),
        ];
        for (line, field) in rows {
            let text = advice(line).unwrap();
            assert!(text.contains(&format!("; use {field} for ")), "{line}: {text}");
            assert!(!text.contains("swordfish"), "{text}");
        }
    }

    #[test]
    fn what_has_no_field_is_named_by_its_first_word() {
        let extras = "! ours\nrouter bgp 64512\n neighbor 192.0.2.1 bfd\n exit\nagentx secret\n";
        let want = "the ConfigMap `bgpextras` has no effect: ferrolb speaks BGP without FRR; use \
                    `bfdProfile` of the BGPPeer for `neighbor … bfd`; no field takes the place of \
                    statements with `agentx`";
        assert_eq!(advice(extras).as_deref(), Some(want));
        assert_eq!(advice("\n!\nrouter bgp 64512\n"), None);
    }
}
