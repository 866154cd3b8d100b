//! Electors against a simulated API server, in virtual time.

use super::*;

/// One way to the API server or back.
const TRIP: Duration = Duration::from_millis(3);

/// Keeps one lease as the API server would.
#[derive(Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
    is_away: bool,
    forbids: bool,
    writes: usize,
}

impl Server {
    fn answer(&mut self, output: Output) -> Input {
        match output {
            Output::Read if self.forbids => Input::Read(Err(Failure::Forbidden)),
            Output::Read if self.is_away => Input::Read(Err(Failure::Unknown)),
            Output::Read => Input::Read(Ok(self.lease.clone())),
            Output::Write(_) if self.is_away => Input::Written(Err(Failure::Unknown)),
            Output::Write(write) => Input::Written(self.write(write)),
        }
    }

    fn write(&mut self, write: Write) -> Result<Lease, Failure> {
        if self.lease.as_ref().map(|lease| &lease.version) != write.version.as_ref() {
            return Err(Failure::Conflict);
        }
        self.version += 1;
        self.writes += 1;
        let Write { holder, transitions, acquired, .. } = write;
        let version = self.version.to_string();
        let lease = Lease { holder, version, duration: DURATION, transitions, acquired };
        self.lease = Some(lease.clone());
        Ok(lease)
    }
}

struct Process {
    elector: Elector,
    /// A message under way: when it arrives, and whether it has been at the server.
    question: Option<(Instant, Output)>,
    answer: Option<(Instant, Input)>,
    is_stopped: bool,
    /// Whether the process itself reaches the server.
    is_cut_off: bool,
}

struct World {
    now: Instant,
    server: Server,
    processes: Vec<Process>,
}

impl World {
    fn new(count: usize) -> Self {
        let process = |index: usize| Process {
            elector: Elector::new(format!("p{index}"), Instant::START, index as u64),
            question: None,
            answer: None,
            is_stopped: false,
            is_cut_off: false,
        };
        let processes = (0..count).map(process).collect();
        Self { now: Instant::START, server: Server::default(), processes }
    }

    /// Lets time pass; at every moment no more than one process may be in charge.
    fn run(&mut self, for_this_long: Duration) {
        let end = self.now + for_this_long;
        while self.now < end {
            self.now = self.now + Duration::from_millis(1);
            for process in &mut self.processes {
                process.step(self.now, &mut self.server);
            }
            let in_charge = self.in_charge();
            assert!(in_charge.len() <= 1, "{}: {in_charge:?} are in charge", self.now);
        }
    }

    fn in_charge(&self) -> Vec<&str> {
        let electors = self.processes.iter().map(|process| &process.elector);
        electors.filter(|one| one.charge().holds(self.now)).map(|one| &*one.identity).collect()
    }

    fn leader(&self) -> usize {
        let holds = |process: &Process| process.elector.charge().holds(self.now);
        self.processes.iter().position(holds).unwrap()
    }

    /// How long it takes until another than `former` is in charge.
    fn takeover(&mut self, former: usize) -> Duration {
        let start = self.now;
        while self.in_charge().is_empty() || self.leader() == former {
            self.run(Duration::from_millis(1));
            assert!(self.now - start < Duration::from_secs(20), "nobody takes over");
        }
        self.now - start
    }
}

impl Process {
    fn step(&mut self, now: Instant, server: &mut Server) {
        if let Some((_, output)) = self.question.take_if(|(at, _)| *at <= now) {
            let answer = match (self.is_cut_off, &output) {
                (true, Output::Read) => Input::Read(Err(Failure::Unknown)),
                (true, Output::Write(_)) => Input::Written(Err(Failure::Unknown)),
                (false, _) => server.answer(output),
            };
            self.answer = Some((now + TRIP, answer));
        }
        if self.is_stopped {
            return;
        }
        if let Some((_, input)) = self.answer.take_if(|(at, _)| *at <= now) {
            self.elector.handle(now, input);
        }
        if self.elector.deadline().is_some_and(|deadline| deadline <= now) {
            self.elector.handle(now, Input::Timeout);
        }
        if let Some(output) = self.elector.poll() {
            assert!(self.question.is_none() && self.answer.is_none(), "one request at a time");
            self.question = Some((now + TRIP, output));
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_of_three_is_in_charge_and_renews() {
    let mut world = World::new(3);
    world.run(SECOND / 10);
    let first = world.leader();
    let writes = world.server.writes;
    world.run(SECOND * 60);
    assert_eq!(world.leader(), first, "it stays");
    assert!((55..=62).contains(&(world.server.writes - writes)), "one write a second");
}

#[test]
fn who_leaves_is_followed_at_once() {
    let mut world = World::new(2);
    world.run(SECOND);
    let first = world.leader();
    let now = world.now;
    world.processes[first].elector.handle(now, Input::Leave);
    let took = world.takeover(first);
    assert!(took < SECOND * 7 / 10, "{took:?}");
    assert!(world.processes[first].elector.has_left());
    world.run(SECOND * 20);
    assert_ne!(world.leader(), first, "it does not come back");
}

#[test]
fn who_is_killed_is_followed_when_its_lease_has_expired() {
    for moment in 0..12 {
        let mut world = World::new(2);
        world.run(SECOND + SECOND / 10 * moment);
        let first = world.leader();
        world.processes[first].is_stopped = true;
        let took = world.takeover(first);
        assert!(took < Duration::from_millis(5800), "{took:?}");
    }
}

#[test]
fn who_was_stopped_past_its_lease_is_not_in_charge_when_it_wakes() {
    let mut world = World::new(2);
    world.run(SECOND);
    let first = world.leader();
    world.processes[first].is_stopped = true;
    world.takeover(first);
    world.processes[first].is_stopped = false;
    assert!(!world.processes[first].elector.charge().holds(world.now), "before it hears anything");
    world.run(SECOND * 10);
    assert_ne!(world.leader(), first);
}

#[test]
fn who_is_cut_off_steps_down_before_another_takes_over() {
    let mut world = World::new(3);
    world.run(SECOND);
    let first = world.leader();
    world.processes[first].is_cut_off = true;
    world.run(Duration::from_millis(3600));
    assert!(world.in_charge().is_empty(), "it has stepped down");
    world.takeover(first);
    world.processes[first].is_cut_off = false;
    world.run(SECOND * 10);
    assert_ne!(world.leader(), first);
}

#[test]
fn a_server_that_is_away_and_comes_back_finds_one_in_charge() {
    let mut world = World::new(2);
    world.run(SECOND);
    world.server.is_away = true;
    world.run(SECOND * 30);
    assert!(world.in_charge().is_empty());
    world.server.is_away = false;
    world.run(SECOND * 2);
    assert_eq!(world.in_charge().len(), 1);
}

#[test]
fn a_lease_that_someone_deletes_or_takes_away_is_lost() {
    let mut world = World::new(2);
    world.run(SECOND);
    world.server.lease = None;
    world.run(SECOND * 10);
    assert_eq!(world.in_charge().len(), 1, "made anew");

    let first = world.leader();
    let version = world.server.lease.as_ref().map(|lease| lease.version.clone());
    let write = Write { holder: "other".to_owned(), version, transitions: 9, acquired: None };
    world.server.write(write).unwrap();
    world.run(SECOND * 2);
    assert!(world.in_charge().is_empty(), "p{first} saw that another has it");
}

#[test]
fn a_server_that_says_conflict_all_the_time_is_not_asked_without_pause() {
    let mut elector = Elector::new("p0", Instant::START, 1);
    let (mut now, mut writes) = (Instant::START, 0);
    while now < Instant::START + SECOND * 10 {
        elector.handle(now, Input::Timeout);
        while let Some(output) = elector.poll() {
            now = now + TRIP;
            let answer = match output {
                Output::Read => Input::Read(Ok(None)),
                Output::Write(_) => {
                    writes += 1;
                    Input::Written(Err(Failure::Conflict))
                }
            };
            elector.handle(now, answer);
        }
        now = elector.deadline().unwrap().max(now + TRIP);
    }
    assert!((10..=21).contains(&writes), "{writes} writes in ten seconds");
}

#[test]
fn where_leases_are_not_allowed_the_only_one_is_in_charge() {
    let mut world = World::new(1);
    world.server.forbids = true;
    world.run(SECOND);
    assert_eq!(world.processes[0].elector.charge(), Charge::Alone);
    world.server.forbids = false;
    world.run(SECOND * 70);
    assert!(matches!(world.processes[0].elector.charge(), Charge::Until(_)), "allowed meanwhile");
}
