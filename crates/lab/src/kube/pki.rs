//! The certificates of one cluster, as files.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

/// What signs all certificates of a cluster.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate.
    pub file: PathBuf,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Identity {
    /// Where the files of one are that was made before.
    #[must_use]
    pub fn of(directory: &Path, name: &str) -> Self {
        let file = |end| directory.join(format!("{name}.{end}"));
        Self { certificate: file("crt"), key: file("key") }
    }
}

impl Authority {
    /// Makes one, with its certificate in `ca.crt` of the directory.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn new(directory: &Path) -> Result<Self> {
        let mut params = params("lab", None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)
            .context("making a certificate authority")?;
        let file = write(directory, "ca.crt", &issuer.pem())?;
        Ok(Self { issuer, file })
    }

    /// A client certificate: Kubernetes takes the user from its common name and the group from its
    /// organisation. The files have the user's name, with `-` for `:`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn client(&self, directory: &Path, user: &str, group: Option<&str>) -> Result<Identity> {
        let mut params = params(user, group)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(directory, &user.replace(':', "-"), &params)
    }

    /// The certificate of the API server, in `kube-apiserver.crt`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn server(
        &self,
        directory: &Path,
        addresses: &[IpAddr],
        names: &[&str],
    ) -> Result<Identity> {
        let mut params = params("kube-apiserver", None)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        for name in names {
            params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
        }
        self.sign(directory, "kube-apiserver", &params)
    }

    fn sign(&self, directory: &Path, file: &str, params: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = certificate.with_context(|| format!("signing for `{file}`"))?;
        Ok(Identity {
            certificate: write(directory, &format!("{file}.crt"), &certificate.pem())?,
            key: write(directory, &format!("{file}.key"), &key.serialize_pem())?,
        })
    }
}

/// A certificate of an authority that is given, or of a new one; both as PEM.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The authority's certificate.
    pub ca: String,
    /// The authority's key.
    pub ca_key: String,
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Signed {
    /// Makes one for a DNS name that is good from the beginning of 2020 to `end`, a year, month and
    /// day; with a new authority of the same time unless one is given by certificate and key.
    ///
    /// # Errors
    ///
    /// When the authority cannot be read.
    pub fn until(
        (year, month, day): (i32, u8, u8),
        host: &str,
        authority: Option<(&str, &str)>,
    ) -> Result<Self> {
        let in_time = |mut params: CertificateParams| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(year, month, day);
            params
        };
        let (ca, ca_key) = match authority {
            Some((ca, key)) => (ca.to_owned(), key.to_owned()),
            None => {
                let mut params = in_time(params("lab", None)?);
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                let key = KeyPair::generate()?;
                (params.self_signed(&key)?.pem(), key.serialize_pem())
            }
        };
        let issuer = Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&ca_key)?)?;
        let mut params = in_time(params(host, None)?);
        params.subject_alt_names.push(SanType::DnsName(host.try_into()?));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer).context("signing")?.pem();
        Ok(Self { ca, ca_key, certificate, key: key.serialize_pem() })
    }
}

/// Makes the key that tokens of service accounts are signed with: `service-accounts.key`, and
/// `service-accounts.pub` for those who check them.
///
/// # Errors
///
/// When a file cannot be written.
pub fn make_account_key(directory: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    write(directory, "service-accounts.key", &key.serialize_pem())?;
    write(directory, "service-accounts.pub", &key.public_key_pem())?;
    Ok(())
}

fn write(directory: &Path, name: &str, content: &str) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, content).with_context(|| format!("writing `{}`", path.display()))?;
    Ok(path)
}

fn params(common_name: &str, organisation: Option<&str>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organisation) = organisation {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    Ok(params)
}
