//! What the threads are told change by change, against what they are told of all at once.

use planner::facts::{
    Endpoint, Families, Family, L2Advertisement, Node, Pool, Reservations, Service, TrafficPolicy,
};
use planner::interfaces::{InterfaceSelector, Subnet};
use planner::names::ServiceName;
use planner::range::Range;
use planner::selector::Labels;
use proptest::prelude::*;

use super::*;

/// All that the threads know of what they were told.
#[derive(Debug, Default, Eq, PartialEq)]
struct Known {
    stations: mesh::Stations,
    candidacies: BTreeMap<IpAddr, ownership::Candidacy>,
    scopes: BTreeMap<IpAddr, l2::Scope>,
    interfaces: Vec<Interface>,
}

impl Known {
    fn read(&mut self, speaker: &Speaker) {
        let (mesh, l2) = (speaker.mesh.take(), speaker.l2.take());
        if let Some(stations) = mesh.stations {
            self.stations = stations;
        }
        if let Some(interfaces) = l2.interfaces {
            self.interfaces = interfaces;
        }
        merge(&mut self.candidacies, mesh.candidacies.unwrap_or_default());
        merge(&mut self.scopes, l2.scopes);
    }
}

fn merge<V>(map: &mut BTreeMap<IpAddr, V>, edits: BTreeMap<IpAddr, Option<V>>) {
    for (at, value) in edits {
        match value {
            Some(value) => _ = map.insert(at, value),
            None => _ = map.remove(&at),
        }
    }
}

/// A speaker whose orders nobody takes.
fn idle(facts: Facts, interfaces: &[Interface]) -> Speaker {
    let node = NodeName::from("n0");
    let bgp = Arc::new(Inbox::new().unwrap());
    let mut speaker = Speaker {
        wanted: bgp::Wanted::new(node.clone(), Arc::clone(&bgp)),
        bgp,
        planner: Planner::new(node.clone(), facts),
        node,
        interfaces: interfaces.to_vec(),
        links: None,
        names: Names::default(),
        lacks: BTreeMap::new(),
        data_plane: Verdict::Unseen,
        virtual_macs: Some(Failures::new()),
        mesh: Arc::new(Inbox::new().unwrap()),
        l2: Arc::new(Inbox::new().unwrap()),
        bfd: Arc::new(Inbox::new().unwrap()),
        watched: BTreeMap::new(),
        speaking: None,
        threads: Vec::new(),
        punctuality: Punctuality::BestEffort,
    };
    speaker.begin();
    speaker
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn interface(name: &str, can_arp: bool) -> Interface {
    Interface {
        index: 1,
        name: name.into(),
        mac: None,
        is_running: true,
        can_arp,
        addresses: Vec::new(),
    }
}

fn advertisement(interfaces: &[&str]) -> L2Advertisement {
    let interfaces = InterfaceSelector::new(interfaces.iter().copied(), Subnet::Any);
    L2Advertisement { interfaces, ..L2Advertisement::default() }
}

fn base() -> Facts {
    let range = Range::parse("192.0.2.0/24").unwrap();
    let pool = Pool {
        labels: Labels::new(),
        ranges: vec![range],
        auto_assign: true,
        avoid_buggy_ips: false,
        allocation: None,
        is_draining: false,
        namespace_quota: None,
        reservations: Reservations::default(),
    };
    let node = |index: u8| {
        let node = Node { internal_ips: vec![address(200 + index)], ..Node::default() };
        (NodeName(format!("n{index}")), node)
    };
    Facts {
        pools: [("main".into(), pool)].into(),
        nodes: (0..3).map(node).collect(),
        l2_advertisements: [("all".into(), advertisement(&[]))].into(),
        ..Facts::default()
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let service = (0..4_u8, prop::option::of(0..4_u8)).prop_map(|(index, last)| {
        let service = last.map(|last| Box::new(service(address(last))));
        Change::Service(name(index), service)
    });
    let endpoints = (0..4_u8, prop::option::of(0..3_u8)).prop_map(|(index, node)| {
        let endpoint = |node| Endpoint {
            node: Some(NodeName(format!("n{node}"))),
            is_healthy: true,
            has_address: true,
        };
        Change::Endpoints(name(index), node.map(|node| vec![endpoint(node)]))
    });
    let node = (0..4_u8, prop::option::of((0..4_u8, any::<bool>()))).prop_map(|(index, node)| {
        let node = node.map(|(last, is_excluded)| Node {
            internal_ips: vec![address(200 + last)],
            is_excluded,
            ..Node::default()
        });
        Change::Node(NodeName(format!("n{index}")), node)
    });
    let names = prop::sample::select(vec![&[][..], &["eth0"], &["eth1"], &["eth0", "eth1"]]);
    let advertisement = (0..2_u8, prop::option::of(names)).prop_map(|(index, names)| {
        let advertisement = names.map(|names| Box::new(advertisement(names)));
        Change::L2Advertisement(format!("ad{index}").as_str().into(), advertisement)
    });
    let speakers = prop::option::of(prop::collection::btree_set(0..4_u8, 0..4)).prop_map(|set| {
        let names = |set: BTreeSet<u8>| set.iter().map(|one| NodeName(format!("n{one}"))).collect();
        Change::Speakers(set.map(names))
    });
    prop_oneof![4 => service, 4 => endpoints, 2 => node, 2 => advertisement, 1 => speakers]
}

fn name(index: u8) -> ServiceName {
    ServiceName::new("shop", format!("s{index}"))
}

fn service(address: IpAddr) -> Service {
    Service {
        created: None,
        labels: Labels::new(),
        addresses: vec![address],
        requested_addresses: Vec::new(),
        requested_pool: None,
        sharing_key: Some(String::from("all")),
        families: Families::Single(Family::V4),
        address_count: 1,
        traffic_policy: TrafficPolicy::Cluster,
        ports: BTreeSet::new(),
        pod_selector: Labels::new(),
    }
}

/// One step: facts change, or interfaces do.
#[derive(Clone, Debug)]
enum Step {
    Facts(Vec<Change>),
    Interfaces(Vec<Interface>),
}

fn any_step() -> impl Strategy<Value = Step> {
    let tables =
        prop::collection::vec((prop::sample::select(vec!["eth0", "eth1"]), any::<bool>()), 0..3)
            .prop_map(|table| table.into_iter().map(|(name, can)| interface(name, can)).collect());
    prop_oneof![
        4 => prop::collection::vec(any_change(), 1..4).prop_map(Step::Facts),
        1 => tables.prop_map(Step::Interfaces),
    ]
}

proptest! {
    #[test]
    fn after_each_step_the_threads_know_what_they_would_be_told_of_all(
        first in prop::collection::vec(any_change(), 0..8),
        steps in prop::collection::vec(any_step(), 1..12),
    ) {
        let mut facts = base();
        first.into_iter().for_each(|change| facts.apply(change));
        let mut interfaces = vec![interface("eth0", true)];
        let mut speaker = idle(facts, &interfaces);
        let mut known = Known::default();
        known.read(&speaker);
        for step in steps {
            match step.clone() {
                Step::Facts(changes) => _ = speaker.apply(changes),
                Step::Interfaces(table) => {
                    interfaces = table;
                    speaker.use_interfaces(&interfaces);
                }
            }
            known.read(&speaker);
            let whole = idle(speaker.planner().facts().clone(), &interfaces);
            let mut want = Known::default();
            want.read(&whole);
            prop_assert_eq!(&known, &want, "after {:?}", &step);
            prop_assert_eq!(&speaker.lacks, &whole.lacks);
        }
    }
}

#[test]
fn a_change_of_one_service_is_told_of_that_service_alone() {
    let mut facts = base();
    for index in 0..100 {
        facts.apply(Change::Service(name(index), Some(Box::new(service(address(index))))));
    }
    let mut speaker = idle(facts, &[interface("eth0", true)]);
    speaker.mesh.take();
    speaker.l2.take();
    let healthy = Endpoint { node: None, is_healthy: true, has_address: true };
    speaker.apply(vec![Change::Endpoints(name(7), Some(vec![healthy]))]);
    let mesh = speaker.mesh.take();
    assert_eq!(mesh.stations, None);
    assert_eq!(mesh.candidacies.unwrap().into_keys().collect::<Vec<_>>(), [address(7)]);
    assert_eq!(speaker.l2.take().scopes.into_keys().collect::<Vec<_>>(), [address(7)]);
}

#[test]
fn a_node_without_an_interface_for_an_address_says_why() {
    type Row<'a> = (&'a str, &'a [&'a str], Subnet, &'a [Interface], Option<Unfit>);
    let eth = |index| interface(&format!("eth{index}"), true);
    let unplugged = |name| Interface { is_running: false, ..interface(name, true) };
    let at = |network: &str, interface: Interface| Interface {
        addresses: vec![network.parse().unwrap()],
        ..interface
    };
    let (here, elsewhere) = ("192.0.2.11/24", "198.51.100.11/24");
    let (any, own) = (Subnet::Any, Subnet::OfAddress);
    let (none, no_such) = (Some(Unfit::NoUsableInterface), Some(Unfit::NoSuchInterface));
    let no_subnet = Some(Unfit::NoInterfaceInSubnet);
    let rows: [Row<'_>; 14] = [
        ("named and without carrier", &["eth0"], any, &[unplugged("eth0")], none),
        ("all, and one has carrier", &[], any, &[unplugged("eth0"), eth(1)], None),
        ("all, and there is one", &[], any, &[eth(0)], None),
        ("all, and there is none", &[], any, &[interface("lo", false)], none),
        ("named and there", &["eth0"], any, &[eth(0)], None),
        ("named and down", &["eth0"], any, &[interface("eth0", false)], none),
        ("named and unknown", &["eth9"], any, &[eth(0)], no_such),
        ("a pattern", &["eth*"], any, &[eth(0)], None),
        ("a pattern of none", &["en*"], any, &[eth(0)], no_such),
        ("all are excluded", &["!eth*"], any, &[eth(0), eth(1)], no_such),
        ("in the subnet", &[], own, &[at(elsewhere, eth(0)), at(here, eth(1))], None),
        ("in another", &[], own, &[at(elsewhere, eth(0))], no_subnet),
        ("the wrong name is in it", &["eth0"], own, &[eth(0), at(here, eth(1))], no_subnet),
        ("in it, and unplugged", &[], own, &[eth(0), at(here, unplugged("eth1"))], no_subnet),
    ];
    for (case, names, subnet, table, want) in rows {
        let mut facts = base();
        facts.nodes.retain(|name, _| name.0 == "n0");
        let interfaces = InterfaceSelector::new(names.iter().copied(), subnet);
        let advertisement = L2Advertisement { interfaces, ..L2Advertisement::default() };
        facts.apply(Change::L2Advertisement("all".into(), Some(Box::new(advertisement))));
        facts.apply(Change::Service(name(0), Some(Box::new(service(address(0))))));
        let healthy = Endpoint { node: None, is_healthy: true, has_address: true };
        facts.apply(Change::Endpoints(name(0), Some(vec![healthy])));
        let speaker = idle(facts, table);
        let lack = speaker.lacks.get(&address(0));
        assert_eq!(lack.map(|lack| lack.why), want, "{case}");
        assert!(lack.is_none_or(|lack| lack.is_first), "{case}");
        let mesh = speaker.mesh.take().candidacies.unwrap();
        assert_eq!(mesh[&address(0)].as_ref().unwrap().is_fit, want.is_none(), "{case}");
    }
}

#[test]
fn a_node_that_does_not_forward_is_unfit_but_for_what_nobody_holds() {
    let mut facts = base();
    facts.apply(Change::Service(name(0), Some(Box::new(service(address(0))))));
    let healthy = Endpoint { node: None, is_healthy: true, has_address: true };
    facts.apply(Change::Endpoints(name(0), Some(vec![healthy])));
    let mut speaker = idle(facts, &[interface("eth0", true)]);
    let told = |speaker: &Speaker| {
        let orders = speaker.mesh.take();
        let is_fit = |candidacies: &mesh::Candidacies| {
            candidacies.get(&address(0)).map(|one| one.as_ref().is_some_and(|one| one.is_fit))
        };
        (orders.candidacies.as_ref().and_then(is_fit), is_fit(&orders.last_resort))
    };
    assert_eq!(told(&speaker), (Some(true), None), "at first");
    speaker.use_data_plane(Verdict::Healthy);
    assert_eq!(told(&speaker), (None, None), "it is well");
    speaker.use_data_plane(Verdict::Unhealthy);
    assert_eq!(told(&speaker), (Some(false), Some(true)), "it is not");
    speaker.use_data_plane(Verdict::Silent);
    assert_eq!(told(&speaker), (None, None), "nor then");
    speaker.use_interfaces(&[]);
    assert_eq!(told(&speaker), (Some(false), Some(false)), "nor has it an interface");
    speaker.use_interfaces(&[interface("eth0", true)]);
    assert_eq!(told(&speaker), (Some(false), Some(true)), "now it has one");
    speaker.use_data_plane(Verdict::Healthy);
    assert_eq!(told(&speaker), (Some(true), Some(false)), "it is well again");
}
