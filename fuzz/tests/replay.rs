//! The committed inputs of every target: found by hand or by a fuzzer, and broken never again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn names(directory: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(path).expect("the directory is there");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.ok().and_then(|entry| entry.file_name().into_string().ok()).expect("a plain name")
    };
    entries.map(name).collect()
}

#[test]
fn every_committed_input_is_withstood() {
    for (target, check) in fuzz::TARGETS {
        let directory = format!("corpus/{target}");
        let inputs = names(&directory);
        assert!(!inputs.is_empty(), "{directory} is empty");
        for input in inputs {
            eprintln!("{directory}/{input}");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&directory).join(input);
            check(&fs::read(path).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let targets: BTreeSet<_> = fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("corpus"), targets);
    let programs = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names("libfuzzer/src"), programs);
}
