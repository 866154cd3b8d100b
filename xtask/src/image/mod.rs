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
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::workspace::root;
pub(crate) use archive::{Archive, Image};
pub(crate) use layer::Layer;

mod archive;
mod layer;
mod program;

/// The name of the image with all commands, as `deploy/base` has it.
const NAME: &str = "localhost/ferrolb";

/// Its tag.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Both.
pub(crate) const REFERENCE: &str = concat!("localhost/ferrolb:", env!("CARGO_PKG_VERSION"));

/// The name and tag of the image of one component, which starts without a command.
pub(crate) fn reference_of(component: &str) -> String {
    format!("{NAME}-{component}:{VERSION}")
}

/// The names with tags of all images that [`make`] makes.
pub(crate) fn references() -> Result<[String; 3]> {
    images(NAME, VERSION).map(|images| images.map(|image| image.name))
}

/// Where the images are written.
const OUTPUT: &str = "target/ferrolb-image.tar";

/// Build the container images and write them as one tar: ctr, podman and skopeo load it
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Name of the image with all commands; those of the others end in `-controller` and `-speaker`
    #[arg(long, value_name = "REGISTRY/NAME", default_value = NAME)]
    name: String,
    /// Tag of the images
    #[arg(long, default_value = VERSION)]
    tag: String,
    /// Where to write them
    #[arg(long, value_name = "FILE", default_value = OUTPUT)]
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
    let output = root().join(output);
    let said = write(&images, &program, &output)?;
    println!("{said}{}", output.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the program in the images, and says where it is.
///
/// # Errors
///
/// When it does not compile.
pub(crate) fn build_program() -> Result<PathBuf> {
    program::build()
}

/// Builds the images that `deploy/base` names, and says where they are.
///
/// # Errors
///
/// When the program does not compile, or is not what it must be.
pub(crate) fn make() -> Result<PathBuf> {
    let output = root().join(OUTPUT);
    write(&images(NAME, VERSION)?, &program::build()?, &output)?;
    Ok(output)
}

/// Writes images with this program; the result says what is in them, a line for each thing.
fn write(images: &[Image], program: &Path, output: &Path) -> Result<String> {
    let program = program::read(program)?;
    let layer = Layer::of(&program, "ferrolb", &OTHER_NAMES)?;
    let archive = Archive::of(images, &layer)?;
    fs::write(output, archive.tar()?).with_context(|| format!("writing `{}`", output.display()))?;
    let (unpacked, packed) = (program.len(), layer.gzip.len());
    let mut said = format!("program {unpacked} bytes, as a layer {packed} bytes\n");
    for (image, digest) in images.iter().zip(archive.digests()) {
        said += &format!("{} {digest}\n", image.name);
    }
    Ok(said)
}

/// The same program under three names, because MetalLB's manifests say nothing of a command.
fn images(name: &str, tag: &str) -> Result<[Image; 3]> {
    let registry = name.split_once('/').map_or("", |(registry, _)| registry);
    ensure!(
        registry == "localhost" || registry.contains(['.', ':']),
        "`{name}` names no registry: write `localhost/{name}`, or where you will push it"
    );
    let image = |suffix: &str, entrypoint, user| Image {
        name: format!("{name}{suffix}:{tag}"),
        entrypoint,
        arguments: &[],
        user,
        labels: &LABELS,
    };
    Ok([
        image("", "/ferrolb", ""),
        image("-controller", "/controller", NOBODY),
        // A user other than 0 gets no capability that a manifest adds.
        image("-speaker", "/speaker", ""),
    ])
}

/// The names that a program of MetalLB has, which ours goes by too.
const OTHER_NAMES: [&str; 2] = ["controller", "speaker"];

/// What the images say about themselves.
const LABELS: [(&str, &str); 4] = [
    ("org.opencontainers.image.title", "ferrolb"),
    ("org.opencontainers.image.description", "A load balancer for bare-metal Kubernetes"),
    ("org.opencontainers.image.licenses", "Apache-2.0"),
    ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
];

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
        assert_eq!(format!("{NAME}:{VERSION}"), REFERENCE);
        assert_eq!(names[1], "registry.example:5000/lb/ferrolb-controller:1");
        let names = images(NAME, VERSION).unwrap().map(|image| image.name);
        assert_eq!(names[2], reference_of("speaker"));
    }
}
