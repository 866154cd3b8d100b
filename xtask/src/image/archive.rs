//! Images as one file.
//!
//! An OCI image layout, and beside it the `manifest.json` of Docker's older archives over the same
//! blobs: `ctr` reads the first, `podman load` takes several images only from the second, `skopeo`
//! reads either.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType};

use super::layer::{Layer, header};

/// An image; all have the same layer.
pub(crate) struct Image {
    /// Its name with registry and tag.
    pub(crate) name: String,
    /// What runs if nothing else is asked for.
    pub(crate) entrypoint: &'static str,
    /// What it is told then.
    pub(crate) arguments: &'static [&'static str],
    /// `user:group` that it runs as if nothing else is asked for; empty is root.
    pub(crate) user: &'static str,
    /// What it says about itself.
    pub(crate) labels: &'static [(&'static str, &'static str)],
}

/// Files of the archive by their paths.
pub(crate) struct Archive {
    files: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
}

impl Archive {
    /// Puts images together.
    pub(crate) fn of(images: &[Image], layer: &Layer) -> Result<Self> {
        let mut archive = Self { files: BTreeMap::new(), manifests: Vec::new() };
        let gzip = archive.blob("application/vnd.oci.image.layer.v1.tar+gzip", layer.gzip.clone());
        let mut of_docker = Vec::new();
        for image in images {
            let config = serde_json::to_vec(&config(image, layer)?)?;
            let config = archive.blob("application/vnd.oci.image.config.v1+json", config);
            of_docker.push(json!({
                "Config": path(&config),
                "RepoTags": [image.name],
                "Layers": [path(&gzip)],
            }));
            let media_type = "application/vnd.oci.image.manifest.v1+json";
            let manifest = json!({
                "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [gzip],
            });
            let mut manifest = archive.blob(media_type, serde_json::to_vec(&manifest)?);
            manifest["platform"] = json!({"architecture": architecture()?, "os": "linux"});
            manifest["annotations"] = json!({
                "io.containerd.image.name": image.name,
                "org.opencontainers.image.ref.name": image.name,
            });
            archive.manifests.push(manifest);
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": archive.manifests,
        });
        archive.file("index.json", serde_json::to_vec(&index)?);
        archive.file("manifest.json", serde_json::to_vec(&of_docker)?);
        archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        Ok(archive)
    }

    /// The digests of the images in their order, which a manifest may pin.
    pub(super) fn digests(&self) -> impl Iterator<Item = &str> {
        self.manifests.iter().filter_map(|manifest| manifest["digest"].as_str())
    }

    /// The file.
    pub(crate) fn tar(&self) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (path, bytes) in &self.files {
            let mut header = header(EntryType::Regular, 0o644, bytes.len() as u64);
            tar.append_data(&mut header, path, bytes.as_slice())?;
        }
        Ok(tar.into_inner()?)
    }

    /// Adds a blob; the result refers to it.
    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let descriptor =
            json!({"mediaType": media_type, "digest": digest(&bytes), "size": bytes.len()});
        self.file(&path(&descriptor), bytes);
        descriptor
    }

    fn file(&mut self, path: &str, bytes: Vec<u8>) {
        self.files.insert(path.to_owned(), bytes);
    }
}

/// How an image is run, and what it is.
fn config(image: &Image, layer: &Layer) -> Result<Value> {
    let labels: BTreeMap<_, _> = image.labels.iter().copied().collect();
    Ok(json!({
        "architecture": architecture()?,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": [image.entrypoint],
            "Cmd": image.arguments,
            "Env": ["PATH=/"],
            "User": image.user,
            "WorkingDir": "/",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "cargo xtask image"}],
    }))
}

/// This machine's processor as images name it.
fn architecture() -> Result<&'static str> {
    match ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no image can be made on {other}: run this on x86_64 or aarch64"),
    }
}

/// Where a blob is in the archive.
fn path(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    format!("blobs/{}", digest.replace(':', "/"))
}

/// `sha256:` and the hash in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::images;

    fn archive() -> Archive {
        let layer = Layer::of(b"program", "ferrolb", &[]).unwrap();
        Archive::of(&images("localhost/ferrolb", "1").unwrap(), &layer).unwrap()
    }

    #[test]
    fn the_same_program_makes_the_same_archive() {
        assert!(archive().tar().unwrap() == archive().tar().unwrap());
    }

    #[test]
    fn everything_that_is_referred_to_is_there() {
        let archive = archive();
        let read = |path: &str| -> Value { serde_json::from_slice(&archive.files[path]).unwrap() };
        let follow = |descriptor: &Value| {
            let bytes = &archive.files[&path(descriptor)];
            assert_eq!(descriptor["digest"], digest(bytes));
            assert_eq!(descriptor["size"], bytes.len());
            path(descriptor)
        };
        let index = read("index.json");
        let of_docker = read("manifest.json");
        for (place, descriptor) in index["manifests"].as_array().unwrap().iter().enumerate() {
            let manifest = read(&follow(descriptor));
            let image = &of_docker[place];
            assert_eq!(image["Config"], follow(&manifest["config"]));
            assert_eq!(image["Layers"], json!([follow(&manifest["layers"][0])]));
            let name = &descriptor["annotations"]["io.containerd.image.name"];
            assert_eq!(image["RepoTags"], json!([name]));
        }
        // Two configurations of root and one of nobody differ by their entry points.
        assert_eq!(archive.files.len(), 3 + 3 + 3 + 1);
    }
}
