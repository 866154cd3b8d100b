//! What `ferrolb standalone` says when it cannot do what it is told.
//!
//! No network here: each case ends before anything is announced. A case is a command line and the
//! words that its one error must have.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a failed test")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use lab::cluster::examples;
use lab::ferrolb::binary;

/// Runs the program with neither the right to open packet sockets nor to read all files.
fn without_rights(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new("timeout");
    command.args(["10", "setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--"]);
    let command = command.arg(binary().unwrap()).args(arguments);
    command.arg("--manifests").arg(directory).stdin(Stdio::null()).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn ends_with_one_clear_error(output: &Output, words: &[&str]) {
    let text = errors(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty(), "nothing on standard output");
    assert_eq!(text.matches("error:").count(), 1, "one error: {text}");
    assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
}

#[test]
fn a_directory_that_is_not_there() {
    let nowhere = Path::new("/nowhere/at/all");
    let output = without_rights(&["standalone", "--node-name", "node-a"], nowhere);
    ends_with_one_clear_error(&output, &["/nowhere/at/all", "--manifests"]);
}

#[test]
fn no_right_to_open_packet_sockets() {
    let output = without_rights(&["standalone", "--node-name", "node-a"], &examples());
    ends_with_one_clear_error(&output, &["CAP_NET_RAW", "setcap"]);
}

#[test]
fn an_empty_node_name() {
    let output = without_rights(&["standalone", "--node-name", ""], &examples());
    ends_with_one_clear_error(&output, &["--node-name"]);
}
