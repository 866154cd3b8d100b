//! List, watch, list again: what is there, and what is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::pin::pin;

use futures_util::{Stream, StreamExt as _};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, InitialListStrategy, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::SendError;

use super::reader::{
    Namespaces, Nodes, Reader, Secrets, Services, Settings, Slices, SpeakerPods, Statuses, Watched,
};
use super::{Kind, Scope, Seen};
use crate::parse::SERVICE_LABEL;
use crate::source::secret::BASIC_AUTH;

/// How many objects a list brings at once, where the server does not stream them.
const PAGE: u32 = 500;

/// Follows one kind in a task of its own.
pub(super) fn start(client: Client, scope: &Scope, kind: Kind, out: Sender<Seen>) {
    let scope = scope.clone();
    tokio::spawn(async move {
        // Lists that are streamed cost the server and us the least, where they are served.
        let mut how = InitialListStrategy::StreamingList;
        let mut mirror = Mirror { kind, out: out.clone(), is_unavailable: false };
        loop {
            let followed = follow(&client, &scope, kind, how, &mut mirror);
            tokio::select! {
                () = out.closed() => return,
                ended = followed => match ended {
                    Ok(Ended::Unserved) => how = InitialListStrategy::ListWatch,
                    // Nobody listens any more.
                    Err(SendError(_)) => return,
                }
            }
        }
    });
}

/// Why a kind is not followed any longer in this way.
enum Ended {
    /// The server does not stream lists.
    Unserved,
}

async fn follow(
    client: &Client,
    scope: &Scope,
    kind: Kind,
    how: InitialListStrategy,
    mirror: &mut Mirror,
) -> Result<Ended, SendError<Seen>> {
    let config = config(scope, kind, how);
    let client = client.clone();
    let here = &scope.namespace;
    let setting = |version: &'static str, name: &'static str| {
        let reader = Settings { api_version: version, kind: name };
        let resource = resource(&reader);
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), here, &resource);
        (api, reader)
    };
    const V1BETA1: &str = "metallb.io/v1beta1";
    match kind {
        Kind::BfdProfile => watch(setting(V1BETA1, "BFDProfile"), config, mirror).await,
        Kind::BgpAdvertisement => watch(setting(V1BETA1, "BGPAdvertisement"), config, mirror).await,
        Kind::BgpPeer => watch(setting("metallb.io/v1beta2", "BGPPeer"), config, mirror).await,
        Kind::Community => watch(setting(V1BETA1, "Community"), config, mirror).await,
        Kind::IpAddressPool => watch(setting(V1BETA1, "IPAddressPool"), config, mirror).await,
        Kind::L2Advertisement => watch(setting(V1BETA1, "L2Advertisement"), config, mirror).await,
        Kind::BgpStatus => {
            watch((Api::namespaced(client, here), status::<api::Bgp>()), config, mirror).await
        }
        Kind::ConfigurationState => {
            watch((Api::namespaced(client, here), status::<api::State>()), config, mirror).await
        }
        Kind::L2Status => {
            watch((Api::namespaced(client, here), status::<api::L2>()), config, mirror).await
        }
        Kind::EndpointSlice => watch((Api::all(client), Slices), config, mirror).await,
        Kind::Node => watch((Api::all(client), Nodes), config, mirror).await,
        Kind::Secret => watch((Api::namespaced(client, here), Secrets), config, mirror).await,
        Kind::Service => watch((Api::all(client), Services), config, mirror).await,
        Kind::SpeakerPod => {
            watch((Api::namespaced(client, here), SpeakerPods), config, mirror).await
        }
        Kind::Namespace => watch((Api::all(client), Namespaces), config, mirror).await,
    }
}

/// Short names for what we write.
mod api {
    pub(super) use crate::api::{
        ConfigurationState as State, ServiceBGPStatus as Bgp, ServiceL2Status as L2,
    };
}

fn status<K>() -> Statuses<K> {
    Statuses(PhantomData)
}

fn resource(settings: &Settings) -> ApiResource {
    let (group, version) = settings.api_version.split_once('/').unwrap_or_default();
    let plural = match settings.kind {
        // English has no rule for it.
        "Community" => "communities".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, version, settings.kind),
        &plural,
    )
}

/// Asks for no more than is read.
fn config(scope: &Scope, kind: Kind, how: InitialListStrategy) -> Config {
    let config = match how {
        InitialListStrategy::StreamingList => Config::default().streaming_lists(),
        InitialListStrategy::ListWatch => Config::default().page_size(PAGE),
    };
    let component = format!("metadata.name={}", scope.component);
    match (kind, &scope.node, &scope.speaker_labels) {
        (Kind::EndpointSlice, ..) => config.labels(SERVICE_LABEL),
        (Kind::Secret, ..) => config.fields(&format!("type={BASIC_AUTH}")),
        (Kind::ConfigurationState, ..) => config.fields(&component),
        (Kind::L2Status | Kind::BgpStatus, Some(node), _) => {
            config.labels(&format!("metallb.io/node={node}"))
        }
        (Kind::SpeakerPod, _, Some(labels)) => config.labels(labels),
        _ => config,
    }
}

async fn watch<R: Reader>(
    (api, reader): (Api<R::Object>, R),
    config: Config,
    mirror: &mut Mirror,
) -> Result<Ended, SendError<Seen>>
where
    R::Object: Watched,
{
    mirror.reflect(watcher(api, config), &reader).await
}

/// Tells what happens to one kind.
struct Mirror {
    kind: Kind,
    out: Sender<Seen>,
    /// It was said that the kind cannot be followed.
    is_unavailable: bool,
}

/// Namespace, if there is one, and name.
type Key = (Option<Box<str>>, Box<str>);

impl Mirror {
    /// Tells what `events` say, until the server turns out not to serve them in this way.
    async fn reflect<R: Reader>(
        &mut self,
        events: impl Stream<Item = watcher::Result<Event<R::Object>>> + Send,
        reader: &R,
    ) -> Result<Ended, SendError<Seen>> {
        let mut events = pin!(events.default_backoff());
        let mut known = Known { traces: BTreeMap::new(), listed: None };
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    self.is_unavailable = false;
                    for seen in known.take(event, reader, self.kind) {
                        self.out.send(seen).await?;
                    }
                }
                Err(error) if is_unserved(&error) => return Ok(Ended::Unserved),
                Err(error) => self.unavailable(&error).await?,
            }
        }
        // A watcher never ends; begin again if it does.
        Ok(Ended::Unserved)
    }

    async fn unavailable(&mut self, error: &watcher::Error) -> Result<(), SendError<Seen>> {
        if std::mem::replace(&mut self.is_unavailable, true) {
            return Ok(());
        }
        self.out.send(Seen::Unavailable(self.kind, cause(error))).await
    }
}

/// Why a kind cannot be followed, in words for those who can mend it.
fn cause(error: &watcher::Error) -> String {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        other => return format!("{:#}", anyhow::Error::msg(chain(other))),
    };
    match status.code {
        404 => "the kind is not served: apply the CustomResourceDefinitions".to_owned(),
        401 | 403 => format!("not allowed: {}", status.message),
        _ => status.message.clone(),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Whether the server refuses to stream a list, as older ones do.
fn is_unserved(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 422)
    )
}

/// The objects of a kind that were told of and are there.
struct Known<T> {
    traces: BTreeMap<Key, T>,
    /// During a list anew, what was in it so far.
    listed: Option<BTreeSet<Key>>,
}

impl<T: PartialEq> Known<T> {
    /// What an event says that is new.
    fn take<R>(&mut self, event: Event<R::Object>, reader: &R, kind: Kind) -> Vec<Seen>
    where
        R: Reader<Trace = T>,
    {
        match event {
            Event::Init => {
                self.listed = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(key(&object));
                }
                self.put(object, reader)
            }
            Event::Apply(object) => self.put(object, reader),
            Event::Delete(object) => self.forget(key(&object), reader).into_iter().collect(),
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let missing: Vec<_> =
                    self.traces.keys().filter(|key| !listed.contains(*key)).cloned().collect();
                let gone = missing.into_iter().filter_map(|key| self.forget(key, reader));
                gone.chain([Seen::Synced(kind)]).collect()
            }
        }
    }

    fn put<R: Reader<Trace = T>>(&mut self, object: R::Object, reader: &R) -> Vec<Seen> {
        let key = key(&object);
        let trace = reader.trace(&object);
        let is_other = self.traces.get(&key).is_some_and(|known| Some(known) != trace.as_ref());
        // An object that now belongs to another Service is gone for the one before.
        let gone = if is_other { self.forget(key.clone(), reader) } else { None };
        let there = trace.map(|trace| {
            self.traces.insert(key, trace);
            reader.put(object)
        });
        gone.into_iter().chain(there).collect()
    }

    fn forget<R: Reader<Trace = T>>(&mut self, key: Key, reader: &R) -> Option<Seen> {
        let trace = self.traces.remove(&key)?;
        let (namespace, name) = key;
        Some(reader.gone(namespace.map(String::from), name.into(), trace))
    }
}

fn key(object: &impl Watched) -> Key {
    let metadata = object.meta();
    let name = metadata.name.as_deref().unwrap_or_default().into();
    (metadata.namespace.as_deref().map(Into::into), name)
}

#[cfg(test)]
mod tests;
