//! Label selectors, as Kubernetes understands them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Labels of an object.
///
/// A sorted slice instead of a map: objects have a handful, and there are two sets a Service. A map
/// allocates for eleven pairs at once.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Labels(Box<[(String, String)]>);

impl Labels {
    /// No labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let place = self.0.binary_search_by(|(other, _)| other.as_str().cmp(key)).ok()?;
        Some(&self.0[place].1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(map.into_iter().collect())
    }
}

impl FromIterator<(String, String)> for Labels {
    /// Of several values of one key, the last counts.
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        pairs.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

impl<const N: usize> From<[(String, String); N]> for Labels {
    fn from(pairs: [(String, String); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl IntoIterator for Labels {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_vec().into_iter()
    }
}

/// A label selector; every requirement must hold, and none matches everything.
///
/// Equal selectors compare equal however they are written: order, repetition, and `matchLabels`
/// instead of `In` with one value make no difference.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Selector {
    requirements: BTreeSet<Requirement>,
}

/// One entry of `matchExpressions`, as written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expression {
    /// The label that it is about.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Values for `In` and `NotIn`.
    pub values: Vec<String>,
}

/// Ordered by key first, which is the order in which they are printed.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
}

/// Why a selector cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SelectorError {
    /// A key is not a label key.
    Key {
        /// The key.
        key: String,
    },
    /// A value is not a label value.
    Value {
        /// The key that it belongs to.
        key: String,
        /// The value.
        value: String,
    },
    /// There is no such operator.
    Operator {
        /// The key that it belongs to.
        key: String,
        /// The operator.
        operator: String,
    },
    /// `In` or `NotIn` without a value.
    NoValues {
        /// The key that it belongs to.
        key: String,
        /// The operator.
        operator: String,
    },
    /// `Exists` or `DoesNotExist` with a value.
    NeedlessValues {
        /// The key that it belongs to.
        key: String,
        /// The operator.
        operator: String,
    },
}

impl SelectorError {
    /// How to mend it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Key { .. } => {
                "write a label key: a name of letters, digits, `-`, `_` and `.`, with a DNS prefix \
                 and a slash before it if it has one"
            }
            Self::Value { .. } => "write a label value: up to 63 letters, digits, `-`, `_` and `.`",
            Self::Operator { .. } => "write In, NotIn, Exists or DoesNotExist",
            Self::NoValues { .. } => "give it values, or write Exists or DoesNotExist",
            Self::NeedlessValues { .. } => "remove the values, or write In or NotIn",
        }
    }
}

impl Selector {
    /// A selector from `matchLabels` and `matchExpressions`.
    ///
    /// # Errors
    ///
    /// Names the first key, value or operator that Kubernetes would refuse.
    pub fn new(
        match_labels: Labels,
        expressions: impl IntoIterator<Item = Expression>,
    ) -> Result<Self, SelectorError> {
        let mut requirements = BTreeSet::new();
        for (key, value) in match_labels {
            let expression = Expression { key, operator: "In".into(), values: vec![value] };
            requirements.insert(Requirement::new(expression)?);
        }
        for expression in expressions {
            requirements.insert(Requirement::new(expression)?);
        }
        Ok(Self { requirements })
    }

    /// Whether `labels` satisfy every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn new(expression: Expression) -> Result<Self, SelectorError> {
        let Expression { key, operator, values } = expression;
        if !is_key(&key) {
            return Err(SelectorError::Key { key });
        }
        if let Some(value) = values.iter().find(|value| !is_value(value)) {
            return Err(SelectorError::Value { key, value: value.clone() });
        }
        let takes_values = match operator.as_str() {
            "In" | "NotIn" => true,
            "Exists" | "DoesNotExist" => false,
            _ => return Err(SelectorError::Operator { key, operator }),
        };
        if takes_values && values.is_empty() {
            return Err(SelectorError::NoValues { key, operator });
        }
        if !takes_values && !values.is_empty() {
            return Err(SelectorError::NeedlessValues { key, operator });
        }
        let values = values.into_iter().collect();
        let test = match operator.as_str() {
            "In" => Test::In(values),
            "NotIn" => Test::NotIn(values),
            "Exists" => Test::Exists,
            _ => Test::DoesNotExist,
        };
        Ok(Self { key, test })
    }

    fn holds(&self, labels: &Labels) -> bool {
        let label = labels.get(&self.key);
        match &self.test {
            Test::In(values) => label.is_some_and(|value| values.contains(value)),
            // A label that is absent is in no set.
            Test::NotIn(values) => label.is_none_or(|value| !values.contains(value)),
            Test::Exists => label.is_some(),
            Test::DoesNotExist => label.is_none(),
        }
    }
}

/// The longest name part of a key, and the longest value.
const LONGEST_NAME: usize = 63;

/// The longest prefix of a key.
const LONGEST_PREFIX: usize = 253;

/// An optional DNS subdomain and `/`, then a name.
fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name(name),
        None => is_name(key),
    }
}

fn is_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    name.len() <= LONGEST_NAME
        && ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| is_inner(*byte))
}

/// RFC 1123 labels joined by dots, in lower case.
fn is_subdomain(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= LONGEST_PREFIX && name.split('.').all(is_label)
}

impl fmt::Display for Selector {
    /// As `kubectl` writes it; `<none>` is the selector that matches everything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.requirements.iter().map(ToString::to_string).collect();
        match texts.is_empty() {
            true => f.write_str("<none>"),
            false => f.write_str(&texts.join(",")),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let join = |values: &BTreeSet<String>| {
            values.iter().map(String::as_str).collect::<Vec<_>>().join(",")
        };
        match &self.test {
            Test::In(values) if values.len() == 1 => write!(f, "{key}={}", join(values)),
            Test::In(values) => write!(f, "{key} in ({})", join(values)),
            Test::NotIn(values) => write!(f, "{key} notin ({})", join(values)),
            Test::Exists => f.write_str(key),
            Test::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { key } => write!(f, "`{key}` is not a label key"),
            Self::Value { key, value } => {
                write!(f, "`{value}` is not a value that the label `{key}` can have")
            }
            Self::Operator { key, operator } => {
                write!(f, "`{operator}` for `{key}` is not an operator")
            }
            Self::NoValues { key, operator } => {
                write!(f, "`{operator}` for `{key}` needs at least one value")
            }
            Self::NeedlessValues { key, operator } => {
                write!(f, "`{operator}` for `{key}` takes no values")
            }
        }
    }
}

impl std::error::Error for SelectorError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    fn expression<const N: usize>(key: &str, operator: &str, values: [&str; N]) -> Expression {
        let values = values.map(str::to_owned).into();
        Expression { key: key.into(), operator: operator.into(), values }
    }

    fn selector<const N: usize>(expressions: [Expression; N]) -> Selector {
        Selector::new(Labels::new(), expressions).unwrap()
    }

    #[test]
    fn operators_mean_what_kubernetes_says() {
        let rack_a = labels([("rack", "a")]);
        let no_rack = labels([("zone", "a")]);
        let rows = [
            // (expression, with rack=a, without a rack)
            (expression("rack", "In", ["a", "b"]), true, false),
            (expression("rack", "In", ["b"]), false, false),
            (expression("rack", "NotIn", ["a"]), false, true),
            (expression("rack", "NotIn", ["b"]), true, true),
            (expression("rack", "Exists", []), true, false),
            (expression("rack", "DoesNotExist", []), false, true),
        ];
        for (expression, with, without) in rows {
            let selector = selector([expression]);
            assert_eq!(selector.matches(&rack_a), with, "{selector} with rack=a");
            assert_eq!(selector.matches(&no_rack), without, "{selector} without a rack");
        }
    }

    #[test]
    fn every_requirement_must_hold() {
        let both = Selector::new(labels([("a", "1")]), [expression("b", "Exists", [])]).unwrap();
        assert!(both.matches(&labels([("a", "1"), ("b", "")])));
        assert!(!both.matches(&labels([("a", "1")])));
        assert!(!both.matches(&labels([("b", "")])));
        assert!(Selector::default().matches(&labels([])), "no requirement matches everything");
    }

    #[test]
    fn equal_selectors_compare_equal() {
        let by_label = Selector::new(labels([("a", "1")]), []).unwrap();
        assert_eq!(by_label, selector([expression("a", "In", ["1"])]));
        assert_eq!(
            selector([expression("b", "Exists", []), expression("a", "NotIn", ["2", "1", "2"])]),
            selector([expression("a", "NotIn", ["1", "2"]), expression("b", "Exists", [])]),
        );
    }

    #[test]
    fn prints_as_kubectl_does() {
        let match_labels = labels([("app", "web")]);
        let expressions = [
            expression("tier", "In", ["b", "a"]),
            expression("env", "NotIn", ["dev"]),
            expression("x", "Exists", []),
            expression("y", "DoesNotExist", []),
        ];
        let selector = Selector::new(match_labels, expressions).unwrap();
        assert_eq!(selector.to_string(), "app=web,env notin (dev),tier in (a,b),x,!y");
        assert_eq!(Selector::default().to_string(), "<none>");
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        let long = "a".repeat(64);
        let rows = [
            (expression("", "Exists", []), "`` is not a label key".to_owned()),
            (expression("-a", "Exists", []), "`-a` is not a label key".to_owned()),
            (expression("A.b/c", "Exists", []), "`A.b/c` is not a label key".to_owned()),
            (expression("/c", "Exists", []), "`/c` is not a label key".to_owned()),
            (expression("a/b/c", "Exists", []), "`a/b/c` is not a label key".to_owned()),
            (expression(&long, "Exists", []), format!("`{long}` is not a label key")),
            (
                expression("a", "In", ["b c"]),
                "`b c` is not a value that the label `a` can have".to_owned(),
            ),
            (expression("a", "in", ["b"]), "`in` for `a` is not an operator".to_owned()),
            (expression("a", "In", []), "`In` for `a` needs at least one value".to_owned()),
            (expression("a", "Exists", ["b"]), "`Exists` for `a` takes no values".to_owned()),
        ];
        for (expression, want) in rows {
            let error = Selector::new(Labels::new(), [expression]).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn usual_labels_are_accepted() {
        let longest = "a".repeat(63);
        for key in ["a", "kubernetes.io/hostname", "A_b.C-9", "example-1.com/x", &longest] {
            assert!(is_key(key), "{key}");
        }
        for value in ["", "a", "v1.2_3-x", &longest] {
            assert!(is_value(value), "{value}");
        }
    }
}
