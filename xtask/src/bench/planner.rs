//! How fast decisions are, how large the facts that they are made from, and how both grow.
//!
//! Measured in one process by the crate's own benchmark, which prints the samples. A change counts
//! from the changed fact until the order of candidates is known for each address that it is about.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::row::{Goal, Row};
use crate::workspace::cargo;

/// Services and nodes: a home, a company, and the largest cluster that the promises are for.
const SIZES: [&str; 3] = ["100/10", "1000/100", "10000/1000"];

/// Samples of one figure.
#[derive(Debug, Deserialize)]
struct Samples {
    name: String,
    services: u32,
    nodes: u32,
    samples: Vec<f64>,
}

/// The rows of this benchmark, over `runs` runs.
pub(super) fn run(runs: u16) -> Result<Vec<Row>> {
    let mut command = cargo();
    command.args(["bench", "--quiet", "--package", "planner", "--bench", "planner", "--"]);
    command.args(["--runs", &runs.to_string()]).args(SIZES);
    command.stderr(std::process::Stdio::inherit());
    let output = command.output().context("starting `cargo bench --package planner`")?;
    if !output.status.success() {
        bail!("`cargo bench --package planner` failed with {}: see above", output.status);
    }
    let text = String::from_utf8(output.stdout).context("reading the samples")?;
    text.lines().map(row).collect()
}

fn row(line: &str) -> Result<Row> {
    let samples: Samples =
        serde_json::from_str(line).with_context(|| format!("reading the samples in `{line}`"))?;
    let Samples { name, services, nodes, samples } = samples;
    let title = format!("{name}, {services}/{nodes}");
    let times = |goal| Row::percentiles("planner", &title, "ms", samples.clone(), goal);
    Ok(match (name.as_str(), samples.as_slice()) {
        ("facts", [megabytes]) => Row::value("planner", title, "MB", *megabytes, 20.0),
        ("assign all", _) => times(Goal { p99: Some(1000.0), ..Goal::default() }),
        ("plan all", _) => times(Goal::default()),
        ("change one", _) => times(Goal { p99: Some(1.0), ..Goal::default() }),
        _ => bail!("no goal is known for the samples in `{line}`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_held_against_their_goals() {
        // (name, sample) => whether it meets its goal
        let rows = [
            ("facts", 20.0, true),
            ("facts", 20.1, false),
            ("assign all", 1000.0, true),
            ("assign all", 1000.1, false),
            ("change one", 1.0, true),
            ("change one", 1.1, false),
            ("plan all", 5000.0, true),
        ];
        for (name, sample, want) in rows {
            let line =
                format!(r#"{{"name":"{name}","services":100,"nodes":10,"samples":[{sample:?}]}}"#);
            let row = row(&line).unwrap();
            assert_eq!(row.ok, want, "{name} {sample}");
            assert_eq!(row.name, format!("{name}, 100/10"));
        }
    }

    #[test]
    fn samples_without_a_goal_are_an_error() {
        let line = r#"{"name":"x","services":1,"nodes":1,"samples":[]}"#;
        assert!(row(line).unwrap_err().to_string().contains("no goal"));
    }
}
