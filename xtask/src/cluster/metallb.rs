//! MetalLB's own manifests with ferrolb's images: its arguments, variables, roles, probes and mounted
//! files, as whoever changes nothing else has them.

use anyhow::{Result, ensure};

use crate::image;
use crate::kube;

/// Before the name of a component, in the name of an image.
const IMAGES: &str = "image: quay.io/metallb/";

/// The manifests.
///
/// # Errors
///
/// When they cannot be fetched, or have other images than those that ferrolb takes the place of.
pub(super) fn manifests() -> Result<String> {
    let published = kube::metallb()?;
    let (manifests, replaced) = with_our_images(&published);
    ensure!(replaced == ["controller", "speaker"], "MetalLB's images are {}", replaced.join(", "));
    Ok(manifests)
}

/// The manifests, and the components whose images were replaced.
fn with_our_images(manifests: &str) -> (String, Vec<&str>) {
    let mut replaced = Vec::new();
    let line = |line| {
        let Some((indent, image)) = str::split_once(line, IMAGES) else {
            return format!("{line}\n");
        };
        let component = image.split_once(':').map_or(image, |(component, _)| component);
        replaced.push(component);
        format!("{indent}image: {}\n", image::reference_of(component))
    };
    let manifests = manifests.lines().map(line).collect();
    (manifests, replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_changed_but_images() {
        let (manifests, replaced) =
            with_our_images("a: 1\n      image: quay.io/metallb/speaker:v0.16.2\n  image: b\n");
        let ours = image::reference_of("speaker");
        assert_eq!(manifests, format!("a: 1\n      image: {ours}\n  image: b\n"));
        assert_eq!(replaced, ["speaker"]);
    }
}
