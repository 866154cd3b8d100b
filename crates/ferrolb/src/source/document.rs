//! From the text of a file to objects.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde_json::Value;
use serde_saphyr::{Options, Spanned};

use super::object::{self, Misfit, Object, ObjectName};

/// Documents in one file. A directory of manifests has tens; this stops a file of separators.
const MAX_DOCUMENTS: usize = 10_000;

/// Values in one file, far more than [`MAX_DOCUMENTS`] Services have.
const MAX_NODES: usize = 1_000_000;

/// Values that aliases repeat in one file. Manifests have hardly any, attacks have billions.
const MAX_REPEATED: usize = 10_000;

/// Nesting of values. Kubernetes' own kinds stay below 20.
const MAX_DEPTH: usize = 64;

/// Something wrong in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileProblem {
    /// The file, or the directory if that cannot be read.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: Option<u64>,
    /// Column, from 1.
    pub column: Option<u64>,
    /// What is wrong.
    pub fault: Fault,
}

impl FileProblem {
    /// The object whose shape is wrong, as [`ObjectName`] prints it.
    pub fn misfit(&self) -> Option<&str> {
        if let Fault::Shape { object, .. } = &self.fault { Some(object) } else { None }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        // The parser, which does not know the name of the file, calls it `<input>`.
        let fault = self.fault.to_string().replace("<input>", &self.file.to_string_lossy());
        write!(f, ": {fault}")
    }
}

/// What is wrong with a file or one of its documents.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// An object was read before, from this place.
    Duplicate(ObjectName, String),
    /// An object has no `metadata.name`; this is its kind.
    Nameless(String),
    /// A document is no Kubernetes object.
    NotAnObject(&'static str),
    /// A field does not fit the kind of the object.
    Shape {
        /// Kind and, if it has one, namespace and name.
        object: String,
        /// The field.
        misfit: Misfit,
    },
    /// An object is written in a version that will go away, and what to do.
    Deprecated(ObjectName, &'static str),
    /// The file is neither YAML nor JSON; the text shows where.
    Syntax(String),
    /// The file has more bytes than are read from one file.
    TooLarge(u64),
    /// A field that the kind does not have, which is most often a slip of the pen.
    UnknownField {
        /// Kind, namespace and name.
        object: ObjectName,
        /// The field.
        field: String,
    },
    /// A file cannot be read, and why.
    Unreadable(String),
    /// A path that was asked for cannot be read, and why.
    Path(String),
}

impl Fault {
    /// Whether the objects that were read from the file before stay in force.
    pub fn keeps_last_good(&self) -> bool {
        match self {
            Self::Path(_) | Self::Syntax(_) | Self::TooLarge(_) | Self::Unreadable(_) => true,
            Self::Deprecated(..)
            | Self::Duplicate(..)
            | Self::Nameless(_)
            | Self::NotAnObject(_)
            | Self::Shape { .. }
            | Self::UnknownField { .. } => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(name, first) => {
                write!(f, "{name} is already at {first}; this one is left out, remove one of them")
            }
            Self::Deprecated(name, what) => write!(f, "{name}: apiVersion: {what}"),
            Self::Nameless(kind) => write!(f, "a {kind} has no `metadata.name`; give it one"),
            Self::NotAnObject(lack) => {
                write!(f, "not a Kubernetes object: {lack}; it is left out")
            }
            Self::Shape { object, misfit } if misfit.field.is_empty() => {
                write!(f, "{object}: {}", misfit.message)
            }
            Self::Shape { object, misfit } => {
                write!(f, "{object}: {}: {}", misfit.field, misfit.message)
            }
            Self::Syntax(excerpt) => f.write_str(excerpt),
            Self::TooLarge(limit) => {
                write!(f, "the file has more than {limit} bytes; split it into several")
            }
            Self::UnknownField { object, field } => {
                write!(f, "{object}: {field}: the kind has no such field, it is ignored")
            }
            Self::Unreadable(cause) => write!(f, "cannot be read: {cause}"),
            Self::Path(cause) => write!(
                f,
                "cannot be read: {cause}; name a directory of manifests, or one manifest, that \
                 exists and that this user may read"
            ),
        }
    }
}

/// What one file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contents {
    /// Objects of kinds we read, with the line of their document.
    pub(super) objects: Vec<Located>,
    /// `apiVersion kind` of what else is there.
    pub(super) ignored: BTreeSet<String>,
    /// What is wrong, with the line of its document.
    pub(super) faults: Vec<(u64, Fault)>,
}

/// An object and the line its document starts at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Located {
    pub(super) line: u64,
    pub(super) name: ObjectName,
    pub(super) object: Object,
    /// Paths of fields that the kind does not have.
    pub(super) unknown: Vec<String>,
    /// What to do if its version will go away.
    pub(super) deprecation: Option<&'static str>,
}

impl Contents {
    /// Reads all documents of a file.
    ///
    /// # Errors
    ///
    /// Line, column and the excerpt, if the text is neither YAML nor JSON.
    pub(super) fn read(text: &str) -> Result<Self, (u64, u64, Fault)> {
        let mut contents = Self::default();
        for document in documents(text)? {
            contents.add(document.referenced.line(), document.value);
        }
        Ok(contents)
    }

    fn add(&mut self, line: u64, value: Value) {
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            let lack = match value.is_object() {
                true => "it needs `apiVersion` and `kind`",
                false => "it is not a mapping",
            };
            self.faults.push((line, Fault::NotAnObject(lack)));
            return;
        };
        match (kind.strip_suffix("List"), value) {
            (Some(_), Value::Object(mut list)) if list.contains_key("items") => {
                self.add_items(line, &api_version, &kind, list.remove("items"));
            }
            (_, value) => self.add_object(line, &api_version, &kind, value),
        }
    }

    /// Reads the items of a `List`, or of a `ServiceList` and the like, whose items need not say
    /// what they are.
    fn add_items(&mut self, line: u64, api_version: &str, kind: &str, items: Option<Value>) {
        let Some(Value::Array(items)) = items else {
            let lack = "the `items` of a list are a sequence";
            self.faults.push((line, Fault::NotAnObject(lack)));
            return;
        };
        let item_kind = kind.strip_suffix("List").filter(|kind| !kind.is_empty());
        for mut item in items {
            if let (Some(item), Some(kind)) = (item.as_object_mut(), item_kind) {
                item.entry("apiVersion").or_insert_with(|| api_version.into());
                item.entry("kind").or_insert_with(|| kind.into());
            }
            self.add(line, item);
        }
    }

    fn add_object(&mut self, line: u64, api_version: &str, kind: &str, value: Value) {
        let label = label(kind, &value);
        let mut unknown = Vec::new();
        let mut object = match Object::read(api_version, kind, value, &mut unknown) {
            Ok(Some(object)) => object,
            Ok(None) => {
                self.ignored.insert(format!("{api_version} {kind}"));
                return;
            }
            Err(misfit) => {
                self.faults.push((line, Fault::Shape { object: label, misfit }));
                return;
            }
        };
        object.place();
        match object.name() {
            Some(name) => {
                let deprecation = object::deprecation(api_version, kind);
                self.objects.push(Located { line, name, object, unknown, deprecation });
            }
            None => self.faults.push((line, Fault::Nameless(kind.to_owned()))),
        }
    }
}

/// Names an object whose type is not yet known to fit.
fn label(kind: &str, value: &Value) -> String {
    let field = |name: &str| value.pointer(&format!("/metadata/{name}")).and_then(Value::as_str);
    object::label(kind, field("namespace"), field("name"))
}

/// Reads the YAML documents of `text`, without the empty ones. JSON is YAML too.
///
/// # Errors
///
/// Line, column and an excerpt with a mark at the first place that is not YAML.
pub(super) fn documents(text: &str) -> Result<Vec<Spanned<Value>>, (u64, u64, Fault)> {
    serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| {
        let at = error.location();
        let line = at.map_or(1, |at| at.line());
        let column = at.map_or(1, |at| at.column());
        // The excerpt shows lines around the place, and in some files these are nobody's business.
        let has_password = text.contains("Secret") || text.contains("assword");
        let error = if has_password { error.without_snippet() } else { &error };
        let text = error.to_string();
        // Every problem starts with its place, so the excerpt need not.
        let place = format!("error: line {line} column {column}: ");
        (line, column, Fault::Syntax(text.strip_prefix(&place).unwrap_or(&text).to_owned()))
    })
}

fn options() -> Options {
    // As YAML 1.2 and so as JSON: `on` and `yes` are words, which matters for labels.
    serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_documents: MAX_DOCUMENTS,
            max_nodes: MAX_NODES,
            max_depth: MAX_DEPTH,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_REPEATED },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Contents {
        Contents::read(text).unwrap()
    }

    #[track_caller]
    fn check_names(text: &str, want: &[(u64, &str)]) {
        let contents = read(text);
        assert_eq!(contents.faults, []);
        let found: Vec<_> =
            contents.objects.iter().map(|found| (found.line, found.name.to_string())).collect();
        let want: Vec<_> = want.iter().map(|(line, name)| (*line, (*name).to_owned())).collect();
        assert_eq!(found, want);
    }

    #[track_caller]
    fn check_faults(text: &str, want: &[(u64, &str)]) {
        let contents = read(text);
        let found: Vec<_> =
            contents.faults.iter().map(|(line, fault)| (*line, fault.to_string())).collect();
        let want: Vec<_> = want.iter().map(|(line, fault)| (*line, (*fault).to_owned())).collect();
        assert_eq!(found, want);
    }

    const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n";

    #[test]
    fn documents_are_found_with_their_lines() {
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n";
        let text = format!("# two\n---\n{NODE}---\n# nothing\n---\n{service}");
        check_names(&text, &[(3, "Node/a"), (9, "Service/default/web")]);
    }

    #[test]
    fn items_of_lists_are_objects() {
        let item = "{apiVersion: v1, kind: Node, metadata: {name: a}}";
        check_names(&format!("apiVersion: v1\nkind: List\nitems: [{item}]"), &[(1, "Node/a")]);
        let list = "apiVersion: v1\nkind: NodeList\nitems: [{metadata: {name: a}}]";
        check_names(list, &[(1, "Node/a")]);
    }

    #[test]
    fn json_is_read_too() {
        let text = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}"#;
        check_names(text, &[(1, "Node/a")]);
    }

    #[test]
    fn on_and_yes_are_words() {
        let text = "apiVersion: v1\nkind: Node\nmetadata: {name: a, labels: {rack: on, up: yes}}";
        check_names(text, &[(1, "Node/a")]);
    }

    #[test]
    fn one_bad_object_takes_out_only_itself() {
        let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n\
                   spec: {ports: [{port: http}]}\n";
        let contents = read(&format!("{bad}---\n{NODE}"));
        assert_eq!(contents.objects.len(), 1);
        assert_eq!(contents.faults.len(), 1);
        let fault = contents.faults[0].1.to_string();
        assert!(fault.starts_with("Service/shop/web: spec.ports[0].port: invalid type"), "{fault}");
    }

    #[test]
    fn what_is_no_object_is_told_by_its_line() {
        let rows = [
            ("- a", 1, "not a Kubernetes object: it is not a mapping; it is left out"),
            (
                "\nkind: Node",
                2,
                "not a Kubernetes object: it needs `apiVersion` and `kind`; it is left out",
            ),
            ("apiVersion: v1\nkind: Node", 1, "a Node has no `metadata.name`; give it one"),
            (
                "apiVersion: v1\nkind: List\nitems: {}",
                1,
                "not a Kubernetes object: the `items` of a list are a sequence; it is left out",
            ),
        ];
        for (text, line, want) in rows {
            check_faults(text, &[(line, want)]);
        }
    }

    #[test]
    fn a_slip_is_shown_where_it_is() {
        let (line, column, fault) =
            Contents::read("apiVersion: v1\nkind: Node\nmetadata: {name: [a}\n").unwrap_err();
        assert_eq!((line, column), (3, 18));
        let fault = fault.to_string();
        assert!(fault.starts_with("mismatched bracket"), "{fault}");
        assert!(fault.contains("3 | metadata: {name: [a}"), "{fault}");
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
        }
        assert!(Contents::read(&text).is_err());
    }
}
