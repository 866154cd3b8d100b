//! What is said about objects, a row each. What they lead to is in `tests/scenarios/`.

mod bgp;

use std::fs;

use planner::facts::{Families, Family, Service};
use planner::names::ServiceName;

use super::{Parsed, facts};
use crate::source::files;

fn parse(yaml: &str) -> Parsed {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("given.yaml"), yaml).unwrap();
    let reading = files::read(directory.path());
    assert_eq!(reading.problems, []);
    facts(&reading.objects)
}

/// One object and all that is wrong with it.
#[track_caller]
fn check(row: &str, yaml: &str, want: &[&str]) {
    let found: Vec<_> = parse(yaml)
        .problems
        .iter()
        .map(|problem| format!("{}: {}", problem.field, problem.message))
        .collect();
    assert_eq!(found, want, "{row}");
}

fn pool(spec: &str) -> String {
    object("metallb.io/v1beta1", "IPAddressPool", &format!("spec: {spec}"))
}

fn advertisement(spec: &str) -> String {
    object("metallb.io/v1beta1", "L2Advertisement", &format!("spec: {spec}"))
}

/// The Service `shop/web` with more in its spec, and with annotations.
fn service(spec: &str, annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\n\
         metadata: {{name: web, namespace: shop, annotations: {{{annotations}}}}}\n\
         spec: {{type: LoadBalancer, {spec}}}\n"
    )
}

fn object(api_version: &str, kind: &str, rest: &str) -> String {
    format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: main}}\n{rest}\n")
}

fn web(yaml: &str) -> Service {
    let parsed = parse(yaml);
    assert_eq!(parsed.problems, []);
    parsed.facts.services[&ServiceName::new("shop", "web")].clone()
}

#[test]
fn every_problem_of_a_pool_is_told_at_once() {
    check("good", &pool("{addresses: [192.0.2.0/24, 'fc00::1-fc00::9']}"), &[]);
    check(
        "no addresses",
        &pool("{addresses: []}"),
        &["spec.addresses: a pool needs at least one range"],
    );
    check(
        "three entries of four",
        &pool("{addresses: [192.0.2.9-192.0.2.1, 192.0.2.7, 192.0.2.0/24, 192.0.2.4/30]}"),
        &[
            "spec.addresses[0]: `192.0.2.9-192.0.2.1` ends before it starts",
            "spec.addresses[1]: `192.0.2.7` has no prefix length",
            "spec.addresses[3]: CIDR \"192.0.2.4/30\" in pool \"main\" overlaps with already \
             defined CIDR \"192.0.2.0/24\"",
        ],
    );
    check(
        "what is there twice",
        &pool(
            "{addresses: [192.0.2.0/24], serviceAllocation: {namespaces: [a, b, a], \
             serviceSelectors: [{matchLabels: {x: y}}, \
             {matchExpressions: [{key: x, operator: In, values: [y]}]}]}}",
        ),
        &[
            "spec.serviceAllocation.namespaces[2]: `a` is there twice",
            "spec.serviceAllocation.serviceSelectors[1]: the selector `x=y` is there twice",
        ],
    );
}

#[test]
fn every_problem_of_reservations_and_quota_is_told_at_once() {
    check(
        "good",
        &pool(
            "{addresses: [192.0.2.0/24], quota: {perNamespace: 0}, drain: true, \
             reservations: [{address: 192.0.2.7, service: shop/web}]}",
        ),
        &[],
    );
    check(
        "one of each",
        &pool(
            "{addresses: [192.0.2.0/24], avoidBuggyIPs: true, quota: {perNamespace: -1}, \
             reservations: [{address: x, service: web}, {address: 192.0.3.7, service: a/b}, \
             {address: 192.0.2.0, service: a/b}, {address: 192.0.2.7, service: a/b}, \
             {address: '::ffff:192.0.2.7', service: a/b/c}]}",
        ),
        &[
            "spec.quota.perNamespace: -1 is less than 0",
            "spec.reservations[0].address: `x` is not an IP address",
            "spec.reservations[0].service: `web` is not `namespace/name`",
            "spec.reservations[1].address: `192.0.3.7` is not in the pool",
            "spec.reservations[2].address: `192.0.2.0` ends in 0 or 255, which the pool avoids",
            "spec.reservations[4].address: `192.0.2.7` is there twice",
            "spec.reservations[4].service: `a/b/c` is not `namespace/name`",
        ],
    );
    let many = "{address: 192.0.2.7, service: a/b}, ".repeat(1025);
    let yaml = pool(&format!("{{addresses: [192.0.2.0/24], reservations: [{many}]}}"));
    let first = &parse(&yaml).problems[0];
    assert_eq!(
        first.to_string(),
        "IPAddressPool/default/main: spec.reservations: 1025 are more than 1024; spread them over several pools"
    );
}

#[test]
fn the_number_of_addresses_is_an_annotation() {
    let count = |text: &str, more: &str| format!("metallb.io/address-count: '{text}'{more}");
    let rows = [
        ("none", String::new(), 1),
        ("three", count("3", ""), 3),
        ("the most", count(" 16 ", ""), 16),
        ("the older prefix", "metallb.universe.tf/address-count: '2'".to_owned(), 2),
    ];
    for (name, annotations, want) in rows {
        assert_eq!(web(&service("", &annotations)).address_count, want, "{name}");
    }
    const FIELD: &str = "metadata.annotations[metallb.io/address-count]";
    for text in ["0", "17", "-1", "two", "256", ""] {
        let want = format!("{FIELD}: `{text}` is not a number from 1 to 16");
        check(text, &service("", &count(text, "")), &[&want]);
    }
    let lists = [
        ("as many as it may", "192.0.2.1,192.0.2.2,fc00::1", vec![]),
        (
            "too many",
            "192.0.2.1,192.0.2.2,192.0.2.3",
            vec!["has more than 2 addresses of one family"],
        ),
    ];
    for (name, list, want) in lists {
        let yaml = service("", &count("2", &format!(", metallb.io/loadBalancerIPs: '{list}'")));
        let field = "metadata.annotations[metallb.io/loadBalancerIPs]";
        let want: Vec<_> = want.iter().map(|want| format!("{field}: `{list}` {want}")).collect();
        check(name, &yaml, &want.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let twice = service("", "metallb.io/loadBalancerIPs: '192.0.2.1,192.0.2.1'");
    let want = "metadata.annotations[metallb.io/loadBalancerIPs]: \
                `192.0.2.1` is there twice in `192.0.2.1,192.0.2.1`";
    check("twice", &twice, &[want]);
}

#[test]
fn whoever_asks_for_nonsense_keeps_all_that_it_has() {
    let held = "status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {ip: 192.0.2.2}]}}\n";
    let rows = [
        ("a count", "metallb.io/address-count", vec![]),
        ("addresses", "metallb.io/loadBalancerIPs", vec!["192.0.2.1", "192.0.2.2"]),
    ];
    for (name, field, requested) in rows {
        let yaml = service("", &format!("{field}: x")) + held;
        let web = web(&yaml);
        let found: Vec<_> = web.requested_addresses.iter().map(ToString::to_string).collect();
        assert_eq!(
            (web.address_count, found),
            (2, requested.iter().map(ToString::to_string).collect()),
            "{name}"
        );
        let warnings = parse(&yaml).warnings;
        // The Service has no EndpointSlice, which is a warning without a field.
        let fields: Vec<_> = warnings.iter().map(|warning| warning.field.as_str()).collect();
        let fields: Vec<_> = fields.into_iter().filter(|field| !field.is_empty()).collect();
        assert_eq!(fields, [format!("metadata.annotations[{field}]")], "{name}");
    }
}

#[test]
fn every_problem_of_an_advertisement_is_told_at_once() {
    check("nothing is said", &advertisement("{}"), &[]);
    check(
        "selectors",
        &advertisement(
            "{nodeSelectors: [{matchExpressions: [{key: a, operator: in, values: [b]}]}, \
             {matchExpressions: [{key: a, operator: In, values: [b, b]}, \
             {key: c, operator: Exists}, {key: c, operator: Exists}]}]}",
        ),
        &[
            "spec.nodeSelectors[0]: `in` for `a` is not an operator",
            "spec.nodeSelectors[1].matchExpressions[0].values[1]: `b` is there twice",
            "spec.nodeSelectors[1].matchExpressions[2]: the expression is there twice",
        ],
    );
    check(
        "weights and pools",
        &advertisement(
            "{ipAddressPools: [a, a], preferredNodeSelectors: \
             [{weight: 100, preference: {}}, {weight: 0, preference: {}}, \
             {weight: 101, preference: {}}]}",
        ),
        &[
            "spec.ipAddressPools[1]: `a` is there twice",
            "spec.preferredNodeSelectors[1].weight: 0 is not from 1 to 100",
            "spec.preferredNodeSelectors[2].weight: 101 is not from 1 to 100",
        ],
    );
}

#[test]
fn every_problem_of_a_service_is_told_at_once() {
    let annotation = |text: &str| format!("metallb.io/loadBalancerIPs: '{text}'");
    const FIELD: &str = "metadata.annotations[metallb.io/loadBalancerIPs]";
    let rows = [
        ("good", service("", ""), vec![]),
        (
            "ports, policies and families",
            service(
                "ports: [{port: 0}, {port: 80, protocol: tcp}, {port: 65536}], \
                 externalTrafficPolicy: local, ipFamilyPolicy: Dual, ipFamilies: [IPv5]",
                "",
            ),
            vec![
                "spec.externalTrafficPolicy: `local` is neither Cluster nor Local".to_owned(),
                "spec.ipFamilies[0]: `IPv5` is neither IPv4 nor IPv6".to_owned(),
                "spec.ipFamilyPolicy: `Dual` is none of SingleStack, PreferDualStack, \
                 RequireDualStack"
                    .to_owned(),
                "spec.ports[0].port: 0 is not from 1 to 65535".to_owned(),
                "spec.ports[1].protocol: `tcp` is none of TCP, UDP, SCTP".to_owned(),
                "spec.ports[2].port: 65536 is not from 1 to 65535".to_owned(),
            ],
        ),
        (
            "two addresses of one family",
            service("", &annotation("192.0.2.1, 192.0.2.2")),
            vec![format!(
                "{FIELD}: `192.0.2.1, 192.0.2.2` is neither one address nor one of each family; \
                 `metallb.io/address-count` allows more"
            )],
        ),
        (
            "no address",
            service("", &annotation("web")),
            vec![format!("{FIELD}: `web` is not an IP address")],
        ),
        (
            "the old field and the annotation",
            service("loadBalancerIP: 192.0.2.1", &annotation("192.0.2.1")),
            vec![format!("{FIELD}: `spec.loadBalancerIP` is set too; remove one of them")],
        ),
        (
            "a list in the old field",
            service("loadBalancerIP: '192.0.2.1,fc00::1'", ""),
            vec!["spec.loadBalancerIP: `192.0.2.1,fc00::1` is not an IP address".to_owned()],
        ),
        (
            "one cluster address for two families",
            service("ipFamilyPolicy: RequireDualStack, clusterIPs: [10.0.0.1]", ""),
            vec![
                "spec.clusterIPs: a dual-stack Service needs a cluster address of each family"
                    .to_owned(),
            ],
        ),
    ];
    for (row, yaml, want) in rows {
        check(row, &yaml, &want.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn families_are_those_that_the_api_server_would_fill_in() {
    let rows = [
        ("a plain manifest", "", Families::Single(Family::V4)),
        ("a family is named", "ipFamilies: [IPv6]", Families::Single(Family::V6)),
        ("the cluster has IPv6", "clusterIPs: ['fc00::1']", Families::Single(Family::V6)),
        ("the old field", "clusterIP: 'fc00::1'", Families::Single(Family::V6)),
        ("two are named", "ipFamilies: [IPv6, IPv4]", Families::RequireDual),
        ("both preferred", "ipFamilyPolicy: PreferDualStack", Families::PreferDual(Family::V4)),
        (
            "both preferred, IPv6 first",
            "ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6, IPv4]",
            Families::PreferDual(Family::V6),
        ),
        (
            "both preferred, but the cluster has one",
            "ipFamilyPolicy: PreferDualStack, clusterIPs: [10.0.0.1]",
            Families::Single(Family::V4),
        ),
        ("both required", "ipFamilyPolicy: RequireDualStack", Families::RequireDual),
    ];
    for (row, spec, want) in rows {
        assert_eq!(web(&service(spec, "")).families, want, "{row}");
    }
}

#[test]
fn the_current_prefix_hides_the_old_one_even_when_empty() {
    let rows = [
        ("old", "metallb.universe.tf/address-pool: old", Some("old")),
        (
            "both",
            "metallb.universe.tf/address-pool: old, metallb.io/address-pool: new",
            Some("new"),
        ),
        ("empty", "metallb.universe.tf/address-pool: old, metallb.io/address-pool: ''", None),
    ];
    for (row, annotations, want) in rows {
        let found = web(&service("", annotations)).requested_pool;
        assert_eq!(found.map(|pool| pool.to_string()).as_deref(), want, "{row}");
    }
}

#[test]
fn a_service_that_asks_for_nonsense_keeps_its_address() {
    let ingress = "[{ip: 192.0.2.1}, {hostname: example.com}, {ip: x}]";
    let status = format!("status: {{loadBalancer: {{ingress: {ingress}}}}}\n");
    let parsed = parse(&(service("loadBalancerIP: bogus", "") + &status));
    assert_eq!(parsed.problems, []);
    let fields: Vec<_> = parsed.warnings.iter().map(|warning| warning.field.as_str()).collect();
    let want = ["", "spec.loadBalancerIP", "status.loadBalancer.ingress[2].ip"];
    assert_eq!(fields, want);
    let service = &parsed.facts.services[&ServiceName::new("shop", "web")];
    assert_eq!(service.requested_addresses, service.addresses);
}

#[test]
fn of_two_pools_that_overlap_the_later_one_is_left_out() {
    let pool = |name: &str, created: &str, addresses: &str| {
        format!(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n\
             metadata: {{name: {name}{created}}}\nspec: {{addresses: [{addresses}]}}\n---\n"
        )
    };
    let at = |year: &str| format!(", creationTimestamp: '{year}-01-01T00:00:00Z'");
    let rows = [
        ("by name", "", "", "b"),
        ("by age", &at("2025"), &at("2024"), "a"),
        ("one that was never created", "", &at("2024"), "a"),
    ];
    for (row, a, b, refused) in rows {
        let yaml = pool("a", a, "192.0.2.0/28") + &pool("b", b, "192.0.2.15-192.0.2.20");
        let parsed = parse(&yaml);
        let [problem] = parsed.problems.as_slice() else { panic!("{row}: {parsed:?}") };
        assert_eq!(problem.object.name, refused, "{row}");
        let other = if refused == "a" { "b" } else { "a" };
        let want = format!("of IPAddressPool/default/{other}");
        assert!(problem.message.ends_with(&want), "{row}: {problem}");
        assert_eq!(parsed.facts.pools.len(), 1, "{row}");
    }
}

#[test]
fn the_order_of_objects_makes_no_difference() {
    let one = pool("{addresses: [192.0.2.0/24]}");
    let two = one.replace("main", "other");
    let three = service("", "");
    let forth = parse(&format!("{one}---\n{two}---\n{three}"));
    let back = parse(&format!("{three}---\n{two}---\n{one}"));
    assert_eq!(forth, back);
}
