//! The status of a Service: what it says, and what it should say.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Service};
use planner::assign::Assignment;
use serde_json::{Value, json};

/// The annotation that names the pool of the addresses.
pub const POOL: &str = "metallb.io/ip-allocated-from-pool";

/// The prefix of annotations that should be written in another way.
const DEPRECATED_PREFIX: &str = "metallb.universe.tf";

/// What of a Service is ours.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Shown {
    /// Its addresses in their order, without what is no address.
    pub addresses: Vec<IpAddr>,
    /// The pool that it names.
    pub pool: Option<String>,
    /// Whether it has entries besides these addresses, such as host names.
    pub has_others: bool,
}

impl Shown {
    /// What `service` shows.
    pub fn of(service: &Service) -> Self {
        let entries = entries(service);
        let addresses: Vec<_> = entries.iter().filter_map(address).collect();
        let annotations = service.metadata.annotations.as_ref();
        let pool = annotations.and_then(|annotations| annotations.get(POOL)).cloned();
        Self { has_others: addresses.len() < entries.len(), addresses, pool }
    }

    /// Whether it shows what it should: nothing of `None`. What the API server fills in counts for
    /// nothing.
    pub fn is(&self, wanted: Option<&Assignment>) -> bool {
        match wanted {
            None => self.addresses.is_empty() && self.pool.is_none(),
            Some(Assignment { addresses, pool }) => {
                self.addresses == *addresses
                    && self.pool.as_ref() == Some(&pool.0)
                    && !self.has_others
            }
        }
    }
}

/// Makes `service` say that it has these addresses, or none.
///
/// An entry of an address that stays is left as it is: `ipMode` and `ports` are others' business.
pub fn fill(service: &mut Service, wanted: Option<&Assignment>) {
    let entry = |address: &IpAddr| {
        let same = |entry: &&LoadBalancerIngress| self::address(entry) == Some(*address);
        entries(service).iter().find(same).cloned().unwrap_or_else(|| LoadBalancerIngress {
            ip: Some(address.to_string()),
            ..LoadBalancerIngress::default()
        })
    };
    let ingress = wanted.map(|wanted| wanted.addresses.iter().map(entry).collect());
    let status = service.status.get_or_insert_default();
    status.load_balancer = Some(LoadBalancerStatus { ingress });
    let annotations = service.metadata.annotations.get_or_insert_default();
    match wanted {
        Some(wanted) => annotations.insert(POOL.to_owned(), wanted.pool.0.clone()),
        None => annotations.remove(POOL),
    };
}

/// What of a Service that was made by [`fill`] is ours, as a merge patch (RFC 7386) for its status. It
/// says nothing of what others write, and is refused for a Service that was made anew.
pub fn patch(service: &Service) -> Value {
    let annotations = service.metadata.annotations.as_ref();
    let pool = annotations.and_then(|annotations| annotations.get(POOL));
    let entries = entries(service);
    json!({
        "metadata": { "uid": service.metadata.uid, "annotations": { POOL: pool } },
        // In a merge patch, `null` takes the field away.
        "status": { "loadBalancer": { "ingress": (!entries.is_empty()).then_some(entries) } },
    })
}

/// Annotations of `service` that should be written in another way.
pub fn deprecated(service: &Service) -> impl Iterator<Item = &str> {
    let keys = service.metadata.annotations.iter().flat_map(|annotations| annotations.keys());
    keys.map(String::as_str).filter(|key| key.starts_with(DEPRECATED_PREFIX))
}

fn entries(service: &Service) -> &[LoadBalancerIngress] {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default()
}

fn address(entry: &LoadBalancerIngress) -> Option<IpAddr> {
    entry.ip.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(ingress: Value, annotations: Value) -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "annotations": annotations},
            "status": {"loadBalancer": {"ingress": ingress}},
        }))
        .unwrap()
    }

    fn assignment(addresses: &[&str]) -> Option<Assignment> {
        if addresses.is_empty() {
            return None;
        }
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Some(Assignment { addresses, pool: "main".into() })
    }

    #[test]
    fn nothing_is_written_when_nothing_changed() {
        let ours = || json!({POOL: "main"});
        let vip = |ip: &str| json!({"ip": ip, "ipMode": "VIP"});
        let v6 = "2001:db8::1";
        // (what is there, annotations, what should be, whether that is it)
        let rows: [(&str, Value, Value, &[&str], bool); 10] = [
            ("as written", json!([{"ip": "192.0.2.1"}]), ours(), &["192.0.2.1"], true),
            ("filled in", json!([vip("192.0.2.1")]), ours(), &["192.0.2.1"], true),
            ("written otherwise", json!([vip("2001:db8:0::1")]), ours(), &[v6], true),
            (
                "another order",
                json!([vip(v6), vip("192.0.2.1")]),
                ours(),
                &["192.0.2.1", v6],
                false,
            ),
            ("another one", json!([vip("192.0.2.2")]), ours(), &["192.0.2.1"], false),
            ("no pool", json!([vip("192.0.2.1")]), json!({}), &["192.0.2.1"], false),
            ("another pool", json!([vip("192.0.2.1")]), json!({POOL: "x"}), &["192.0.2.1"], false),
            ("a host", json!([vip("192.0.2.1"), {"hostname": "a"}]), ours(), &["192.0.2.1"], false),
            ("none", json!([]), json!({}), &[], true),
            ("only a pool", json!([]), ours(), &[], false),
        ];
        for (name, ingress, annotations, wanted, want) in rows {
            let mut service = service(ingress, annotations);
            let wanted = assignment(wanted);
            assert_eq!(Shown::of(&service).is(wanted.as_ref()), want, "{name}");
            fill(&mut service, wanted.as_ref());
            assert!(Shown::of(&service).is(wanted.as_ref()), "{name}, written");
        }
    }

    #[test]
    fn entries_that_stay_are_left_as_they_are() {
        let proxy = json!({"ip": "192.0.2.1", "ipMode": "Proxy", "ports": [
            {"port": 80, "protocol": "TCP"}
        ]});
        let mut service = service(json!([proxy, {"ip": "192.0.2.2"}]), json!({}));
        fill(&mut service, assignment(&["192.0.2.3", "192.0.2.1"]).as_ref());
        let written = serde_json::to_value(&service).unwrap();
        let ingress = &written["status"]["loadBalancer"]["ingress"];
        assert_eq!(*ingress, json!([{"ip": "192.0.2.3"}, proxy]));
    }

    #[test]
    fn a_patch_says_what_is_ours_and_nothing_else() {
        let vip = json!([{"ip": "192.0.2.1", "ipMode": "VIP"}]);
        let rows: [(&[&str], Value, Value); 2] =
            [(&["192.0.2.1"], json!("main"), vip.clone()), (&[], Value::Null, Value::Null)];
        for (wanted, pool, ingress) in rows {
            let mut service = service(vip.clone(), json!({POOL: "old", "edit": "17"}));
            service.metadata.uid = Some("u".into());
            fill(&mut service, assignment(wanted).as_ref());
            let want = json!({
                "metadata": {"uid": "u", "annotations": {POOL: pool}},
                "status": {"loadBalancer": {"ingress": ingress}},
            });
            assert_eq!(patch(&service), want, "{wanted:?}");
        }
    }

    #[test]
    fn old_annotations_are_named() {
        let annotations = json!({
            "metallb.universe.tf/address-pool": "main", "metallb.io/allow-shared-ip": "a",
        });
        let service = service(json!([]), annotations);
        assert_eq!(deprecated(&service).collect::<Vec<_>>(), ["metallb.universe.tf/address-pool"]);
    }
}
