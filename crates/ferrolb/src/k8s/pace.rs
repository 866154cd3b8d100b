//! A watch that ends at once is not begun again at once, and again.
//!
//! The library begins a watch anew as soon as it has ended, without a word. That is right for one
//! that the server ends after some minutes, as it does. Something on the way that ends each at once
//! would be asked without a pause.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, Uri};
use kube::client::Body;
use proto::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use crate::net::clock::Clock;

/// A watch that is begun again within this time has ended too early.
const EARLY: Duration = Duration::from_secs(1);

/// How often that may happen in a row without a pause: a server that does not stream lists is asked
/// for a watch twice.
const FREE: u32 = 2;

/// The first pause; they double.
const FIRST: Duration = Duration::from_millis(250);

/// The longest pause, by which a change may be seen too late.
const LONGEST: Duration = Duration::from_secs(2);

/// Makes a client that paces its watches.
#[derive(Clone, Debug)]
pub(super) struct PaceLayer {
    clock: Clock,
    paces: Arc<Mutex<Paces>>,
}

impl PaceLayer {
    pub(super) fn new() -> Self {
        Self { clock: Clock::start(), paces: Arc::default() }
    }
}

impl<S> Layer<S> for PaceLayer {
    type Service = Paced<S>;

    fn layer(&self, inner: S) -> Paced<S> {
        Paced { inner, layer: self.clone() }
    }
}

/// A client that paces its watches.
pub(super) struct Paced<S> {
    inner: S,
    layer: PaceLayer,
}

impl<S> Service<Request<Body>> for Paced<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let PaceLayer { clock, paces } = &self.layer;
        let pause = match is_watch(request.uri()) {
            true => {
                let mut paces = paces.lock().unwrap_or_else(PoisonError::into_inner);
                paces.begin(request.uri().path(), clock.now())
            }
            false => Duration::ZERO,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            answer.await
        })
    }
}

fn is_watch(uri: &Uri) -> bool {
    let parameters = uri.query().unwrap_or_default().split('&');
    parameters.into_iter().any(|parameter| matches!(parameter, "watch=true" | "watch=1"))
}

/// When the watches of each path were begun. There are as many as kinds are followed.
#[derive(Debug, Default)]
struct Paces(BTreeMap<String, Pace>);

#[derive(Debug)]
struct Pace {
    begun: Instant,
    /// How many ended early since one did not.
    early: u32,
}

impl Paces {
    /// How long to wait before a watch of `path` that is asked for at `now`.
    fn begin(&mut self, path: &str, now: Instant) -> Duration {
        let Some(pace) = self.0.get_mut(path) else {
            self.0.insert(path.to_owned(), Pace { begun: now, early: 0 });
            return Duration::ZERO;
        };
        let is_early = now < pace.begun + EARLY;
        pace.early = if is_early { pace.early.saturating_add(1) } else { 0 };
        let pause = match pace.early.checked_sub(FREE) {
            None | Some(0) => Duration::ZERO,
            Some(count) => LONGEST.min(FIRST * (1 << (count - 1).min(16))),
        };
        pace.begun = now + pause;
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_that_end_at_once_come_slower_and_slower() {
        let mut paces = Paces::default();
        let mut now = Instant::START;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let pause = paces.begin("/api/v1/services", now);
            pauses.push(pause.as_millis());
            now = now + pause + Duration::from_millis(5);
        }
        assert_eq!(pauses, [0, 0, 0, 250, 500, 1000, 2000, 2000, 2000]);
        assert_eq!(paces.begin("/api/v1/nodes", now), Duration::ZERO, "each has its own pace");
        now = now + EARLY;
        assert_eq!(paces.begin("/api/v1/services", now), Duration::ZERO, "one lasted");
        assert_eq!(paces.begin("/api/v1/services", now), Duration::ZERO);
    }

    #[test]
    fn only_watches_are_paced() {
        let rows = [
            ("/api/v1/services?watch=true&timeoutSeconds=290", true),
            ("/api/v1/services?&timeoutSeconds=290&watch=1", true),
            ("/api/v1/services?limit=100", false),
            ("/api/v1/watch=true", false),
        ];
        for (uri, want) in rows {
            assert_eq!(is_watch(&uri.parse().unwrap()), want, "{uri}");
        }
    }
}
