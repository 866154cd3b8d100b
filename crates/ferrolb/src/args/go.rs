//! Command lines as Go programs take them, so that MetalLB's manifests start this program unchanged.
//!
//! Go knows no difference between `-port` and `--port`, takes whatever follows a flag as its value,
//! and has many words for yes and no. The program is `controller` or `speaker` if it is called so.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::{Args as _, CommandFactory as _};

use super::{Args, Controller, Speaker};

/// Which words Go takes for a yes or a no.
const YES: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];
const NO: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];

/// A part of this program that takes the place of one of MetalLB's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Controller,
    Speaker,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Takes {
    /// A value behind `=`, or in the next argument.
    Value,
    /// A yes or a no behind `=`, or nothing.
    Switch,
    /// Nothing.
    Nothing,
}

impl Part {
    fn named(name: &str) -> Option<Self> {
        match name {
            "controller" => Some(Self::Controller),
            "speaker" => Some(Self::Speaker),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Speaker => "speaker",
        }
    }

    /// Its flags, and those of every command.
    fn flags(self) -> BTreeMap<String, Takes> {
        let command = clap::Command::new(self.name());
        let own = match self {
            Self::Controller => Controller::augment_args(command),
            Self::Speaker => Speaker::augment_args(command),
        };
        let takes = |arg: &clap::Arg| match (arg.get_action().takes_values(), arg) {
            (false, _) => Takes::Nothing,
            (true, arg) if arg.is_require_equals_set() => Takes::Switch,
            (true, _) => Takes::Value,
        };
        let flag = |arg: &clap::Arg| Some((arg.get_long()?.to_owned(), takes(arg)));
        let common = Args::command();
        own.get_arguments().chain(common.get_arguments()).filter_map(flag).collect()
    }
}

/// What `clap` should read instead of the arguments of this process, the program's name first.
///
/// Only `controller` and `speaker` are written in Go's way; everything else stays as it is.
pub fn arguments(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut given: Vec<_> = given.into_iter().collect();
    let program = given.first().map(Path::new).and_then(Path::file_name);
    if let Some(part) = program.and_then(|name| Part::named(name.to_str()?)) {
        let rest = given.split_off(1);
        given.push(part.name().into());
        given.extend(translated(part, rest));
        return given;
    }
    let part = |word: &OsString| Part::named(word.to_str()?);
    let Some((at, part)) =
        given.iter().enumerate().skip(1).find_map(|(at, word)| Some((at, part(word)?)))
    else {
        return given;
    };
    let is_flag = |word: &OsString| word.to_str().is_some_and(|word| word.starts_with('-'));
    if !given[1..at].iter().all(is_flag) {
        // It is the value of something else.
        return given;
    }
    let rest = given.split_off(at + 1);
    given.extend(translated(part, rest));
    given
}

/// Each flag in the one form that everybody understands: `--name=value`.
fn translated(part: Part, given: Vec<OsString>) -> Vec<OsString> {
    let flags = part.flags();
    let mut result = Vec::new();
    let mut given = given.into_iter();
    while let Some(word) = given.next() {
        let Some(flag) = word.to_str().and_then(flag) else {
            result.push(word);
            if result.last().is_some_and(|word| word == "--") {
                result.extend(given.by_ref());
            }
            continue;
        };
        let takes = flags.get(flag.name).copied();
        let mut text = OsString::from(format!("--{}", flag.name));
        let value = match (takes, flag.value) {
            (Some(Takes::Switch), Some(value)) => Some(OsString::from(plain(value))),
            (_, Some(value)) => Some(value.into()),
            (Some(Takes::Value), None) => given.next(),
            (Some(Takes::Switch | Takes::Nothing) | None, None) => None,
        };
        if let Some(value) = value {
            text.push("=");
            text.push(value);
        }
        result.push(text);
    }
    result
}

struct Flag<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

/// `-name`, `--name`, or either with `=value`. One letter alone, such as `-h`, is for `clap`.
fn flag(word: &str) -> Option<Flag<'_>> {
    let name = word.strip_prefix('-')?;
    let name = name.strip_prefix('-').unwrap_or(name);
    let (name, value) = match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    };
    let is_long = name.len() > 1 && !name.starts_with('-');
    is_long.then_some(Flag { name, value })
}

/// A yes or no in the one word for it that `clap` knows.
fn plain(value: &str) -> &str {
    if YES.contains(&value) {
        "true"
    } else if NO.contains(&value) {
        "false"
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate(line: &str) -> String {
        let words = line.split_whitespace().map(OsString::from);
        let words = arguments(words).into_iter().map(|word| word.into_string().unwrap());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn flags_may_be_written_in_any_way_of_go() {
        let rows = [
            ("one dash", "/controller -port=9120", "/controller controller --port=9120"),
            ("two dashes", "/controller --port=9120", "/controller controller --port=9120"),
            ("a value apart", "/speaker -port 9120", "/speaker speaker --port=9120"),
            ("apart, two dashes", "/speaker --port 9120", "/speaker speaker --port=9120"),
            (
                "a value that looks like a flag",
                "/controller -lb-class -x -port=1",
                "/controller controller --lb-class=-x --port=1",
            ),
            ("an empty value", "/controller -lb-class=", "/controller controller --lb-class="),
            (
                "a switch",
                "/controller -disable-cert-rotation -port=1",
                "/controller controller --disable-cert-rotation --port=1",
            ),
            (
                "a switch that is on",
                "/controller -webhook-http2=1",
                "/controller controller --webhook-http2=true",
            ),
            (
                "a switch that is off",
                "/speaker --ignore-exclude-lb=F",
                "/speaker speaker --ignore-exclude-lb=false",
            ),
            (
                "a switch with another word",
                "/speaker --ignore-exclude-lb=maybe",
                "/speaker speaker --ignore-exclude-lb=maybe",
            ),
            (
                "a flag of every command",
                "/controller -log-level debug",
                "/controller controller --log-level=debug",
            ),
            ("help", "/controller -h", "/controller controller -h"),
            ("long help", "/controller -help", "/controller controller --help"),
            ("a number is no flag", "/controller -1", "/controller controller -1"),
            (
                "the end of flags",
                "/controller -port=1 -- -port=2",
                "/controller controller --port=1 -- -port=2",
            ),
            ("by subcommand", "ferrolb controller -port 1", "ferrolb controller --port=1"),
            (
                "by subcommand, after a flag",
                "ferrolb --log-level=info speaker -port 1",
                "ferrolb --log-level=info speaker --port=1",
            ),
            ("no value", "/controller -port", "/controller controller --port"),
            ("nothing", "/controller", "/controller controller"),
            ("others stay", "ferrolb plan -f x -o json", "ferrolb plan -f x -o json"),
            (
                "others stay, whatever they name",
                "ferrolb explain -f controller -o json",
                "ferrolb explain -f controller -o json",
            ),
            (
                "a plugin",
                "/usr/bin/kubectl-ferrolb plan -f x",
                "/usr/bin/kubectl-ferrolb plan -f x",
            ),
        ];
        for (name, line, expected) in rows {
            assert_eq!(translate(line), expected, "{name}");
        }
    }

    /// Reads a line of MetalLB's manifests.
    fn read<T: clap::Args>(line: &str) -> T {
        let words = arguments(line.split_whitespace().map(OsString::from));
        let matches = T::augment_args(clap::Command::new("part")).get_matches_from(&words[1..]);
        T::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn the_flags_of_the_manifests_of_metallb_are_read() {
        let controller: Controller = read(
            "/controller --port=9120 --pod-name=c --webhook-mode=onlywebhook \
             --tls-min-version=VersionTLS12 --metrics-cert-dir=/certs --port=9121",
        );
        assert_eq!(controller.port, 9121, "the last one counts");
        assert_eq!(controller.tls.min_version, "VersionTLS12");
        let speaker: Speaker =
            read("/speaker -port=9120 -pod-name s -node-name n -ml-wan-config -ml-labels a=b");
        assert_eq!((speaker.port, speaker.node_name.as_str()), (9120, "n"));
        assert!(speaker.unused.ml_wan_config);
        assert_eq!(speaker.ml_labels, "a=b");
    }
}
