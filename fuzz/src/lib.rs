//! What must hold for any bytes: each target is a function that panics when they break it.
//!
//! `cargo xtask fuzz` looks for such bytes with libFuzzer; `fuzz/corpus/TARGET/` has some to start
//! from, which the tests replay with every run.

mod bfd;
mod bgp;
mod configuration;
mod mesh;
mod text;
mod wire;

/// A target: its name, and the check of one input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. Each has a directory in `fuzz/corpus` and a program in `fuzz/libfuzzer`.
pub const TARGETS: [Target; 11] = [
    ("annotations", configuration::annotations),
    ("arp", wire::arp),
    ("bfd", bfd::sessions),
    ("bgp", bgp::session),
    ("engine", mesh::engine),
    ("message", wire::message),
    ("ndp", wire::ndp),
    ("range", text::range),
    ("seal", wire::seal),
    ("selector", text::selector),
    ("yaml", configuration::yaml),
];

/// Checks one input of the target `name`.
///
/// # Panics
///
/// If the input breaks it, or if there is no such target.
pub fn check(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    let Some((_, check)) = target else { panic!("no target is called `{name}`") };
    check(bytes);
}
