//! The certificate of the webhooks: made here, kept in a Secret, told to the API server.
//!
//! Each replica does this by itself. They agree because the Secret wins: who cannot write it, as
//! another was quicker, takes what is there. What somebody edits is noticed by watching, and mended.

mod bundle;
mod pair;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use rustls::crypto::CryptoProvider;

use super::said::Said;
use crate::http::certificate::Certificate;
use crate::metrics;
use crate::net::clock;
use crate::source::kube::edits;

use bundle::{CONFIGURATION, CRD};
use pair::Pair;

/// Who we are among those who write fields, as MetalLB.
const FIELD_MANAGER: &str = "MetalLB";

/// How often to look, whatever happens.
const LOOK: Duration = Duration::from_hours(12);

/// How long to wait after something that failed. A webhook that is not believed holds up edits.
const RETRY: Duration = Duration::from_secs(5);

/// How often to look when the certificate is about to be made anew, or others write all the time.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the certificate is kept, and whose it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Names {
    /// Namespace of the Secret and the Service.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The Service of the webhooks.
    pub service: String,
}

impl Names {
    /// The name that the API server checks.
    fn host(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }
}

/// Where a certificate goes.
pub struct Shown {
    /// What the server shows.
    pub certificate: Arc<Certificate>,
    /// What reads it.
    pub provider: CryptoProvider,
    /// Where its end is shown.
    pub metrics: metrics::Controller,
}

/// Keeps the certificate good, and the API server informed, as long as the process lives.
pub async fn keep(client: Client, names: Names, shown: Shown) {
    let keeper = Keeper { client, names, shown, is_shown: None, told: None, elsewhere: None };
    keeper.run().await;
}

/// Somebody else wrote the same object since it was read, most often another replica.
#[derive(Debug, thiserror::Error)]
#[error("{0} was written by somebody else just now")]
struct Outrun(&'static str);

/// What a write that failed means; `what` is the kind of the object.
fn failed(error: &kube::Error, what: &'static str, name: &str) -> anyhow::Error {
    // The latter is what a JSON patch whose test fails is answered with.
    if matches!(error, kube::Error::Api(status) if matches!(status.code, 409 | 422)) {
        return Outrun(what).into();
    }
    anyhow!("writing {what} `{name}`: {}", Said(error))
}

fn unread(error: &kube::Error, what: &'static str, name: &str) -> anyhow::Error {
    anyhow!("reading {what} `{name}`: {}", Said(error))
}

struct Keeper {
    client: Client,
    names: Names,
    shown: Shown,
    /// What the server shows now.
    is_shown: Option<Pair>,
    /// What was complained of last.
    told: Option<String>,
    /// The namespace that is asked about settings in place of ours.
    elsewhere: Option<String>,
}

impl Keeper {
    async fn run(mut self) {
        let mut edits = self.edits();
        loop {
            let wait = match self.once(clock::wall()).await {
                Ok(wait) => {
                    self.told = None;
                    wait
                }
                Err(error) => self.tell(&error),
            };
            // Edits in quick succession, by two who do not agree, must not become a hot loop.
            tokio::time::sleep(PAUSE).await;
            let _ = tokio::time::timeout(wait, edits.next()).await;
        }
    }

    /// Says what failed, once. Returns how long to wait.
    fn tell(&mut self, error: &anyhow::Error) -> Duration {
        let text = format!("{error:#}");
        if self.told.as_ref() == Some(&text) {
            return RETRY;
        }
        let was_told = self.told.replace(text.clone()).is_some();
        if error.is::<Outrun>() && !was_told {
            tracing::debug!("certificate of the webhooks: {text}");
            return Duration::ZERO;
        }
        tracing::warn!("certificate of the webhooks: {text}; trying again");
        RETRY
    }

    /// Says once that another namespace is asked about settings: somebody runs there, who is not
    /// noticed by his Pods.
    fn tell_elsewhere(&mut self, elsewhere: Option<String>) {
        if self.elsewhere == elsewhere {
            return;
        }
        if let Some(theirs) = &elsewhere {
            let ours = &self.names.namespace;
            tracing::warn!(
                "the API server asks the namespace `{theirs}` about settings, not `{ours}`: a \
                 MetalLB or ferrolb seems to run there too; no two may serve the same Services: \
                 delete one, or give one of the two `--lb-class`"
            );
        }
        self.elsewhere = elsewhere;
    }

    /// Something for each change of what is written here. Only names and versions are watched.
    fn edits(&self) -> BoxStream<'static, ()> {
        fn of<K>(api: Api<PartialObjectMeta<K>>, name: &str) -> BoxStream<'static, ()>
        where
            K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static,
            K: serde::de::DeserializeOwned,
        {
            edits(api, Config::default().fields(&format!("metadata.name={name}")))
        }
        let Self { client, names, .. } = self;
        let secrets = Api::namespaced(client.clone(), &names.namespace);
        let configurations = Api::all(client.clone());
        let definitions = Api::all(client.clone());
        stream::select_all([
            of::<Secret>(secrets, &names.secret),
            of::<ValidatingWebhookConfiguration>(configurations, CONFIGURATION),
            of::<CustomResourceDefinition>(definitions, CRD),
        ])
        .boxed()
    }

    /// Makes everything as it should be at this time. Returns how long it stays so.
    async fn once(&mut self, now: SystemTime) -> anyhow::Result<Duration> {
        let pair = self.agree(now).await?;
        if self.is_shown.as_ref() != Some(&pair) {
            let Shown { certificate, provider, metrics } = &self.shown;
            certificate.show(&pair.certificate, &pair.key, provider)?;
            if let Some(at) = pair.expires() {
                metrics.certificate_expires(at);
            }
            tracing::info!(secret = self.names.secret, "certificate of the webhooks in use");
        }
        let elsewhere = bundle::tell(&self.client, &self.names.namespace, &pair.ca).await?;
        self.tell_elsewhere(elsewhere);
        let left = pair.expires().and_then(|end| (end - pair::AHEAD).duration_since(now).ok());
        self.is_shown = Some(pair);
        Ok(left.unwrap_or_default().min(LOOK))
    }

    /// What is in the Secret, after a good pair was put there if none was.
    async fn agree(&self, now: SystemTime) -> anyhow::Result<Pair> {
        let Names { namespace, secret: name, .. } = &self.names;
        let host = self.names.host();
        let api = Api::<Secret>::namespaced(self.client.clone(), namespace);
        let secret = api.get_opt(name).await.map_err(|error| unread(&error, "Secret", name))?;
        let before = secret.as_ref().and_then(|secret| Pair::read(secret.data.as_ref()?));
        let is_good = |pair: &Pair| {
            let provider = &self.shown.provider;
            let can_be_shown = Certificate::default().show(&pair.certificate, &pair.key, provider);
            pair.is_good(&host, now, provider) && can_be_shown.is_ok()
        };
        if let Some(pair) = before.clone().filter(is_good) {
            return Ok(pair);
        }
        let pair = Pair::make(before.as_ref(), &host, now, &self.shown.provider)
            .context("making a certificate")?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run: false };
        let written = match secret {
            // Its version is in it, so that this fails if another was quicker.
            Some(mut secret) => {
                secret.data.get_or_insert_default().extend(pair.data());
                api.replace(name, &params, &secret).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
                let data = Some(pair.data());
                api.create(&params, &Secret { metadata, data, ..Secret::default() }).await
            }
        };
        written.map_err(|error| failed(&error, "Secret", name))?;
        tracing::info!(secret = name, "certificate of the webhooks made");
        Ok(pair)
    }
}
