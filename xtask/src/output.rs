//! How results are printed.

use clap::ValueEnum;

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, and nothing else on standard output.
    Json,
}
