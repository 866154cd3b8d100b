//! Which Pods are MetalLB's, and which of them are in our way.

use std::fmt;

use planner::names::NodeName;

use super::{Known, Me};
use crate::k8s::pod::{Container, Pod};

/// A word in the name of our image, whatever registry it is in.
const OUR_IMAGE: &str = "ferrolb";

/// What a process of a load balancer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Component {
    /// It gives addresses.
    Controller,
    /// It announces them.
    Speaker,
}

impl Component {
    /// Its name, which its container has too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Speaker => "speaker",
        }
    }

    /// Whether a Pod has its labels, in MetalLB's manifests or in its chart.
    pub(super) fn is_of(self, pod: &Pod) -> bool {
        let labels = pod.metadata.labels.as_ref();
        let has = |key| labels.and_then(|labels| labels.get(key)).map(String::as_str);
        let chart = "app.kubernetes.io/name";
        let component = Some(self.as_str());
        has("app") == Some("metallb") && has("component") == component
            || has(chart) == Some("metallb") && has("app.kubernetes.io/component") == component
    }

    /// Labels of its Pods in MetalLB's manifests, and in its chart.
    pub(super) fn selectors(self) -> [String; 2] {
        [
            format!("app=metallb,component={self}"),
            format!("app.kubernetes.io/name=metallb,app.kubernetes.io/component={self}"),
        ]
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A Pod of a MetalLB that serves the same Services as we.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Rival {
    /// Its name.
    pub pod: String,
    /// Its `metadata.uid`.
    pub uid: String,
    /// Its image.
    pub image: String,
    /// Where it runs.
    pub node: Option<NodeName>,
}

/// A Pod, reduced to what is read of it.
#[derive(Clone, Debug, Default)]
pub(super) struct PodFacts {
    name: String,
    uid: String,
    image: String,
    node: Option<NodeName>,
    /// What it was given as `--lb-class`.
    class: String,
    runs: bool,
}

impl PodFacts {
    pub(super) fn of(pod: &Pod, component: Component) -> Self {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let named = containers.clone().find(|container| container.name == component.as_str());
        let container = named.or_else(|| containers.clone().next());
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            image: container.and_then(|one| one.image.clone()).unwrap_or_default(),
            node: node.filter(|node| !node.is_empty()).map(NodeName),
            class: container.map(class).unwrap_or_default(),
            runs: runs(pod),
        }
    }

    /// Whether it runs ferrolb too, in whatever version, as far as its image tells.
    fn is_kin(&self, own: Option<&Self>) -> bool {
        let repository = repository(&self.image);
        let name = repository.rsplit('/').next().unwrap_or_default();
        name.contains(OUR_IMAGE)
            || own.is_some_and(|own| {
                own.uid == self.uid || self::repository(&own.image) == repository
            })
    }
}

/// What Pods of our component come to. Services are not among it.
pub(super) fn read(pods: &[&PodFacts], me: &Me) -> Known {
    let own = pods.iter().copied().find(|pod| pod.name == me.pod);
    let (kin, others): (Vec<&PodFacts>, Vec<_>) =
        pods.iter().filter(|pod| pod.runs).partition(|pod| pod.is_kin(own));
    let is_ours = |node: &NodeName| kin.iter().any(|pod| pod.node.as_ref() == Some(node));
    let strangers = others.iter().filter_map(|pod| pod.node.clone());
    let rivals = others.iter().filter(|pod| pod.class == me.class).map(|pod| Rival {
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        image: pod.image.clone(),
        node: pod.node.clone(),
    });
    Known {
        rivals: rivals.collect(),
        strangers: strangers.filter(|node| !is_ours(node)).collect(),
        own_uid: own.map(|own| own.uid.clone()),
        ..Known::default()
    }
}

/// As [`read`], for somebody who is none of the Pods: in the place of the first that is ours.
pub(super) fn read_from_outside(pods: &[&PodFacts], component: Component) -> Known {
    let Some(own) = pods.iter().find(|pod| pod.runs && pod.is_kin(None)) else {
        return Known::default();
    };
    let (pod, class) = (own.name.clone(), own.class.clone());
    read(pods, &Me { namespace: String::new(), pod, component, class })
}

/// An image without its tag and digest.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or_default();
    match image.rsplit_once(':') {
        // Else it is the port of a registry.
        Some((name, tag)) if !tag.contains('/') => name,
        Some(_) | None => image,
    }
}

/// What a container is given as `--lb-class`, in Go's syntax of flags.
fn class(container: &Container) -> String {
    let words = container.command.iter().chain(&container.args).flatten();
    let mut words = words.map(|word| word.trim_start_matches('-'));
    let mut class = "";
    while let Some(word) = words.next() {
        class = match word.split_once('=') {
            Some(("lb-class", value)) => value,
            None if word == "lb-class" => words.next().unwrap_or_default(),
            Some(_) | None => class,
        };
    }
    class.to_owned()
}

/// Whether it may do something. The Pod of a node that is away is as it was when last heard of,
/// but marked as not ready by somebody else.
fn runs(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let is = |type_: &str, value: &str| {
        let conditions = status.conditions.iter().flatten();
        conditions.into_iter().any(|one| one.type_ == type_ && one.status == value)
    };
    let is_lost = is("Ready", "False") && is("ContainersReady", "True");
    status.phase.as_deref() == Some("Running") && !is_lost
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, image: &str, node: &str, args: &[&str]) -> Value {
        json!({
            "metadata": {"name": name, "uid": format!("uid-of-{name}")},
            "spec": {
                "nodeName": node,
                "containers": [
                    {"name": "frr", "image": "quay.io/frrouting/frr:10"},
                    {"name": "speaker", "image": image, "args": args},
                ],
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        })
    }

    fn facts(pod: &Value) -> PodFacts {
        PodFacts::of(&serde_json::from_value(pod.clone()).unwrap(), Component::Speaker)
    }

    fn me(class: &str) -> Me {
        Me {
            namespace: "metallb-system".to_owned(),
            pod: "me".to_owned(),
            component: Component::Speaker,
            class: class.to_owned(),
        }
    }

    const OURS: &str = "localhost/ferrolb:0.1.0";
    const METALLB: &str = "quay.io/metallb/speaker:v0.15.3";

    /// Whether beside our own image another one is MetalLB's.
    fn is_rival(own: &str, other: &str) -> bool {
        let pods = [pod("me", own, "a", &[]), pod("other", other, "b", &[])].map(|pod| facts(&pod));
        let pods: Vec<_> = pods.iter().collect();
        !read(&pods, &me("")).rivals.is_empty()
    }

    #[test]
    fn a_pod_is_metallbs_by_its_image() {
        let rows = [
            ("MetalLB", OURS, METALLB, true),
            ("MetalLB by digest", OURS, "quay.io/metallb/speaker@sha256:0123", true),
            ("MetalLB in a mirror", OURS, "registry.corp:5000/mirror/metallb-speaker:v0.14", true),
            ("MetalLB with a mirror of its own", OURS, "registry.corp/lb/frontend", true),
            ("the same", OURS, OURS, false),
            ("another version of ours", OURS, "localhost/ferrolb:0.2.0", false),
            ("ours by digest", OURS, "localhost/ferrolb@sha256:0123", false),
            ("ours from another registry", OURS, "registry.corp:5000/x/ferrolb", false),
            ("ours under another name", "registry.corp/lb:1", "registry.corp/lb:2", false),
            ("MetalLB, ours under its name", "reg.corp/metallb/speaker:x", METALLB, true),
            ("a registry with a port", "reg:5000/lb:1", "reg:5000/metallb:1", true),
        ];
        for (row, own, other, want) in rows {
            assert_eq!(is_rival(own, other), want, "{row}");
        }
    }

    #[test]
    fn classes_keep_load_balancers_apart() {
        let rows: [(&str, &str, &[&str], bool); 8] = [
            ("neither has one", "", &["--port=9120"], true),
            ("only we have one", "ours", &["--port=9120"], false),
            ("only it has one", "", &["--lb-class=theirs"], false),
            ("in two words", "", &["--port", "9120", "-lb-class", "theirs"], false),
            ("each has one", "ours", &["--lb-class=theirs"], false),
            ("both have the same", "ours", &["-lb-class=ours"], true),
            ("an empty one is none", "", &["--lb-class="], true),
            ("the last one counts", "", &["--lb-class=theirs", "--lb-class="], true),
        ];
        for (row, class, args, want) in rows {
            let pods = [pod("me", OURS, "a", &[]), pod("other", METALLB, "b", args)];
            let pods = pods.map(|pod| facts(&pod));
            let known = read(&pods.iter().collect::<Vec<_>>(), &me(class));
            assert_eq!(!known.rivals.is_empty(), want, "{row}");
            assert_eq!(known.strangers, ["b".into()].into(), "{row}: it does not hear ours");
        }
    }

    #[test]
    fn only_a_pod_that_runs_is_in_the_way() {
        let status = |phase: &str, ready: &str, containers: &str| {
            json!({"phase": phase, "conditions": [
                {"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": containers},
            ]})
        };
        let rows = [
            ("ready", status("Running", "True", "True"), true),
            ("its probe fails", status("Running", "False", "False"), true),
            ("its node is away", status("Running", "False", "True"), false),
            ("not started", status("Pending", "False", "False"), false),
            ("ended", status("Succeeded", "False", "False"), false),
            ("failed", status("Failed", "False", "False"), false),
            ("without a status", Value::Null, false),
        ];
        for (row, status, want) in rows {
            let mut other = pod("other", METALLB, "b", &[]);
            other["status"] = status;
            let pods = [facts(&pod("me", OURS, "a", &[])), facts(&other)];
            let known = read(&pods.iter().collect::<Vec<_>>(), &me(""));
            assert_eq!(!known.rivals.is_empty(), want, "{row}");
        }
    }

    #[test]
    fn a_node_with_both_speakers_is_heard() {
        let pods =
            [pod("me", OURS, "a", &[]), pod("x", METALLB, "a", &[]), pod("y", METALLB, "b", &[])];
        let pods = pods.map(|pod| facts(&pod));
        let known = read(&pods.iter().collect::<Vec<_>>(), &me(""));
        assert_eq!(known.strangers, ["b".into()].into());
        assert_eq!(known.own_uid.as_deref(), Some("uid-of-me"));
        let named: Vec<_> = known.rivals.iter().map(|rival| rival.pod.as_str()).collect();
        assert_eq!(named, ["x", "y"]);
    }

    #[test]
    fn from_outside_metallb_is_in_the_way_of_ferrolb_only() {
        let rows: [(&str, &[&str], usize); 4] = [
            ("both", &[METALLB, OURS], 1),
            ("MetalLB alone", &[METALLB, METALLB], 0),
            ("ferrolb alone", &[OURS, OURS], 0),
            ("nobody", &[], 0),
        ];
        for (row, images, want) in rows {
            let pod = |(index, image): (usize, &&str)| {
                let mut pod = pod(&format!("pod-{index}"), image, "a", &[]);
                pod["metadata"]["labels"] = json!({"app": "metallb", "component": "speaker"});
                serde_json::from_value(pod).unwrap()
            };
            let pods: Vec<Pod> = images.iter().enumerate().map(pod).collect();
            let known = crate::rivals::seen_from_outside(&pods, &[], Component::Speaker);
            assert_eq!(known.rivals.len(), want, "{row}");
            let other = crate::rivals::seen_from_outside(&pods, &[], Component::Controller);
            assert_eq!(other, Known::default(), "{row}: no controller");
        }
    }

    #[test]
    fn without_our_own_pod_the_name_of_the_image_decides() {
        let pods = [facts(&pod("x", METALLB, "a", &[])), facts(&pod("y", OURS, "b", &[]))];
        let known = read(&pods.iter().collect::<Vec<_>>(), &me(""));
        let named: Vec<_> = known.rivals.iter().map(|rival| rival.pod.as_str()).collect();
        assert_eq!(named, ["x"]);
    }
}
