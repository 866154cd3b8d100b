//! Writes an address into the status of a Service's manifest.
//!
//! Comments, order, quoting and line ends of the file stay as they are: the text is edited where
//! the YAML parser says the status is, not written anew. Afterwards the new text is read again, and
//! unless exactly the status changed, the edit is not made.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::Path;

use planner::names::ServiceName;
use serde_json::{Value, json};
use serde_saphyr::granit_parser::StructureStyle;

use super::document::documents;
use super::object::DEFAULT_NAMESPACE;
use super::tree::{Kind, Node};

/// Why the manifest of a Service cannot be edited. The file is then left alone.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CannotPin {
    /// The object, or its status, is in flow style, as all JSON is.
    #[error(
        "it is written in flow style, as JSON is, and cannot be edited safely; write it in block \
         style or set `status.loadBalancer.ingress` yourself"
    )]
    FlowStyle,
    /// The file is neither YAML nor JSON, so nobody knows what is in it.
    #[error("it is not YAML; mend it first")]
    NotYaml,
    /// The status lists something else.
    #[error("its status lists something else; remove `status.loadBalancer.ingress` first")]
    Occupied,
    /// An edit would change more than the status, for instance because of anchors.
    #[error("its YAML is too unusual to edit safely; set `status.loadBalancer.ingress` yourself")]
    Unusual,
}

/// Sets `status.loadBalancer.ingress` of `service` to `addresses`.
///
/// Returns the new text; `None` if `text` does not hold the Service, or lists the addresses
/// already.
///
/// # Errors
///
/// If the text cannot be edited safely.
pub fn pin(
    text: &str,
    service: &ServiceName,
    addresses: &[IpAddr],
) -> Result<Option<String>, CannotPin> {
    let values = |text| -> Result<Vec<Value>, CannotPin> {
        let documents = documents(text).map_err(|_| CannotPin::NotYaml)?;
        Ok(documents.into_iter().map(|document| document.value).collect())
    };
    let before = values(text)?;
    let mut wanted = before.clone();
    for document in &mut wanted {
        set_status(document, service, addresses);
    }
    if wanted == before {
        return Ok(None);
    }
    let documents = Node::documents(text).ok_or(CannotPin::Unusual)?;
    let object = documents.iter().find_map(|node| find(node, service)).ok_or(CannotPin::Unusual)?;
    let edited = Editor { text, addresses }.edit(object)?;
    match values(&edited) {
        Ok(after) if after == wanted => Ok(Some(edited)),
        Ok(_) | Err(_) => Err(CannotPin::Unusual),
    }
}

/// Replaces `file` by `text` in one step, so that nobody reads half of it.
///
/// # Errors
///
/// Those of the operating system; the file is then as it was.
pub fn replace(file: &Path, text: &str) -> io::Result<()> {
    // A link stays a link: what it leads to is replaced.
    let file = fs::canonicalize(file)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(".new");
    let new = file.with_file_name(name);
    let write = || {
        let mut out = File::create(&new)?;
        out.set_permissions(fs::metadata(&file)?.permissions())?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&new, &file)
    };
    write().inspect_err(|_| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&new);
    })
}

fn set_status(value: &mut Value, service: &ServiceName, addresses: &[IpAddr]) {
    if let Some(Value::Array(items)) = value.get_mut("items") {
        items.iter_mut().for_each(|item| set_status(item, service, addresses));
    }
    let text = |path| value.pointer(path).and_then(Value::as_str);
    let is_service = (text("/apiVersion"), text("/kind")) == (Some("v1"), Some("Service"));
    let namespace = text("/metadata/namespace").unwrap_or(DEFAULT_NAMESPACE);
    if !is_service
        || namespace != &*service.namespace
        || text("/metadata/name") != Some(&service.name)
    {
        return;
    }
    let ingress: Vec<_> = addresses.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
    let listed = value.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    let ips = |list: &[Value]| -> Vec<Value> {
        list.iter().map(|entry| entry.get("ip").cloned().unwrap_or_default()).collect()
    };
    if listed.is_some_and(|listed| ips(listed) == ips(&ingress)) {
        return;
    }
    let Some(object) = value.as_object_mut() else { return };
    let status = object.entry("status").or_insert(Value::Null);
    if status.is_null() {
        *status = json!({});
    }
    let Some(status) = status.as_object_mut() else { return };
    let balancer = status.entry("loadBalancer").or_insert(Value::Null);
    if balancer.is_null() {
        *balancer = json!({});
    }
    if let Some(balancer) = balancer.as_object_mut() {
        balancer.insert("ingress".to_owned(), ingress.into());
    }
}

/// The Service in this document, which may be a list.
fn find<'n, 'a>(node: &'n Node<'a>, service: &ServiceName) -> Option<&'n Node<'a>> {
    if let Some(Kind::Sequence(_, items)) = node.get("items").map(|items| &items.kind) {
        return items.iter().find_map(|item| find(item, service));
    }
    let metadata = node.get("metadata")?;
    let namespace = metadata.get("namespace").map_or(Some(DEFAULT_NAMESPACE), Node::text);
    let is_it = node.get("apiVersion")?.text() == Some("v1")
        && node.get("kind")?.text() == Some("Service")
        && namespace == Some(&*service.namespace)
        && metadata.get("name")?.text() == Some(&*service.name);
    is_it.then_some(node)
}

/// What the path to the addresses consists of, outermost first.
const PATH: [&str; 3] = ["status", "loadBalancer", "ingress"];

/// Spaces by which a mapping is indented in what we write.
const INDENT: usize = 2;

struct Editor<'a> {
    text: &'a str,
    addresses: &'a [IpAddr],
}

impl Editor<'_> {
    fn edit(&self, object: &Node<'_>) -> Result<String, CannotPin> {
        let mut parent = object;
        for (depth, name) in PATH.into_iter().enumerate() {
            let first = block_entries(parent)?.first().ok_or(CannotPin::Unusual)?;
            let column = first.0.column;
            match parent.entry(name) {
                // The object's own fields come first, so its status goes to the end.
                None if depth == 0 => {
                    return Ok(self.insert(self.after_line(parent.end()), depth, column));
                }
                None => return Ok(self.insert(self.line_of(&first.0)?, depth, column)),
                Some((key, value)) if value.is_empty() => {
                    return self.fill(key, value, depth, column);
                }
                Some((_, value)) => parent = value,
            }
        }
        Err(CannotPin::Occupied)
    }

    /// Gives a key that has an empty value its value, below it.
    fn fill(
        &self,
        key: &Node<'_>,
        value: &Node<'_>,
        depth: usize,
        column: usize,
    ) -> Result<String, CannotPin> {
        if value.span.is_empty() {
            let at = self.after_line(key.span.end);
            return Ok(self.insert(at, depth + 1, column + INDENT));
        }
        let between = self.text.get(key.span.end..value.span.start).ok_or(CannotPin::Unusual)?;
        let colon = key.span.end + between.find(':').ok_or(CannotPin::Unusual)?;
        let at = self.after_line(value.span.end);
        let filled = self.insert(at, depth + 1, column + INDENT);
        // What is removed lies before what was inserted, so its place is the same in both.
        Ok([&filled[..=colon], &filled[value.span.end..]].concat())
    }

    /// The text with the rest of the path, from `depth`, in lines of their own at `at`.
    fn insert(&self, at: usize, depth: usize, column: usize) -> String {
        let newline = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut lines = Vec::new();
        let mut column = column;
        for name in &PATH[depth..] {
            lines.push(format!("{:column$}{name}:", ""));
            column += INDENT;
        }
        // The items of a sequence are written below its key without further indentation.
        let column = column - INDENT;
        for address in self.addresses {
            lines.push(match address {
                IpAddr::V4(address) => format!("{:column$}- ip: {address}", ""),
                // Quoted, as YAML takes some of them for mappings or numbers.
                IpAddr::V6(address) => format!("{:column$}- ip: \"{address}\"", ""),
            });
        }
        let lines = lines.join(newline);
        let (before, after) = self.text.split_at(at);
        match before.is_empty() || before.ends_with('\n') {
            true => [before, &lines, newline, after].concat(),
            false => [before, newline, &lines, after].concat(),
        }
    }

    /// The start of the line after `at`; the end of the text if it is the last one.
    fn after_line(&self, at: usize) -> usize {
        match &self.text.as_bytes()[..at] {
            // A block scalar ends with its line.
            [.., b'\n'] => at,
            _ => self.text[at..].find('\n').map_or(self.text.len(), |length| at + length + 1),
        }
    }

    /// The start of the line of a key that is the first thing on it.
    fn line_of(&self, key: &Node<'_>) -> Result<usize, CannotPin> {
        let start = self.text[..key.span.start].rfind('\n').map_or(0, |newline| newline + 1);
        let is_first = self.text[start..key.span.start].bytes().all(|byte| byte == b' ');
        is_first.then_some(start).ok_or(CannotPin::Unusual)
    }
}

fn block_entries<'n, 'a>(node: &'n Node<'a>) -> Result<&'n [(Node<'a>, Node<'a>)], CannotPin> {
    match &node.kind {
        Kind::Mapping(StructureStyle::Block, entries) => Ok(entries),
        Kind::Mapping(StructureStyle::Flow, _) | Kind::Sequence(StructureStyle::Flow, _) => {
            Err(CannotPin::FlowStyle)
        }
        Kind::Alias | Kind::Scalar(_) | Kind::Sequence(StructureStyle::Block, _) => {
            Err(CannotPin::Unusual)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web # the shop\n";

    fn pin_one(text: &str) -> Result<Option<String>, CannotPin> {
        pin(text, &ServiceName::new("default", "web"), &["192.0.2.7".parse().unwrap()])
    }

    /// What comes after [`HEAD`], before and after.
    #[track_caller]
    fn check(case: &str, before: &str, after: &str) {
        let pinned = pin_one(&format!("{HEAD}{before}")).unwrap();
        assert_eq!(pinned, Some(format!("{HEAD}{after}")), "{case}");
        assert_eq!(pin_one(&pinned.unwrap()), Ok(None), "{case}: again");
    }

    const STATUS: &str = "status:\n  loadBalancer:\n    ingress:\n    - ip: 192.0.2.7\n";

    #[test]
    fn only_the_status_changes() {
        let spec = "spec:\n  # why\n  type:   LoadBalancer # kept\n";
        let rows = [
            ("no status", "", STATUS),
            ("an empty status", "status: {}\n", STATUS),
            ("a null", "status: null\n", STATUS),
            ("nothing after the colon", "status:\n", STATUS),
            ("as kubectl prints it", "status:\n  loadBalancer: {}\n", STATUS),
            ("an empty list", "status:\n  loadBalancer:\n    ingress: []\n", STATUS),
            (
                "other fields of the status",
                "status:\n  conditions: []\n",
                "status:\n  loadBalancer:\n    ingress:\n    - ip: 192.0.2.7\n  conditions: []\n",
            ),
            (
                "a comment after it",
                "status: {} # none yet\n",
                "status: # none yet\n  loadBalancer:\n    ingress:\n    - ip: 192.0.2.7\n",
            ),
        ];
        for (case, before, after) in rows {
            check(case, &format!("{spec}{before}"), &format!("{spec}{after}"));
            check(&format!("{case}, first"), &format!("{before}{spec}"), &{
                match before.is_empty() {
                    true => format!("{spec}{after}"),
                    false => format!("{after}{spec}"),
                }
            });
        }
    }

    #[test]
    fn the_end_of_the_object_is_found() {
        let rows = [
            ("no newline at the end", "spec: {}", format!("spec: {{}}\n{}", STATUS.trim_end())),
            ("a key without value", "spec:\n", format!("spec:\n{STATUS}")),
            (
                "a block scalar",
                "data: |\n  one\n  two\n",
                format!("data: |\n  one\n  two\n{STATUS}"),
            ),
            (
                "comments at the end",
                "spec: {} # yes\n# the end\n",
                format!("spec: {{}} # yes\n{STATUS}# the end\n"),
            ),
            (
                "another document",
                "spec: {}\n---\nkind: other\n",
                format!("spec: {{}}\n{STATUS}---\nkind: other\n"),
            ),
            (
                "a list without indentation",
                "spec:\n  ports:\n  - port: 80\n    name: web\n\n",
                format!("spec:\n  ports:\n  - port: 80\n    name: web\n{STATUS}\n"),
            ),
        ];
        for (case, before, after) in rows {
            check(case, before, &after);
        }
    }

    #[test]
    fn other_documents_are_not_touched() {
        let other = "apiVersion: v1\nkind: Service\nmetadata: {name: other}\n";
        let text = format!("# first\n---\n{other}---\n{HEAD}---\n{other}");
        let want = format!("# first\n---\n{other}---\n{HEAD}{STATUS}---\n{other}");
        assert_eq!(pin_one(&text), Ok(Some(want)));
        assert_eq!(pin_one(other), Ok(None), "another Service");
    }

    #[test]
    fn items_of_lists_are_edited_in_place() {
        let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  \
                    metadata: {name: web}\n- apiVersion: v1\n  kind: Node\n";
        let pinned = pin_one(list).unwrap().unwrap();
        let want = "  metadata: {name: web}\n  status:\n    loadBalancer:\n      ingress:\n      \
                    - ip: 192.0.2.7\n- apiVersion: v1\n  kind: Node\n";
        assert!(pinned.ends_with(want), "{pinned}");
    }

    #[test]
    fn line_ends_stay_as_they_are() {
        let text = HEAD.replace('\n', "\r\n");
        let want = format!("{HEAD}{STATUS}").replace('\n', "\r\n");
        assert_eq!(pin_one(&text), Ok(Some(want)));
        let text = format!("{HEAD}status: {{}}\n").replace('\n', "\r\n");
        let want = format!("{HEAD}{STATUS}").replace('\n', "\r\n");
        assert_eq!(pin_one(&text), Ok(Some(want)));
    }

    #[test]
    fn an_ipv6_address_is_quoted() {
        let addresses = ["192.0.2.7".parse().unwrap(), "fc00::".parse().unwrap()];
        let pinned = pin(HEAD, &ServiceName::new("default", "web"), &addresses).unwrap();
        assert_eq!(pinned, Some(format!("{HEAD}{STATUS}    - ip: \"fc00::\"\n")));
    }

    #[test]
    fn what_cannot_be_edited_safely_is_left_alone() {
        let json = r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}"#;
        let block = |status: &str| format!("{HEAD}{status}");
        let rows = [
            ("JSON", json.to_owned(), CannotPin::FlowStyle),
            ("a status in flow style", block("status: {loadBalancer: {}}\n"), CannotPin::FlowStyle),
            (
                "another address",
                block("status:\n  loadBalancer:\n    ingress:\n    - ip: 192.0.2.8\n"),
                CannotPin::Occupied,
            ),
            (
                "a host name",
                block("status:\n  loadBalancer:\n    ingress:\n    - hostname: example.com\n"),
                CannotPin::Occupied,
            ),
            ("an anchor that is used", block("status: &x {}\nspec: *x\n"), CannotPin::Unusual),
            ("no YAML", block("status: [\n"), CannotPin::NotYaml),
        ];
        for (case, text, want) in rows {
            assert_eq!(pin_one(&text), Err(want), "{case}");
        }
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_through_links() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("real.yaml");
        let link = directory.path().join("link.yaml");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.yaml", &link).unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left behind");
    }
}
