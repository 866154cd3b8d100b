//! What `ferrolb standalone` says when it cannot do what it is told.
//!
//! No network here: each case ends before anything is announced. A case is a command line and the
//! words that its one error must have.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lab::cluster::examples;
use lab::ferrolb::binary;

/// Runs the program with neither the right to open packet sockets nor to read all files.
fn without_rights(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-all", "--inh-caps", "-all", "--"]).arg(binary().unwrap());
    let command = command.args(arguments).arg("--manifests").arg(directory);
    command.stdin(Stdio::null()).output().unwrap()
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
    let nowhere = PathBuf::from("/nowhere/at/all");
    let mut command = Command::new(binary().unwrap());
    let command =
        command.args(["standalone", "--node-name", "node-a", "--manifests"]).arg(&nowhere);
    ends_with_one_clear_error(&command.output().unwrap(), &["/nowhere/at/all", "--manifests"]);
}

#[test]
fn a_file_in_place_of_the_directory() {
    let file = examples().join("pool.yaml");
    let mut command = Command::new(binary().unwrap());
    let command = command.args(["standalone", "--node-name", "node-a", "--manifests"]).arg(&file);
    ends_with_one_clear_error(&command.output().unwrap(), &["pool.yaml", "directory"]);
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
