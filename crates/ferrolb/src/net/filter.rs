//! Which frames the kernel hands to us: programs of classic BPF for packet sockets.
//!
//! On a busy LAN nearly all ARP and NDP is about other hosts. What is not about an address of a pool
//! is dropped before it wakes anybody. Addresses are found by binary search, so that a frame costs
//! the same with one range or with hundreds.
//!
//! A program cannot see VLAN tags that the network card has taken off, but the kernel marks frames of
//! a VLAN that has no interface as being for another host, and those are dropped first.

use std::net::IpAddr;

use libc::sock_filter;
use planner::range::Range;

mod search;

/// The most instructions of a program that the kernel takes, `BPF_MAXINSNS`.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Programs for both protocols.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    ranges: Vec<(IpAddr, IpAddr)>,
}

/// What a packet socket is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// ARP for IPv4.
    Arp,
    /// Neighbor solicitations and advertisements.
    Ndp,
}

impl Filter {
    /// Frames about addresses in any of these ranges, and answers to this host alone.
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        Self { ranges: ranges.into_iter().map(|range| (range.first(), range.last())).collect() }
    }

    /// Whether there is anything for sockets to receive. Other nodes are asked for their own
    /// addresses in both protocols, whichever of them the ranges are of.
    pub fn concerns_any(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// The program for a socket. With so many ranges that it would be too long, those that are next
    /// to each other are taken as one, so that a few frames too many are handed over.
    pub(super) fn program(&self, subject: Subject) -> Vec<sock_filter> {
        match subject {
            Subject::Arp => {
                let ranges = self.ranges.iter().filter_map(|range| match range {
                    (IpAddr::V4(first), IpAddr::V4(last)) => {
                        Some(([first.to_bits()], [last.to_bits()]))
                    }
                    _ => None,
                });
                fitting(ranges.collect(), arp)
            }
            Subject::Ndp => {
                let ranges = self.ranges.iter().filter_map(|range| match range {
                    (IpAddr::V6(first), IpAddr::V6(last)) => {
                        Some((words(first.to_bits()), words(last.to_bits())))
                    }
                    _ => None,
                });
                fitting(ranges.collect(), ndp)
            }
        }
    }
}

fn words(bits: u128) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bits.to_be_bytes().as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

/// First and last address.
type Bounds<const N: usize> = ([u32; N], [u32; N]);

fn fitting<const N: usize>(
    mut ranges: Vec<Bounds<N>>,
    program: fn(&[Bounds<N>]) -> Vec<sock_filter>,
) -> Vec<sock_filter> {
    search::unite(&mut ranges);
    loop {
        let program = program(&ranges);
        if program.len() <= MAX_INSTRUCTIONS {
            return program;
        }
        search::widen(&mut ranges);
    }
}

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF_WORD: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Where `packet(7)` has the direction of a frame: `SKF_AD_OFF + SKF_AD_PKTTYPE`.
const DIRECTION: u32 = 0xffff_f004;
const TO_US: u32 = 0;
const TO_ANOTHER_HOST: u32 = 3;

/// Where things are in a frame.
mod at {
    pub(super) const ARP_OPERATION: u32 = 20;
    pub(super) const ARP_SENDER: u32 = 28;
    pub(super) const ARP_TARGET: u32 = 38;
    pub(super) const NEXT_HEADER: u32 = 20;
    pub(super) const HOP_LIMIT: u32 = 21;
    pub(super) const SOURCE: u32 = 22;
    pub(super) const ICMP_TYPE: u32 = 54;
    pub(super) const NDP_TARGET: u32 = 62;
}

const ARP_REPLY: u32 = 2;
const ICMPV6: u32 = 58;
const NEIGHBOR_SOLICITATION: u32 = 135;
const NEIGHBOR_ADVERTISEMENT: u32 = 136;

fn arp(ranges: &[Bounds<1>]) -> Vec<sock_filter> {
    let mut program = vec![
        load(LOAD_BYTE, DIRECTION),
        unless_equal(TO_ANOTHER_HOST, 1),
        drop_frame(),
        // An answer to this host alone: we or the kernel asked for it.
        unless_equal(TO_US, 3),
        load(LOAD_HALF_WORD, at::ARP_OPERATION),
        unless_equal(ARP_REPLY, 1),
        take_frame(),
    ];
    program.extend(search::program(at::ARP_TARGET, ranges));
    program.extend(search::program(at::ARP_SENDER, ranges));
    program.push(drop_frame());
    program
}

fn ndp(ranges: &[Bounds<4>]) -> Vec<sock_filter> {
    let sender = search::program(at::SOURCE, ranges);
    let mut program = vec![
        load(LOAD_BYTE, DIRECTION),
        unless_equal(TO_ANOTHER_HOST, 1),
        drop_frame(),
        load(LOAD_BYTE, at::NEXT_HEADER),
        unless_equal(ICMPV6, 6),
        load(LOAD_BYTE, at::HOP_LIMIT),
        unless_equal(255, 4),
        load(LOAD_BYTE, at::ICMP_TYPE),
        sock_filter { code: JUMP_IF_EQUAL, jt: 3, jf: 0, k: NEIGHBOR_SOLICITATION },
        unless_equal(NEIGHBOR_ADVERTISEMENT, 1),
        jump(1),
        drop_frame(),
        // Solicitations and advertisements come here. One that is an answer is for us alone.
        load(LOAD_BYTE, DIRECTION),
        unless_equal(TO_US, 3),
        load(LOAD_BYTE, at::ICMP_TYPE),
        unless_equal(NEIGHBOR_ADVERTISEMENT, 1),
        take_frame(),
    ];
    program.extend(search::program(at::NDP_TARGET, ranges));
    program.push(load(LOAD_BYTE, at::ICMP_TYPE));
    program.push(unless_equal(NEIGHBOR_ADVERTISEMENT, 1));
    program.push(drop_frame());
    program.extend(sender);
    program.push(drop_frame());
    program
}

fn load(code: u16, offset: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k: offset }
}

/// Skips `count` instructions unless what was loaded is `value`.
fn unless_equal(value: u32, count: u8) -> sock_filter {
    sock_filter { code: JUMP_IF_EQUAL, jt: 0, jf: count, k: value }
}

fn jump(count: u32) -> sock_filter {
    sock_filter { code: JUMP, jt: 0, jf: 0, k: count }
}

fn take_frame() -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: u32::MAX }
}

fn drop_frame() -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: 0 }
}

#[cfg(test)]
mod tests;
