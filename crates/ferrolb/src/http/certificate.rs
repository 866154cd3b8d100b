//! The certificate that a server shows, which may change while it runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// How often files are looked at. Kubernetes takes a minute to bring a changed Secret to a Pod.
const LOOK: Duration = Duration::from_secs(10);

/// How often a certificate of our own making is made anew; it is good for longer than anybody waits.
const REMAKE: Duration = Duration::from_hours(30 * 24);

/// What a server shows to those who connect; nothing at first, which no handshake survives.
#[derive(Debug, Default)]
pub struct Certificate(RwLock<Option<Arc<CertifiedKey>>>);

impl Certificate {
    /// Shows this from now on. `chain` and `key` are PEM; the first of the chain belongs to the key.
    ///
    /// # Errors
    ///
    /// They cannot be read, or do not belong together; what was shown before stays.
    pub fn show(&self, chain: &[u8], key: &[u8], provider: &CryptoProvider) -> anyhow::Result<()> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .context("reading the certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key).context("reading the key")?;
        let key = CertifiedKey::from_der(chain, key, provider)
            .context("putting certificate and key together")?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Shows `tls.crt` and `tls.key` of a directory, and again whenever they change.
pub async fn follow_files(dir: PathBuf, certificate: Arc<Certificate>, provider: CryptoProvider) {
    let mut shown = None;
    let mut told = None;
    loop {
        match read(&dir) {
            Ok(files) if shown.as_ref() == Some(&files) => (),
            Ok(files) => match certificate.show(&files.0, &files.1, &provider) {
                Ok(()) => {
                    tracing::info!(dir = %dir.display(), "certificate read");
                    (shown, told) = (Some(files), None);
                }
                Err(error) => tell(&mut told, &dir, &error),
            },
            Err(error) => tell(&mut told, &dir, &error),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Warns, once for each cause: it may take an operator hours to bring the files.
fn tell(told: &mut Option<String>, dir: &Path, error: &anyhow::Error) {
    let text = format!("no new certificate from {}: {error:#}; looking again", dir.display());
    if told.as_ref() != Some(&text) {
        tracing::warn!("{text}");
        *told = Some(text);
    }
}

fn read(dir: &Path) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let read = |name| std::fs::read(dir.join(name)).with_context(|| format!("reading `{name}`"));
    Ok((read("tls.crt")?, read("tls.key")?))
}

/// Shows a certificate that nobody can check, made here; metrics need no more by default.
pub async fn follow_own_making(certificate: Arc<Certificate>, provider: CryptoProvider) {
    loop {
        match make(&certificate, &provider) {
            Ok(()) => tokio::time::sleep(REMAKE).await,
            Err(error) => {
                tracing::error!("making a certificate for the metrics: {error:#}; trying again");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

fn make(certificate: &Certificate, provider: &CryptoProvider) -> anyhow::Result<()> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ferrolb");
    let key = KeyPair::generate()?;
    let made = params.self_signed(&key)?;
    certificate.show(made.pem().as_bytes(), key.serialize_pem().as_bytes(), provider)
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn what_cannot_be_shown_leaves_what_was_shown_before() {
        let provider = ring::default_provider();
        let ((one, one_key), (two, two_key)) = (pair(), pair());
        let certificate = Certificate::default();
        let show = |chain: &str, key: &str| {
            certificate.show(chain.as_bytes(), key.as_bytes(), &provider).is_ok()
        };
        let rows = [
            ("nothing", "", "", false),
            ("a pair", &one, &one_key, true),
            ("no certificate", "", &two_key, false),
            ("no key", &two, "", false),
            ("the key of another", &two, &one_key, false),
            ("not PEM", "certificate", "key", false),
        ];
        for (name, chain, key, is_shown) in rows {
            assert_eq!(show(chain, key), is_shown, "{name}");
        }
        let shown = certificate.0.read().unwrap().clone().unwrap();
        let der = CertificateDer::from_pem_slice(one.as_bytes()).unwrap();
        assert_eq!(shown.cert, [der]);
    }
}
