//! How the program under test is started and found.
//!
//! ```text
//!   node-a, with `echo` in the program's place
//! ```

use std::path::Path;
use std::time::Duration;

use lab::Lan;
use lab::ferrolb::Ferrolb;

#[test]
fn the_program_is_told_its_manifests_and_its_node() {
    lab::require!();
    let lan = Lan::with_nodes(1).unwrap();
    let host = &lan.node("a").host;
    let echo = Path::new("/bin/echo");
    let program = Ferrolb::start(host, echo, Path::new("/m"), &["--more"]).unwrap();
    program.process().wait_for_log("\n", Duration::from_secs(2)).unwrap();
    assert_eq!(program.log(), "standalone --manifests /m --node-name node-a --more\n");
}

#[test]
fn a_program_that_is_missing_says_how_to_get_it() {
    // The path is read in a child, so that no other test sees the variable.
    let nowhere = "/nowhere/ferrolb";
    if std::env::var_os("FERROLB_BIN").is_some_and(|path| path == nowhere) {
        let error = lab::ferrolb::binary().unwrap_err();
        assert!(error.to_string().contains("run `cargo build -p ferrolb`"), "{error}");
        return;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "a_program_that_is_missing_says_how_to_get_it"]);
    assert!(again.env("FERROLB_BIN", nowhere).status().unwrap().success());
}
