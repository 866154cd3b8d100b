//! `--tls-*`: which versions, cipher suites and curves servers of this process speak.
//!
//! Names and numbers are those of MetalLB, which are Go's. What Go speaks and `rustls` does not, as
//! nobody should any more or as it is too new, is left out with a warning as long as something is
//! left.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::server::ResolvesServerCert;
use rustls::version::{TLS12, TLS13};
use rustls::{
    NamedGroup, ServerConfig, SignatureAlgorithm, SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::args;

/// Curves that Go has a number for: secp256r1, secp384r1, secp521r1, X25519, and three hybrids with
/// ML-KEM.
const CURVES: [u16; 7] = [23, 24, 25, 29, 4587, 4588, 4589];

/// Suites that Go has a name for and that have been given up here.
const GIVEN_UP: [&str; 16] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

/// What is said where no suite goes with a certificate that is made here.
const NEEDS_RSA: &str = "`--tls-cipher-suites`: none of them goes with the certificates that are \
                         made here, which are ECDSA, so TLS 1.2 is spoken only with an RSA \
                         certificate of your own; add `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`";

/// Why `--tls-*` mean nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Misused {
    /// A version that is none.
    #[error(
        "parsing tls-min-version: unknown TLS version `{0}`; write `VersionTLS12` or `VersionTLS13`"
    )]
    Version(String),
    /// A suite that nobody knows.
    #[error(
        "parsing tls-cipher-suites: unknown cipher suite `{0}`; write names of IANA, such as `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`"
    )]
    Suite(String),
    /// Suites, and all of them are given up.
    #[error(
        "parsing tls-cipher-suites: none of `{0}` is spoken; add `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`"
    )]
    NoSuite(String),
    /// Suites with a version that has none to choose.
    #[error(
        "cipher suites cannot be configured with TLS 1.3; remove `--tls-cipher-suites`, or add `--tls-min-version=VersionTLS12`"
    )]
    SuitesOfTls13,
    /// A curve that is no number.
    #[error(
        "parsing tls-curve-preferences: invalid curve preference `{0}`; write numbers of IANA, such as 29 for X25519"
    )]
    Curve(String),
    /// A number that no curve has.
    #[error(
        "parsing tls-curve-preferences: invalid curve preference: {0} is out of range; known are 23, 24, 25, 29, 4587, 4588 and 4589"
    )]
    UnknownCurve(u16),
    /// A curve twice.
    #[error("parsing tls-curve-preferences: duplicate curve preference {0}; remove one")]
    DuplicateCurve(u16),
    /// Curves, and none of them is spoken.
    #[error("parsing tls-curve-preferences: none of `{0}` is spoken; add 29, 23 or 24")]
    NoCurve(String),
}

/// How servers of this process speak TLS.
#[derive(Clone, Debug)]
pub struct Settings {
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// What of the flags has no effect.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads the flags.
    ///
    /// # Errors
    ///
    /// A flag that means nothing; the process should not start.
    pub fn read(flags: &args::Tls) -> Result<Self, Misused> {
        let mut provider = ring::default_provider();
        let mut warnings = Vec::new();
        let suites = suites(&flags.cipher_suites, &provider.cipher_suites, &mut warnings)?;
        let curves = curves(&flags.curve_preferences, &provider.kx_groups, &mut warnings)?;
        let versions = versions(&flags.min_version)?;
        if let Some(suites) = suites {
            if versions == [&TLS13] {
                return Err(Misused::SuitesOfTls13);
            }
            if !goes_with_ecdsa(&provider.cipher_suites, &suites) {
                warnings.push(NEEDS_RSA.to_owned());
            }
            let is_kept = |suite: &SupportedCipherSuite| {
                suite.tls13().is_some() || suites.contains(&suite.suite())
            };
            provider.cipher_suites.retain(is_kept);
        }
        provider.kx_groups = curves;
        Ok(Self { provider: Arc::new(provider), versions, warnings })
    }

    /// A server that speaks these `protocols` over TLS, the preferred one first.
    ///
    /// # Errors
    ///
    /// The flags leave nothing to speak.
    pub fn server(
        &self,
        certificate: Arc<dyn ResolvesServerCert>,
        protocols: &[&str],
    ) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&self.versions)?
            .with_no_client_auth()
            .with_cert_resolver(certificate);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }

    /// What computes.
    pub(crate) fn provider(&self) -> &CryptoProvider {
        &self.provider
    }
}

fn versions(text: &str) -> Result<Vec<&'static SupportedProtocolVersion>, Misused> {
    match text {
        "" | "VersionTLS13" => Ok(vec![&TLS13]),
        "VersionTLS12" => Ok(vec![&TLS13, &TLS12]),
        other => Err(Misused::Version(other.to_owned())),
    }
}

/// The suites of a list; `None` for those that are there anyway.
fn suites(
    text: &str,
    known: &[SupportedCipherSuite],
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<rustls::CipherSuite>>, Misused> {
    let mut suites = Vec::new();
    for name in entries(text) {
        if let Some(suite) = known.iter().find(|suite| iana_name(suite) == name) {
            suites.push(suite.suite());
        } else if GIVEN_UP.contains(&name) {
            warnings.push(format!("`--tls-cipher-suites`: `{name}` is not spoken any more"));
        } else {
            return Err(Misused::Suite(name.to_owned()));
        }
    }
    match (suites.is_empty(), entries(text).next()) {
        (_, None) => Ok(None),
        (true, Some(_)) => Err(Misused::NoSuite(text.to_owned())),
        (false, Some(_)) => Ok(Some(suites)),
    }
}

/// Whether TLS 1.2 can be spoken with an ECDSA certificate and one of the `chosen` suites.
fn goes_with_ecdsa(known: &[SupportedCipherSuite], chosen: &[rustls::CipherSuite]) -> bool {
    let mut chosen = known.iter().filter(|suite| chosen.contains(&suite.suite()));
    chosen.any(|suite| suite.usable_for_signature_algorithm(SignatureAlgorithm::ECDSA))
}

/// The name that IANA has; that of `rustls` says the version too.
fn iana_name(suite: &SupportedCipherSuite) -> String {
    suite.suite().as_str().unwrap_or_default().replace("TLS13_", "TLS_")
}

fn curves(
    text: &str,
    known: &[&'static dyn SupportedKxGroup],
    warnings: &mut Vec<String>,
) -> Result<Vec<&'static dyn SupportedKxGroup>, Misused> {
    let mut numbers: Vec<u16> = Vec::new();
    let mut curves = Vec::new();
    for entry in entries(text) {
        let number = entry.parse().map_err(|_| Misused::Curve(entry.to_owned()))?;
        if !CURVES.contains(&number) {
            return Err(Misused::UnknownCurve(number));
        }
        if numbers.contains(&number) {
            return Err(Misused::DuplicateCurve(number));
        }
        numbers.push(number);
        match known.iter().find(|group| u16::from(group.name()) == number) {
            Some(group) => curves.push(*group),
            None => warnings.push(format!(
                "`--tls-curve-preferences`: {:?} is not spoken",
                NamedGroup::from(number)
            )),
        }
    }
    match (curves.is_empty(), numbers.is_empty()) {
        (true, true) => Ok(known.to_vec()),
        (true, false) => Err(Misused::NoCurve(text.to_owned())),
        (false, _) => Ok(curves),
    }
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(min_version: &str, cipher_suites: &str, curve_preferences: &str) -> args::Tls {
        args::Tls {
            min_version: min_version.to_owned(),
            cipher_suites: cipher_suites.to_owned(),
            curve_preferences: curve_preferences.to_owned(),
            metrics_cert_dir: None,
        }
    }

    /// Versions, suites of TLS 1.2 and curves, as numbers.
    fn spoken(settings: &Settings) -> (Vec<u16>, Vec<u16>, Vec<u16>) {
        let provider = &settings.provider;
        let suites = provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none());
        (
            settings.versions.iter().map(|version| version.version.into()).collect(),
            suites.map(|suite| suite.suite().into()).collect(),
            provider.kx_groups.iter().map(|group| group.name().into()).collect(),
        )
    }

    const V12: u16 = 0x0303;
    const V13: u16 = 0x0304;

    /// What a row of the table expects: versions, and curves.
    type Expected = (&'static [u16], &'static [u16]);

    #[test]
    fn flags_of_metallb_mean_here_what_they_mean_there() {
        let ours: &[u16] = &[29, 23, 24];
        let rows: [(&str, args::Tls, Expected); 10] = [
            ("no flags", flags("", "", ""), (&[V13], ours)),
            ("TLS 1.3", flags("VersionTLS13", "", ""), (&[V13], ours)),
            ("TLS 1.2", flags("VersionTLS12", "", ""), (&[V13, V12], ours)),
            ("a curve", flags("", "", "29"), (&[V13], &[29])),
            ("curves, in their order", flags("", "", "23,29,24"), (&[V13], &[23, 29, 24])),
            ("all curves", flags("", "", "23,24,25,29,4588"), (&[V13], &[23, 24, 29])),
            ("blanks", flags("", "", "29, 23, 4588"), (&[V13], &[29, 23])),
            ("TLS 1.3 with a curve", flags("VersionTLS13", "", "29"), (&[V13], &[29])),
            (
                "a suite and curves",
                flags("VersionTLS12", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "29,4588"),
                (&[V13, V12], &[29]),
            ),
            (
                "a suite that is given up beside another",
                flags(
                    "VersionTLS12",
                    "TLS_RSA_WITH_RC4_128_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                    "",
                ),
                (&[V13, V12], ours),
            ),
        ];
        for (name, flags, (versions, curves)) in rows {
            let settings = Settings::read(&flags).unwrap();
            let spoken = spoken(&settings);
            assert_eq!((&*spoken.0, &*spoken.2), (versions, curves), "{name}");
            if !flags.cipher_suites.is_empty() {
                assert_eq!(spoken.1, [0xc02f], "{name}");
            }
        }
    }

    #[test]
    fn what_is_left_out_is_told() {
        let flags =
            flags("VersionTLS12", "TLS_RSA_WITH_RC4_128_SHA,TLS_AES_128_GCM_SHA256", "29,25");
        let settings = Settings::read(&flags).unwrap();
        assert_eq!(
            settings.warnings,
            [
                "`--tls-cipher-suites`: `TLS_RSA_WITH_RC4_128_SHA` is not spoken any more",
                "`--tls-curve-preferences`: secp521r1 is not spoken",
            ]
        );
    }

    #[test]
    fn suites_that_no_certificate_of_ours_goes_with_are_told() {
        let rsa = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let ecdsa = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
        let rows: [(&str, String, &[&str]); 4] = [
            ("for RSA only", rsa.to_owned(), &[NEEDS_RSA]),
            ("for both", format!("{rsa},{ecdsa}"), &[]),
            ("for ECDSA only", ecdsa.to_owned(), &[]),
            ("all there are", String::new(), &[]),
        ];
        for (row, suites, want) in rows {
            let settings = Settings::read(&flags("VersionTLS12", &suites, "")).unwrap();
            assert_eq!(settings.warnings, want, "{row}");
        }
    }

    #[test]
    fn flags_that_metallb_refuses_are_refused_in_its_words() {
        let suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let rows = [
            ("a version that is none", flags("VersionTLS99", "", ""), "VersionTLS99"),
            ("its flag", flags("VersionTLS99", "", ""), "parsing tls-min-version"),
            ("a suite that is none", flags("", "FAKE_CIPHER", ""), "parsing tls-cipher-suites"),
            (
                "suites with TLS 1.3",
                flags("VersionTLS13", suite, ""),
                "cipher suites cannot be configured with TLS 1.3",
            ),
            (
                "suites with the default version",
                flags("", suite, ""),
                "cipher suites cannot be configured with TLS 1.3",
            ),
            (
                "only suites of old",
                flags("VersionTLS12", "TLS_RSA_WITH_RC4_128_SHA", ""),
                "none of",
            ),
            ("the name of a curve", flags("", "", "X25519"), "invalid curve preference"),
            ("its flag", flags("", "", "X25519"), "parsing tls-curve-preferences"),
            ("more than 16 bits", flags("", "", "99999"), "invalid curve preference"),
            ("less than zero", flags("", "", "-1"), "invalid curve preference"),
            ("zero", flags("", "", "0"), "is out of range"),
            ("a curve twice", flags("", "", "29,29"), "duplicate curve preference"),
            ("only a curve that is not spoken", flags("", "", "25"), "none of"),
        ];
        for (name, flags, part) in rows {
            let error = Settings::read(&flags).unwrap_err().to_string();
            assert!(error.contains(part), "{name}: {error}");
        }
    }
}
