//! Where a field of an object is in the text of its manifest, to show it.

use std::ops::Range;

use super::object::label;
use super::tree::{Kind, Node};

/// The text of a manifest with the places of everything in it.
#[derive(Debug)]
pub struct Atlas<'a> {
    text: &'a str,
    documents: Vec<Node<'a>>,
}

/// A place in the text, in bytes and never over the end of a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// What to underline.
    pub span: Range<usize>,
    /// Whether the field itself is there, and not only what it would be in.
    pub is_exact: bool,
}

impl<'a> Atlas<'a> {
    /// The places in a text that was read before; `None` for one that is no YAML.
    pub fn new(text: &'a str) -> Option<Self> {
        Some(Self { text, documents: Node::documents(text)? })
    }

    /// Where `field` is in the object `Kind/namespace/name` that is the first of its name at or
    /// after `line`, from 1.
    ///
    /// Of a field that is not there, the place is that of the innermost one that would hold it; the
    /// empty field is the name of the object.
    pub fn find(&self, object: &str, line: u64, field: &str) -> Option<Place> {
        let object = self.objects().into_iter().find(|(kind, node)| {
            let above = self.text.get(..node.start()).unwrap_or_default();
            let at = 1 + above.bytes().filter(|byte| *byte == b'\n').count();
            u64::try_from(at).is_ok_and(|at| at >= line) && name(node, kind) == object
        });
        let (_, node) = object?;
        let place = match walk(node, field) {
            Some(place) if !field.is_empty() => place,
            Some(_) | None => walk(node, "metadata.name")?,
        };
        Some(Place { span: self.one_line(place.span), ..place })
    }

    /// The same text with every password in it blotted out, byte for byte.
    pub fn redacted(&self) -> String {
        let mut secret = Vec::new();
        for (kind, node) in self.objects() {
            let fields: &[&str] = match kind.as_str() {
                "Secret" => &["data", "stringData", "metadata.annotations"],
                "BGPPeer" => &["spec.password", "metadata.annotations"],
                _ => continue,
            };
            let values = fields.iter().filter_map(|field| value(node, field));
            secret.extend(values.flat_map(Node::scalars));
        }
        let mut bytes = self.text.as_bytes().to_vec();
        for byte in secret.into_iter().flatten() {
            if let Some(byte) = bytes.get_mut(byte).filter(|byte| !byte.is_ascii_whitespace()) {
                *byte = b'*';
            }
        }
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// All objects with their kinds, also those in lists.
    fn objects(&self) -> Vec<(String, &Node<'a>)> {
        let mut objects = Vec::new();
        for document in &self.documents {
            add_objects(document, "", &mut objects);
        }
        objects
    }

    fn one_line(&self, span: Range<usize>) -> Range<usize> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let length = text.find(['\r', '\n']).unwrap_or(text.len());
        span.start..span.start + length
    }
}

fn add_objects<'n, 'a>(
    node: &'n Node<'a>,
    of_list: &str,
    objects: &mut Vec<(String, &'n Node<'a>)>,
) {
    let kind = node.get("kind").and_then(Node::text).unwrap_or(of_list);
    match (kind.strip_suffix("List"), node.get("items").map(|items| &items.kind)) {
        (Some(item), Some(Kind::Sequence(_, items))) => {
            items.iter().for_each(|node| add_objects(node, item, objects));
        }
        (Some(_) | None, _) => objects.push((kind.to_owned(), node)),
    }
}

fn name(node: &Node<'_>, kind: &str) -> String {
    let field = |name: &str| node.get("metadata")?.get(name)?.text();
    label(kind, field("namespace"), field("name"))
}

fn value<'n, 'a>(node: &'n Node<'a>, field: &str) -> Option<&'n Node<'a>> {
    field.split('.').try_fold(node, |node, name| node.get(name))
}

/// Follows a path as far as it goes; `None` if that is nowhere.
fn walk(node: &Node<'_>, field: &str) -> Option<Place> {
    let mut place = None;
    let mut node = node;
    let mut rest = field;
    while !rest.is_empty() {
        let Some((key, value, after)) = step(node, rest) else {
            let innermost: Place = place?;
            return Some(Place { is_exact: false, ..innermost });
        };
        let span = match (&value.kind, key) {
            (Kind::Scalar(_) | Kind::Alias, _) if !value.span.is_empty() => value.span.clone(),
            (_, Some(key)) => key.span.clone(),
            (_, None) => value.start()..value.end(),
        };
        place = Some(Place { span, is_exact: true });
        (node, rest) = (value, after);
    }
    place
}

type Step<'n, 'a, 'f> = (Option<&'n Node<'a>>, &'n Node<'a>, &'f str);

/// One step into a mapping or a sequence: the key if there is one, the value, the rest of the path.
fn step<'n, 'a, 'f>(node: &'n Node<'a>, path: &'f str) -> Option<Step<'n, 'a, 'f>> {
    match &node.kind {
        Kind::Mapping(_, entries) => {
            // A key may have dots in it, so the longest that fits is taken.
            let fits = entries
                .iter()
                .filter_map(|(key, value)| Some((Some(key), value, after_key(path, key.text()?)?)));
            fits.min_by_key(|(.., after)| after.len())
        }
        Kind::Sequence(_, items) => {
            let (index, after) = path.strip_prefix('[')?.split_once(']')?;
            Some((None, items.get(index.parse::<usize>().ok()?)?, after))
        }
        Kind::Alias | Kind::Scalar(_) => None,
    }
}

/// What follows `key`, written as `.key` or `[key]`, in a path.
fn after_key<'f>(path: &'f str, key: &str) -> Option<&'f str> {
    if let Some(path) = path.strip_prefix('[') {
        return path.strip_prefix(key)?.strip_prefix(']');
    }
    let after = path.strip_prefix('.').unwrap_or(path).strip_prefix(key)?;
    (after.is_empty() || after.starts_with(['.', '['])).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: main}
spec:
  addresses:
  - 192.0.2.0/24 # ours
  - \"192.0.2.9-192.0.2.1\"
  serviceAllocation: {namespaces: [a, b]}
  serviceSelectors:
  - matchLabels: {app.kubernetes.io/name: web}
    matchExpressions: []
---
apiVersion: metallb.io/v1beta2
kind: BGPPeerList
items:
- metadata: {name: tor, namespace: net}
  spec: {myASN: 0, password: 'tuna fish', bfdProfile: }
";

    #[test]
    fn fields_are_found_in_the_text() {
        let atlas = Atlas::new(TEXT).unwrap();
        let (pool, peer) = ("IPAddressPool/default/main", "BGPPeer/net/tor");
        let rows = [
            (pool, "spec.addresses[0]", "192.0.2.0/24", true),
            (pool, "spec.addresses[1]", "\"192.0.2.9-192.0.2.1\"", true),
            (pool, "spec.addresses[2]", "addresses", false),
            (pool, "spec.addresses", "addresses", true),
            (pool, "spec.serviceAllocation.namespaces[1]", "b", true),
            (pool, "spec.serviceSelectors[0]", "matchLabels: {app.kubernetes.io/name: web}", true),
            (pool, "spec.serviceSelectors[0].matchLabels.app.kubernetes.io/name", "web", true),
            (pool, "spec.serviceSelectors[0].matchLabels[app.kubernetes.io/name]", "web", true),
            (pool, "spec.autoAssign", "spec", false),
            (pool, "", "main", true),
            (pool, "status", "main", true),
            (peer, "spec.myASN", "0", true),
            (peer, "spec.bfdProfile", "bfdProfile", true),
        ];
        for (object, field, want, is_exact) in rows {
            let place = atlas.find(object, 1, field).unwrap();
            assert_eq!((&TEXT[place.span], place.is_exact), (want, is_exact), "{object} {field}");
        }
        assert_eq!(atlas.find(pool, 2, ""), None, "it starts above this line");
        assert_eq!(atlas.find("IPAddressPool/default/other", 1, ""), None);
    }

    #[test]
    fn passwords_are_blotted_out() {
        let secret = "---\nkind: Secret\nmetadata: {name: s}\nstringData: {password: t\u{fc}na}\n";
        let text = format!("{TEXT}{secret}");
        let redacted = Atlas::new(&text).unwrap().redacted();
        assert_eq!(redacted.len(), text.len());
        for word in ["tuna", "fish", "t\u{fc}na"] {
            assert!(!redacted.contains(word), "{redacted}");
        }
        assert!(redacted.contains("name: s}"), "{redacted}");
    }
}
