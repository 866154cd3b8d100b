//! Which interfaces of a node an address is answered for on.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// What one L2Advertisement says of interfaces. The default selects all of them.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct InterfaceSelector {
    /// Any of them must match; none is all names.
    included: BTreeSet<Pattern>,
    /// None of them may match.
    excluded: BTreeSet<Pattern>,
    subnet: Subnet,
}

/// Whether an interface must have an address of its own in a subnet that the address is in.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Subnet {
    /// Any interface will do.
    #[default]
    Any,
    /// Only one on whose subnet the address is.
    OfAddress,
}

/// The name of an interface, in which `*` stands for any number of characters.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Pattern(String);

/// What several L2Advertisements say of one node's interfaces together: each that one selects.
///
/// Equal sets of interfaces may be written differently; those of plain names never are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interfaces(BTreeSet<InterfaceSelector>);

impl InterfaceSelector {
    /// Reads names and patterns. With `!` before it, a pattern excludes what it matches.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a str>, subnet: Subnet) -> Self {
        let mut selector = Self { subnet, ..Self::default() };
        for entry in entries {
            match entry.strip_prefix('!') {
                Some(pattern) => selector.excluded.insert(Pattern(pattern.to_owned())),
                None => selector.included.insert(Pattern(entry.to_owned())),
            };
        }
        selector
    }

    fn selects_name(&self, name: &str) -> bool {
        let is_included = self.included.is_empty() || matches_any(&self.included, name);
        is_included && !matches_any(&self.excluded, name)
    }

    fn selects(&self, name: &str, networks: &[IpNet], address: IpAddr) -> bool {
        let is_on_subnet = match self.subnet {
            Subnet::Any => true,
            Subnet::OfAddress => networks.iter().any(|network| network.contains(&address)),
        };
        is_on_subnet && self.selects_name(name)
    }

    /// How it is written, one text for each part that selects by itself.
    fn texts(&self) -> Vec<String> {
        let names = self.included.iter().map(ToString::to_string);
        if self.excluded.is_empty() && self.subnet == Subnet::Any {
            return names.collect();
        }
        let excluded = self.excluded.iter().map(|pattern| format!("!{pattern}"));
        let names: Vec<_> = names.chain(excluded).collect();
        let names = if names.is_empty() { "*".to_owned() } else { names.join(" ") };
        match self.subnet {
            Subnet::Any => vec![names],
            Subnet::OfAddress => vec![format!("{names} in the subnet of the address")],
        }
    }
}

fn matches_any(patterns: &BTreeSet<Pattern>, name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

impl Pattern {
    /// Whether it matches a whole name.
    fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            // The earliest place leaves most for what follows.
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        rest.ends_with(last)
    }
}

impl Interfaces {
    /// What these select together.
    pub fn new<'a>(selectors: impl IntoIterator<Item = &'a InterfaceSelector>) -> Self {
        let mut all: BTreeSet<InterfaceSelector> = BTreeSet::new();
        for selector in selectors {
            let is_alike = |other: &InterfaceSelector| {
                (&other.excluded, other.subnet) == (&selector.excluded, selector.subnet)
            };
            let alike: Vec<_> = all.extract_if(.., |other| is_alike(other)).collect();
            let mut sum = selector.clone();
            for other in alike {
                if other.included.is_empty() || sum.included.is_empty() {
                    sum.included.clear();
                } else {
                    sum.included.extend(other.included);
                }
            }
            all.insert(sum);
        }
        if all.contains(&InterfaceSelector::default()) {
            return Self::default();
        }
        Self(all)
    }

    /// Whether every interface is selected, whatever its name and its addresses.
    pub fn are_all(&self) -> bool {
        self.0.contains(&InterfaceSelector::default())
    }

    /// Whether the one with this name is selected, whatever its addresses.
    pub fn select_name(&self, name: &str) -> bool {
        self.0.iter().any(|selector| selector.selects_name(name))
    }

    /// Whether the one with this name, which has addresses of its own in `networks`, is selected for
    /// `address`.
    pub fn select(&self, name: &str, networks: &[IpNet], address: IpAddr) -> bool {
        self.0.iter().any(|selector| selector.selects(name, networks, address))
    }

    /// How they were written: one text for each name or pattern, or for all of an advertisement
    /// that cannot be taken apart. `None` if they are all.
    pub fn texts(&self) -> Option<BTreeSet<String>> {
        let texts = self.0.iter().flat_map(InterfaceSelector::texts);
        (!self.are_all()).then(|| texts.collect())
    }
}

/// All interfaces.
impl Default for Interfaces {
    fn default() -> Self {
        Self([InterfaceSelector::default()].into())
    }
}

impl fmt::Display for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.texts() {
            None => f.write_str("all interfaces"),
            Some(texts) => f.write_str(&texts.into_iter().collect::<Vec<_>>().join(",")),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 7] = ["docker0", "enp3s0", "eth0", "eth0.7", "eth1", "eth10", "lan"];

    fn selected(interfaces: &Interfaces) -> String {
        let names = NAMES.into_iter().filter(|name| interfaces.select_name(name));
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_patterns_and_exclusions_select() {
        let all = NAMES.join(" ");
        let rows: [(&[&str], &str); 15] = [
            (&[], &all),
            (&["eth0"], "eth0"),
            (&["eth0", "lan"], "eth0 lan"),
            (&["eth"], ""),
            (&["eth*"], "eth0 eth0.7 eth1 eth10"),
            (&["*"], &all),
            (&["*0"], "docker0 enp3s0 eth0 eth10"),
            (&["e*0"], "enp3s0 eth0 eth10"),
            (&["e*p*s*"], "enp3s0"),
            (&["eth0*0"], ""),
            (&["eth**0"], "eth0 eth10"),
            (&["!docker0"], "enp3s0 eth0 eth0.7 eth1 eth10 lan"),
            (&["!e*", "!docker0"], "lan"),
            (&["eth*", "!*.*", "!eth10"], "eth0 eth1"),
            (&["eth0", "!eth*"], ""),
        ];
        for (entries, want) in rows {
            let selector = InterfaceSelector::new(entries.iter().copied(), Subnet::Any);
            assert_eq!(selected(&Interfaces::new([&selector])), want, "{entries:?}");
        }
    }

    #[test]
    fn a_subnet_is_that_of_the_address_and_of_its_family() {
        let selector = InterfaceSelector::new(["eth*"], Subnet::OfAddress);
        let interfaces = Interfaces::new([&selector]);
        let rows = [
            ("eth0", "192.0.2.11/24", "192.0.2.200", true),
            ("eth0", "192.0.2.11/25", "192.0.2.200", false),
            ("eth0", "192.0.2.11/32", "192.0.2.200", false),
            ("lan", "192.0.2.11/24", "192.0.2.200", false),
            ("eth0", "fd00::11/64", "fd00::200", true),
            ("eth0", "fd00::11/64", "fd00:0:0:1::200", false),
            ("eth0", "0.0.0.0/0", "fd00::200", false),
        ];
        for (name, network, address, want) in rows {
            let networks = [network.parse().unwrap()];
            let is_selected = interfaces.select(name, &networks, address.parse().unwrap());
            assert_eq!(is_selected, want, "{name} {network} {address}");
        }
        assert!(!interfaces.select("eth0", &[], "192.0.2.200".parse().unwrap()));
    }

    #[test]
    fn several_advertisements_add_up_and_are_written_shortly() {
        let new =
            |entries: &[&str], subnet| InterfaceSelector::new(entries.iter().copied(), subnet);
        let rows = [
            (vec![new(&["eth0"], Subnet::Any), new(&["lan"], Subnet::Any)], "eth0,lan"),
            (vec![new(&["eth0"], Subnet::Any), new(&[], Subnet::Any)], "all interfaces"),
            (vec![new(&["!lan"], Subnet::Any), new(&["eth0"], Subnet::Any)], "!lan,eth0"),
            (vec![new(&["eth*", "!eth1"], Subnet::Any)], "eth* !eth1"),
            (vec![new(&[], Subnet::OfAddress)], "* in the subnet of the address"),
            (vec![], ""),
        ];
        for (selectors, want) in rows {
            assert_eq!(Interfaces::new(&selectors).to_string(), want);
        }
    }

    proptest! {
        #[test]
        fn what_is_added_up_selects_what_any_selects(
            entries in prop::collection::vec(
                prop::collection::vec("!?(eth0|eth\\*|\\*0|lan)", 0..3),
                1..4,
            )
        ) {
            let new = |entries: &Vec<String>| {
                InterfaceSelector::new(entries.iter().map(String::as_str), Subnet::Any)
            };
            let selectors: Vec<_> = entries.iter().map(new).collect();
            let sum = Interfaces::new(&selectors);
            for name in NAMES {
                let any = selectors.iter().any(|selector| selector.selects_name(name));
                prop_assert_eq!(sum.select_name(name), any, "{}", name);
            }
        }
    }
}
