//! `ferrolb`: addresses for Services, announced on the network.

use std::env;
use std::process::ExitCode;

use clap::Parser;
use ferrolb::args::{Args, Command, go};
use ferrolb::net::memory;
use ferrolb::{cli, controller, log, speaker, standalone};

fn main() -> ExitCode {
    memory::use_one_heap();
    let args = Args::parse_from(go::arguments(env::args_os()));
    let log_format = args.log_format.unwrap_or_else(|| args.command.log_format());
    log::start(args.log_level, log_format);
    let result = match args.command {
        Command::Controller(args) => controller::run(&args),
        Command::Standalone(args) => standalone::run(&args),
        Command::Speaker(args) => speaker::cluster::run(&args),
        Command::Plan(args) => cli::plan::run(&args),
        Command::Explain(args) => cli::explain::run(&args),
        Command::Leave => cli::leave::run(),
        Command::Simulate(args) => cli::simulate::run(&args),
        Command::Status(args) => cli::status::run(&args),
        Command::Validate(args) => cli::validate::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
