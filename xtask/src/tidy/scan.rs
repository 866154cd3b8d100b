//! Rust as tokens. Comments and strings are gone, so a rule never fires on words about code.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What the rules look at.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Every name with its qualification, `std::fs::File`; also keywords. The braces of a `use` are
    /// resolved.
    pub(super) paths: Vec<Place>,
    /// Macros that are called, without `!`.
    pub(super) macros: Vec<Place>,
    /// Attributes without brackets and spaces, `expect(clippy::x,reason="y")`.
    pub(super) attributes: Vec<Place>,
    /// Modules in files of their own.
    pub(super) modules: Vec<Place>,
}

/// Something at a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) text: String,
    pub(super) line: usize,
    /// Whether it is only compiled for tests.
    pub(super) is_test: bool,
}

impl Place {
    /// Whether the path is `path` or something in it.
    pub(super) fn is_in(&self, path: &str) -> bool {
        self.text.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    /// Whether the path ends with the parts of `path`.
    pub(super) fn ends_with(&self, path: &str) -> bool {
        self.text.strip_suffix(path).is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
    }
}

/// Reads a file; the error is the line that cannot be read.
pub(super) fn scan(text: &str) -> Result<Scan, usize> {
    let tokens: TokenStream =
        text.parse().map_err(|error: proc_macro2::LexError| error.span().start().line)?;
    let mut scan = Scan::default();
    scan.walk(tokens, "", false);
    Ok(scan)
}

impl Scan {
    /// Walks one level of tokens. `prefix` is the path before the braces of a `use`.
    fn walk(&mut self, tokens: TokenStream, prefix: &str, in_test: bool) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        // From `#[cfg(test)]` to the end of the item after it.
        let mut is_test = in_test;
        let mut at = 0;
        while let Some(tree) = trees.get(at) {
            at += 1;
            match tree {
                TokenTree::Group(group) => {
                    self.walk(group.stream(), "", is_test);
                    if group.delimiter() == Delimiter::Brace {
                        is_test = in_test;
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => is_test = in_test,
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    let mark = usize::from(is_punct(trees.get(at), '!'));
                    if let Some(TokenTree::Group(group)) = trees.get(at + mark) {
                        at += mark + 1;
                        is_test |= self.attribute(group, is_test);
                    }
                }
                TokenTree::Ident(_) => at = self.path(&trees, at - 1, prefix, is_test),
                TokenTree::Punct(_) | TokenTree::Literal(_) => (),
            }
        }
    }

    /// Takes an attribute; says whether what follows is only for tests.
    fn attribute(&mut self, group: &Group, is_test: bool) -> bool {
        let text: String = group.to_string().split_whitespace().collect();
        let text = text.trim_start_matches('[').trim_end_matches(']').to_owned();
        let only_tests = ["cfg(test", "cfg(all(test"].iter().any(|cfg| text.starts_with(cfg));
        let starts_test = only_tests || text == "test";
        self.attributes.push(Place { text, line: group.span_open().start().line, is_test });
        starts_test
    }

    /// Takes a path, and what it introduces: a macro call, the braces of a `use`, a module. Gives
    /// the index after it.
    fn path(&mut self, trees: &[TokenTree], start: usize, prefix: &str, is_test: bool) -> usize {
        let mut at = start + 1;
        let mut text = format!("{prefix}{}", trees[start]);
        while is_punct(trees.get(at), ':') && is_punct(trees.get(at + 1), ':') {
            match trees.get(at + 2) {
                Some(TokenTree::Ident(ident)) => text.push_str(&format!("::{ident}")),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.walk(group.stream(), &format!("{text}::"), is_test);
                }
                Some(_) | None => break,
            }
            at += 3;
        }
        let line = trees[start].span().start().line;
        if text == "mod" && is_punct(trees.get(at + 1), ';') {
            self.modules.push(Place { text: trees[at].to_string(), line, is_test });
        }
        let is_macro = is_punct(trees.get(at), '!') && !is_punct(trees.get(at + 1), '=');
        let places = if is_macro { &mut self.macros } else { &mut self.paths };
        places.push(Place { text, line, is_test });
        at
    }
}

fn is_punct(tree: Option<&TokenTree>, wanted: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(places: &[Place]) -> Vec<&str> {
        places.iter().map(|place| place.text.as_str()).collect()
    }

    #[test]
    fn the_braces_of_a_use_are_resolved() {
        let scan = scan("use std::{fs, net::{self, IpAddr}};").unwrap();
        let want = ["use", "std::fs", "std::net::self", "std::net::IpAddr", "std::net", "std"];
        assert_eq!(texts(&scan.paths), want);
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        let scan = scan("// std::fs\nconst A: &str = \"std::fs todo!()\"; /* unsafe */").unwrap();
        assert_eq!(texts(&scan.paths), ["const", "A", "str"]);
        assert!(scan.macros.is_empty());
    }

    #[test]
    fn macros_and_attributes_are_kept_apart_from_paths() {
        let scan = scan("#[expect(a, reason = \"b\")] fn f() { if a != b { tokio::select! {} } }")
            .unwrap();
        assert_eq!(texts(&scan.attributes), ["expect(a,reason=\"b\")"]);
        assert_eq!(texts(&scan.macros), ["tokio::select"]);
    }

    #[test]
    fn only_the_item_after_cfg_test_is_for_tests() {
        let text =
            "#[cfg(test)]\nmod sim;\nmod a;\n#[cfg(test)]\nmod tests { fn b() {} }\nfn c() {}\n";
        let scan = scan(text).unwrap();
        let module = |name: &str, line, is_test| Place { text: name.into(), line, is_test };
        assert_eq!(scan.modules, [module("sim", 2, true), module("a", 3, false)]);
        let is_test = |name| scan.paths.iter().find(|path| path.text == name).unwrap().is_test;
        assert!(is_test("b") && !is_test("c"));
    }

    #[test]
    fn paths_compare_by_their_parts() {
        let place = Place { text: "std::time::Instant::now".into(), line: 1, is_test: false };
        assert!(place.is_in("std::time::Instant") && !place.is_in("std::time::Inst"));
        assert!(place.ends_with("Instant::now") && !place.ends_with("stant::now"));
    }

    #[test]
    fn what_is_not_rust_is_named_by_line() {
        assert_eq!(scan("fn a() {}\nfn b() {\n").unwrap_err(), 2);
    }
}
