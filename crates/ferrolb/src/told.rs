//! Saying each thing once.

use std::collections::BTreeSet;

/// What holds now and has been said.
#[derive(Debug)]
pub struct Told<T = String>(BTreeSet<T>);

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<T: Clone + Ord> Told<T> {
    /// Replaces what holds by `now`, and returns what of it was not said before. A thing that
    /// stops and starts again is said again.
    pub fn news(&mut self, now: impl IntoIterator<Item = T>) -> Vec<T> {
        let now: BTreeSet<T> = now.into_iter().collect();
        let news = now.difference(&self.0).cloned().collect();
        self.0 = now;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_said_once_until_it_stops() {
        let mut told = Told::default();
        let mut news = |now: &[&str]| told.news(now.iter().map(|text| String::from(*text)));
        // Each line is one step: what holds, what is said.
        let steps: [(&[&str], &[&str]); 5] = [
            (&["a"], &["a"]),
            (&["a"], &[]),
            (&["a", "b"], &["b"]),
            (&["b"], &[]),
            (&["a", "b"], &["a"]),
        ];
        for (now, want) in steps {
            assert_eq!(news(now), want, "{now:?}");
        }
    }
}
