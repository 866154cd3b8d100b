//! What is there of one kind, and what changes: one watch after another.
//!
//! Like `kube::runtime::watcher`, whose events and errors it has, but it does not rely on an API
//! server that is well:
//!
//! - What is there is asked for as it is now. Asked for since version 0, a replica of the API server
//!   that lags answers with what was there some time ago; what came since then would be gone.
//! - A watch that ends as soon as it was opened has failed: whoever pauses after failures does not
//!   ask without end.
//! - A version that the server does not have any more, however it says so, is not asked for again.
//! - The rest of a list that has expired is not asked for page by page again and again.
//! - After an event that cannot be read, the watch goes on behind the one before it.

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io::ErrorKind;
use std::time::Duration;
use std::{mem, vec};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::runtime::watcher::{Config, Error, Event};
use kube::{Resource, ResourceExt as _};
use proto::time::Instant;
use serde::de::DeserializeOwned;
use tokio::time;

use super::backoff::Backoff;
use crate::k8s::pages;
use crate::net::clock::Clock;

/// The server ends each watch by itself before this time has passed. A watch that says nothing for
/// so long has lost its connection.
const SILENCE: Duration = Duration::from_secs(300);

/// A watch that lasted shorter than this has failed.
const BRIEF: Duration = Duration::from_secs(1);

/// What says in a bookmark that a list which comes as a stream is whole.
const WHOLE: &str = "k8s.io/initial-events-end";

/// How a list comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Listing {
    /// As the begin of a watch.
    Streamed,
    /// In pages, from servers that do not stream.
    InPages,
}

/// The changes of one kind.
pub(super) struct Changes<K> {
    api: Api<K>,
    config: Config,
    listing: Listing,
    paging: Paging,
    clock: Clock,
    state: State<K>,
}

/// How much is asked for at once in a list that does not come as a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Paging {
    Pages,
    /// All, since the rest of the last list had expired when it was asked for.
    All,
}

enum State<K> {
    /// Nothing is known.
    New,
    /// A page of a list was got.
    Page { objects: vec::IntoIter<K>, rest: Rest },
    /// All is known up to a version.
    Known(String),
    /// A watch is open. Without a version, what is there has not been seen as a whole.
    Open {
        events: BoxStream<'static, kube::Result<WatchEvent<K>>>,
        since: Instant,
        version: Option<String>,
    },
}

/// What comes after a page.
enum Rest {
    /// The page that is asked for with this; the first one without.
    More(Option<String>),
    /// Nothing: this is the version of the list.
    None(String),
}

/// Nothing to tell if there is no event yet.
type Step<K> = (Option<Result<Event<K>, Error>>, State<K>);

/// Something for each change of the few objects that `config` selects, and for each whole list of
/// them. Pauses after failures; ends never.
pub fn edits<K>(api: Api<K>, config: Config) -> BoxStream<'static, ()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let changes = Changes::new(api, config, Listing::InPages);
    let edits = stream::unfold((changes, Backoff::new()), async |(mut changes, mut backoff)| {
        loop {
            match changes.next().await {
                Ok(Event::Init | Event::InitApply(_)) => (),
                Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => {
                    backoff.reset();
                    return Some(((), (changes, backoff)));
                }
                Err(error) => {
                    tracing::debug!(%error, "watching for edits");
                    time::sleep(backoff.next()).await;
                }
            }
        }
    });
    edits.boxed()
}

/// Each change of what `config` selects, and each failure, after which the next list or watch is
/// tried at once: pauses are up to the caller. Ends never.
pub fn changes<K>(api: Api<K>, config: Config) -> BoxStream<'static, Result<Event<K>, Error>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let changes = Changes::new(api, config, Listing::InPages);
    let events = stream::unfold(changes, async |mut changes| Some((changes.next().await, changes)));
    events.boxed()
}

impl<K> Changes<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    pub(super) fn new(api: Api<K>, config: Config, listing: Listing) -> Self {
        let (paging, clock) = (Paging::Pages, Clock::start());
        Self { api, config, listing, paging, clock, state: State::New }
    }

    /// Lists what is there, whatever is known of it: for what may not be watched.
    pub(super) fn list_again(&mut self) {
        self.state = State::New;
    }

    /// The next event. Goes on after an error where that is possible, and at once: pauses are up to
    /// the caller. Whoever does not wait for it to the end gets a new list next.
    pub(super) async fn next(&mut self) -> Result<Event<K>, Error> {
        loop {
            let (event, state) = match mem::replace(&mut self.state, State::New) {
                State::New => self.begin().await,
                State::Page { objects, rest } => self.page(objects, rest).await,
                State::Known(version) => self.resume(version).await,
                State::Open { mut events, since, version } => {
                    let next = time::timeout(SILENCE, events.next()).await;
                    match next.ok().flatten() {
                        Some(Ok(event)) => take(event, events, since, version),
                        Some(Err(error)) => (Some(Err(Error::WatchFailed(error))), after(version)),
                        None => self.ended(since, version),
                    }
                }
            };
            self.state = state;
            if let Some(event) = event {
                return event;
            }
        }
    }

    async fn begin(&mut self) -> Step<K> {
        if self.listing == Listing::InPages {
            let state = State::Page { objects: Vec::new().into_iter(), rest: Rest::More(None) };
            return (Some(Ok(Event::Init)), state);
        }
        // No version: as it is now.
        match self.api.watch(&self.watch_params(), "").await {
            Ok(events) => (Some(Ok(Event::Init)), self.open(events.boxed(), None)),
            Err(error) => (Some(Err(Error::WatchStartFailed(error))), State::New),
        }
    }

    async fn page(&mut self, mut objects: vec::IntoIter<K>, rest: Rest) -> Step<K> {
        if let Some(object) = objects.next() {
            return (Some(Ok(Event::InitApply(object))), State::Page { objects, rest });
        }
        let token = match rest {
            Rest::None(version) => return (Some(Ok(Event::InitDone)), State::Known(version)),
            Rest::More(token) => token,
        };
        let params = ListParams { continue_token: token, ..self.list_params() };
        let page = match self.api.list(&params).await {
            Ok(page) => page,
            Err(error) => {
                if params.continue_token.is_some() && pages::is_expired(&error) {
                    self.paging = Paging::All;
                }
                return (Some(Err(Error::InitialListFailed(error))), State::New);
            }
        };
        let full = |text: Option<String>| text.filter(|text| !text.is_empty());
        let rest = match (full(page.metadata.continue_), full(page.metadata.resource_version)) {
            (Some(token), _) => Rest::More(Some(token)),
            (None, Some(version)) => {
                self.paging = Paging::Pages;
                Rest::None(version)
            }
            (None, None) => return (Some(Err(Error::NoResourceVersion)), State::New),
        };
        (None, State::Page { objects: page.items.into_iter(), rest })
    }

    async fn resume(&mut self, version: String) -> Step<K> {
        let params = WatchParams { send_initial_events: false, ..self.watch_params() };
        match self.api.watch(&params, &version).await {
            Ok(events) => (None, self.open(events.boxed(), Some(version))),
            Err(error) => {
                let is_lost = matches!(&error, kube::Error::Api(status) if is_lost(status));
                let state = if is_lost { State::New } else { State::Known(version) };
                (Some(Err(Error::WatchStartFailed(error))), state)
            }
        }
    }

    fn ended(&self, since: Instant, version: Option<String>) -> Step<K> {
        let is_brief = self.clock.now() < since + BRIEF;
        let failure = || {
            let error = kube::Error::ReadEvents(ErrorKind::UnexpectedEof.into());
            Err(Error::WatchFailed(error))
        };
        ((is_brief || version.is_none()).then(failure), after(version))
    }

    fn open(
        &self,
        events: BoxStream<'static, kube::Result<WatchEvent<K>>>,
        version: Option<String>,
    ) -> State<K> {
        State::Open { events, since: self.clock.now(), version }
    }

    fn watch_params(&self) -> WatchParams {
        WatchParams {
            label_selector: self.config.label_selector.clone(),
            field_selector: self.config.field_selector.clone(),
            ..WatchParams::streaming_lists()
        }
    }

    fn list_params(&self) -> ListParams {
        ListParams {
            label_selector: self.config.label_selector.clone(),
            field_selector: self.config.field_selector.clone(),
            limit: self.config.page_size.filter(|_| self.paging == Paging::Pages),
            ..ListParams::default()
        }
    }
}

/// Takes an event of an open watch.
fn take<K: Resource>(
    event: WatchEvent<K>,
    events: BoxStream<'static, kube::Result<WatchEvent<K>>>,
    since: Instant,
    version: Option<String>,
) -> Step<K> {
    let (event, version) = match event {
        WatchEvent::Error(status) => {
            let state = if is_lost(&status) { State::New } else { after(version) };
            return (Some(Err(Error::WatchError(status))), state);
        }
        WatchEvent::Bookmark(mark) => {
            let is_end = version.is_none() && mark.metadata.annotations.contains_key(WHOLE);
            let is_known = is_end || version.is_some();
            (is_end.then_some(Event::InitDone), is_known.then_some(mark.metadata.resource_version))
        }
        WatchEvent::Added(object) | WatchEvent::Modified(object) => match version {
            None => (Some(Event::InitApply(object)), None),
            Some(before) => {
                let version = object.resource_version().unwrap_or(before);
                (Some(Event::Apply(object)), Some(version))
            }
        },
        WatchEvent::Deleted(object) => {
            let version = version.map(|before| object.resource_version().unwrap_or(before));
            (Some(Event::Delete(object)), version)
        }
    };
    (event.map(Ok), State::Open { events, since, version })
}

/// Where to go on.
fn after<K>(version: Option<String>) -> State<K> {
    version.map_or(State::New, State::Known)
}

/// Whether the server does not have a version: it is too old for it, or the server was set back.
fn is_lost(status: &Status) -> bool {
    status.code == 410 || status.message.contains("Too large resource version")
}
