//! Objects of the kinds we read, with their names and where they were found.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{self as core, Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::secret::Secret;
use crate::api::bgp_peer_conversion::{REST, convert};
use crate::api::bgp_peer_v1beta1::BGPPeerV1Beta1;
use crate::api::{
    BFDProfile, BGPAdvertisement, BGPPeer, Community, IPAddressPool, L2Advertisement,
};

/// Where objects live that do not say so, as `kubectl` has it.
pub const DEFAULT_NAMESPACE: &str = "default";

/// All objects known at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// `v1` Services of any type.
    pub services: Vec<Arc<Service>>,
    /// `discovery.k8s.io/v1` EndpointSlices.
    pub endpoint_slices: Vec<Arc<EndpointSlice>>,
    /// `v1` Nodes.
    pub nodes: Vec<Arc<Node>>,
    /// `v1` Namespaces.
    pub namespaces: Vec<Arc<Namespace>>,
    /// `metallb.io/v1beta1` IPAddressPools.
    pub pools: Vec<Arc<IPAddressPool>>,
    /// `metallb.io/v1beta1` L2Advertisements.
    pub l2_advertisements: Vec<Arc<L2Advertisement>>,
    /// `metallb.io/v1beta1` BGPAdvertisements.
    pub bgp_advertisements: Vec<Arc<BGPAdvertisement>>,
    /// `metallb.io/v1beta2` BGPPeers; those written as `v1beta1` are converted.
    pub bgp_peers: Vec<Arc<BGPPeer>>,
    /// `metallb.io/v1beta1` BFDProfiles.
    pub bfd_profiles: Vec<Arc<BFDProfile>>,
    /// `metallb.io/v1beta1` Communities.
    pub communities: Vec<Arc<Community>>,
    /// `v1` Secrets, each reduced to its password.
    pub secrets: Vec<Arc<Secret>>,
}

impl Objects {
    /// How many there are.
    pub fn count(&self) -> usize {
        let Self { services, endpoint_slices, nodes, namespaces, secrets, pools, .. } = self;
        let of_kubernetes =
            [services.len(), endpoint_slices.len(), nodes.len(), namespaces.len(), secrets.len()];
        let ours = [
            pools.len(),
            self.l2_advertisements.len(),
            self.bgp_advertisements.len(),
            self.bgp_peers.len(),
            self.bfd_profiles.len(),
            self.communities.len(),
        ];
        of_kubernetes.iter().chain(&ours).sum()
    }

    /// Adds one object to those of its kind.
    pub fn add(&mut self, object: Object) {
        match object {
            Object::BFDProfile(profile) => self.bfd_profiles.push(profile),
            Object::BGPAdvertisement(advertisement) => self.bgp_advertisements.push(advertisement),
            Object::BGPPeer(peer) => self.bgp_peers.push(peer),
            Object::Community(community) => self.communities.push(community),
            Object::EndpointSlice(slice) => self.endpoint_slices.push(slice),
            Object::IPAddressPool(pool) => self.pools.push(pool),
            Object::L2Advertisement(advertisement) => self.l2_advertisements.push(advertisement),
            Object::Namespace(namespace) => self.namespaces.push(namespace),
            Object::Node(node) => self.nodes.push(node),
            Object::Secret(secret) => self.secrets.push(secret),
            Object::Service(service) => self.services.push(service),
        }
    }
}

/// One object of a kind we read.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// `metallb.io/v1beta1` BFDProfile.
    BFDProfile(Arc<BFDProfile>),
    /// `metallb.io/v1beta1` BGPAdvertisement.
    BGPAdvertisement(Arc<BGPAdvertisement>),
    /// `metallb.io/v1beta2` BGPPeer, or one of `v1beta1` that was converted.
    BGPPeer(Arc<BGPPeer>),
    /// `metallb.io/v1beta1` Community.
    Community(Arc<Community>),
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice(Arc<EndpointSlice>),
    /// `metallb.io/v1beta1` IPAddressPool.
    IPAddressPool(Arc<IPAddressPool>),
    /// `metallb.io/v1beta1` L2Advertisement.
    L2Advertisement(Arc<L2Advertisement>),
    /// `v1` Namespace.
    Namespace(Arc<Namespace>),
    /// `v1` Node.
    Node(Arc<Node>),
    /// `v1` Secret.
    Secret(Arc<Secret>),
    /// `v1` Service.
    Service(Arc<Service>),
}

impl Object {
    /// Reads `value` as the kind it says it is; `None` for a kind we do not read.
    ///
    /// # Errors
    ///
    /// The field that does not fit the kind. Fields that the kind does not have are no error; their
    /// paths go to `unknown`.
    pub fn read(
        api_version: &str,
        kind: &str,
        value: Value,
        unknown: &mut Vec<String>,
    ) -> Result<Option<Self>, Misfit> {
        let object = match (api_version, kind) {
            ("discovery.k8s.io/v1", "EndpointSlice") => Self::EndpointSlice(typed(value, unknown)?),
            ("metallb.io/v1beta1", "BFDProfile") => Self::BFDProfile(typed(value, unknown)?),
            ("metallb.io/v1beta1", "BGPAdvertisement") => {
                Self::BGPAdvertisement(typed(value, unknown)?)
            }
            ("metallb.io/v1beta1", "BGPPeer") => Self::BGPPeer(old_peer(value, unknown)?),
            ("metallb.io/v1beta2", "BGPPeer") => Self::BGPPeer(peer(value, unknown)?),
            ("metallb.io/v1beta1", "Community") => Self::Community(typed(value, unknown)?),
            ("metallb.io/v1beta1", "IPAddressPool") => Self::IPAddressPool(typed(value, unknown)?),
            ("metallb.io/v1beta1", "L2Advertisement") => {
                Self::L2Advertisement(typed(value, unknown)?)
            }
            ("v1", "Namespace") => Self::Namespace(typed(value, unknown)?),
            ("v1", "Node") => Self::Node(typed(value, unknown)?),
            ("v1", "Secret") => Self::Secret(secret(value, unknown)?),
            ("v1", "Service") => Self::Service(typed(value, unknown)?),
            _ => return Ok(None),
        };
        Ok(Some(object))
    }

    /// Puts the object into the default namespace if it needs one and names none.
    pub fn place(&mut self) {
        let metadata = match self {
            Self::BFDProfile(profile) => &mut Arc::make_mut(profile).metadata,
            Self::BGPAdvertisement(advertisement) => &mut Arc::make_mut(advertisement).metadata,
            Self::BGPPeer(peer) => &mut Arc::make_mut(peer).metadata,
            Self::Community(community) => &mut Arc::make_mut(community).metadata,
            Self::EndpointSlice(slice) => &mut Arc::make_mut(slice).metadata,
            Self::IPAddressPool(pool) => &mut Arc::make_mut(pool).metadata,
            Self::L2Advertisement(advertisement) => &mut Arc::make_mut(advertisement).metadata,
            Self::Secret(secret) => &mut Arc::make_mut(secret).metadata,
            Self::Service(service) => &mut Arc::make_mut(service).metadata,
            Self::Namespace(_) | Self::Node(_) => return,
        };
        let namespace = metadata.namespace.take().filter(|namespace| !namespace.is_empty());
        metadata.namespace = Some(namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()));
    }

    /// Its name; [`None`] if the manifest has none.
    pub fn name(&self) -> Option<ObjectName> {
        let (kind, metadata) = match self {
            Self::BFDProfile(profile) => ("BFDProfile", &profile.metadata),
            Self::BGPAdvertisement(advertisement) => ("BGPAdvertisement", &advertisement.metadata),
            Self::BGPPeer(peer) => ("BGPPeer", &peer.metadata),
            Self::Community(community) => ("Community", &community.metadata),
            Self::EndpointSlice(slice) => ("EndpointSlice", &slice.metadata),
            Self::IPAddressPool(pool) => ("IPAddressPool", &pool.metadata),
            Self::L2Advertisement(advertisement) => ("L2Advertisement", &advertisement.metadata),
            Self::Namespace(namespace) => ("Namespace", &namespace.metadata),
            Self::Node(node) => ("Node", &node.metadata),
            Self::Secret(secret) => ("Secret", &secret.metadata),
            Self::Service(service) => ("Service", &service.metadata),
        };
        metadata.name.as_ref().filter(|name| !name.is_empty())?;
        Some(ObjectName::of(kind, metadata))
    }
}

/// Why an object should be written in another version; `None` if it need not.
pub(super) fn deprecation(api_version: &str, kind: &str) -> Option<&'static str> {
    let is_old = (api_version, kind) == ("metallb.io/v1beta1", "BGPPeer");
    is_old.then_some("v1beta1 is deprecated, please use v1beta2")
}

/// `Kind/namespace/name` of something that may not fit its kind, as [`ObjectName`] prints it.
pub(crate) fn label(kind: &str, namespace: Option<&str>, name: Option<&str>) -> String {
    let namespace = match kind {
        "Namespace" | "Node" => None,
        _ => namespace.filter(|namespace| !namespace.is_empty()).or(Some(DEFAULT_NAMESPACE)),
    };
    [Some(kind), namespace, name].into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// Kind, namespace and name of an object.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ObjectName {
    /// Kind, such as `Service`.
    pub kind: &'static str,
    /// Namespace; `None` for Nodes and Namespaces.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectName {
    /// The name in `metadata`.
    pub fn of(kind: &'static str, metadata: &ObjectMeta) -> Self {
        let name = metadata.name.clone().unwrap_or_default();
        Self { kind, namespace: metadata.namespace.clone(), name }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// Where an object is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// The line its document starts at, from 1.
    pub line: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A field that does not fit the kind of its object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Misfit {
    /// Path of the field; empty for the whole object.
    pub field: String,
    /// What was found and what belongs there.
    pub message: String,
}

/// Reads `value` as one kind; paths of fields that it does not have go to `unknown`.
pub(super) fn typed<T: DeserializeOwned>(
    value: Value,
    unknown: &mut Vec<String>,
) -> Result<Arc<T>, Misfit> {
    let mut track = serde_path_to_error::Track::new();
    let value = serde_path_to_error::Deserializer::new(value, &mut track);
    let read = serde_ignored::deserialize(value, |path| match field(&path) {
        // These chose the type.
        field if field == "apiVersion" || field == "kind" => (),
        field => unknown.push(field),
    });
    read.map(Arc::new).map_err(|error| {
        let field = match track.path().to_string() {
            root if root == "." => String::new(),
            field => field,
        };
        Misfit { field, message: error.to_string() }
    })
}

/// The path of a field as it is written everywhere else.
fn field(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", field(parent)),
        Path::Map { parent, key } => match field(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => field(parent),
    }
}

fn peer(value: Value, unknown: &mut Vec<String>) -> Result<Arc<BGPPeer>, Misfit> {
    typed(value, unknown).map_err(hide_password)
}

fn old_peer(value: Value, unknown: &mut Vec<String>) -> Result<Arc<BGPPeer>, Misfit> {
    // What the conversion refuses is then only what it says of its annotation.
    typed::<BGPPeerV1Beta1>(value.clone(), unknown).map_err(hide_password)?;
    let converted = convert(value, "metallb.io/v1beta2").map_err(|cause| Misfit {
        field: format!("metadata.annotations[{REST}]"),
        message: cause.to_string(),
    })?;
    peer(converted, &mut Vec::new())
}

fn secret(value: Value, unknown: &mut Vec<String>) -> Result<Arc<Secret>, Misfit> {
    let whole: Arc<core::Secret> = typed(value, unknown).map_err(|misfit| Misfit {
        message: "not of the form that it has in a Secret, where `data` is base64 and \
                  `stringData` is text"
            .to_owned(),
        ..misfit
    })?;
    Ok(Arc::new(Secret::from(Arc::unwrap_or_clone(whole))))
}

/// The message quotes the value, which nobody else should read.
fn hide_password(misfit: Misfit) -> Misfit {
    match misfit.field.as_str() {
        "spec.password" => {
            Misfit { message: "a password is a text: put it in quotes".to_owned(), ..misfit }
        }
        _ => misfit,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_the_wrong_type_is_named_by_its_path() {
        let value = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"ports": [{"port": 80}, {"port": "http"}]},
        });
        let misfit = Object::read("v1", "Service", value, &mut Vec::new()).unwrap_err();
        assert_eq!(misfit.field, "spec.ports[1].port");
        assert!(misfit.message.contains("\"http\""), "{}", misfit.message);
    }

    #[test]
    fn a_field_that_the_kind_does_not_have_is_told() {
        let value = json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": "main"}, "spec": {"addresses": [], "autoAsign": false},
        });
        let mut unknown = Vec::new();
        Object::read("metallb.io/v1beta1", "IPAddressPool", value, &mut unknown).unwrap();
        assert_eq!(unknown, ["spec.autoAsign"]);
    }

    #[test]
    fn other_kinds_are_left_alone() {
        let read = Object::read("apps/v1", "Deployment", json!({}), &mut Vec::new());
        assert_eq!(read, Ok(None));
    }
}
