//! Pods, as far as we look at them.

use k8s_openapi::api::core::v1::{self as core, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// A Pod. A whole one has more fields than all else that we read, which would cost memory for each
/// Pod that is seen and a fortieth of the program.
#[derive(Clone, Debug, Deserialize, kube::Resource)]
#[resource(inherit = "core::Pod")]
pub struct Pod {
    /// Its name, labels and owners.
    pub metadata: ObjectMeta,
    /// What it was made with.
    pub spec: Option<PodSpec>,
    /// What its node says of it.
    pub status: Option<PodStatus>,
}

/// What a Pod was made with.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Where it runs.
    pub node_name: Option<String>,
    /// What runs in it.
    pub containers: Vec<Container>,
}

/// A program of a Pod.
#[derive(Clone, Debug, Deserialize)]
pub struct Container {
    /// Its name in the Pod.
    pub name: String,
    /// Where its program comes from.
    pub image: Option<String>,
    /// What is started in place of what the image names.
    pub command: Option<Vec<String>>,
    /// What that is told.
    pub args: Option<Vec<String>>,
}

/// What is known of a Pod that has a node.
#[derive(Clone, Debug, Deserialize)]
pub struct PodStatus {
    /// `Running`, once a container was started.
    pub phase: Option<String>,
    /// Whether it is ready, among others.
    pub conditions: Option<Vec<PodCondition>>,
}
