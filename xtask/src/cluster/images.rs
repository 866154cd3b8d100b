//! Images, and how they come onto nodes: there is no registry.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{node, place};
use crate::image::{Archive, Image, Layer};
use crate::step;
use crate::workspace::{cargo, root};

/// The image of Pods, and of what holds a Pod's namespaces; `containerd.toml` names it too.
pub(super) const POD: &str = "localhost/pod:1";

/// Builds the image of Pods, which nodes have from their start.
///
/// # Errors
///
/// When it does not compile.
pub(super) fn build_pod() -> Result<()> {
    let mut build = cargo();
    build.args(["rustc", "--release", "--package", "pod", "--"]);
    // There is no libc in the image.
    build.args(["-C", "target-feature=+crt-static"]);
    step::run("pod", &mut build, "mend the errors above")?;
    let program =
        fs::read(root().join("target/release/pod")).context("reading the Pods' program")?;
    let image = Image {
        name: POD.to_owned(),
        entrypoint: "/pod",
        arguments: &["pause"],
        user: "65534:65534",
        labels: &[],
    };
    let archive = Archive::of(&[image], &Layer::of(&program, "pod", &[])?)?;
    fs::write(place::images().join("pod.tar"), archive.tar()?).context("writing the Pods' image")
}

/// Brings an image onto every node; those that are off find it when they start.
///
/// # Errors
///
/// When there is no such file, or a node does not take it.
pub(super) fn load(image: &Path) -> Result<()> {
    let nodes = place::nodes()?;
    let name = image.file_name().context("an image is a file")?.to_string_lossy();
    fs::copy(image, place::images().join(&*name))
        .with_context(|| format!("copying `{}`", image.display()))?;
    nodes.into_iter().try_for_each(|node| {
        node::import(node, &name).with_context(|| format!("on {}", place::Host::Node(node).name()))
    })
}
