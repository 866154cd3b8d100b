//! News of which addresses this node answers for, from the thread that knows to async tasks.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use proto::l2::Mac;
use tokio::sync::Notify;

/// Whether this node answers for an address, since an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Holding {
    /// It does, and nobody was ever heard to do so before.
    First,
    /// It does, and another node did before.
    Inherited,
    /// It does, as in an earlier life of its speaker: others kept the address for it.
    Resumed,
    /// It does not any more.
    Lost,
}

/// What is new.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct News {
    /// Whether this node answers for an address from now on.
    pub held: BTreeMap<IpAddr, Holding>,
    /// Hosts that are no nodes, and that were heard to use an address of this node.
    pub conflicts: BTreeMap<IpAddr, Mac>,
}

/// A slot of news for one reader. It is bounded by the addresses there are: what was not read yet
/// is overwritten, never queued.
#[derive(Debug, Default)]
pub struct Held {
    news: Mutex<News>,
    bell: Notify,
}

impl Held {
    /// Says of addresses whether this node answers for them from now on.
    pub fn tell(&self, edits: &BTreeMap<IpAddr, Holding>) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).held.extend(edits);
        self.bell.notify_one();
    }

    /// Says that a foreign host uses an address of this node.
    pub fn tell_conflict(&self, address: IpAddr, mac: Mac) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        news.conflicts.insert(address, mac);
        self.bell.notify_one();
    }

    /// Waits for news, and takes all of them. Nothing is lost if it is not waited for to the end.
    pub async fn changed(&self) -> News {
        loop {
            self.bell.notified().await;
            let mut waiting = self.news.lock().unwrap_or_else(PoisonError::into_inner);
            let news = std::mem::take(&mut *waiting);
            if news != News::default() {
                return news;
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
        held.tell(&[(a, Holding::First), (b, Holding::Inherited)].into());
        held.tell(&[(a, Holding::Lost)].into());
        assert_eq!(held.changed().await.held, [(a, Holding::Lost), (b, Holding::Inherited)].into());
        held.tell(&[(b, Holding::Lost)].into());
        let conflicts = [(a, Mac([2, 0, 0, 0, 0, 1]))].into();
        held.tell_conflict(a, Mac([2, 0, 0, 0, 0, 1]));
        let news = News { held: [(b, Holding::Lost)].into(), conflicts };
        assert_eq!(held.changed().await, news, "taken once");
    }
}
