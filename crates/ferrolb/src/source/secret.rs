//! Secrets that hold what a router and we know: passwords and keys.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::Password;

/// The type of Secrets that hold a password.
pub const BASIC_AUTH: &str = "kubernetes.io/basic-auth";

/// The key that the password is under.
const PASSWORD: &str = "password";

/// A `v1` Secret. What it holds is forgotten unless it is of the type that sessions need, and does
/// not print.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    /// Name and namespace only: annotations may repeat the data.
    pub metadata: ObjectMeta,
    /// What the Secret is for; [`BASIC_AUTH`] is what sessions need.
    pub type_: String,
    values: BTreeMap<String, Value>,
}

/// Bytes that do not print.
#[derive(Clone, Eq, PartialEq)]
struct Value(Vec<u8>);

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(..)")
    }
}

impl Secret {
    /// What is under the key `password`.
    pub fn password(&self) -> Content {
        match self.value(PASSWORD).map(|bytes| String::from_utf8(bytes.to_vec())) {
            Some(Ok(text)) => Content::Text(Password(text)),
            Some(Err(_)) => Content::NotText,
            None => Content::Absent,
        }
    }

    /// What is under a key, if the Secret is of the type [`BASIC_AUTH`].
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(|Value(bytes)| bytes.as_slice())
    }
}

/// What is under a key of a Secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// There is no such key.
    Absent,
    /// Bytes that are not UTF-8.
    NotText,
    /// A text.
    Text(Password),
}

impl From<core::Secret> for Secret {
    fn from(secret: core::Secret) -> Self {
        let metadata = ObjectMeta {
            name: secret.metadata.name,
            namespace: secret.metadata.namespace,
            ..ObjectMeta::default()
        };
        let type_ = secret.type_.unwrap_or_default();
        let mut values = BTreeMap::new();
        if type_ == BASIC_AUTH {
            let data = secret.data.into_iter().flatten();
            values.extend(data.map(|(key, bytes)| (key, Value(bytes.0))));
            // `stringData` is what the API server would write over `data`.
            let texts = secret.string_data.into_iter().flatten();
            values.extend(texts.map(|(key, text)| (key, Value(text.into_bytes()))));
        }
        Self { metadata, type_, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(yaml: &str) -> Secret {
        Secret::from(serde_saphyr::from_str::<core::Secret>(yaml).unwrap())
    }

    #[test]
    fn the_password_of_a_secret_is_kept_and_not_shown() {
        let basic = "type: kubernetes.io/basic-auth";
        let swordfish = Content::Text(Password("swordfish".to_owned()));
        let rows = [
            ("in base64", format!("{basic}\ndata: {{password: c3dvcmRmaXNo}}"), swordfish.clone()),
            (
                "in clear",
                format!("{basic}\nstringData: {{password: swordfish}}"),
                swordfish.clone(),
            ),
            (
                "in both, of which the clear one counts",
                format!("{basic}\ndata: {{password: eA==}}\nstringData: {{password: swordfish}}"),
                swordfish,
            ),
            ("not text", format!("{basic}\ndata: {{password: /w==}}"), Content::NotText),
            ("another key", format!("{basic}\nstringData: {{key: swordfish}}"), Content::Absent),
            (
                "another type",
                "type: Opaque\nstringData: {password: swordfish}".to_owned(),
                Content::Absent,
            ),
        ];
        for (row, yaml, want) in rows {
            let annotated = "metadata: {annotations: {last: swordfish}}";
            let secret = secret(&format!("{annotated}\n{yaml}"));
            assert_eq!(secret.password(), want, "{row}");
            let shown = format!("{secret:?}");
            assert!(!shown.contains("swordfish") && !shown.contains("115"), "{row}: {shown}");
        }
    }

    #[test]
    fn any_key_of_a_secret_of_the_right_type_is_kept() {
        let data = "data: {bfd: /w==, username: eA==}";
        let basic = secret(&format!("type: kubernetes.io/basic-auth\n{data}"));
        assert_eq!(basic.value("bfd"), Some([0xff].as_slice()));
        assert_eq!(basic.value("other"), None);
        assert_eq!(secret(&format!("type: Opaque\n{data}")).value("bfd"), None);
    }
}
