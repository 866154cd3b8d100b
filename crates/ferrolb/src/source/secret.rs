//! Secrets, of which only the password of a router session is kept.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::Password;

/// The type of Secrets that hold a password.
pub const BASIC_AUTH: &str = "kubernetes.io/basic-auth";

/// The key that the password is under.
const PASSWORD: &str = "password";

/// A `v1` Secret. What it holds besides the password is forgotten, and the password does not print.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    /// Name and namespace only: annotations may repeat the data.
    pub metadata: ObjectMeta,
    /// What the Secret is for; [`BASIC_AUTH`] is what sessions need.
    pub type_: String,
    /// What is under the key `password`, if the Secret is of that type.
    pub password: Content,
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
        // `stringData` is what the API server would write over `data`.
        let text = secret.string_data.and_then(|mut data| data.remove(PASSWORD));
        let bytes = secret.data.and_then(|mut data| data.remove(PASSWORD));
        let password = match (text, bytes) {
            _ if type_ != BASIC_AUTH => Content::Absent,
            (Some(text), _) => Content::Text(Password(text)),
            (None, Some(bytes)) => {
                let text = String::from_utf8(bytes.0);
                text.map_or(Content::NotText, |text| Content::Text(Password(text)))
            }
            (None, None) => Content::Absent,
        };
        Self { metadata, type_, password }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(yaml: &str) -> Secret {
        Secret::from(serde_saphyr::from_str::<core::Secret>(yaml).unwrap())
    }

    #[test]
    fn of_a_secret_only_the_password_is_kept_and_not_shown() {
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
            assert_eq!(secret.password, want, "{row}");
            assert!(!format!("{secret:?}").contains("swordfish"), "{row}");
        }
    }
}
