//! One kind followed: what is there, what changes, what is gone.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Debug;
use std::iter;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use kube::Resource;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use planner::names::ServiceName;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time;

use super::backoff::Backoff;
use super::changes::{Changes, Listing};
use super::obstacles::Obstacles;
use super::{Kind, Seen, StatusObject};
use crate::net::memory;
use crate::source::object::{Misfit, ObjectName};

/// A list that comes as a stream and has not gone on for so long is asked for in pages instead:
/// old servers take the request for a watch, which never says that the list is whole.
const STREAM_PATIENCE: Duration = Duration::from_secs(20);

/// After so many things were said memory lies about that is not used any more.
const MANY: usize = 1_000;

/// How long nothing must have been said before that is cleaned up.
const QUIET: Duration = Duration::from_secs(5);

/// After so many failed attempts in a row, which take from three to six seconds, it is said that the
/// server is in no state to answer. One that restarts is back before.
const PATIENCE: u32 = 4;

/// The code of an answer to a request that the service account may not make.
const FORBIDDEN: u16 = 403;

/// How often what may not be watched is listed. MetalLB's own roles have it so for Pods.
const LIST_AGAIN: Duration = Duration::from_secs(5);

/// Follows one kind until nobody listens.
pub(super) async fn run<K, F>(api: Api<K>, config: watcher::Config, read: F, teller: Teller)
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    F: Fn(K) -> Result<Option<Seen>, Misfit>,
{
    let closed = teller.sender.clone();
    let mut follower = Follower::new(read, teller);
    let follow = async { while let Ok(InPages) = follower.follow(&api, &config).await {} };
    // A quiet watch would not notice otherwise.
    match select(pin!(follow), pin!(closed.closed())).await {
        Either::Left(_) | Either::Right(_) => (),
    }
}

/// Nobody listens any more.
struct Deaf;

/// The server does not stream lists, or not to us: they are asked for in pages.
struct InPages;

/// What is known of an object that is there.
struct Known {
    /// The list that it was seen in, or after.
    round: u32,
    /// For a slice, the name of its Service.
    service: Option<Box<str>>,
}

/// Tells what is seen of one kind.
pub(super) struct Teller {
    kind: Kind,
    sender: mpsc::Sender<Seen>,
    obstacles: Obstacles,
}

struct Follower<F> {
    kind: Kind,
    read: F,
    teller: Teller,
    /// What is there, by `namespace/name`.
    known: HashMap<Box<str>, Known>,
    /// Counts the lists.
    round: u32,
    /// A list has begun and is not whole.
    is_listing: bool,
    listing: Listing,
    is_unavailable: bool,
    /// Attempts that failed since something was seen.
    failures: u32,
    backoff: Backoff,
    /// How much was said since memory was given back.
    said: usize,
}

impl Teller {
    pub(super) fn new(kind: Kind, sender: mpsc::Sender<Seen>, obstacles: Obstacles) -> Self {
        Self { kind, sender, obstacles }
    }

    async fn say(&self, seen: Seen) -> Result<(), Deaf> {
        self.sender.send(seen).await.map_err(|_| Deaf)
    }

    /// Says what is in the way, unless it has been said of another kind.
    async fn complain(&self, reason: Reason) -> Result<(), Deaf> {
        let is_news = match &reason {
            Reason::OfKind(_) => true,
            Reason::OfAll(cause) => self.obstacles.meet(self.kind, cause),
        };
        let (Reason::OfKind(text) | Reason::OfAll(text)) = reason;
        match is_news {
            true => self.say(Seen::Unavailable(self.kind, text)).await,
            false => Ok(()),
        }
    }
}

impl<F> Follower<F> {
    fn new(read: F, teller: Teller) -> Self {
        Self {
            kind: teller.kind,
            read,
            teller,
            known: HashMap::new(),
            round: 0,
            is_listing: false,
            listing: Listing::Streamed,
            is_unavailable: false,
            failures: 0,
            backoff: Backoff::new(),
            said: 0,
        }
    }

    async fn follow<K>(&mut self, api: &Api<K>, config: &watcher::Config) -> Result<InPages, Deaf>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
        F: Fn(K) -> Result<Option<Seen>, Misfit>,
    {
        self.is_listing = false;
        let mut changes = Changes::new(api.clone(), config.clone(), self.listing);
        loop {
            let is_streaming = self.listing == Listing::Streamed;
            let next = match self.is_listing && is_streaming {
                true => time::timeout(STREAM_PATIENCE, changes.next()).await.ok(),
                false => Some(self.await_next(&mut changes).await),
            };
            match next {
                Some(Ok(event)) => self.take(event).await?,
                Some(Err(error)) if !is_streaming && is_watch_forbidden(&error) => {
                    tracing::debug!(kind = %self.kind, "it may not be watched, and is listed again");
                    time::sleep(LIST_AGAIN).await;
                    changes.list_again();
                }
                Some(Err(error)) if !(is_streaming && is_refusal(&error)) => {
                    self.fail(&error).await?;
                }
                Some(Err(_)) | None => {
                    self.listing = Listing::InPages;
                    return Ok(InPages);
                }
            }
        }
    }

    /// Waits for the next event, and cleans up meanwhile. Who stopped to wait for it would lose what
    /// is known of the list or watch.
    async fn await_next<K>(&mut self, changes: &mut Changes<K>) -> Result<Event<K>, watcher::Error>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let mut next = pin!(changes.next());
        if self.said >= MANY {
            if let Ok(event) = time::timeout(QUIET, next.as_mut()).await {
                return event;
            }
            self.said = 0;
            memory::give_back();
        }
        next.await
    }

    async fn take<K>(&mut self, event: Event<K>) -> Result<(), Deaf>
    where
        K: Resource,
        F: Fn(K) -> Result<Option<Seen>, Misfit>,
    {
        match event {
            Event::Init => {
                self.is_listing = true;
                self.round = self.round.wrapping_add(1);
                return Ok(());
            }
            Event::InitApply(object) => return self.put(object).await,
            Event::Apply(object) => self.put(object).await?,
            Event::Delete(object) => {
                if let Some(known) = self.known.remove(&*key(&object)) {
                    self.say(gone(self.kind, &key(&object), known.service.as_deref())).await?;
                }
            }
            Event::InitDone => {
                self.is_listing = false;
                self.forget_the_unseen().await?;
                self.say(Seen::Synced(self.kind)).await?;
            }
        }
        self.works_again();
        Ok(())
    }

    async fn put<K>(&mut self, object: K) -> Result<(), Deaf>
    where
        K: Resource,
        F: Fn(K) -> Result<Option<Seen>, Misfit>,
    {
        let key = key(&object);
        let read = (self.read)(object);
        let before = self.known.remove(&key).and_then(|known| known.service);
        let service: Option<Box<str>> = match &read {
            Ok(Some(Seen::Slice { service, .. })) => Some((*service.name).into()),
            // What it belonged to is not known to be wrong.
            Err(_) => before.clone(),
            Ok(_) => None,
        };
        // A slice that is labelled anew leaves the Service that it belonged to.
        if let Some(left) = before.filter(|left| service.as_ref() != Some(left)) {
            self.say(gone(self.kind, &key, Some(&left))).await?;
        }
        let seen = match read {
            Ok(Some(seen)) => seen,
            Ok(None) => return Ok(()),
            Err(misfit) => Seen::Misfit(object_name(self.kind, &key), misfit),
        };
        self.known.insert(key, Known { round: self.round, service });
        self.say(seen).await
    }

    /// What a whole list leaves out is gone.
    async fn forget_the_unseen(&mut self) -> Result<(), Deaf> {
        let round = self.round;
        let unseen: Vec<_> = self.known.extract_if(|_, known| known.round < round).collect();
        for (key, known) in unseen {
            self.say(gone(self.kind, &key, known.service.as_deref())).await?;
        }
        Ok(())
    }

    fn works_again(&mut self) {
        if self.failures > 0 {
            self.teller.obstacles.pass(self.kind);
        }
        self.failures = 0;
        self.is_unavailable = false;
        self.backoff.reset();
    }

    /// Says what is in the way, once, and waits.
    async fn fail(&mut self, error: &watcher::Error) -> Result<(), Deaf> {
        self.failures = self.failures.saturating_add(1);
        if let Some(reason) = reason(self.kind, error).filter(|_| !self.is_unavailable) {
            match reason {
                Reason::OfAll(cause) if self.failures < PATIENCE => {
                    tracing::debug!(kind = %self.kind, "{cause}");
                }
                reason => {
                    self.is_unavailable = true;
                    self.teller.complain(reason).await?;
                }
            }
        }
        time::sleep(self.backoff.next()).await;
        Ok(())
    }

    async fn say(&mut self, seen: Seen) -> Result<(), Deaf> {
        self.said = self.said.saturating_add(1);
        self.teller.say(seen).await
    }
}

/// `namespace/name`, or `name` where there is no namespace.
fn key(object: &impl Resource) -> Box<str> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    match object.meta().namespace.as_deref() {
        Some(namespace) => format!("{namespace}/{name}").into(),
        None => name.into(),
    }
}

fn object_name(kind: Kind, key: &str) -> ObjectName {
    let (namespace, name) = match key.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, key),
    };
    ObjectName { kind: kind.as_str(), namespace, name: name.to_owned() }
}

/// What is said of an object that is no more; of a slice, with the Service that it belonged to.
fn gone(kind: Kind, key: &str, service: Option<&str>) -> Seen {
    let object = object_name(kind, key);
    let namespace = object.namespace.clone().unwrap_or_default();
    match kind {
        Kind::Service => Seen::Service(ServiceName::new(namespace, object.name), None),
        Kind::EndpointSlice => {
            let service = ServiceName::new(namespace, service.unwrap_or_default());
            Seen::Slice { service, slice: object.name, endpoints: None }
        }
        Kind::SpeakerPod => Seen::SpeakerPod { pod: object.name, node: None },
        Kind::ConfigurationState | Kind::ServiceBGPStatus | Kind::ServiceL2Status => {
            Seen::Status(Box::new(StatusObject::Gone(object)))
        }
        Kind::BFDProfile
        | Kind::BGPAdvertisement
        | Kind::BGPPeer
        | Kind::Community
        | Kind::IPAddressPool
        | Kind::L2Advertisement
        | Kind::Namespace
        | Kind::Node
        | Kind::Secret => Seen::Gone(object),
    }
}

/// Whether the server said that it does not stream lists.
fn is_refusal(error: &watcher::Error) -> bool {
    // What an unknown combination of parameters is answered with. Who may not watch may list.
    matches!(refused_watch(error), Some(400 | 422 | FORBIDDEN))
}

fn is_watch_forbidden(error: &watcher::Error) -> bool {
    refused_watch(error) == Some(FORBIDDEN)
}

/// The code with which a watch was refused.
fn refused_watch(error: &watcher::Error) -> Option<u16> {
    let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else { return None };
    Some(status.code)
}

/// What it comes down to: what is around it only says that a request failed.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error)
}

/// Why a kind cannot be followed, and how to mend it.
#[derive(Debug, Eq, PartialEq)]
enum Reason {
    /// Somebody has to do something about this kind.
    OfKind(String),
    /// The server is in no state to serve it, or any other kind; that may pass.
    OfAll(String),
}

/// [`None`] for a watch that merely ended.
fn reason(kind: Kind, error: &watcher::Error) -> Option<Reason> {
    use watcher::Error as E;
    let plural = kind.plural();
    let cause = match error {
        E::InitialListFailed(cause) | E::WatchStartFailed(cause) => cause,
        // Asked for anew, which tells more.
        E::WatchError(_) | E::WatchFailed(_) => return None,
        E::NoResourceVersion => {
            let reason = format!("following {plural}: the API server does not watch them");
            return Some(Reason::OfKind(reason));
        }
    };
    let kube::Error::Api(status) = cause else {
        let reason = format!("asking the API server: {}; it is tried again", root(cause));
        return Some(Reason::OfAll(reason));
    };
    let message = status.message.trim();
    Some(match status.code {
        403 => Reason::OfKind(format!(
            "following {plural}: {message}; allow get, list and watch of them to the service account"
        )),
        404 => Reason::OfKind(format!(
            "following {plural}: the API server does not know them; install the \
             CustomResourceDefinition of {kind}"
        )),
        410 => return None,
        // Each kind has words of its own for the same state of the server.
        429 => Reason::OfAll(String::from(
            "the API server has too much to do, or is not ready yet (429); it is tried again",
        )),
        code @ 500.. => Reason::OfAll(format!(
            "the API server cannot answer now: {} ({code}); it is tried again",
            status.reason
        )),
        code => {
            Reason::OfKind(format!("following {plural}: {message} ({code}); it is tried again"))
        }
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{StatusCode, Uri};
    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::{Value, json};

    use super::super::raw::Raw;
    use super::super::reduce;
    use super::*;

    /// What is said after each of `events`, in short.
    fn said(kind: Kind, events: Vec<Event<Raw>>) -> Vec<Vec<String>> {
        let (sender, mut receiver) = mpsc::channel(100);
        let read = move |raw| reduce::object(kind, raw);
        let teller = Teller::new(kind, sender, Obstacles::default());
        let mut follower = Follower::new(read, teller);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut said = Vec::new();
        for event in events {
            assert!(runtime.block_on(follower.take(event)).is_ok());
            let mut now = Vec::new();
            while let Ok(seen) = receiver.try_recv() {
                now.push(short(&seen));
            }
            said.push(now);
        }
        said
    }

    fn short(seen: &Seen) -> String {
        match seen {
            Seen::Put(object) => format!("+{}", object.name().unwrap()),
            Seen::Gone(name) => format!("-{name}"),
            Seen::Misfit(name, _) => format!("?{name}"),
            Seen::Slice { service, slice, endpoints } => {
                let sign = if endpoints.is_some() { '+' } else { '-' };
                format!("{sign}{slice} of {service}")
            }
            Seen::Synced(_) => "synced".to_owned(),
            Seen::Service(..)
            | Seen::SpeakerPod { .. }
            | Seen::Status(_)
            | Seen::Unavailable(..) => format!("{seen:?}"),
        }
    }

    fn raw(value: Value) -> Raw {
        serde_json::from_value(value).unwrap()
    }

    fn pool(name: &str) -> Raw {
        let metadata = json!({"name": name, "namespace": "m"});
        raw(json!({"metadata": metadata, "spec": {"addresses": ["192.0.2.0/24"]}}))
    }

    fn broken(name: &str) -> Raw {
        raw(json!({"metadata": {"name": name, "namespace": "m"}, "spec": 1}))
    }

    fn slice(service: &str) -> Raw {
        let labels = json!({"kubernetes.io/service-name": service});
        raw(json!({"metadata": {"name": "x", "namespace": "shop", "labels": labels}}))
    }

    #[test]
    fn only_a_whole_list_makes_what_it_leaves_out_gone() {
        use Event::{Init, InitApply, InitDone};
        let said = said(
            Kind::IPAddressPool,
            vec![
                Init,
                InitApply(pool("a")),
                InitApply(pool("b")),
                InitApply(broken("c")),
                InitDone,
                // The list breaks off: nothing is known of `b` and `c`.
                Init,
                InitApply(pool("a")),
                Init,
                InitApply(pool("a")),
                InitApply(broken("c")),
                InitDone,
                Init,
                InitDone,
            ],
        );
        let [a, b, c] = ["a", "b", "c"].map(|name| format!("IPAddressPool/m/{name}"));
        assert_eq!(
            said[..5].concat(),
            [format!("+{a}"), format!("+{b}"), format!("?{c}"), "synced".to_owned()]
        );
        assert_eq!(said[5..10].concat(), [format!("+{a}"), format!("+{a}"), format!("?{c}")]);
        assert_eq!(said[10], [format!("-{b}"), "synced".to_owned()]);
        let mut last = said[12].clone();
        last.sort();
        assert_eq!(last, [format!("-{a}"), format!("-{c}"), "synced".to_owned()]);
    }

    #[test]
    fn a_slice_that_is_labelled_anew_leaves_its_service() {
        let said = said(
            Kind::EndpointSlice,
            vec![
                Event::Apply(slice("web")),
                Event::Apply(slice("api")),
                Event::Apply(slice("")),
                Event::Apply(slice("web")),
                // The server tells the last state that was followed.
                Event::Delete(slice("web")),
                Event::Delete(slice("web")),
            ],
        );
        let rows: [&[&str]; 6] = [
            &["+x of shop/web"],
            &["-x of shop/web", "+x of shop/api"],
            &["-x of shop/api"],
            &["+x of shop/web"],
            &["-x of shop/web"],
            &[],
        ];
        assert_eq!(said, rows);
    }

    #[test]
    fn what_may_not_be_watched_is_listed() {
        let server = Router::new().fallback(async |uri: Uri| {
            let is_watch = uri.query().is_some_and(|query| query.contains("watch="));
            let no =
                json!({"status": "Failure", "code": 403, "message": "no", "reason": "Forbidden"});
            let list = json!({
                "apiVersion": "v1", "kind": "NamespaceList",
                "metadata": {"resourceVersion": "5"}, "items": [{"metadata": {"name": "a"}}],
            });
            match is_watch {
                true => (StatusCode::FORBIDDEN, no.to_string()),
                false => (StatusCode::OK, list.to_string()),
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let seen = runtime.block_on(async {
            let api: Api<Namespace> = Api::all(kube::Client::new(server, "default"));
            let (sender, mut receiver) = mpsc::channel(100);
            let teller = Teller::new(Kind::Namespace, sender, Obstacles::default());
            let follow = run(api, watcher::Config::default(), |_| Ok(None), teller);
            match select(pin!(follow), pin!(receiver.recv())).await {
                Either::Left(((), _)) => None,
                Either::Right((seen, _)) => seen,
            }
        });
        assert_eq!(seen, Some(Seen::Synced(Kind::Namespace)));
    }

    #[test]
    fn what_is_in_the_way_is_told_with_what_to_do() {
        let failed = |code: u16| {
            let status = kube::core::Status {
                code,
                message: "no".to_owned(),
                reason: "gone".to_owned(),
                ..Default::default()
            };
            watcher::Error::InitialListFailed(kube::Error::Api(status.boxed()))
        };
        let of_kind = |text: &str| Some(Reason::OfKind(text.to_owned()));
        let of_all = |text: &str| Some(Reason::OfAll(text.to_owned()));
        let rows = [
            (
                403,
                of_kind(
                    "following communities: no; allow get, list and watch of them to the service account",
                ),
            ),
            (
                404,
                of_kind(
                    "following communities: the API server does not know them; install the CustomResourceDefinition of Community",
                ),
            ),
            (410, None),
            (
                429,
                of_all(
                    "the API server has too much to do, or is not ready yet (429); it is tried again",
                ),
            ),
            (503, of_all("the API server cannot answer now: gone (503); it is tried again")),
        ];
        for (code, want) in rows {
            assert_eq!(reason(Kind::Community, &failed(code)), want, "{code}");
        }
    }
}
