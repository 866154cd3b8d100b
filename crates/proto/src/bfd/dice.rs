//! A small repeatable random source: simulations must replay exactly.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

/// Steps between two values, and how they are mixed: SplitMix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Random numbers from a seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(STEP);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper half is a number of 32 bits.
        u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default()
    }

    pub(super) fn non_zero(&mut self) -> NonZeroU32 {
        NonZeroU32::new(self.roll()).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn seed(&mut self) -> u64 {
        u64::from(self.roll()) << 32 | u64::from(self.roll())
    }

    /// How much of an interval to wait for: 75 to 100 percent of it, up to 90 where one lost packet
    /// is the end (RFC 5880 section 6.8.7).
    pub(super) fn jitter(&mut self, multiplier: NonZeroU8) -> Share {
        let most = if multiplier.get() == 1 { 90 } else { 100 };
        Share(75 + self.roll() % (most - 75 + 1))
    }
}

/// A share of an interval, in percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share(u32);

impl Share {
    pub(super) fn of(self, interval: Duration) -> Duration {
        interval * self.0 / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_takes_away_up_to_a_quarter() {
        for (multiplier, least, most) in [(1, 75, 90), (2, 75, 100), (255, 75, 100)] {
            let multiplier = NonZeroU8::new(multiplier).unwrap();
            let mut dice = Dice::new(7);
            let shares: Vec<_> = (0..10_000).map(|_| dice.jitter(multiplier).0).collect();
            assert_eq!(shares.iter().min(), Some(&least), "multiplier {multiplier}");
            assert_eq!(shares.iter().max(), Some(&most), "multiplier {multiplier}");
        }
    }
}
