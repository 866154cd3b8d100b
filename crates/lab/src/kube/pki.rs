//! The certificates of one cluster.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use super::directory::Directory;

/// What signs all certificates of a cluster.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate.
    pub(crate) file: PathBuf,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The certificate.
    pub(crate) certificate: PathBuf,
    /// The key.
    pub(crate) key: PathBuf,
}

impl Identity {
    /// Where the files of one are that was made before.
    pub(crate) fn of(directory: &Directory, name: &str) -> Self {
        let file = |end| directory.path().join(format!("{name}.{end}"));
        Self { certificate: file("crt"), key: file("key") }
    }
}

impl Authority {
    pub(crate) fn new(directory: &Directory) -> Result<Self> {
        let mut params = params("lab", None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)
            .context("making a certificate authority")?;
        let file = directory.write("ca.crt", &issuer.pem())?;
        Ok(Self { issuer, file })
    }

    /// A client certificate: Kubernetes takes the user from its common name and the group from its
    /// organisation.
    pub(crate) fn client(
        &self,
        directory: &Directory,
        user: &str,
        group: Option<&str>,
    ) -> Result<Identity> {
        let mut params = params(user, group)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(directory, &user.replace(':', "-"), &params)
    }

    /// A server certificate.
    pub(crate) fn server(
        &self,
        directory: &Directory,
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

    fn sign(
        &self,
        directory: &Directory,
        file: &str,
        params: &CertificateParams,
    ) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = certificate.with_context(|| format!("signing for `{file}`"))?;
        Ok(Identity {
            certificate: directory.write(&format!("{file}.crt"), &certificate.pem())?,
            key: directory.write(&format!("{file}.key"), &key.serialize_pem())?,
        })
    }
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
