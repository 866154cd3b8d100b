//! Rules for one Rust file.

use super::Finding;
use super::scan::Scan;

/// Lines of a file without its tests.
const FILE_LIMIT: usize = 800;

/// Lines of a `main.rs`.
const MAIN_LIMIT: usize = 40;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["util", "utils", "common", "types", "helper", "helpers", "misc"];

pub(super) fn check(path: &str, text: &str, scan: &Scan) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(header(path, text));
    findings.extend(length(path, text));
    findings.extend(name(path));
    findings.extend(attributes(path, scan));
    findings.extend(stubs(path, scan));
    findings
}

fn header(path: &str, text: &str) -> Option<Finding> {
    let mend = "say in one sentence what the file is for";
    (!text.starts_with("//!")).then(|| Finding::new(path, 1, "no `//!` at the top", mend))
}

fn length(path: &str, text: &str) -> Option<Finding> {
    let lines: Vec<_> = text.lines().collect();
    let limit = if path.ends_with("/main.rs") { MAIN_LIMIT } else { FILE_LIMIT };
    let count = lines.len() - trailing_tests(&lines);
    let what = format!("{count} lines without tests, {limit} are the limit");
    (count > limit).then(|| Finding::new(path, limit + 1, what, "split the file by concern"))
}

/// Lines of the inline test module at the end, if there is one.
fn trailing_tests(lines: &[&str]) -> usize {
    let starts = |pair: &[&str]| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    };
    let start = lines.windows(2).rposition(starts);
    let reaches_the_end = |start: &usize| {
        lines[*start..].iter().position(|line| *line == "}") == Some(lines.len() - start - 1)
    };
    start.filter(reaches_the_end).map_or(0, |start| lines.len() - start)
}

fn name(path: &str) -> Option<Finding> {
    let empty = path.split('/').map(|part| part.trim_end_matches(".rs"));
    let empty = empty.into_iter().find(|part| EMPTY_NAMES.contains(part))?;
    let what = format!("`{empty}` says nothing about what is inside");
    Some(Finding::new(path, 1, what, "name the file after what it knows"))
}

fn attributes(path: &str, scan: &Scan) -> Vec<Finding> {
    let finding = |attribute: &super::scan::Place| {
        let text = attribute.text.as_str();
        let (what, mend) = if text.starts_with("allow(") || text.contains(",allow(") {
            ("an `allow`", "use `expect` with a reason: it says so when it is no longer needed")
        } else if text.starts_with("expect(") && !text.contains("reason=") {
            ("an `expect` without a reason", "add `reason = \"..\"`")
        } else if text == "ignore" || text.starts_with("ignore=") {
            ("an ignored test", "make it pass, or remove it")
        } else {
            return None;
        };
        Some(Finding::new(path, attribute.line, what, mend))
    };
    scan.attributes.iter().filter_map(finding).collect()
}

fn stubs(path: &str, scan: &Scan) -> Vec<Finding> {
    let stub = |name: &str| ["todo", "unimplemented", "dbg"].contains(&name);
    scan.macros
        .iter()
        .filter(|call| call.text.rsplit("::").next().is_some_and(stub))
        .map(|call| {
            let what = format!("`{}!` is left over", call.text);
            Finding::new(path, call.line, what, "write what is missing, or leave out what needs it")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;

    #[track_caller]
    fn check(path: &str, text: &str, want: &[&str]) {
        let scan = scan(text).unwrap();
        let found = super::check(path, text, &scan);
        let found: Vec<_> =
            found.iter().map(|found| format!("{}: {}", found.line, found.what)).collect();
        assert_eq!(found, want, "{path}\n{text}");
    }

    #[test]
    fn a_file_opens_with_what_it_is() {
        check("a.rs", "//! What.\n", &[]);
        check("a.rs", "// What.\n", &["1: no `//!` at the top"]);
        check("a.rs", "", &["1: no `//!` at the top"]);
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let lines = |count: usize| format!("//! What.\n{}", "// x\n".repeat(count - 1));
        let tests = "#[cfg(test)]\nmod tests {\n    fn a() {}\n}\n";
        check("a.rs", &lines(800), &[]);
        check("a.rs", &lines(801), &["801: 801 lines without tests, 800 are the limit"]);
        check("a.rs", &(lines(800) + tests), &[]);
        let code_after = lines(800) + tests + "fn a() {}\n";
        check("a.rs", &code_after, &["801: 805 lines without tests, 800 are the limit"]);
        check("src/main.rs", &lines(40), &[]);
        check("src/main.rs", &lines(41), &["41: 41 lines without tests, 40 are the limit"]);
    }

    #[test]
    fn a_name_says_what_is_inside() {
        let what = |name: &str| format!("1: `{name}` says nothing about what is inside");
        check("crates/planner/src/utils.rs", "//! A.\n", &[&what("utils")]);
        check("crates/planner/src/common/mod.rs", "//! A.\n", &[&what("common")]);
        check("crates/planner/src/commonly.rs", "//! A.\n", &[]);
    }

    #[test]
    fn exceptions_are_expected_with_a_reason() {
        check("a.rs", "//! A.\n#[allow(dead_code)]\nfn a() {}\n", &["2: an `allow`"]);
        check("a.rs", "//! A.\n#![allow(dead_code)]\n", &["2: an `allow`"]);
        check(
            "a.rs",
            "//! A.\n#[cfg_attr(test, allow(dead_code))]\nfn a() {}\n",
            &["2: an `allow`"],
        );
        check("a.rs", "//! A.\n#[expect(a)]\nfn a() {}\n", &["2: an `expect` without a reason"]);
        check("a.rs", "//! A.\n#[expect(a, reason = \"b\")]\nfn a() {}\n", &[]);
    }

    #[test]
    fn nothing_is_left_for_later() {
        check("a.rs", "//! A.\nfn a() { todo!() }\n", &["2: `todo!` is left over"]);
        check(
            "a.rs",
            "//! A.\nfn a() { unimplemented!() }\n",
            &["2: `unimplemented!` is left over"],
        );
        check("a.rs", "//! A.\nfn a() { std::dbg!(1); }\n", &["2: `std::dbg!` is left over"]);
        check(
            "a.rs",
            "//! A.\n#[test]\n#[ignore = \"slow\"]\nfn a() {}\n",
            &["3: an ignored test"],
        );
        check("a.rs", "//! A.\n#[test]\n#[ignore]\nfn a() {}\n", &["3: an ignored test"]);
    }
}
