//! An API server of given answers, and what comes of them.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};

use super::*;

/// A status code, and the lines of the body.
type Answer = (u16, Vec<Value>);

/// What is said by an API server that gives these answers one after another, and what it is asked;
/// of the latter only what a request is about.
fn said(listing: Listing, answers: Vec<Answer>) -> (Vec<String>, Vec<String>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, count) = (Arc::clone(&asked), answers.len());
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let server = Router::new().fallback(async move |uri: Uri| {
        let query = uri.query().unwrap_or_default();
        let is_about = |part: &&str| {
            ["resourceVersion=", "sendInitialEvents=", "limit=", "continue="]
                .iter()
                .any(|name| part.starts_with(name))
        };
        let query: Vec<_> = query.split('&').filter(is_about).collect();
        log.lock().unwrap().push(query.join(" "));
        let (code, lines) = answers.lock().unwrap().next().unwrap_or((500, Vec::new()));
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        (StatusCode::from_u16(code).unwrap(), body)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let said = runtime.block_on(async {
        let api: Api<Namespace> = Api::all(kube::Client::new(server, "default"));
        let mut changes = Changes::new(api, Config::default(), listing);
        let mut said = Vec::new();
        while asked.lock().unwrap().len() <= count {
            said.push(short(changes.next().await));
        }
        // What comes of the answers that there were.
        said.pop();
        said
    });
    let mut asked = asked.lock().unwrap().clone();
    asked.truncate(count);
    (said, asked)
}

fn short(event: Result<Event<Namespace>, Error>) -> String {
    match event {
        Ok(Event::Init) => "init".to_owned(),
        Ok(Event::InitDone) => "whole".to_owned(),
        Ok(Event::InitApply(object)) => format!("is {}", object.name_any()),
        Ok(Event::Apply(object)) => format!("+{}", object.name_any()),
        Ok(Event::Delete(object)) => format!("-{}", object.name_any()),
        Err(Error::WatchStartFailed(_)) => "not watched".to_owned(),
        Err(Error::InitialListFailed(_)) => "not listed".to_owned(),
        Err(Error::WatchError(_) | Error::WatchFailed(_)) => "failed".to_owned(),
        Err(Error::NoResourceVersion) => "no version".to_owned(),
    }
}

fn object(name: &str, version: u32) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": version.to_string()}})
}

fn event(kind: &str, name: &str, version: u32) -> Value {
    json!({"type": kind, "object": object(name, version)})
}

fn whole(version: u32) -> Value {
    let metadata = json!({"resourceVersion": version.to_string(), "annotations": {WHOLE: "true"}});
    json!({"type": "BOOKMARK", "object": {
        "apiVersion": "v1", "kind": "Namespace", "metadata": metadata,
    }})
}

fn no(code: u16, message: &str) -> Value {
    json!({"status": "Failure", "code": code, "message": message, "reason": "", "metadata": {}})
}

fn error(code: u16) -> Value {
    json!({"type": "ERROR", "object": no(code, "no")})
}

fn page(objects: &[Value], token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "NamespaceList", "items": objects,
        "metadata": {"resourceVersion": "5", "continue": token},
    })
}

const RESUMED: &str = "resourceVersion=5";
const LIST: &str = "sendInitialEvents=true resourceVersion=";

#[test]
fn a_watch_goes_on_where_it_ended_or_begins_anew_if_that_is_lost() {
    let begin = || (200, vec![event("ADDED", "a", 1), whole(5)]);
    let rows: [(&str, Answer, &[&str], &str); 8] = [
        (
            "an event",
            (200, vec![event("MODIFIED", "a", 7)]),
            &["+a", "failed"],
            "resourceVersion=7",
        ),
        (
            "one that is gone",
            (200, vec![event("DELETED", "a", 8)]),
            &["-a", "failed"],
            "resourceVersion=8",
        ),
        ("nothing", (200, vec![]), &["failed"], "resourceVersion=5"),
        (
            "rubbish between events",
            (200, vec![json!("x"), event("MODIFIED", "a", 7)]),
            &["failed"],
            "resourceVersion=5",
        ),
        ("gone", (200, vec![error(410)]), &["failed"], LIST),
        ("gone, at once", (410, vec![no(410, "too old")]), &["not watched"], LIST),
        ("another error", (200, vec![error(500)]), &["failed"], "resourceVersion=5"),
        (
            "set back",
            (504, vec![no(504, "Too large resource version: 5, current: 3")]),
            &["not watched"],
            LIST,
        ),
    ];
    for (name, second, want, next) in rows {
        let (said, asked) = said(Listing::Streamed, vec![begin(), second, (429, vec![])]);
        let begin = ["init", "is a", "whole", "failed"];
        assert_eq!(said, [&begin, want, &["not watched"]].concat(), "{name}");
        assert_eq!(asked, [LIST, "resourceVersion=5", next], "{name}");
    }
}

#[test]
fn a_list_that_breaks_off_begins_anew() {
    let answers = vec![(200, vec![event("ADDED", "a", 1)]), (200, vec![whole(5)]), (429, vec![])];
    let (streamed, asked) = said(Listing::Streamed, answers);
    assert_eq!(streamed, ["init", "is a", "failed", "init", "whole", "failed", "not watched"]);
    assert_eq!(asked, [LIST, LIST, "resourceVersion=5"]);

    let answers = vec![
        (200, vec![page(&[object("a", 1)], "x")]),
        (500, vec![no(500, "not now")]),
        (200, vec![page(&[object("a", 1)], "y")]),
        (200, vec![page(&[object("b", 2)], "")]),
        (429, vec![]),
    ];
    let (paged, asked) = said(Listing::InPages, answers);
    assert_eq!(
        paged,
        ["init", "is a", "not listed", "init", "is a", "is b", "whole", "not watched"]
    );
    let pages = ["limit=500", "limit=500 continue=x", "limit=500", "limit=500 continue=y", RESUMED];
    assert_eq!(asked, pages);
}

#[test]
fn a_list_whose_rest_has_expired_is_asked_for_at_once() {
    let answers = vec![
        (200, vec![page(&[object("a", 1)], "x")]),
        (410, vec![no(410, "the token has expired")]),
        (503, vec![no(503, "not now")]),
        (200, vec![page(&[object("a", 1), object("b", 2)], "")]),
        // Only that list: later ones come in pages again.
        (410, vec![no(410, "too old")]),
        (200, vec![page(&[object("b", 2)], "")]),
        (429, vec![]),
    ];
    let (said, asked) = said(Listing::InPages, answers);
    let failed = ["init", "is a", "not listed", "init", "not listed"];
    let whole = ["init", "is a", "is b", "whole", "not watched"];
    let again = ["init", "is b", "whole", "not watched"];
    assert_eq!(said, [&failed[..], &whole, &again].concat());
    let pages = ["limit=500", "limit=500 continue=x"];
    assert_eq!(asked, [&pages[..], &["", "", RESUMED, "limit=500", RESUMED]].concat());
}
