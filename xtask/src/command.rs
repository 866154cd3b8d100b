//! The commands, each in a file of its own.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{bench, cluster, codegen, demo, fuzz, image, install, mutants, test, tidy};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Bench(bench::Arguments),
    Cluster(cluster::Arguments),
    Codegen(codegen::Arguments),
    Demo(demo::Arguments),
    Fuzz(fuzz::Arguments),
    Image(image::Arguments),
    Install(install::Arguments),
    Mutants(mutants::Arguments),
    Test(test::Arguments),
    Tidy(tidy::Arguments),
}

impl Arguments {
    /// Does what the command line asks for.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        match &self.command {
            Command::Bench(arguments) => bench::run(arguments),
            Command::Cluster(arguments) => cluster::run(arguments),
            Command::Codegen(arguments) => codegen::run(arguments),
            Command::Demo(arguments) => demo::run(arguments),
            Command::Fuzz(arguments) => fuzz::run(arguments),
            Command::Image(arguments) => image::run(arguments),
            Command::Install(arguments) => install::run(arguments),
            Command::Mutants(arguments) => mutants::run(arguments),
            Command::Test(arguments) => test::run(arguments),
            Command::Tidy(arguments) => tidy::run(arguments),
        }
    }
}
