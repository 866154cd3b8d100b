//! Builders for tests: `service("shop/web").ports(["TCP/80"]).shares("k")`.

use std::net::IpAddr;

use crate::facts::{
    Endpoint, Facts, Families, Family, L2Advertisement, Node, Pool, Port, Protocol, Reservations,
    Service, TrafficPolicy,
};
use crate::ledger::Claim;
use crate::names::{NodeName, ServiceName};
use crate::range::Range;
use crate::selector::{Labels, Selector};

/// A Service and its name.
#[derive(Clone, Debug)]
pub(crate) struct Build {
    pub(crate) name: ServiceName,
    pub(crate) service: Service,
}

/// A Service that needs one IPv4 address and listens on TCP/80.
pub(crate) fn service(name: &str) -> Build {
    let service = Service {
        labels: Labels::new(),
        addresses: Vec::new(),
        requested_addresses: Vec::new(),
        requested_pool: None,
        sharing_key: None,
        families: Families::Single(Family::V4),
        address_count: 1,
        traffic_policy: TrafficPolicy::Cluster,
        ports: [port("TCP/80")].into(),
        pod_selector: Labels::new(),
        created: None,
    };
    Build { name: name.parse().unwrap(), service }
}

impl Build {
    pub(crate) fn ports<const N: usize>(mut self, ports: [&str; N]) -> Self {
        self.service.ports = ports.map(port).into();
        self
    }

    pub(crate) fn shares(mut self, key: &str) -> Self {
        self.service.sharing_key = Some(key.to_owned());
        self
    }

    /// Forwards only to pods on the same node.
    pub(crate) fn local<const N: usize>(mut self, pods: [(&str, &str); N]) -> Self {
        self.service.traffic_policy = TrafficPolicy::Local;
        self.service.pod_selector = labels(pods);
        self
    }

    pub(crate) fn needs(mut self, families: Families) -> Self {
        self.service.families = families;
        self
    }

    /// Needs so many addresses of each family.
    pub(crate) fn count(mut self, count: u8) -> Self {
        self.service.address_count = count;
        self
    }

    /// Has these addresses.
    pub(crate) fn has<const N: usize>(mut self, addresses: [&str; N]) -> Self {
        self.service.addresses = addresses.map(address).into();
        self
    }

    pub(crate) fn asks_for<const N: usize>(mut self, addresses: [&str; N]) -> Self {
        self.service.requested_addresses = addresses.map(address).into();
        self
    }

    pub(crate) fn asks_for_pool(mut self, pool: &str) -> Self {
        self.service.requested_pool = Some(pool.into());
        self
    }

    pub(crate) fn labels<const N: usize>(mut self, pairs: [(&str, &str); N]) -> Self {
        self.service.labels = labels(pairs);
        self
    }

    /// Was created so many seconds after 1970.
    pub(crate) fn created(mut self, at: i64) -> Self {
        self.service.created = Some(at);
        self
    }

    pub(crate) fn claim(&self) -> Claim {
        Claim::new(&self.name, &self.service)
    }
}

/// A pool that gives addresses to everyone.
pub(crate) fn pool<const N: usize>(ranges: [&str; N]) -> Pool {
    Pool {
        labels: Labels::new(),
        ranges: ranges.map(|text| Range::parse(text).unwrap()).into(),
        auto_assign: true,
        avoid_buggy_ips: false,
        allocation: None,
        is_draining: false,
        namespace_quota: None,
        reservations: Reservations::default(),
    }
}

/// A cluster of Services and pools.
pub(crate) fn facts<const N: usize>(
    services: impl IntoIterator<Item = Build>,
    pools: [(&str, Pool); N],
) -> Facts {
    Facts {
        services: services.into_iter().map(|build| (build.name, build.service)).collect(),
        pools: pools.map(|(name, pool)| (name.into(), pool)).into(),
        ..Facts::default()
    }
}

impl Facts {
    /// With a node whose labels are its name and `labels`.
    pub(crate) fn node<const N: usize>(self, name: &str, pairs: [(&str, &str); N]) -> Self {
        let labels = labels(pairs).into_iter().chain([("name".into(), name.into())]).collect();
        self.with_node(name, Node { labels, ..Node::default() })
    }

    pub(crate) fn with_node(mut self, name: &str, node: Node) -> Self {
        self.nodes.insert(name.into(), node);
        self
    }

    /// With healthy endpoints of a Service on these nodes.
    pub(crate) fn healthy<const N: usize>(self, service: &str, nodes: [&str; N]) -> Self {
        self.endpoints(service, nodes.map(|node| endpoint(node, true)))
    }

    pub(crate) fn endpoints<const N: usize>(mut self, of: &str, ends: [Endpoint; N]) -> Self {
        self.endpoints.insert(of.parse().unwrap(), ends.into());
        self
    }

    pub(crate) fn advertised(mut self, name: &str, advertisement: L2Advertisement) -> Self {
        self.l2_advertisements.insert(name.into(), advertisement);
        self
    }
}

pub(crate) fn endpoint(node: &str, is_healthy: bool) -> Endpoint {
    Endpoint { node: Some(NodeName::from(node)), is_healthy, has_address: true }
}

/// Selectors of nodes by name, as [`Facts::node`] labels them.
pub(crate) fn on<const N: usize>(names: [&str; N]) -> Vec<Selector> {
    names.map(|name| selector([("name", name)])).into()
}

/// A selector of `matchLabels`.
pub(crate) fn selector<const N: usize>(pairs: [(&str, &str); N]) -> Selector {
    Selector::new(labels(pairs), []).unwrap()
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn port(text: &str) -> Port {
    let (protocol, number) = text.split_once('/').unwrap();
    let protocol = match protocol {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        other => panic!("no such protocol: {other}"),
    };
    Port { protocol, number: number.parse().unwrap() }
}
