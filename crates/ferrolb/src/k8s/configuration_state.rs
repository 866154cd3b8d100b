//! `ConfigurationState`: what a component thinks of the settings, for `kubectl` to show.
//!
//! It is written when what it says changes, not when something happens; and again when somebody
//! deletes it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::api::{ConfigurationResult, ConfigurationState};
use crate::k8s::retry::keep_trying;
use crate::parse::Problem;

/// The longest message that the definition of the kind takes, in characters.
const LONGEST_MESSAGE: usize = 32_768;

/// Whose state it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Component {
    /// The controller's.
    Controller,
    /// The speaker's of this node.
    Speaker(String),
}

/// What is to be said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Report {
    /// The settings were not read yet.
    #[default]
    Unknown,
    /// All of them are in use.
    Valid,
    /// Something is wrong with them.
    Invalid {
        /// The first problem: MetalLB finds no more than one, and its tests compare it whole.
        first: String,
        /// All problems, one a line.
        all: String,
    },
}

impl Report {
    /// What is to be said of these problems. At most so much that the server takes it.
    pub fn of<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Self {
        let line = |one: &Problem| format!("configuration error: {}", sentence(one));
        let lines: Vec<_> = problems.into_iter().map(line).collect();
        let Some(first) = lines.first() else { return Self::Valid };
        let short = |text: &str| text.chars().take(LONGEST_MESSAGE).collect();
        Self::Invalid { first: short(first), all: short(&lines.join("\n")) }
    }
}

/// A problem in one sentence. Where MetalLB has one, and others look for it, it is left as it is.
fn sentence(problem: &Problem) -> String {
    let starts = ["invalid community format", "parsing peer ", "peer "];
    match starts.iter().any(|start| problem.message.starts_with(start)) {
        true => problem.message.clone(),
        false => problem.to_string(),
    }
}

/// What there is to say of a component beside its settings: a condition of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remark {
    /// The condition's type.
    pub about: &'static str,
    /// Its reason.
    pub reason: &'static str,
    /// What is not as it should be, and how to mend it; `None` if all is well.
    pub complaint: Option<Cow<'static, str>>,
}

/// Tells the writer what it has to say.
#[derive(Debug)]
pub struct Reporter {
    wanted: watch::Sender<Wanted>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Wanted {
    report: Report,
    remarks: Vec<Remark>,
    /// How often the object was seen to be gone.
    losses: u64,
}

impl Reporter {
    /// Writes in a task of its own, once `owner` is known and until the reporter is dropped.
    pub fn start(
        (client, namespace): (Client, String),
        component: Component,
        owner: impl Future<Output = OwnerReference> + Send + 'static,
    ) -> Self {
        let (wanted, receiver) = watch::channel(Wanted::default());
        tokio::spawn(async move {
            let api = Api::namespaced(client, &namespace);
            let owner = owner.await;
            Writer { api, component, owner, wanted: receiver, has_object: None }.run().await;
        });
        Self { wanted }
    }

    /// Says this from now on. Costs nothing if it is said already.
    pub fn report(&self, report: Report) {
        self.wanted.send_if_modified(|wanted| {
            let is_new = wanted.report != report;
            wanted.report = report;
            is_new
        });
    }

    /// Says this too from now on.
    pub fn remark(&self, remarks: Vec<Remark>) {
        self.wanted.send_if_modified(|wanted| {
            let is_new = wanted.remarks != remarks;
            wanted.remarks = remarks;
            is_new
        });
    }

    /// The object is gone, so it is to be written again.
    pub fn is_gone(&self) {
        self.wanted.send_modify(|wanted| wanted.losses += 1);
    }
}

/// Writes one object whenever it has to say something else.
struct Writer {
    api: Api<ConfigurationState>,
    component: Component,
    owner: OwnerReference,
    wanted: watch::Receiver<Wanted>,
    /// The losses that were known when it was written last.
    has_object: Option<u64>,
}

impl Writer {
    /// Writes until the reporter is dropped.
    async fn run(mut self) {
        loop {
            keep_trying(
                &mut self,
                |writer| Box::pin(writer.catch_up()),
                |cause| {
                    tracing::debug!("writing the ConfigurationState: {cause}; trying again");
                },
            )
            .await;
            if self.wanted.changed().await.is_err() {
                return;
            }
        }
    }

    /// Writes what there is to say now. Nobody wants that any more once the reporter is dropped.
    async fn catch_up(&mut self) -> anyhow::Result<()> {
        if self.wanted.has_changed().is_err() {
            return Ok(());
        }
        let wanted = self.wanted.borrow_and_update().clone();
        // After a failure it may have been deleted meanwhile.
        let known = self.has_object.take();
        self.write(&wanted, known).await?;
        self.has_object = Some(wanted.losses);
        Ok(())
    }

    async fn write(&self, wanted: &Wanted, has_object: Option<u64>) -> kube::Result<()> {
        let name = name(&self.component);
        let params = PatchParams::apply(manager(&self.component)).force();
        if has_object != Some(wanted.losses) {
            let object = object(&self.component, &self.owner);
            self.api.patch(&name, &params, &Patch::Apply(object)).await?;
        }
        let status = status(&self.component, wanted, Timestamp::now());
        self.api.patch_status(&name, &params, &Patch::Apply(status)).await?;
        Ok(())
    }
}

fn name(component: &Component) -> String {
    match component {
        Component::Controller => String::from("controller"),
        Component::Speaker(node) => format!("speaker-{node}"),
    }
}

/// The field manager, as MetalLB calls it.
fn manager(component: &Component) -> &'static str {
    match component {
        Component::Controller => "poolReconciler",
        Component::Speaker(_) => "configReconciler",
    }
}

fn condition_type(component: &Component) -> &'static str {
    match component {
        Component::Controller => "poolReconcilerValid",
        Component::Speaker(_) => "configReconcilerValid",
    }
}

/// All but the status.
fn object(component: &Component, owner: &OwnerReference) -> Value {
    let labels = match component {
        Component::Controller => json!({"metallb.io/component-type": "controller"}),
        Component::Speaker(node) => {
            json!({"metallb.io/component-type": "speaker", "metallb.io/node-name": node})
        }
    };
    json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "ConfigurationState",
        "metadata": {"name": name(component), "labels": labels, "ownerReferences": [owner]},
    })
}

/// The status alone.
fn status(component: &Component, wanted: &Wanted, now: Timestamp) -> Value {
    let Wanted { report, remarks, .. } = wanted;
    let (result, summary, message) = match report {
        Report::Unknown => (ConfigurationResult::Unknown, "", ""),
        Report::Valid => (ConfigurationResult::Valid, "", ""),
        Report::Invalid { first, all } => (ConfigurationResult::Invalid, &**first, &**all),
    };
    let (status, reason) = match report {
        Report::Unknown | Report::Valid => ("True", "Reconciled"),
        Report::Invalid { .. } => ("False", "ConfigurationError"),
    };
    let condition = |about: &str, status: &str, reason: &str, message: &str| Condition {
        type_: about.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: Time(now),
        observed_generation: None,
    };
    let mut conditions = match report {
        Report::Unknown => Vec::new(),
        Report::Valid | Report::Invalid { .. } => {
            vec![condition(condition_type(component), status, reason, message)]
        }
    };
    conditions.extend(remarks.iter().map(|remark| {
        let status = if remark.complaint.is_none() { "True" } else { "False" };
        let complaint = remark.complaint.as_deref().unwrap_or_default();
        condition(remark.about, status, remark.reason, complaint)
    }));
    json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "ConfigurationState",
        "metadata": {"name": name(component)},
        "status": {"result": result, "errorSummary": summary, "conditions": conditions},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::object::ObjectName;

    #[test]
    fn what_is_written_is_what_metallb_writes() {
        let speaker = Component::Speaker("n1".to_owned());
        let invalid = Report::Invalid {
            first: "configuration error: a".to_owned(),
            all: "configuration error: a\nconfiguration error: b".to_owned(),
        };
        let rows = [
            (&speaker, Report::Unknown, "Unknown", json!([])),
            (
                &speaker,
                Report::Valid,
                "Valid",
                json!(["configReconcilerValid", "True", "Reconciled", ""]),
            ),
            (
                &Component::Controller,
                invalid,
                "Invalid",
                json!([
                    "poolReconcilerValid",
                    "False",
                    "ConfigurationError",
                    "configuration error: a\nconfiguration error: b"
                ]),
            ),
        ];
        for (component, report, result, condition) in rows {
            let wanted = Wanted { report: report.clone(), ..Wanted::default() };
            let written = status(component, &wanted, Timestamp::UNIX_EPOCH);
            let fields: Vec<_> = written["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|one| ["type", "status", "reason", "message"].map(|key| one[key].clone()))
                .collect();
            assert_eq!(written["status"]["result"], result, "{report:?}");
            assert_eq!(Value::Array(fields), condition, "{report:?}");
            let summary = match &report {
                Report::Invalid { first, .. } => first,
                Report::Unknown | Report::Valid => "",
            };
            assert_eq!(written["status"]["errorSummary"], summary, "{report:?}");
        }
    }

    #[test]
    fn a_remark_is_a_condition_beside_that_of_the_settings() {
        let remarks = vec![
            Remark { about: "meshAuthenticated", reason: "KeyGiven", complaint: None },
            Remark { about: "meshRealTime", reason: "BestEffort", complaint: Some("late".into()) },
        ];
        let wanted = Wanted { report: Report::Valid, remarks, losses: 0 };
        let component = Component::Speaker("n1".to_owned());
        let written = status(&component, &wanted, Timestamp::UNIX_EPOCH);
        let conditions = written["status"]["conditions"].as_array().unwrap();
        let told = |one: &Value| ["type", "status", "message"].map(|key| one[key].clone());
        let told: Vec<_> = conditions.iter().map(told).collect();
        assert_eq!(
            told,
            [
                ["configReconcilerValid", "True", ""],
                ["meshAuthenticated", "True", ""],
                ["meshRealTime", "False", "late"],
            ]
        );
        assert_eq!(written["status"]["result"], "Valid", "that is about settings alone");
    }

    #[test]
    fn each_component_has_its_name_and_labels() {
        let owner = OwnerReference::default();
        let rows = [
            (
                Component::Controller,
                "controller",
                json!({"metallb.io/component-type": "controller"}),
            ),
            (
                Component::Speaker("n1".to_owned()),
                "speaker-n1",
                json!({"metallb.io/component-type": "speaker", "metallb.io/node-name": "n1"}),
            ),
        ];
        for (component, name, labels) in rows {
            let object = object(&component, &owner);
            assert_eq!(object["metadata"]["name"], name);
            assert_eq!(object["metadata"]["labels"], labels);
        }
    }

    #[test]
    fn problems_are_lines_and_fit_what_the_server_takes() {
        let problem = |message: &str| Problem {
            object: ObjectName { kind: "BGPPeer", namespace: Some("m".into()), name: "p".into() },
            field: String::new(),
            message: message.to_owned(),
            help: None,
        };
        assert_eq!(Report::of([]), Report::Valid);
        let two = [problem("one"), problem("two")];
        let first = "configuration error: BGPPeer/m/p: one".to_owned();
        let all = format!("{first}\nconfiguration error: BGPPeer/m/p: two");
        assert_eq!(Report::of(&two), Report::Invalid { first, all });
        let known = "peer p referencing non existing bfd profile b";
        let want = format!("configuration error: {known}");
        let only = Report::Invalid { first: want.clone(), all: want };
        assert_eq!(Report::of(&[problem(known)]), only);
        let Report::Invalid { first, all } = Report::of(&[problem(&"ä".repeat(40_000))]) else {
            panic!("a problem makes it invalid");
        };
        assert_eq!([first, all].map(|text| text.chars().count()), [LONGEST_MESSAGE; 2]);
    }

    /// What is reported of manifests in the namespace `m`.
    fn report(yaml: &str) -> Report {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("given.yaml"), yaml).unwrap();
        let reading = crate::source::files::read(directory.path());
        assert_eq!(reading.problems, []);
        Report::of(&crate::parse::facts(&reading.objects).problems)
    }

    /// Tests of MetalLB wait for these summaries, whole.
    #[test]
    fn summaries_are_those_that_metallb_is_tested_for() {
        let peer = |name: &str, more: &str| {
            format!(
                "apiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {{name: {name}, namespace: m}}\n\
                 spec: {{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.1, {more}}}\n---\n"
            )
        };
        let secret =
            "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: m}\ntype: Opaque\n";
        let advertisement = "apiVersion: metallb.io/v1beta1\nkind: BGPAdvertisement\n\
                             metadata: {name: a, namespace: m}\nspec: {communities: [vpn]}\n";
        let rows = [
            (
                peer("p", "bfdProfile: fast"),
                "configuration error: peer p referencing non existing bfd profile fast",
            ),
            (
                peer("p", "passwordSecret: {name: key}"),
                "configuration error: parsing peer p secret ref not found for peer config \
                 \"m\"/\"p\"\nfailed to parse peer p password secret",
            ),
            (
                peer("p", "passwordSecret: {name: key}") + secret,
                "configuration error: parsing peer p secret type mismatch on \"m\"/\"key\", type \
                 \"kubernetes.io/basic-auth\" is expected \nfailed to parse peer p password secret",
            ),
            (
                advertisement.to_owned(),
                "configuration error: invalid community format: vpn\ninvalid community \"vpn\" in \
                 BGP advertisement",
            ),
            (
                peer("b", "passwordSecret: {name: key}").replace("0.2.1", "0.2.2")
                    + &peer("a", "bfdProfile: fast"),
                "configuration error: peer a referencing non existing bfd profile fast",
            ),
            (
                peer("p", "") + &peer("q", ""),
                "configuration error: peer 192.0.2.1 already exists, FRR mode doesn't support \
                 duplicate BGPPeers selecting the same node",
            ),
        ];
        for (yaml, want) in rows {
            let Report::Invalid { first: found, .. } = report(&yaml) else {
                panic!("valid: {yaml}")
            };
            assert_eq!(found, want);
        }
    }
}
