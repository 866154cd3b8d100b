//! `cargo xtask image`: the program as a container image, without a container engine.
//!
//! One program, linked statically, is all that is in it. The same program makes the same image, byte
//! for byte. It is for the kind of processor that this runs on.
//!
//! | file | what |
//! | --- | --- |
//! | [`program`] | the program, and what it must be |
//! | [`layer`] | the file system of a container |
//! | [`archive`] | images as one file that `ctr`, `podman` and `skopeo` load |

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::workspace::root;
use archive::{Archive, Image};
use layer::Layer;

mod archive;
mod layer;
mod program;

/// Build the container images and write them as one tar: ctr, podman and skopeo load it
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Name of the image with all commands; those of the others end in `-controller` and `-speaker`
    #[arg(long, value_name = "REGISTRY/NAME", default_value = "localhost/ferrolb")]
    name: String,
    /// Tag of the images
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// Where to write them
    #[arg(long, value_name = "FILE", default_value = "target/ferrolb-image.tar")]
    output: PathBuf,
    /// Put this static program into the images instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Arguments { name, tag, output, program } = arguments;
    let images = images(name, tag)?;
    let program = match program {
        Some(program) => program.clone(),
        None => program::build()?,
    };
    let program = program::read(&program)?;
    let layer = Layer::of(&program)?;
    let archive = Archive::of(&images, &layer)?;
    let output = root().join(output);
    let writing = || format!("writing `{}`", output.display());
    fs::write(&output, archive.tar()?).with_context(writing)?;
    println!("program {} bytes, as a layer {} bytes", program.len(), layer.gzip.len());
    for (image, digest) in images.iter().zip(archive.digests()) {
        println!("{} {digest}", image.name);
    }
    println!("{}", output.display());
    Ok(ExitCode::SUCCESS)
}

/// The same program under three names, because MetalLB's manifests say nothing of a command.
fn images(name: &str, tag: &str) -> Result<[Image; 3]> {
    let registry = name.split_once('/').map_or("", |(registry, _)| registry);
    ensure!(
        registry == "localhost" || registry.contains(['.', ':']),
        "`{name}` names no registry: write `localhost/{name}`, or where you will push it"
    );
    Ok([
        Image { name: format!("{name}:{tag}"), entrypoint: "/ferrolb", user: "" },
        Image { name: format!("{name}-controller:{tag}"), entrypoint: "/controller", user: NOBODY },
        // A user other than 0 gets no capability that a manifest adds.
        Image { name: format!("{name}-speaker:{tag}"), entrypoint: "/speaker", user: "" },
    ])
}

/// User and group without rights.
const NOBODY: &str = "65534:65534";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_registry_could_be_a_strangers() {
        let error = images("ferrolb", "1").err().map(|error| error.to_string());
        let want =
            "`ferrolb` names no registry: write `localhost/ferrolb`, or where you will push it";
        assert_eq!(error.as_deref(), Some(want));
        let names =
            images("registry.example:5000/lb/ferrolb", "1").unwrap().map(|image| image.name);
        assert_eq!(names[1], "registry.example:5000/lb/ferrolb-controller:1");
    }
}
