//! What runs in the Pods of the test cluster: `pod pause` does nothing, `pod serve` answers.
//!
//! `pause` holds the namespaces of a Pod, as the image of that name does elsewhere. `serve` says by
//! HTTP where it is and who asks, and sends back what comes by UDP, both on port 8080.

use std::env;
use std::process::ExitCode;
use std::thread;

mod serve;

fn main() -> ExitCode {
    let failed = match env::args().nth(1).as_deref() {
        Some("pause") => loop {
            thread::park();
        },
        Some("serve") => match serve::run() {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => format!("serving failed: {error}"),
        },
        Some(_) | None => "say `pause` or `serve`".to_owned(),
    };
    eprintln!("pod: {failed}");
    ExitCode::FAILURE
}
