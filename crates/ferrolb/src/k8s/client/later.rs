//! Answers that say when to ask again.
//!
//! An API server that is overloaded, or a load balancer before it, says so with `Retry-After`. The
//! answer is held back for so long: whoever asked learns of the refusal when it may ask again, and
//! its own pause after a failure comes on top. So this is honoured in one place, whatever is asked.
//! What cannot wait, such as the lease, gives up waiting by its own limit.

use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{Response, StatusCode};
use tokio::time;
use tower::BoxError;

use crate::k8s::retry::chance;

/// How long an answer is held back at most: it has to arrive within [`super::WRITE_TIMEOUT`].
const LONGEST: Duration = Duration::from_secs(7);

/// Hands the answer on when it is time to ask again.
pub(super) async fn hold<B>(response: Response<B>) -> Result<Response<B>, BoxError> {
    if let Some(pause) = pause(&response, chance()) {
        time::sleep(pause).await;
    }
    Ok(response)
}

/// How long to hold it back; up to a quarter more than it says, by `chance`, so that not all who
/// were refused together ask again together.
fn pause<B>(response: &Response<B>, chance: u64) -> Option<Duration> {
    let status = response.status();
    if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
        return None;
    }
    // Kubernetes says it in seconds, never as a date.
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    let pause = Duration::from_secs(seconds).min(LONGEST);
    let part = u32::try_from(chance % 1024).unwrap_or(0);
    Some(pause + pause * part / 4 / 1024)
}

#[cfg(test)]
mod tests {
    use super::super::WRITE_TIMEOUT;
    use super::*;

    #[test]
    fn who_is_told_when_to_ask_again_waits_so_long_but_not_too_long() {
        let seconds = Duration::from_secs;
        // (status, header, chance, pause)
        let rows: [(u16, Option<&str>, u64, Option<Duration>); 12] = [
            (429, Some("1"), 0, Some(seconds(1))),
            (429, Some(" 5 "), 0, Some(seconds(5))),
            (429, Some("3600"), 0, Some(LONGEST)),
            (429, Some("0"), 0, Some(Duration::ZERO)),
            (429, None, 0, None),
            (429, Some("-1"), 0, None),
            (429, Some("soon"), 0, None),
            (429, Some("Wed, 21 Oct 2015 07:28:00 GMT"), 0, None),
            (503, Some("2"), 0, Some(seconds(2))),
            (504, Some("4"), 512, Some(Duration::from_millis(4500))),
            (200, Some("2"), 0, None),
            (409, Some("2"), 0, None),
        ];
        for (status, header, chance, want) in rows {
            let mut response = Response::builder().status(status);
            if let Some(header) = header {
                response = response.header(RETRY_AFTER, header);
            }
            let response = response.body(()).unwrap();
            assert_eq!(pause(&response, chance), want, "{status} {header:?}");
        }
        let latest = Response::builder().status(429).header(RETRY_AFTER, "3600").body(()).unwrap();
        assert!(pause(&latest, u64::MAX).unwrap() < WRITE_TIMEOUT);
    }
}
