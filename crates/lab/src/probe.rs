//! What a client notices: a UDP packet each millisecond, and the answers.
//!
//! The schedule is absolute: packet n is due n milliseconds after the start. When the thread was
//! kept from running, the packets that it missed are skipped and counted as such, not sent in a
//! heap and not called lost: what this machine did late says nothing about the network. Every
//! packet that was handed to the kernel and has no answer within [`PATIENCE`] is lost, also when the
//! kernel refused it. Nothing here is shared with the product.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::SockaddrStorage;
use nix::unistd::gettid;

use crate::report::{Report, Sample};
use crate::stamp::{self, Received};
use crate::topology::Host;
use crate::worker::{Wanted, Worker};

/// The time between packets.
pub const PERIOD: Duration = Duration::from_millis(1);

/// An answer later than this is no answer: the user has given up, or the kernel kept the packet
/// while it did not know where to send it.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// The probe stops sending after this many packets, an hour's.
pub const MAX_SAMPLES: usize = 3_600_000;

/// Every packet starts with it, then the start of the probe, then the packet's number.
const MAGIC: [u8; 8] = *b"lab-prob";

/// The length of a packet.
const LENGTH: usize = 24;

/// A running probe. Dropping it stops it without a report.
#[derive(Debug)]
pub struct Probe {
    shared: Arc<Shared>,
    started: Instant,
    sender: Worker,
    receiver: Worker,
}

#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    target: SocketAddr,
    /// Tells this probe's packets from those of another that had the same port before.
    run: [u8; 8],
    tally: Mutex<Tally>,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) samples: Vec<Sample>,
    /// Second answers to one packet.
    pub(crate) duplicates: u64,
    /// Packets that are no answer: from another address, or not ours.
    pub(crate) strangers: u64,
    /// Packets that were not sent because the thread was late.
    pub(crate) skipped: u64,
    /// Packets that the client's own kernel refused. They count as lost.
    pub(crate) refused: u64,
}

impl Probe {
    /// Starts to send from `client` to `target`, where something sends all back. The first packet
    /// is due when this returns.
    pub fn start(client: &Host, target: SocketAddr) -> Result<Self> {
        let socket = open(client, target)?;
        stamp::prepare(&socket).context("asking for time stamps")?;
        let run = SystemTime::UNIX_EPOCH.elapsed().context("the clock is before 1970")?;
        let run = u64::try_from(run.as_nanos()).context("the clock is after 2500")?.to_be_bytes();
        let shared = Arc::new(Shared { socket, target, run, tally: Mutex::default() });
        let (sends, receives) = (Arc::clone(&shared), Arc::clone(&shared));
        let receiver = Worker::start("probe-in", move |wanted| receives.receive(&wanted))?;
        let (start, starts) = mpsc::sync_channel(1);
        let send = move |wanted: Wanted| {
            run_in_real_time();
            let started = Instant::now();
            if start.send(started).is_ok() {
                sends.send(started, &wanted);
            }
        };
        let sender = Worker::start("probe-out", send)?;
        let started = starts.recv().context("the probe's thread ended")?;
        Ok(Self { shared, started, sender, receiver })
    }

    /// What is known by now: about packets that are answered or older than [`PATIENCE`].
    #[must_use]
    pub fn report(&self) -> Report {
        let until = Instant::now().checked_sub(PATIENCE).unwrap_or(self.started);
        Report::of(&self.shared.tally(), self.started, until)
    }

    /// Waits until a packet that was sent after this call is answered, and says how long it took.
    pub fn wait_answered(&self, limit: Duration) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let answered = |sample: &Sample| sample.answered.is_some();
            let sent_since = |sample: &&Sample| sample.sent >= start;
            if self.shared.tally().samples.iter().rev().take_while(sent_since).any(answered) {
                return Ok(start.elapsed());
            }
            if start.elapsed() > limit {
                bail!("no answer from `{}` within {limit:?}", self.shared.target);
            }
            thread::sleep(PERIOD);
        }
    }

    /// Stops sending, waits for the last answers, and reports on all packets.
    #[must_use]
    pub fn finish(self) -> Report {
        let Self { shared, started, sender, receiver } = self;
        sender.stop();
        let until = Instant::now();
        thread::sleep(PATIENCE);
        receiver.stop();
        Report::of(&shared.tally(), started, until)
    }
}

/// Waits until `target` answers `client`, and says how long it took.
pub fn until_answered(client: &Host, target: SocketAddr, limit: Duration) -> Result<Duration> {
    Probe::start(client, target)?.wait_answered(limit)
}

fn open(client: &Host, target: SocketAddr) -> Result<UdpSocket> {
    let any = match target {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    // Not connected: a connected socket reports the fate of one packet as the error of the next.
    client.netns.udp(any)
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, started: Instant, wanted: &Wanted) {
        let mut due = started;
        for number in 0..MAX_SAMPLES as u64 {
            due += PERIOD;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let behind = due.elapsed().as_micros() / PERIOD.as_micros();
            let behind = u32::try_from(behind).unwrap_or(u32::MAX);
            due += PERIOD * behind;
            if !wanted.still() {
                return;
            }
            self.send_one(number, behind);
        }
    }

    fn send_one(&self, number: u64, skipped: u32) {
        let mut packet = [0; LENGTH];
        packet[..8].copy_from_slice(&MAGIC);
        packet[8..16].copy_from_slice(&self.run);
        packet[16..].copy_from_slice(&number.to_be_bytes());
        {
            // Noted before it goes: the answer may be here before `send_to` returns.
            let mut tally = self.tally();
            tally.skipped += u64::from(skipped);
            tally.samples.push(Sample { sent: Instant::now(), answered: None });
        }
        if self.socket.send_to(&packet, self.target).is_err() {
            self.tally().refused += 1;
        }
    }

    fn receive(&self, wanted: &Wanted) {
        run_in_real_time();
        // One more than ours are long, so that a longer one is seen to be longer.
        let mut buffer = [0; LENGTH + 1];
        while wanted.still() {
            let received: io::Result<Option<Received<SockaddrStorage>>> =
                stamp::receive(&self.socket, &mut buffer);
            if let Ok(Some(received)) = received {
                let ours = received.from == Some(self.target.into());
                let number = number(&buffer[..received.length], self.run).filter(|_| ours);
                self.note(number, received.at);
            }
        }
    }

    fn note(&self, number: Option<usize>, at: Instant) {
        let mut tally = self.tally();
        match number.and_then(|number| tally.samples.get_mut(number)) {
            None => tally.strangers += 1,
            Some(Sample { answered: Some(_), .. }) => tally.duplicates += 1,
            Some(sample) => sample.answered = Some(at.max(sample.sent)),
        }
    }
}

fn number(packet: &[u8], run: [u8; 8]) -> Option<usize> {
    let rest = packet.strip_prefix(&MAGIC)?.strip_prefix(&run)?;
    usize::try_from(u64::from_be_bytes(rest.try_into().ok()?)).ok()
}

/// Puts this thread before ordinary ones, so that a busy machine does not make it skip packets.
/// Without the right to do so (a user namespace has none) the probe runs as it is, and the report
/// says what it skipped.
fn run_in_real_time() {
    let mut command = Command::new("chrt");
    command.args(["--fifo", "--pid", "10", &gettid().to_string()]);
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
