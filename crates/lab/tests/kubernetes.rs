//! A real API server, as the tests with ferrolb use it.
//!
//! ```text
//!   client ────┬──── node-a, kube-proxy ──── pod-a
//!   .100       ├──── node-b, kube-proxy ──── pod-b
//!              └──── control-plane .90: etcd, kube-apiserver
//! ```

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use lab::kube::{Cluster, ControlPlane, Refused};
use lab::{Lan, http};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

const WEB_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200)), 80);

const NAMES: &str = "
apiVersion: v1
kind: ConfigMap
metadata:
  name: names
data:
  node: a
---
apiVersion: v1
kind: Namespace
metadata:
  name: metallb-system
";

#[test]
fn objects_outlive_an_api_server_and_an_etcd_that_are_killed() {
    lab::require!(kubernetes);
    let lan = Lan::with_nodes(0).unwrap();
    let mut plane = ControlPlane::start(&lan).unwrap();
    plane.apply(NAMES).unwrap();
    let path = "/api/v1/namespaces/default/configmaps/names";
    let written = plane.get(path).unwrap();
    assert_eq!(written["data"], json!({"node": "a"}));

    plane.stop_api_server().unwrap();
    plane.get(path).unwrap_err();
    plane.start_api_server().unwrap();
    assert_eq!(plane.get(path).unwrap(), written);

    plane.stop_etcd().unwrap();
    plane.start_etcd().unwrap();
    assert_eq!(plane.get(path).unwrap(), written);

    plane.pause_api_server().unwrap();
    plane.resume_api_server().unwrap();
    plane.patch(path, &json!({"data": {"node": "b"}})).unwrap();
    assert_eq!(plane.get(path).unwrap()["data"], json!({"node": "b"}));
    plane.delete(path).unwrap();
    assert_eq!(plane.api().find(path).unwrap(), None);
    plane.delete(path).unwrap();
}

const WEB: &str = "
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  type: LoadBalancer
  externalTrafficPolicy: Cluster
  ports:
  - {name: http, port: 80, targetPort: 8080, protocol: TCP}
";

#[test]
fn kube_proxy_forwards_what_comes_for_the_address_of_a_service() {
    lab::require!(kubernetes);
    let cluster = Cluster::start(2).unwrap();
    let (lan, plane) = (&cluster.lan, &cluster.plane);
    plane.apply(WEB).unwrap();
    cluster.set_endpoints("web", &["a", "b"]).unwrap();
    cluster.set_ingress("web", "192.0.2.200").unwrap();
    lan.node("a").host.add_address(WEB_ADDRESS.ip()).unwrap();
    let answers = |path: &str| -> BTreeSet<String> {
        let get = |_| http::get(&lan.client, WEB_ADDRESS, path, SOON).map(|answer| answer.body);
        (0..20).filter_map(|turn| get(turn).ok()).collect()
    };
    until("both pods answer", || answers("/").len() == 2);
    let client = BTreeSet::from([format!("{}\n", lan.client.ipv4)]);
    assert!(answers("/clientip").is_disjoint(&client), "they see the node");

    let service = "/api/v1/namespaces/default/services/web";
    plane.patch(service, &json!({"spec": {"externalTrafficPolicy": "Local"}})).unwrap();
    until("only the node's own pod answers, and sees the client", || {
        answers("/clientip") == client && answers("/").len() == 1
    });
    assert_eq!(answers("/"), BTreeSet::from(["hello from pod-a on node-a\n".to_owned()]));

    cluster.set_endpoints("web", &["b"]).unwrap();
    let limit = Duration::from_millis(300);
    until("nobody answers", || http::get(&lan.client, WEB_ADDRESS, "/", limit).is_err());
}

#[test]
fn a_service_account_may_do_what_its_roles_allow_and_no_more() {
    lab::require!(kubernetes);
    let lan = Lan::with_nodes(0).unwrap();
    let plane = ControlPlane::start(&lan).unwrap();
    plane.apply(NAMES).unwrap();
    let config = plane.kubeconfig_for_service_account("metallb-system", "speaker").unwrap();
    let config = config.to_str().unwrap();
    let get = ["--kubeconfig", config, "get", "configmap", "names", "-n", "default", "-o", "name"];
    let refused = plane.kubectl(&get).unwrap_err().to_string();
    assert!(refused.contains("system:serviceaccount:metallb-system:speaker"), "{refused}");
    plane.apply(READER).unwrap();
    // The server's memory of roles follows soon after.
    until("the role holds", || plane.kubectl(&get).is_ok_and(|said| said == "configmap/names\n"));
    let delete = ["--kubeconfig", config, "delete", "configmap", "names", "-n", "default"];
    let refused = plane.kubectl(&delete).unwrap_err().to_string();
    assert!(refused.contains("cannot delete resource"), "{refused}");

    let refused = plane.get("/api/v1/namespaces/default/configmaps/none").unwrap_err();
    assert_eq!(refused.downcast_ref::<Refused>().unwrap().code, 404);
}

const READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: reader
rules:
- apiGroups: ['']
  resources: [configmaps]
  verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: reader
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: reader
subjects:
- kind: ServiceAccount
  name: speaker
  namespace: metallb-system
";

/// Looks until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {SOON:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
