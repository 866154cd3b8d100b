//! Objects of one kind, listed and watched.
//!
//! After any failure they are listed again: so a service account that may list and not watch them,
//! as MetalLB's own roles have it for Pods, sees them a little later.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use kube::runtime::watcher::{self, Event};
use tokio::time;

use crate::k8s::retry::chance;
use crate::k8s::said::Said;
use crate::told::Told;

/// After which time what failed is tried again, shortened by up to a half by chance.
const AGAIN: Duration = Duration::from_secs(5);

/// An object by its name, reduced to what is read of it; or what went wrong.
type News<V> = watcher::Result<Event<(String, V)>>;

/// Objects of one kind, as they were seen last.
pub(super) struct Listing<V> {
    /// What they are, in messages.
    what: &'static str,
    start: Box<dyn Fn() -> BoxStream<'static, News<V>> + Send + Sync>,
    events: BoxStream<'static, News<V>>,
    there: BTreeMap<String, V>,
    /// A list on its way.
    coming: BTreeMap<String, V>,
    is_known: bool,
    told: Told,
}

impl<V: Send + 'static> Listing<V> {
    /// Lists and watches what `start` gives, each object as `read` has it.
    pub(super) fn new<K: Send + 'static>(
        what: &'static str,
        start: impl Fn() -> BoxStream<'static, watcher::Result<Event<K>>> + Send + Sync + 'static,
        read: impl Fn(K) -> (String, V) + Clone + Send + Sync + 'static,
    ) -> Self {
        let start = move || {
            let read = read.clone();
            start().map(move |event| event.map(|event| reduced(event, &read))).boxed()
        };
        Self {
            what,
            events: start(),
            start: Box::new(start),
            there: BTreeMap::new(),
            coming: BTreeMap::new(),
            is_known: false,
            told: Told::default(),
        }
    }

    /// All of them; [`None`] before they have been seen once.
    pub(super) fn objects(&self) -> Option<impl Iterator<Item = &V>> {
        self.is_known.then(|| self.there.values())
    }

    /// Waits until there may be news. Nothing is lost if it is not waited for to the end.
    pub(super) async fn changed(&mut self) {
        match self.events.next().await {
            Some(Ok(event)) => {
                self.told = Told::default();
                self.take(event);
            }
            Some(Err(error)) => self.fail(&error),
            None => self.restart(),
        }
    }

    fn take(&mut self, event: Event<(String, V)>) {
        match event {
            Event::Init => self.coming.clear(),
            Event::InitApply((name, object)) => _ = self.coming.insert(name, object),
            Event::InitDone => {
                self.there = std::mem::take(&mut self.coming);
                self.is_known = true;
            }
            Event::Apply((name, object)) => _ = self.there.insert(name, object),
            Event::Delete((name, _)) => _ = self.there.remove(&name),
        }
    }

    fn fail(&mut self, error: &watcher::Error) {
        if let watcher::Error::InitialListFailed(kube::Error::Api(status)) = error
            && matches!(status.code, 403 | 404)
        {
            let (what, cause) = (self.what, Said(&kube::Error::Api(status.clone())).to_string());
            for cause in self.told.news([cause]) {
                tracing::warn!(
                    "a MetalLB that still runs is not noticed by its {what}: {cause}; let the \
                     service account get, list and watch them"
                );
            }
            // There is nothing to wait for.
            self.is_known = true;
        }
        self.restart();
    }

    fn restart(&mut self) {
        let pause = AGAIN - AGAIN / 2048 * u32::try_from(chance() % 1024).unwrap_or(0);
        let events = (self.start)();
        let later = stream::once(time::sleep(pause)).filter_map(async |()| None);
        self.events = later.chain(events).boxed();
    }
}

fn reduced<K, V>(event: Event<K>, read: impl Fn(K) -> V) -> Event<V> {
    match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(read(object)),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(read(object)),
        Event::Delete(object) => Event::Delete(read(object)),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn status(code: u16) -> kube::Error {
        kube::Error::Api(Status::failure("no", "No").with_code(code).boxed())
    }

    /// What is seen after each event, with `?` before anything was.
    async fn seen(events: Vec<watcher::Result<Event<&'static str>>>) -> Vec<String> {
        let count = events.len();
        let events = std::sync::Mutex::new(Some(events));
        let start = move || {
            let events = events.lock().unwrap().take().unwrap_or_default();
            stream::iter(events).chain(stream::pending()).boxed()
        };
        let mut listing = Listing::new("Pods", start, |name: &str| (name.to_owned(), name.len()));
        let mut seen = Vec::new();
        for _ in 0..count {
            listing.changed().await;
            let names = listing.is_known.then(|| listing.there.keys().cloned().collect::<Vec<_>>());
            seen.push(names.map_or_else(|| "?".to_owned(), |names| names.join(",")));
        }
        seen
    }

    #[tokio::test]
    async fn a_list_counts_when_it_is_whole_and_changes_at_once() {
        let events = vec![
            Ok(Event::Init),
            Ok(Event::InitApply("a")),
            Ok(Event::InitApply("b")),
            Ok(Event::InitDone),
            Ok(Event::Apply("c")),
            Ok(Event::Delete("a")),
            Ok(Event::Init),
            Ok(Event::InitApply("c")),
            Ok(Event::InitDone),
        ];
        assert_eq!(seen(events).await, ["?", "?", "?", "a,b", "a,b,c", "b,c", "b,c", "b,c", "c"]);
    }

    #[tokio::test]
    async fn what_failed_leaves_what_was_seen_and_what_is_forbidden_is_not_waited_for() {
        let rows = [
            ("away", status(503), "?"),
            ("forbidden", status(403), ""),
            ("not installed", status(404), ""),
        ];
        for (row, error, want) in rows {
            let failed = vec![Err(watcher::Error::InitialListFailed(error))];
            assert_eq!(seen(failed).await, [want], "{row}");
        }
        let failed = watcher::Error::WatchStartFailed(status(403));
        let events =
            vec![Ok(Event::Init), Ok(Event::InitApply("a")), Ok(Event::InitDone), Err(failed)];
        assert_eq!(seen(events).await[3], "a", "list allowed, watch forbidden");
    }
}
