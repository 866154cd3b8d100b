//! An image with one program in it, as a file that containerd reads: OCI Image Layout, in a tar.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::process;

/// What goes into an image.
pub(super) struct Image<'a> {
    /// The program, which is at the root of the image under its own name.
    pub(super) program: &'a Path,
    /// What it is called, with a tag.
    pub(super) reference: &'a str,
    /// The first words after the program's name, unless a container says others.
    pub(super) arguments: &'a [&'a str],
}

impl Image<'_> {
    /// Writes the image to `archive`. `scratch` is a directory that is not there yet; it is removed.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub(super) fn write(&self, archive: &Path, scratch: &Path) -> Result<()> {
        let blobs = scratch.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("making `{}`", blobs.display()))?;
        let name = self.program.file_name().context("a program has a name")?;
        let parent = self.program.parent().context("a program is in a directory")?;
        let layer = scratch.join("layer");
        tar(&layer, parent, &[&name.to_string_lossy()])?;
        let layer = {
            let bytes = fs::read(&layer)?;
            fs::remove_file(&layer)?;
            blob(&blobs, "application/vnd.oci.image.layer.v1.tar", &bytes)?
        };
        let config = json!({
            "architecture": machine(), "os": "linux",
            "config": {
                "Entrypoint": [format!("/{}", name.to_string_lossy())],
                "Cmd": self.arguments, "User": "65534:65534",
            },
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        });
        let kind = "application/vnd.oci.image.config.v1+json";
        let config = blob(&blobs, kind, config.to_string().as_bytes())?;
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer],
        });
        let mut manifest = blob(&blobs, kind, manifest.to_string().as_bytes())?;
        manifest["annotations"] = json!({"io.containerd.image.name": self.reference});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        fs::write(scratch.join("index.json"), index.to_string())?;
        fs::write(scratch.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        tar(archive, scratch, &["oci-layout", "index.json", "blobs"])?;
        fs::remove_dir_all(scratch).with_context(|| format!("removing `{}`", scratch.display()))
    }
}

/// Writes a blob under its own hash and returns what refers to it.
fn blob(blobs: &Path, kind: &str, bytes: &[u8]) -> Result<Value> {
    let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(blobs.join(&hash), bytes).context("writing a part of an image")?;
    Ok(json!({"mediaType": kind, "digest": format!("sha256:{hash}"), "size": bytes.len()}))
}

fn tar(archive: &Path, directory: &Path, files: &[&str]) -> Result<()> {
    let mut tar = process::program("tar");
    tar.args(["--create", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"]);
    tar.arg("--file").arg(archive).arg("--directory").arg(directory).args(files);
    process::quietly(&mut tar)
}

/// This machine in the words of images, which are Go's.
fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
