//! What may go wrong, and what the API server would say then.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};
use tokio::time;

/// What a program asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The host that asked.
    pub from: IpAddr,
    /// The HTTP method.
    pub method: Method,
    /// The path, such as `/api/v1/services`.
    pub path: String,
    /// What comes after the path, such as `watch=true`; empty if nothing.
    pub query: String,
}

impl Asked {
    /// Whether it opens a watch.
    #[must_use]
    pub fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }

    /// Whether it opens a watch that begins with all there is, which is one of two ways to list.
    #[must_use]
    pub fn is_streamed_list(&self) -> bool {
        self.query.contains("sendInitialEvents=true")
    }

    /// Whether it may change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    /// Whether it is about objects of a kind, by its plural.
    #[must_use]
    pub fn is_about(&self, plural: &str) -> bool {
        self.path.split('/').any(|part| part == plural)
    }
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The answer is this, and nothing is carried out.
    Answer(Answer),
    /// It is carried out, and the connection is cut before the answer.
    LoseAnswer,
    /// It is handed on so much later.
    Delay(Duration),
    /// The answer to a watch ends after so many bytes, without an error.
    End(usize),
    /// The answer to a watch is cut off after so many bytes.
    Cut(usize),
    /// A watch has this one event, and ends.
    Event(Value),
    /// Events of a watch are held back until the rule is gone.
    Hold,
    /// Events of a watch that come within such a time are passed on in the reverse order of their
    /// objects; those of one object stay in order.
    Reverse(Duration),
    /// A watch that begins with all there is begins with this list, which was got before, as from a
    /// replica that lags behind. What happened since then follows when the rule is gone.
    Stale(Value),
}

/// An answer that the API server did not give.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status code.
    pub code: u16,
    /// In how many seconds to ask again.
    pub retry_after: Option<u32>,
    /// The text, as JSON if it begins with a brace, else as HTML.
    pub body: String,
}

impl Answer {
    /// What the API server says with this code, as it says it: with a `Status`.
    #[must_use]
    pub fn status(code: u16, reason: &str, message: &str) -> Self {
        let body = status(code, reason, message).to_string();
        Self { code, retry_after: None, body }
    }
}

/// A `Status` of the API server that says no.
#[must_use]
pub fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

/// The same watch, from a version on.
pub(super) fn since(target: &str, version: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_replaced = |part: &&str| {
        ["sendInitialEvents=", "resourceVersion", "resourceVersionMatch="]
            .iter()
            .any(|name| part.starts_with(name))
    };
    let kept: Vec<_> = query.split('&').filter(|part| !is_replaced(part)).collect();
    format!("{path}?{}&resourceVersion={version}", kept.join("&"))
}

/// What a watch that begins with all there is would say of a list.
pub(super) fn events(list: &Value) -> String {
    let word = |field: &str| list[field].as_str().unwrap_or_default();
    let (version, kind) = (word("apiVersion"), word("kind").trim_end_matches("List"));
    let items = list["items"].as_array().into_iter().flatten();
    let line =
        |kind: &str, object: &Value| format!("{}\n", json!({"type": kind, "object": object}));
    let added = items.map(|item| {
        let mut item = item.clone();
        item["apiVersion"] = version.into();
        item["kind"] = kind.into();
        line("ADDED", &item)
    });
    let end = json!({"apiVersion": version, "kind": kind, "metadata": {
        "resourceVersion": list["metadata"]["resourceVersion"],
        "annotations": {"k8s.io/initial-events-end": "true"},
    }});
    added.chain([line("BOOKMARK", &end)]).collect()
}

/// What comes within a time, with the objects in reverse order. Bookmarks stay behind the objects
/// that they are about.
pub(super) async fn reversed(first: Bytes, body: &mut Incoming, time: Duration) -> Bytes {
    let mut text = first.to_vec();
    let collect = async {
        while let Some(Ok(frame)) = body.frame().await {
            text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    };
    // Its end is the end of the time, most often.
    let _ = time::timeout(time, collect).await;
    // What is no whole line stays last.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let rest = text.split_off(whole);
    let mut objects: BTreeMap<String, (usize, Vec<u8>)> = BTreeMap::new();
    let mut bookmarks = Vec::new();
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let event: Value = serde_json::from_slice(line).unwrap_or_default();
        if event["type"] == "BOOKMARK" {
            bookmarks.extend_from_slice(line);
            continue;
        }
        let metadata = &event["object"]["metadata"];
        let name = format!("{}/{}", metadata["namespace"], metadata["name"]);
        objects.entry(name).or_insert((number, Vec::new())).1.extend_from_slice(line);
    }
    let mut objects: Vec<_> = objects.into_values().collect();
    objects.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let lines = objects.into_iter().map(|(_, lines)| lines).chain([bookmarks, rest]);
    lines.flatten().collect::<Vec<u8>>().into()
}
