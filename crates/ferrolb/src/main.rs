//! `ferrolb`: addresses for Services, announced on the network.

use std::process::ExitCode;

use clap::Parser;
use ferrolb::args::{Args, Command};
use ferrolb::{cli, log, standalone};

fn main() -> ExitCode {
    let args = Args::parse();
    log::start(args.log_level, args.log_format);
    let result = match args.command {
        Command::Standalone(args) => standalone::run(&args),
        Command::Plan(args) => cli::plan::run(&args),
        Command::Explain(args) => cli::explain::run(&args),
        Command::Simulate(args) => cli::simulate::run(&args),
        Command::Status(args) => cli::status::run(&args),
        Command::Validate(args) => cli::validate::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
