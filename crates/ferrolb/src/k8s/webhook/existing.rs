//! The settings that there are, as the API server has them now.
//!
//! Not those that this process has seen by watching: who applies two objects that belong together,
//! one after the other, expects the second to be checked with the first, and a watch may be late by
//! just that much. It also makes a replica able to answer before it has seen anything. The price is
//! seven small lists for each edited setting, which are rare. Services and Namespaces, of which
//! there may be many, decide nothing here and are not read.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, Client, Resource};

use crate::api::{
    BFDProfile, BGPAdvertisement, BGPPeer, Community, IPAddressPool, L2Advertisement,
};
use crate::source::object::{Object, Objects};

/// All settings of a namespace, and the Nodes with their labels.
pub(super) async fn settings(client: &Client, namespace: &str) -> kube::Result<Objects> {
    let (profiles, bgp_advertisements, peers, communities, pools, l2_advertisements, nodes) = tokio::try_join!(
        list::<BFDProfile>(client, namespace),
        list::<BGPAdvertisement>(client, namespace),
        list::<BGPPeer>(client, namespace),
        list::<Community>(client, namespace),
        list::<IPAddressPool>(client, namespace),
        list::<L2Advertisement>(client, namespace),
        nodes(client),
    )?;
    let mut objects = Objects { nodes, ..Objects::default() };
    for list in [profiles, bgp_advertisements, peers, communities, pools, l2_advertisements] {
        for object in list {
            objects.add(object);
        }
    }
    Ok(objects)
}

/// The objects of one kind. Those that do not fit their kind count for nothing, as everywhere, and a
/// kind that is not installed has none.
async fn list<K: Resource<DynamicType = ()>>(
    client: &Client,
    namespace: &str,
) -> kube::Result<Vec<Object>> {
    let kind = ApiResource::erase::<K>(&());
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &kind);
    let list = match api.list(&ListParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(Vec::new()),
        list => list?,
    };
    let read = |object: DynamicObject| {
        let value = serde_json::to_value(object).ok()?;
        Object::read(&kind.api_version, &kind.kind, value, &mut Vec::new()).ok()?
    };
    Ok(list.items.into_iter().filter_map(read).collect())
}

/// The Nodes, of which only labels count here. What the API server has in its cache is good enough.
async fn nodes(client: &Client) -> kube::Result<Vec<Arc<Node>>> {
    let api = Api::<Node>::all(client.clone());
    let list = api.list_metadata(&ListParams::default().match_any()).await?;
    let node = |metadata| Arc::new(Node { metadata, ..Node::default() });
    Ok(list.items.into_iter().map(|object| node(object.metadata)).collect())
}

/// The Secret that a BGPPeer names, if it is one, and if there is that Secret.
pub(super) async fn secret(
    client: &Client,
    namespace: &str,
    incoming: &Object,
) -> kube::Result<Option<Arc<crate::source::secret::Secret>>> {
    let Object::BGPPeer(peer) = incoming else { return Ok(None) };
    let reference = peer.spec.password_secret.as_ref();
    let name = reference.and_then(|secret| secret.name.as_deref()).filter(|name| !name.is_empty());
    let Some(name) = name else { return Ok(None) };
    let secret = Api::<Secret>::namespaced(client.clone(), namespace).get_opt(name).await?;
    Ok(secret.map(|secret| Arc::new(secret.into())))
}
