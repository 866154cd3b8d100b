//! Names of things, each a type of its own so that they cannot be mixed up.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// `namespace/name` of a Service.
///
/// Clones share the texts: a name is a key in a dozen tables, with thousands of Services in each.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceName {
    /// Namespace of the Service.
    pub namespace: Arc<str>,
    /// Its name there.
    pub name: Arc<str>,
}

impl ServiceName {
    /// A name from its two parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ServiceName {
    type Err = String;

    /// Reads `namespace/name`; a bare `name` is in the namespace `default`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            return Err(format!("`{text}` is not `namespace/name`"));
        }
        Ok(Self::new(namespace, name))
    }
}

/// Makes a newtype over `String` that prints as it is.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub String);

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// Name of a Node.
    NodeName
}
name! {
    /// Name of an IPAddressPool.
    PoolName
}
name! {
    /// Name of an L2Advertisement or BGPAdvertisement.
    AdvertisementName
}
name! {
    /// Name of a BGPPeer.
    PeerName
}
