//! What decisions and protocols may not touch, and where the rest may touch it.
//!
//! clippy's `disallowed-types` finds types however they are named; this finds modules and macros.

use super::Finding;
use super::scan::{Place, Scan};

/// Crates that do no IO.
const PURE: [&str; 2] = ["crates/proto/src/", "crates/planner/src/"];

/// What a pure crate may not name.
const IMPURE_PATHS: [&str; 19] = [
    "libc",
    "nix",
    "socket2",
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tracing",
];

/// What a pure crate may not call.
const IMPURE_MACROS: [&str; 4] = ["eprint", "eprintln", "print", "println"];

/// The only unsafe code.
const UNSAFE: &str = "crates/ferrolb/src/net/";

/// The crate with a clock, and where it is.
const CLOCKED: &str = "crates/ferrolb/src/";
const CLOCK: &str = "crates/ferrolb/src/net/clock.rs";

/// Drivers and main loops: what waits for several things at once.
const WAITING: [&str; 8] = [
    "crates/ferrolb/src/controller/",
    "crates/ferrolb/src/k8s/announcement/writer.rs",
    "crates/ferrolb/src/net/interfaces.rs",
    "crates/ferrolb/src/rivals/follower.rs",
    "crates/ferrolb/src/source/",
    "crates/ferrolb/src/speaker/",
    "crates/ferrolb/src/standalone.rs",
    "crates/ferrolb/src/terminated.rs",
];

pub(super) fn check(path: &str, scan: &Scan) -> Vec<Finding> {
    let is_test_file = path.ends_with("/sim.rs") || path.ends_with("/tests.rs");
    let product = |place: &&Place| !place.is_test && !is_test_file;
    let mut findings = Vec::new();
    if PURE.iter().any(|pure| path.starts_with(pure)) {
        findings.extend(scan.paths.iter().filter(product).filter_map(|place| impure(path, place)));
        findings.extend(scan.macros.iter().filter(product).filter_map(|place| prints(path, place)));
    }
    findings.extend(scan.paths.iter().filter_map(|place| unsafe_code(path, place)));
    findings.extend(scan.paths.iter().filter(product).filter_map(|place| clock(path, place)));
    findings.extend(scan.macros.iter().filter_map(|place| select(path, place)));
    findings
}

fn impure(path: &str, place: &Place) -> Option<Finding> {
    let name = IMPURE_PATHS.iter().find(|name| place.is_in(name))?;
    let mend = "take the value as an argument and let crates/ferrolb do the rest";
    Some(Finding::new(path, place.line, format!("`{name}` in a crate without IO"), mend))
}

fn prints(path: &str, place: &Place) -> Option<Finding> {
    let name = place.text.rsplit("::").next()?;
    let what = format!("`{name}!` in a crate without IO");
    let mend = "return a value that says it";
    IMPURE_MACROS.contains(&name).then(|| Finding::new(path, place.line, what, mend))
}

fn unsafe_code(path: &str, place: &Place) -> Option<Finding> {
    let is_wrong = place.text == "unsafe" && !path.starts_with(UNSAFE);
    let mend = "put the system call behind a safe function in crates/ferrolb/src/net/";
    is_wrong.then(|| Finding::new(path, place.line, "unsafe code", mend))
}

fn clock(path: &str, place: &Place) -> Option<Finding> {
    let asks = ["Instant::now", "SystemTime::now"].iter().any(|now| place.ends_with(now));
    let is_wrong = asks && path.starts_with(CLOCKED) && path != CLOCK;
    let mend = "ask the clock of net/clock.rs";
    is_wrong.then(|| Finding::new(path, place.line, format!("`{}`", place.text), mend))
}

fn select(path: &str, place: &Place) -> Option<Finding> {
    let is_wrong = place.ends_with("select") && !WAITING.iter().any(|dir| path.starts_with(dir));
    let mend = "let a driver or a main loop wait: see WAITING in xtask/src/tidy/purity.rs";
    is_wrong.then(|| Finding::new(path, place.line, "`select!` outside of a driver", mend))
}

#[cfg(test)]
mod tests {
    use super::super::scan::scan;

    #[track_caller]
    fn check(path: &str, text: &str, want: &[&str]) {
        let found = super::check(path, &scan(text).unwrap());
        let found: Vec<_> = found.iter().map(|found| found.what.as_str()).collect();
        assert_eq!(found, want, "{path}\n{text}");
    }

    #[test]
    fn a_pure_crate_names_nothing_that_does_io() {
        let rows = [
            ("use std::time::{Duration, Instant};", "`std::time::Instant` in a crate without IO"),
            ("use std::fs;", "`std::fs` in a crate without IO"),
            ("fn a() { std::thread::yield_now(); }", "`std::thread` in a crate without IO"),
            ("use std::net::UdpSocket;", "`std::net::UdpSocket` in a crate without IO"),
            ("async fn a() { tokio::task::yield_now().await }", "`tokio` in a crate without IO"),
            ("fn a() { println!(\"a\") }", "`println!` in a crate without IO"),
        ];
        for (text, want) in rows {
            check("crates/proto/src/l2/mod.rs", text, &[want]);
            check("crates/planner/src/plan.rs", text, &[want]);
            check("crates/lab/src/probe.rs", text, &[]);
        }
    }

    #[test]
    fn tests_of_a_pure_crate_may() {
        let text = "#[cfg(test)]\nmod tests { use std::fs; fn a() { println!() } }";
        check("crates/proto/src/wire.rs", text, &[]);
        check("crates/proto/src/mesh/sim.rs", "use std::time::Instant;", &[]);
    }

    #[test]
    fn our_own_instant_is_fine() {
        check("crates/proto/src/wire.rs", "use crate::time::Instant; use std::net::IpAddr;", &[]);
    }

    #[test]
    fn unsafe_code_stays_in_its_place() {
        let text = "fn a() { unsafe { b() } }";
        check("crates/ferrolb/src/speaker/l2.rs", text, &["unsafe code"]);
        check("crates/lab/src/netns.rs", text, &["unsafe code"]);
        check("crates/ferrolb/src/net/packet_socket.rs", text, &[]);
    }

    #[test]
    fn the_time_is_asked_in_one_file() {
        for text in ["fn a() { Instant::now(); }", "fn a() { tokio::time::Instant::now(); }"] {
            assert_eq!(
                super::check("crates/ferrolb/src/cli/plan.rs", &scan(text).unwrap()).len(),
                1
            );
            check("crates/ferrolb/src/net/clock.rs", text, &[]);
            check("xtask/src/step.rs", text, &[]);
        }
        check(
            "crates/ferrolb/src/net/mod.rs",
            "fn a() { SystemTime::now(); }",
            &["`SystemTime::now`"],
        );
    }

    #[test]
    fn only_drivers_wait_for_several_things() {
        let text = "async fn a() { tokio::select! { () = b() => () } }";
        check("crates/ferrolb/src/net/udp.rs", text, &["`select!` outside of a driver"]);
        check("crates/ferrolb/src/speaker/mesh.rs", text, &[]);
    }
}
