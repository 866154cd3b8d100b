//! What an object meant before it was broken.
//!
//! A slip while editing takes nothing off the network: what the object meant before stays in force
//! until it is mended or removed. Endpoints are not kept: where pods were is no good guess of
//! where they are.

use std::collections::BTreeMap;

use planner::facts::{Facts, Pool};
use planner::names::ServiceName;

/// Puts what `before` has of `broken` objects into `facts`, where that is safe: a pool only if it
/// is not in the way of one that is good. Each is `Kind/namespace/name`, or `Kind/name` where there
/// is no namespace. Returns those that were put back.
pub fn keep<'a>(
    facts: &mut Facts,
    before: &Facts,
    broken: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    broken.into_iter().filter(|object| keep_one(facts, before, object).is_some()).collect()
}

fn keep_one(facts: &mut Facts, before: &Facts, object: &str) -> Option<()> {
    let mut parts = object.split('/');
    let (kind, name) = (parts.next()?, parts.next_back()?);
    match kind {
        "BGPAdvertisement" => {
            put_back(&mut facts.bgp_advertisements, &before.bgp_advertisements, &name.into())
        }
        "BGPPeer" => put_back(&mut facts.peers, &before.peers, &name.into()),
        "IPAddressPool" => {
            let pool = before.pools.get(&name.into())?;
            let is_free = facts.pools.values().all(|other| !overlap(pool, other));
            is_free.then(|| put_back(&mut facts.pools, &before.pools, &name.into()))?
        }
        "L2Advertisement" => {
            put_back(&mut facts.l2_advertisements, &before.l2_advertisements, &name.into())
        }
        "Node" => put_back(&mut facts.nodes, &before.nodes, &name.into()),
        "Service" => {
            let name = ServiceName::new(parts.next()?, name);
            put_back(&mut facts.services, &before.services, &name)
        }
        _ => None,
    }
}

fn put_back<K: Clone + Ord, V: Clone>(
    now: &mut BTreeMap<K, V>,
    before: &BTreeMap<K, V>,
    name: &K,
) -> Option<()> {
    let value = before.get(name)?;
    now.entry(name.clone()).or_insert_with(|| value.clone());
    Some(())
}

fn overlap(one: &Pool, other: &Pool) -> bool {
    one.ranges.iter().any(|range| other.ranges.iter().any(|taken| range.overlaps(*taken)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::parse;
    use crate::source::files;

    fn facts(yaml: &str) -> Facts {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("given.yaml"), yaml).unwrap();
        parse::facts(&files::read(directory.path()).objects).facts
    }

    const POOL: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n\
        metadata: {name: main}\nspec: {addresses: [192.0.2.0/28]}\n";
    const OTHER: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n\
        metadata: {name: other}\nspec: {addresses: [192.0.2.8/29]}\n";
    const SERVICE: &str = "---\napiVersion: v1\nkind: Service\n\
        metadata: {name: web, namespace: shop}\n\
        spec: {type: LoadBalancer, ports: [{port: 80}]}\n";

    #[test]
    fn what_was_good_stays_in_force_where_that_is_safe() {
        let before = facts(&format!("{POOL}{SERVICE}"));
        let pool = "IPAddressPool/default/main";
        let service = "Service/shop/web";
        // (what is good now, what is broken, what stays)
        let table: [(&str, &[&str], &[&str]); 6] = [
            ("", &[pool, service], &[pool, service]),
            (POOL, &[service], &[service]),
            ("", &["IPAddressPool/default/never-good"], &[]),
            (OTHER, &[pool], &[]),
            ("", &["EndpointSlice/shop/web-1"], &[]),
            ("", &[], &[]),
        ];
        for (good, broken, want) in table {
            let mut now = facts(good);
            assert_eq!(keep(&mut now, &before, broken.iter().copied()), want, "{broken:?}");
            assert_eq!(
                now.pools.contains_key(&"main".into()),
                good == POOL || want.contains(&pool)
            );
            let web = ServiceName::new("shop", "web");
            assert_eq!(now.services.contains_key(&web), want.contains(&service));
        }
    }
}
