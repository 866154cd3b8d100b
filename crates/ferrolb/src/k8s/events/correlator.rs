//! Which Events are written, and which only count: as `client-go` does it.
//!
//! The same Event again is the old one with a higher count. More than [`SIMILAR`] within
//! [`INTERVAL`] that differ only in their message become one. And one object has [`BURST`] Events,
//! then one every [`REFILL`].

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

use proto::time::Instant;

use super::Told;

/// How many Events about an object with the same reason may differ in their message.
const SIMILAR: usize = 10;

/// For how long they are remembered after the last of them.
const INTERVAL: Duration = Duration::from_secs(600);

/// How many Events an object has at once.
const BURST: u32 = 25;

/// After which time it has one more.
const REFILL: Duration = Duration::from_secs(300);

/// How many objects and reasons are remembered.
const REMEMBERED: usize = 4096;

/// An Event to write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Written {
    /// Its name.
    pub(super) name: String,
    /// How often it has happened; more than once means that it exists already.
    pub(super) count: i32,
    /// When it happened first and last, in microseconds since 1970.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) message: String,
}

#[derive(Debug, Default)]
pub(super) struct Correlator {
    similar: Remembered<Similar>,
    budgets: Remembered<Budget>,
}

/// Events that differ only in their message.
#[derive(Debug)]
struct Similar {
    /// At most [`SIMILAR`], by what their messages are hashed to.
    by_message: Vec<(u64, Once)>,
    combined: Option<Once>,
    last: Instant,
}

/// An Event that has been written.
#[derive(Clone, Copy, Debug)]
struct Once {
    count: i32,
    /// In microseconds since 1970; its name is made of it.
    first: u64,
}

/// How many Events an object may have.
#[derive(Clone, Copy, Debug)]
struct Budget {
    left: u32,
    since: Instant,
}

impl Correlator {
    /// What is written of what was told; nothing if the object has too many Events. `micros` are
    /// since 1970.
    pub(super) fn take(&mut self, now: Instant, told: &Told, micros: u64) -> Option<Written> {
        let fresh = Budget { left: BURST, since: now };
        let budget = self.budgets.entry(hash(&told.about), fresh);
        if !budget.spend(now) {
            return None;
        }
        let key = hash(&(&told.about, told.event_type, told.reason));
        let fresh = Similar { by_message: Vec::new(), combined: None, last: now };
        let similar = self.similar.entry(key, fresh);
        if now - similar.last > INTERVAL {
            (similar.by_message, similar.combined) = (Vec::new(), None);
        }
        similar.last = now;
        let once = similar.once(hash(&told.message), Once { count: 0, first: micros });
        let (once, message) = match once {
            Some(once) => (once, told.message.clone()),
            None => (
                similar.combined.get_or_insert(Once { count: 0, first: micros }),
                format!("(combined from similar events): {}", told.message),
            ),
        };
        once.count = once.count.saturating_add(1);
        let Once { count, first } = *once;
        let name = format!("{}.{first:x}", told.about.name);
        Some(Written { name, count, first, last: micros, message })
    }
}

impl Similar {
    /// The Event with this message, which is `fresh` if there was none; [`None`] if there are too
    /// many.
    fn once(&mut self, message: u64, fresh: Once) -> Option<&mut Once> {
        let place = match self.by_message.iter().position(|(known, _)| *known == message) {
            Some(place) => place,
            None if self.by_message.len() < SIMILAR => {
                // Most are told once; room for more would be a kilobyte for each object.
                self.by_message.reserve_exact(1);
                self.by_message.push((message, fresh));
                self.by_message.len() - 1
            }
            None => return None,
        };
        self.by_message.get_mut(place).map(|(_, once)| once)
    }
}

impl Budget {
    fn spend(&mut self, now: Instant) -> bool {
        while self.left < BURST && now - self.since >= REFILL {
            self.left += 1;
            self.since = self.since + REFILL;
        }
        if self.left == BURST {
            self.since = now;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

/// A map that forgets the entry that it has had for the longest time when it is full.
#[derive(Debug)]
struct Remembered<V> {
    entries: BTreeMap<u64, V>,
    order: VecDeque<u64>,
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<V> Remembered<V> {
    fn entry(&mut self, key: u64, fresh: V) -> &mut V {
        if !self.entries.contains_key(&key) {
            self.order.push_back(key);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.entries.entry(key).or_insert(fresh)
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use planner::names::ServiceName;

    use super::super::EventType;
    use super::super::Reference;
    use super::*;

    fn told(name: &str, message: &str) -> Told {
        Told {
            about: Reference::service(&ServiceName::new("shop", name), "1"),
            event_type: EventType::Normal,
            reason: "IPAllocated",
            message: message.to_owned(),
        }
    }

    #[test]
    fn the_same_again_is_counted() {
        let (mut correlator, now) = (Correlator::default(), Instant::START);
        let mut take = |told: &Told, micros| correlator.take(now, told, micros).unwrap();
        let first = take(&told("web", "a"), 16);
        assert_eq!(
            (first.name.as_str(), first.count, first.first, first.last),
            ("web.10", 1, 16, 16)
        );
        let again = take(&told("web", "a"), 17);
        assert_eq!(
            (again.name.as_str(), again.count, again.first, again.last),
            ("web.10", 2, 16, 17)
        );
        assert_eq!(take(&told("web", "b"), 18).count, 1, "another message");
        assert_eq!(take(&told("api", "a"), 19).count, 1, "another object");
    }

    #[test]
    fn many_that_are_alike_become_one() {
        let (mut correlator, now) = (Correlator::default(), Instant::START);
        let messages = (0..12).map(|number| format!("try {number}"));
        let written: Vec<_> = messages
            .zip(1..)
            .map(|(message, micros)| correlator.take(now, &told("web", &message), micros).unwrap())
            .collect();
        assert!(written[..10].iter().all(|event| event.count == 1));
        assert_eq!(written[10].message, "(combined from similar events): try 10");
        assert_eq!((written[11].name.as_str(), written[11].count), (&*written[10].name, 2));
    }

    #[test]
    fn an_object_has_only_so_many() {
        let mut correlator = Correlator::default();
        let mut now = Instant::START;
        let mut count =
            |now| (0..100).filter(|_| correlator.take(now, &told("web", "a"), 1).is_some()).count();
        assert_eq!(count(now), 25);
        now = now + REFILL;
        assert_eq!(count(now), 1);
        now = now + REFILL * 1000;
        assert_eq!(count(now), 25);
        let other = correlator.take(now, &told("api", "a"), 1);
        assert!(other.is_some(), "each object has its own");
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut correlator = Correlator::default();
        for number in 0..REMEMBERED * 2 {
            correlator.take(Instant::START, &told(&format!("s{number}"), "a"), 1);
        }
        assert_eq!(correlator.similar.entries.len(), REMEMBERED);
        assert_eq!(correlator.budgets.entries.len(), REMEMBERED);
    }
}
