//! How servers of this process speak TLS, under the names of MetalLB's flags.

use std::path::PathBuf;

/// TLS of a server. By default TLS 1.3 with a certificate of its own making.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Tls {
    /// The oldest version to speak: `VersionTLS12` or `VersionTLS13`, the default.
    #[arg(long = "tls-min-version", value_name = "VERSION", default_value = "")]
    pub min_version: String,
    /// Cipher suites of TLS 1.2, by their IANA names.
    #[arg(long = "tls-cipher-suites", value_name = "NAMES", default_value = "")]
    pub cipher_suites: String,
    /// Curves by their numbers, the preferred one first.
    #[arg(long = "tls-curve-preferences", value_name = "NUMBERS", default_value = "")]
    pub curve_preferences: String,
    /// Directory of `tls.crt` and `tls.key` of the metrics, read again when they change.
    #[arg(long, value_name = "DIR")]
    pub metrics_cert_dir: Option<PathBuf>,
}
