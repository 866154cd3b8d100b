//! What a developer does with this repository: `cargo xtask COMMAND`.

use std::process::ExitCode;

use clap::Parser as _;

mod bench;
mod cache;
mod codegen;
mod command;
mod demo;
mod fuzz;
mod go;
mod image;
mod install;
mod kube;
mod mutants;
mod output;
mod packages;
mod program;
mod report;
mod rights;
mod step;
mod test;
mod tidy;
mod tools;
mod workspace;

fn main() -> ExitCode {
    command::Arguments::parse().run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
