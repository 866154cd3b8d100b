//! An authority, and a certificate of it for the webhooks: made, read and renewed.
//!
//! Names, lifetimes and keys of the Secret are those of MetalLB, so that either takes over what the
//! other has made. Time is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::parse_x509_certificate;

/// How long an authority is good.
const AUTHORITY: Duration = Duration::from_hours(24 * 365 * 10);

/// How long a certificate is good.
const SERVER: Duration = Duration::from_hours(24 * 365);

/// How long before its end either is made anew.
pub(super) const AHEAD: Duration = Duration::from_hours(24 * 90);

/// How far the clocks of two hosts may be apart.
const SKEW: Duration = Duration::from_hours(1);

/// Keys of the Secret.
const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// What the Secret holds, as PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pair {
    /// The authority, which the API server is told of.
    pub(super) ca: Vec<u8>,
    ca_key: Vec<u8>,
    /// What the webhooks show.
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl Pair {
    /// What a Secret holds; `None` unless it is whole.
    pub(super) fn read(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let read = |key| data.get(key).map(|bytes| bytes.0.clone()).filter(|pem| !pem.is_empty());
        Some(Self {
            ca: read(CA_CERTIFICATE)?,
            ca_key: read(CA_KEY)?,
            certificate: read(CERTIFICATE)?,
            key: read(KEY)?,
        })
    }

    /// What to put into the Secret.
    pub(super) fn data(&self) -> BTreeMap<String, ByteString> {
        let entry = |key: &str, pem: &[u8]| (key.to_owned(), ByteString(pem.to_vec()));
        BTreeMap::from([
            entry(CA_CERTIFICATE, &self.ca),
            entry(CA_KEY, &self.ca_key),
            entry(CERTIFICATE, &self.certificate),
            entry(KEY, &self.key),
        ])
    }

    /// A pair for the DNS name `host`. Keeps the authority of `before` as long as that is good, so
    /// that replicas that have not seen the new certificate yet are still believed.
    pub(super) fn make(
        before: Option<&Self>,
        host: &str,
        now: SystemTime,
        provider: &CryptoProvider,
    ) -> Result<Self, rcgen::Error> {
        let renewed = before.and_then(|before| {
            let (certificate, key) = before.issue(host, now).ok()?;
            Some(Self { certificate, key, ..before.clone() })
        });
        // The key of the authority may be of another one, or of a kind that is not made here.
        if let Some(renewed) = renewed.filter(|pair| pair.is_good(host, now, provider)) {
            return Ok(renewed);
        }
        let authority = Self::authority(now)?;
        let (certificate, key) = authority.issue(host, now)?;
        Ok(Self { certificate, key, ..authority })
    }

    /// An authority without a certificate.
    fn authority(now: SystemTime) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "cert");
        params.distinguished_name.push(DnType::OrganizationName, "metallb");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        params.not_before = (now - SKEW).into();
        params.not_after = (now + AUTHORITY).into();
        let key = KeyPair::generate()?;
        let ca = params.self_signed(&key)?.pem().into_bytes();
        let ca_key = key.serialize_pem().into_bytes();
        Ok(Self { ca, ca_key, certificate: Vec::new(), key: Vec::new() })
    }

    /// A certificate of the authority, and its key.
    fn issue(&self, host: &str, now: SystemTime) -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
        let text = |pem: &[u8]| String::from_utf8_lossy(pem).into_owned();
        let authority =
            Issuer::from_ca_cert_pem(&text(&self.ca), KeyPair::from_pem(&text(&self.ca_key))?)?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, host);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (now - SKEW).into();
        params.not_after = (now + SERVER).into();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        Ok((certificate.pem().into_bytes(), key.serialize_pem().into_bytes()))
    }

    /// Whether the API server will believe it until it is looked at again, and some time more.
    pub(super) fn is_good(&self, host: &str, now: SystemTime, provider: &CryptoProvider) -> bool {
        self.has_good_authority(now) && self.verifies(host, now + AHEAD, provider).is_some()
    }

    fn has_good_authority(&self, now: SystemTime) -> bool {
        ends(&self.ca).is_some_and(|end| now + AHEAD < end)
    }

    /// Checks what a client checks, as it would at another time.
    fn verifies(&self, host: &str, at: SystemTime, provider: &CryptoProvider) -> Option<()> {
        let certificate = CertificateDer::from_pem_slice(&self.certificate).ok()?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.ca).ok()?).ok()?;
        let verifier = WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::new(provider.clone()),
        );
        let host = ServerName::try_from(host.to_owned()).ok()?;
        let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).ok()?);
        let verifier = verifier.build().ok()?;
        verifier.verify_server_cert(&certificate, &[], &host, &[], at).ok().map(|_| ())
    }

    /// When the certificate is no longer good.
    pub(super) fn expires(&self) -> Option<SystemTime> {
        ends(&self.certificate)
    }
}

/// Until when a certificate is good.
fn ends(pem: &[u8]) -> Option<SystemTime> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, certificate) = parse_x509_certificate(&der).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const HOST: &str = "metallb-webhook-service.metallb-system.svc";

    /// Some time in 2026.
    fn start() -> SystemTime {
        UNIX_EPOCH + 20_454 * DAY
    }

    fn made() -> Pair {
        Pair::make(None, HOST, start(), &ring::default_provider()).unwrap()
    }

    #[test]
    fn a_pair_is_good_until_ninety_days_before_its_end() {
        let provider = ring::default_provider();
        let pair = made();
        let rows = [
            ("at once", HOST, 0, true),
            ("after 274 days", HOST, 274, true),
            ("after 276 days", HOST, 276, false),
            ("when it is over", HOST, 366, false),
            ("for another Service", "other.metallb-system.svc", 0, false),
        ];
        for (name, host, days, is_good) in rows {
            assert_eq!(pair.is_good(host, start() + days * DAY, &provider), is_good, "{name}");
        }
        assert_eq!(pair.expires(), Some(start() + SERVER));
    }

    #[test]
    fn for_ten_years_the_authority_stays_and_then_it_is_another() {
        let provider = ring::default_provider();
        let first = made();
        let mut pair = first.clone();
        let mut made = 0;
        let mut changed = None;
        for day in 0..11 * 365 {
            let now = start() + day * DAY;
            if !pair.is_good(HOST, now, &provider) {
                pair = Pair::make(Some(&pair), HOST, now, &provider).unwrap();
                assert!(pair.is_good(HOST, now, &provider), "day {day}");
                made += 1;
                if pair.ca != first.ca {
                    changed.get_or_insert(day);
                }
            }
        }
        assert_eq!(changed, Some(10 * 365 - 90));
        assert_eq!(made, 14);
    }

    #[test]
    fn what_is_in_the_secret_is_what_was_put_there() {
        let pair = made();
        assert_eq!(Pair::read(&pair.data()), Some(pair.clone()));
        let mut data = pair.data();
        data.remove(CA_KEY);
        assert_eq!(Pair::read(&data), None);
        assert_eq!(Pair::read(&BTreeMap::new()), None);
    }

    #[test]
    fn rubbish_in_the_secret_is_not_good_and_is_replaced() {
        let provider = ring::default_provider();
        let rubbish = || b"rubbish".to_vec();
        let good = made();
        let rows = [
            (
                "all",
                Pair { ca: rubbish(), ca_key: rubbish(), certificate: rubbish(), key: rubbish() },
            ),
            ("authority", Pair { ca: rubbish(), ..good.clone() }),
            ("certificate", Pair { certificate: rubbish(), ..good.clone() }),
            ("one of another authority", Pair { ca: made().ca, ..good.clone() }),
        ];
        for (name, pair) in rows {
            assert!(!pair.is_good(HOST, start(), &provider), "{name}");
            let made = Pair::make(Some(&pair), HOST, start(), &provider).unwrap();
            assert!(made.is_good(HOST, start(), &provider), "{name}");
        }
    }
}
