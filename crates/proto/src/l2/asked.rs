//! Which questions of ours are still to be answered.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::time::Instant;

/// An answer that comes later than this is no answer: the question was for evidence of now.
const PATIENCE: Duration = Duration::from_secs(1);

/// The questions of the last [`PATIENCE`]; older ones go when new ones come, so there are never
/// more than somebody here asks in that time.
#[derive(Debug, Default)]
pub(super) struct Asked {
    latest: BTreeMap<IpAddr, Instant>,
    order: VecDeque<(Instant, IpAddr)>,
}

impl Asked {
    pub(super) fn note(&mut self, now: Instant, address: IpAddr) {
        while let Some((at, address)) = self.order.pop_front_if(|(at, _)| now - *at > PATIENCE) {
            if self.latest.get(&address) == Some(&at) {
                self.latest.remove(&address);
            }
        }
        self.latest.insert(address, now);
        self.order.push_back((now, address));
    }

    pub(super) fn is_awaited(&self, now: Instant, address: IpAddr) -> bool {
        self.latest.get(&address).is_some_and(|at| now - *at <= PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_awaited_for_a_second_after_the_last_question() {
        let [one, other] = ["192.0.2.1", "fd00::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let at = |millis| Instant::START + Duration::from_millis(millis);
        let mut asked = Asked::default();
        asked.note(at(0), one);
        asked.note(at(600), one);
        assert!(asked.is_awaited(at(1_600), one) && !asked.is_awaited(at(1_601), one));
        assert!(!asked.is_awaited(at(700), other));
        asked.note(at(1_500), other);
        assert!(asked.is_awaited(at(1_600), one), "the second question is not over");
        asked.note(at(9_000), other);
        assert_eq!((asked.latest.len(), asked.order.len()), (1, 1));
    }
}
