//! What is requested, step by step, until nothing is left to do.

use std::collections::VecDeque;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::*;

fn web() -> ServiceName {
    ServiceName::new("shop", "web")
}

fn names(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn status(node: &str, interfaces: &str) -> Said {
    Said {
        node: node.to_owned(),
        service_name: "web".to_owned(),
        service_namespace: "shop".to_owned(),
        names: names(interfaces).into_iter().collect(),
    }
}

/// An object of the node `n1` at a version, owned by the Pod `pod`.
fn object(name: &str, version: u64, pod: &str, has: Option<Said>) -> Object {
    Object {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: Some(version.to_string()),
            labels: Some(labels("n1", &web())),
            owner_references: Some(vec![OwnerReference {
                uid: pod.to_owned(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        said: has.unwrap_or_default(),
    }
}

fn statuses() -> Statuses {
    let mut statuses = Statuses::new("n1");
    statuses.own("pod".to_owned());
    statuses.synced();
    statuses.leave(BTreeSet::new());
    statuses
}

/// Answers every request as the server would, and says what they were.
fn settle(statuses: &mut Statuses, mut objects: BTreeMap<String, Object>) -> Vec<String> {
    let mut said = Vec::new();
    let mut version = 100;
    while let Some((service, call)) = statuses.next_call() {
        version += 1;
        assert!(said.len() < 20, "no end: {said:?}");
        let change = |object: &mut Object| {
            object.metadata.resource_version = Some(version.to_string());
        };
        let answer = match call {
            Call::Create => {
                said.push("create".to_owned());
                let created = object("l2-new", version, "pod", None);
                objects.insert("l2-new".to_owned(), created.clone());
                Answer::There(Box::new(created))
            }
            Call::Adopt(name) => {
                said.push(format!("adopt {name}"));
                let has = objects.remove(&name).map(|object| object.said);
                Answer::There(Box::new(object(&name, version, "pod", has)))
            }
            Call::Status(name, status) => {
                said.push(format!("status {name} [{}]", status.names.join(" ")));
                let mut object = objects.get(&name).cloned().unwrap_or_default();
                object.said = status;
                change(&mut object);
                objects.insert(name, object.clone());
                Answer::There(Box::new(object))
            }
            Call::Delete(name) => {
                said.push(format!("delete {name}"));
                objects.remove(&name);
                Answer::Gone(name)
            }
        };
        statuses.done(&service, answer);
    }
    said
}

#[test]
fn what_is_there_becomes_what_is_wanted_with_the_fewest_requests() {
    let good = || object("l2-a", 1, "pod", Some(status("n1", "")));
    let limited = || object("l2-a", 1, "pod", Some(status("n1", "eth0")));
    let of_a_former_pod = || object("l2-a", 1, "before", Some(status("n1", "")));
    let of_another = || object("l2-a", 1, "pod", Some(status("n9", "")));
    let second = || object("l2-b", 2, "pod", Some(status("n1", "")));
    type Row<'a> = (&'a str, Option<&'a str>, Vec<Object>, &'a [&'a str]);
    let rows: [Row<'_>; 10] = [
        ("a new one", Some(""), vec![], &["create", "status l2-new []"]),
        ("limited, sorted", Some("eth1 eth0"), vec![], &["create", "status l2-new [eth0 eth1]"]),
        ("as it should be", Some(""), vec![good()], &[]),
        ("edited, or wanted elsewhere", Some(""), vec![limited()], &["status l2-a []"]),
        ("without a status", Some(""), vec![object("l2-a", 1, "pod", None)], &["status l2-a []"]),
        ("of a former Pod", Some(""), vec![of_a_former_pod()], &["adopt l2-a"]),
        ("there twice", Some(""), vec![good(), second()], &["delete l2-b"]),
        (
            "cannot be mended",
            Some(""),
            vec![of_another()],
            &["delete l2-a", "create", "status l2-new []"],
        ),
        ("not wanted", None, vec![good(), second()], &["delete l2-a", "delete l2-b"]),
        ("not wanted and not there", None, vec![], &[]),
    ];
    for (name, want, there, calls) in rows {
        let mut statuses = statuses();
        there.iter().for_each(|object| statuses.see(object));
        statuses.want(web(), want.map(names));
        let there = there.into_iter();
        let objects = there
            .map(|object| (object.metadata.name.clone().unwrap_or_default(), object))
            .collect();
        assert_eq!(settle(&mut statuses, objects), calls, "{name}");
    }
}

#[test]
fn nothing_is_written_before_all_is_seen_and_known_to_whom_it_belongs() {
    let mut statuses = Statuses::new("n1");
    statuses.want(web(), Some(names("")));
    assert_eq!(statuses.next_call(), None);
    statuses.synced();
    assert_eq!(statuses.next_call(), None);
    statuses.own("pod".to_owned());
    assert_eq!(statuses.next_call(), None);
    statuses.leave(BTreeSet::new());
    assert_eq!(statuses.next_call(), Some((web(), Call::Create)));
}

#[test]
fn a_service_has_one_request_at_a_time_and_the_others_do_not_wait() {
    let mut statuses = statuses();
    let other = ServiceName::new("shop", "api");
    statuses.want(web(), Some(names("")));
    statuses.want(other.clone(), Some(names("")));
    let first: VecDeque<_> = std::iter::from_fn(|| statuses.next_call()).collect();
    assert_eq!(first, [(other, Call::Create), (web(), Call::Create)]);
    statuses.want(web(), None);
    assert_eq!(statuses.next_call(), None, "it may exist by now");
    statuses.done(&web(), Answer::There(Box::new(object("l2-a", 1, "pod", None))));
    assert_eq!(statuses.next_call(), Some((web(), Call::Delete("l2-a".to_owned()))));
}

#[test]
fn a_watch_that_lags_behind_an_answer_changes_nothing() {
    let mut statuses = statuses();
    statuses.want(web(), Some(names("")));
    let created = object("l2-a", 1, "pod", None);
    statuses.next_call();
    statuses.done(&web(), Answer::There(Box::new(created.clone())));
    statuses.next_call();
    let written = object("l2-a", 2, "pod", Some(status("n1", "")));
    statuses.done(&web(), Answer::There(Box::new(written.clone())));
    statuses.see(&created);
    statuses.see(&written);
    assert_eq!(statuses.next_call(), None);
}

#[test]
fn a_request_that_failed_is_made_again_when_asked_for() {
    let mut statuses = statuses();
    statuses.want(web(), Some(names("")));
    assert_eq!(statuses.next_call(), Some((web(), Call::Create)));
    assert_eq!(statuses.next_call(), None);
    statuses.retry(&web());
    assert_eq!(statuses.next_call(), Some((web(), Call::Create)));
}

#[test]
fn what_another_load_balancer_wrote_is_left_alone_while_it_runs() {
    let mut statuses = statuses();
    let theirs = object("l2-theirs", 1, "theirs", Some(status("n1", "")));
    let objects = || BTreeMap::from([("l2-theirs".to_owned(), theirs.clone())]);
    statuses.leave(["theirs".to_owned()].into());
    statuses.see(&theirs);
    assert_eq!(settle(&mut statuses, objects()), [""; 0], "nothing is wanted");
    statuses.want(web(), Some(names("")));
    assert_eq!(settle(&mut statuses, objects()), ["create", "status l2-new []"]);
    statuses.leave(BTreeSet::new());
    assert_eq!(settle(&mut statuses, objects()), ["delete l2-theirs"], "it is gone");
    // It is there again, and known before its Pod is.
    let theirs = object("l2-again", 200, "theirs", Some(status("n1", "")));
    statuses.see(&theirs);
    statuses.leave(["theirs".to_owned()].into());
    assert_eq!(settle(&mut statuses, objects()), [""; 0]);
}
