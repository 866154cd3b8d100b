//! News of which addresses this node answers for, from the thread that knows to async tasks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// A slot of news for one reader. It is bounded by the addresses there are: what was not read yet
/// is overwritten, never queued.
#[derive(Debug, Default)]
pub struct Held {
    edits: Mutex<BTreeMap<IpAddr, bool>>,
    bell: Notify,
}

impl Held {
    /// Says of addresses whether this node answers for them from now on.
    pub fn tell(&self, edits: &BTreeMap<IpAddr, bool>) {
        self.edits.lock().unwrap_or_else(PoisonError::into_inner).extend(edits);
        self.bell.notify_one();
    }

    /// Waits for news, and takes all of them. Nothing is lost if it is not waited for to the end.
    pub async fn changed(&self) -> BTreeMap<IpAddr, bool> {
        loop {
            self.bell.notified().await;
            let edits =
                std::mem::take(&mut *self.edits.lock().unwrap_or_else(PoisonError::into_inner));
            if !edits.is_empty() {
                return edits;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reader_gets_the_latest_of_each_address() {
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|at| at.parse().unwrap());
        let held = Held::default();
        held.tell(&[(a, true), (b, true)].into());
        held.tell(&[(a, false)].into());
        assert_eq!(held.changed().await, [(a, false), (b, true)].into());
        held.tell(&[(b, false)].into());
        assert_eq!(held.changed().await, [(b, false)].into(), "taken once");
    }
}
