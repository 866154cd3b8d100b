//! Poll Sequences, and which intervals are in force meanwhile: RFC 5880 sections 6.5 and 6.8.3.

use crate::bfd::packet::{Exchange, Interval};

/// What the peer knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Peer {
    /// Nothing: it is not heard.
    Unknown,
    /// What our last packet said. The session is not up.
    Known,
    /// The same, and the session is up.
    Up,
}

/// How far a Poll Sequence is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// There is none.
    Idle,
    /// Packets ask until one is answered.
    Asking,
    /// The answer has come. What changed since the question was asked is asked for with another
    /// one, once a packet has shown that no more answers to the first are to come.
    Answered,
}

/// Our two intervals as they are told, and as they count.
#[derive(Debug)]
pub(super) struct Polling {
    stage: Stage,
    /// Told (transmit, receive).
    told: (Interval, Interval),
    /// What the question under way is about.
    asked: (Interval, Interval),
    tx: Interval,
    rx: Interval,
    /// There is something to ask for.
    is_due: bool,
}

impl Polling {
    pub(super) fn new(tx: Interval, rx: Interval) -> Self {
        let told = (tx, rx);
        Self { stage: Stage::Idle, told, asked: told, tx, rx, is_due: false }
    }

    /// The transmit interval that counts.
    pub(super) fn tx(&self) -> Interval {
        self.tx
    }

    /// The receive interval that counts.
    pub(super) fn rx(&self) -> Interval {
        self.rx
    }

    /// Whether packets carry a question, or the next one would.
    pub(super) fn is_under_way(&self) -> bool {
        self.stage == Stage::Asking || self.is_due
    }

    /// Takes over what the session wishes.
    ///
    /// While the session is up a slower transmit interval and a faster receive interval wait until
    /// the peer knows of them: it would declare us dead, and we it.
    pub(super) fn wish(&mut self, tx: Interval, rx: Interval, peer: Peer) {
        if self.told != (tx, rx) {
            self.told = (tx, rx);
            self.is_due = true;
        }
        if peer == Peer::Unknown {
            (self.stage, self.is_due) = (Stage::Idle, false);
        }
        let must_wait = peer == Peer::Up && self.is_under_way();
        if !must_wait || tx < self.tx {
            self.tx = tx;
        }
        if !must_wait || rx > self.rx {
            self.rx = rx;
        }
    }

    /// There is something that the peer must confirm.
    pub(super) fn ask(&mut self) {
        self.is_due = true;
    }

    /// What the next packet is.
    pub(super) fn next(&mut self) -> Exchange {
        if self.is_due && self.stage == Stage::Idle {
            (self.stage, self.is_due) = (Stage::Asking, false);
            self.asked = self.told;
        }
        if self.stage == Stage::Asking { Exchange::Poll } else { Exchange::None }
    }

    /// A packet has come.
    pub(super) fn heard(&mut self, exchange: Exchange) {
        self.stage = match (self.stage, exchange) {
            (Stage::Asking, Exchange::Final) => {
                (self.tx, self.rx) = self.asked;
                if self.is_due { Stage::Answered } else { Stage::Idle }
            }
            (Stage::Answered, Exchange::None | Exchange::Poll) => Stage::Idle,
            (stage, _) => stage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Interval = Interval::from_millis(100);
    const SLOW: Interval = Interval::from_millis(500);

    /// Up, with both intervals as given.
    fn settled(tx: Interval, rx: Interval) -> Polling {
        let mut polling = Polling::new(tx, rx);
        polling.wish(tx, rx, Peer::Up);
        polling
    }

    #[test]
    fn what_could_end_the_session_waits_for_the_answer() {
        // (before, wished, counts at once): each is (transmit, receive).
        let table = [
            ("slower transmit", (FAST, FAST), (SLOW, FAST), (FAST, FAST)),
            ("faster transmit", (SLOW, FAST), (FAST, FAST), (FAST, FAST)),
            ("slower receive", (FAST, FAST), (FAST, SLOW), (FAST, SLOW)),
            ("faster receive", (FAST, SLOW), (FAST, FAST), (FAST, SLOW)),
        ];
        for (name, before, wished, at_once) in table {
            let mut polling = settled(before.0, before.1);
            assert_eq!(polling.next(), Exchange::None, "{name}");
            polling.wish(wished.0, wished.1, Peer::Up);
            assert_eq!((polling.tx(), polling.rx()), at_once, "{name}");
            assert_eq!(polling.next(), Exchange::Poll, "{name}");
            assert_eq!(polling.next(), Exchange::Poll, "{name}: until it is answered");
            polling.heard(Exchange::Final);
            polling.wish(wished.0, wished.1, Peer::Up);
            assert_eq!((polling.tx(), polling.rx()), wished, "{name}");
            assert_eq!(polling.next(), Exchange::None, "{name}");
        }
    }

    #[test]
    fn a_second_change_is_asked_for_behind_the_first() {
        let mut polling = settled(FAST, FAST);
        polling.wish(SLOW, FAST, Peer::Up);
        assert_eq!(polling.next(), Exchange::Poll);
        polling.wish(FAST, SLOW, Peer::Up);
        polling.heard(Exchange::Final);
        assert_eq!(polling.next(), Exchange::None, "more answers to the first may come");
        polling.heard(Exchange::Final);
        assert_eq!(polling.next(), Exchange::None);
        polling.heard(Exchange::None);
        assert_eq!(polling.next(), Exchange::Poll);
    }

    #[test]
    fn a_peer_that_is_gone_is_asked_nothing() {
        let mut polling = settled(FAST, FAST);
        polling.wish(SLOW, FAST, Peer::Up);
        polling.wish(SLOW, FAST, Peer::Unknown);
        assert_eq!((polling.next(), polling.tx()), (Exchange::None, SLOW));
    }
}
