//! Rules for every text file.

use super::Finding;

/// Written by tools, or not ours.
const EXEMPT: [&str; 2] = ["Cargo.lock", "LICENSE"];

/// Words that put work off. They are in two parts here, or this file would be a finding.
const LATER: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

pub(super) fn check((path, text): (&str, &str)) -> Vec<Finding> {
    if EXEMPT.contains(&path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim_end() != line {
            findings.push(Finding::new(path, number, "white space at the end", "remove it"));
        }
        if let Some(word) = words(line).find(|word| LATER.contains(word)) {
            let mend = "do it now, or file it where work is planned";
            findings.push(Finding::new(path, number, format!("`{word}`"), mend));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        let last = text.lines().count();
        findings.push(Finding::new(path, last, "no line end at the end", "add one"));
    }
    findings
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        let found = super::check(("a.md", text));
        let found: Vec<_> =
            found.iter().map(|found| format!("{}: {}", found.line, found.what)).collect();
        assert_eq!(found, want, "{text}");
    }

    #[test]
    fn white_space_at_the_end_is_found() {
        check("a\nb \n", &["2: white space at the end"]);
        check("a\n\t\n", &["2: white space at the end"]);
        check("a", &["1: no line end at the end"]);
        check("a\n\nb\n", &[]);
    }

    #[test]
    fn words_that_put_work_off_are_found() {
        for word in LATER {
            check(&format!("// {word}: later\n"), &[&format!("1: `{word}`")]);
            check(&format!("mktemp {word}{word}\n"), &[]);
        }
    }
}
