//! Looking for an address among ranges, as instructions.
//!
//! An address is one 32-bit word, or four, compared from the first on. For each word the values are
//! cut into segments in which the answer is the same, or depends on the next word alike; a binary
//! search finds the segment.

use std::collections::BTreeMap;

use libc::sock_filter;

use super::{Bounds, JUMP_IF_AT_LEAST, LOAD_WORD, jump, load, take_frame};

/// Sorts ranges, and makes one of those that overlap or touch.
pub(super) fn unite<const N: usize>(ranges: &mut Vec<Bounds<N>>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, range| {
        let touches = next.0 <= range.1 || successor(range.1) == Some(next.0);
        if touches {
            range.1 = range.1.max(next.1);
        }
        touches
    });
}

/// Makes one of each two ranges that follow each other most closely, for about half of them.
pub(super) fn widen<const N: usize>(ranges: &mut Vec<Bounds<N>>) {
    let gap = |pair: &[Bounds<N>]| difference(pair[1].0, pair[0].1);
    let mut gaps: Vec<_> = ranges.windows(2).map(gap).collect();
    gaps.sort_unstable();
    let Some(limit) = gaps.get(gaps.len() / 2).copied() else { return };
    ranges.dedup_by(|next, range| {
        let is_near = difference(next.0, range.1) <= limit;
        if is_near {
            range.1 = next.1;
        }
        is_near
    });
}

fn number<const N: usize>(words: [u32; N]) -> u128 {
    words.into_iter().fold(0, |sum, word| sum << 32 | u128::from(word))
}

fn difference<const N: usize>(one: [u32; N], other: [u32; N]) -> u128 {
    number(one).abs_diff(number(other))
}

fn successor<const N: usize>(mut words: [u32; N]) -> Option<[u32; N]> {
    for word in words.iter_mut().rev() {
        let (next, overflows) = word.overflowing_add(1);
        *word = next;
        if !overflows {
            return Some(words);
        }
    }
    None
}

/// Takes the frame if the address at this offset is in one of the ranges, which are sorted and do
/// not touch. If it is in none, the instruction behind the last of these is the next.
pub(super) fn program<const N: usize>(offset: u32, ranges: &[Bounds<N>]) -> Vec<sock_filter> {
    let ranges: Vec<_> = ranges.iter().map(|(first, last)| (&first[..], &last[..])).collect();
    let mut steps = steps(offset, &ranges);
    // All jumps but these are within a part, and stay right when parts are put together.
    let end = steps.len();
    for (index, step) in steps.iter_mut().enumerate() {
        if *step == Step::Miss {
            *step = Step::Do(jump(narrow(end - index - 1)));
        }
    }
    let instruction = |step| match step {
        Step::Do(instruction) => instruction,
        Step::Miss => jump(0),
    };
    steps.into_iter().map(instruction).collect()
}

#[derive(Clone, Copy)]
enum Step {
    Do(sock_filter),
    /// Goes to the end.
    Miss,
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Miss, Self::Miss) => true,
            (Self::Do(_) | Self::Miss, _) => false,
        }
    }
}

/// What is left to compare of the bounds of a range.
type Rest<'a> = (&'a [u32], &'a [u32]);

/// What becomes of addresses whose word is in one segment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
enum Segment<'a> {
    #[default]
    Miss,
    Hit,
    /// The next word decides.
    Next(Vec<Rest<'a>>),
}

const ALL: [u32; 4] = [u32::MAX; 4];
const NONE: [u32; 4] = [0; 4];

fn steps(offset: u32, ranges: &[Rest<'_>]) -> Vec<Step> {
    let segments: Vec<_> = segments(ranges).into_iter().collect();
    if let [(_, Segment::Miss)] = &segments[..] {
        return vec![Step::Miss];
    }
    let mut steps = vec![Step::Do(load(LOAD_WORD, offset))];
    steps.extend(choose(offset, &segments));
    steps
}

/// The segments of the first word, each with the value that it begins with.
fn segments<'a>(ranges: &[Rest<'a>]) -> BTreeMap<u32, Segment<'a>> {
    let mut segments = BTreeMap::from([(0, Segment::Miss)]);
    for (first, last) in ranges {
        let (Some((low, low_rest)), Some((high, high_rest))) =
            (first.split_first(), last.split_first())
        else {
            continue;
        };
        if low == high {
            add(&mut segments, (*low, *low), (low_rest, high_rest));
            continue;
        }
        add(&mut segments, (*low, *low), (low_rest, &ALL[..low_rest.len()]));
        if high - low > 1 {
            let all = (&NONE[..0], &ALL[..0]);
            add(&mut segments, (low + 1, high - 1), all);
        }
        add(&mut segments, (*high, *high), (&NONE[..high_rest.len()], high_rest));
    }
    let mut before = None;
    segments.retain(|_, segment| {
        let is_new = before.as_ref() != Some(segment);
        before = Some(segment.clone());
        is_new
    });
    segments
}

/// Adds what is in the range to the segment of these values, which no other segment cuts.
fn add<'a>(segments: &mut BTreeMap<u32, Segment<'a>>, values: (u32, u32), range: Rest<'a>) {
    let (low, high) = values;
    let is_whole = range.0.iter().all(|word| *word == 0) && range.1.iter().all(|w| *w == u32::MAX);
    if let Some(after) = high.checked_add(1) {
        segments.entry(after).or_default();
    }
    let segment = segments.entry(low).or_default();
    match segment {
        _ if is_whole => *segment = Segment::Hit,
        Segment::Next(ranges) => ranges.push(range),
        Segment::Miss => *segment = Segment::Next(vec![range]),
        Segment::Hit => (),
    }
}

/// The word is loaded, and in one of these segments.
fn choose(offset: u32, segments: &[(u32, Segment<'_>)]) -> Vec<Step> {
    let (lower, upper) = match segments {
        [] => return vec![Step::Miss],
        [(_, segment)] => {
            return match segment {
                Segment::Miss => vec![Step::Miss],
                Segment::Hit => vec![Step::Do(take_frame())],
                Segment::Next(ranges) => steps(offset + 4, ranges),
            };
        }
        _ => segments.split_at(segments.len() / 2),
    };
    let value = upper[0].0;
    let (below, above) = (choose(offset, lower), choose(offset, upper));
    let at_least =
        |yes, no| Step::Do(sock_filter { code: JUMP_IF_AT_LEAST, jt: yes, jf: no, k: value });
    let mut steps = match u8::try_from(below.len()) {
        Ok(count) => vec![at_least(count, 0)],
        // A condition jumps no further than that.
        Err(_) => vec![at_least(0, 1), Step::Do(jump(narrow(below.len())))],
    };
    steps.extend(below);
    steps.extend(above);
    steps
}

/// Programs with more instructions than this holds are not kept.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
