//! One figure of a benchmark: all its samples, what was hoped for, and whether it holds.

use std::fmt;

use serde::Serialize;

/// A distribution held against goals, or one value held against one goal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Benchmark it belongs to.
    pub(crate) bench: &'static str,
    /// What was measured.
    pub(crate) name: String,
    /// Unit of every number in the row.
    pub(crate) unit: &'static str,
    /// Samples taken, the failed ones among them.
    pub(crate) n: usize,
    /// The figures.
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// Whether every goal is met, by all samples.
    pub(crate) ok: bool,
    /// How it was measured; empty where the benchmark says so for all of its rows.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) method: &'static str,
}

/// The figures of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Figures {
    /// Percentiles by nearest rank: with few samples the 99th is the worst one.
    Percentiles {
        /// Half the samples are at most this.
        p50: f64,
        /// 95 of 100 are.
        p95: f64,
        /// 99 of 100 are.
        p99: f64,
        /// Upper limits.
        goal: Goal,
    },
    /// One value.
    Value {
        /// The value.
        value: f64,
        /// Its upper limit.
        goal: f64,
    },
}

/// Upper limits for percentiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Goal {
    /// For the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50: Option<f64>,
    /// For the 95th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p95: Option<f64>,
    /// For the 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99: Option<f64>,
}

impl Row {
    /// A row of percentiles. A sample that failed is to be passed as the worst that can be, never
    /// left out. No samples at all meet no goal.
    pub(crate) fn percentiles(
        bench: &'static str,
        name: &str,
        unit: &'static str,
        mut samples: Vec<f64>,
        goal: Goal,
    ) -> Self {
        samples.sort_by(f64::total_cmp);
        let [p50, p95, p99] = [50, 95, 99].map(|percent| nearest_rank(&samples, percent));
        let limits = [(p50, goal.p50), (p95, goal.p95), (p99, goal.p99)];
        let ok = limits.iter().all(|(value, limit)| limit.is_none_or(|limit| *value <= limit));
        let figures = Figures::Percentiles { p50, p95, p99, goal };
        Self { bench, name: name.to_owned(), unit, n: samples.len(), figures, ok, method: "" }
    }

    /// A row of one value.
    pub(crate) fn value(
        bench: &'static str,
        name: String,
        unit: &'static str,
        value: f64,
        goal: f64,
    ) -> Self {
        let (figures, ok) = (Figures::Value { value, goal }, value <= goal);
        Self { bench, name, unit, n: 1, figures, ok, method: "" }
    }

    /// The same row, which says how it was measured.
    pub(crate) fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }
}

/// Rows for people, one a line.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text =
        format!("{:<56} {:>5} {:>9} {:>9} {:>9}  {}\n", "figure", "n", "p50", "p95", "p99", "goal");
    for row in rows {
        let name = format!("{} {} [{}]", row.bench, row.name, row.unit);
        let verdict = if row.ok { "met" } else { "MISSED" };
        let (figures, goal) = match &row.figures {
            Figures::Percentiles { p50, p95, p99, goal } => {
                (format!("{p50:>9.2} {p95:>9.2} {p99:>9.2}"), goal.to_string())
            }
            Figures::Value { value, goal } => (format!("{value:>29.2}"), format!("<= {goal}")),
        };
        text += &format!("{name:<56} {:>5} {figures}  {goal} {verdict}\n", row.n);
        if !row.method.is_empty() {
            text += &format!("    {}\n", row.method);
        }
    }
    text
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, limit) in [("p50", self.p50), ("p95", self.p95), ("p99", self.p99)] {
            if let Some(limit) = limit {
                write!(f, "{name} <= {limit}, ")?;
            }
        }
        Ok(())
    }
}

/// The smallest sample that `percent` of 100 samples do not exceed.
fn nearest_rank(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(samples: &[f64], p99: f64) -> Row {
        Row::percentiles(
            "l2",
            "crash",
            "ms",
            samples.to_vec(),
            Goal { p99: Some(p99), ..Goal::default() },
        )
    }

    #[test]
    fn the_99th_percentile_of_few_samples_is_the_worst() {
        // (samples, goal) => whether it is met
        let table: [(&[f64], f64, bool); 4] = [
            (&[1.0, 2.0, 3.0], 3.0, true),
            (&[3.0, 1.0, 3.5], 3.0, false),
            (&[1.0; 100], 1.0, true),
            (&[], 1_000_000.0, false),
        ];
        for (samples, goal, want) in table {
            assert_eq!(row(samples, goal).ok, want, "{samples:?} against {goal}");
        }
    }

    #[test]
    fn the_output_has_the_documented_form() {
        let json = serde_json::to_string(&row(&[1.5, 2.5], 3.0)).unwrap();
        assert_eq!(
            json,
            r#"{"bench":"l2","name":"crash","unit":"ms","n":2,"p50":1.5,"p95":2.5,"p99":2.5,"goal":{"p99":3.0},"ok":true}"#
        );
    }
}
