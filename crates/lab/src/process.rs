//! Programs that live in a namespace.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, PipeReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::netns::Netns;

/// What is kept of a program's output; the oldest half goes when it is full.
const MAX_LOG: usize = 16 << 20;

/// How often a wait looks again.
const LOOK: Duration = Duration::from_millis(2);

/// How long a daemon may take to make its socket.
const SOCKET: Duration = Duration::from_secs(20);

/// How long the end of the output may take after the end of the program.
const LOG_END: Duration = Duration::from_millis(500);

/// A program in a namespace. It is killed and reaped on drop, with what it started; a test that
/// fails prints its output.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    log: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
    // The kernel kills the program when the thread that started it ends, and that thread holds
    // the namespace: it must stay as long as the program.
    _netns: Netns,
}

impl Process {
    /// Starts `command` (program, arguments, environment, directory) in `netns`, without input,
    /// its output captured.
    ///
    /// It runs under `setpriv --pdeathsig KILL`, which survives `exec`: a thread that dies, even
    /// with a process killed by SIGKILL, takes it along. It leads a process group of its own, so
    /// that its children can be ended with it.
    pub(crate) fn start(netns: &Netns, command: &Command) -> Result<Self> {
        let name = format!("{} in {}", command.get_program().to_string_lossy(), netns.name());
        let (output, input) = std::io::pipe().context("making a pipe")?;
        let mut wrapped = Command::new("setpriv");
        wrapped.process_group(0);
        wrapped.args(["--pdeathsig", "KILL", "--"]);
        wrapped.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(key, value),
                None => wrapped.env_remove(key),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            wrapped.current_dir(directory);
        }
        wrapped.stdin(Stdio::null()).stdout(input.try_clone().context("copying a pipe")?);
        wrapped.stderr(input);
        // The command holds the pipe's writing ends and is dropped by the job: the log ends with
        // the program.
        let child = netns
            .run(move || wrapped.spawn())
            .with_context(|| format!("starting `{name}` under `setpriv` (package util-linux)"))?;
        let log = Arc::new(Mutex::new(String::new()));
        let reader = follow(output, Arc::clone(&log))?;
        Ok(Self { name, child, ended: None, log, reader, _netns: netns.clone() })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All output so far, standard output and error as they came.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a signal to the program, not to its children.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal).with_context(|| format!("{signal} to `{}`", self.name))
    }

    /// Waits for the end of the program, and of its output. Children that it left are killed.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + limit;
        while !self.has_ended()? {
            if Instant::now() >= until {
                bail!("`{}` still runs after {limit:?}", self.name);
            }
            thread::sleep(LOOK);
        }
        self.end()
    }

    /// Whether the program has ended. Children that it left may still run.
    pub fn has_ended(&self) -> Result<bool> {
        // Looking leaves the ended program in the table of processes, so that the number of its
        // group cannot become another's before the group is killed.
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let has_ended = || Ok(waitid(Id::Pid(self.pid()?), look)? != WaitStatus::StillAlive);
        if self.ended.is_some() { Ok(true) } else { has_ended() }
    }

    /// Waits until the output contains `text`.
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        while !self.log.lock().unwrap_or_else(PoisonError::into_inner).contains(text) {
            if Instant::now() >= until {
                bail!("`{}` did not print `{text}` within {limit:?}", self.name);
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// SIGKILL to the program and its children, and the end awaited. Harmless when it has ended.
    pub fn kill(&mut self) -> Result<()> {
        self.end().map(drop)
    }

    fn end(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        killpg(self.pid()?, Signal::SIGKILL).with_context(|| format!("killing `{}`", self.name))?;
        let status = self.child.wait().with_context(|| format!("waiting for `{}`", self.name))?;
        self.ended = Some(status);
        self.wait_for_log_end();
        Ok(status)
    }

    fn pid(&self) -> Result<Pid> {
        let id = i32::try_from(self.child.id()).context("a process id fits in 31 bits")?;
        Ok(Pid::from_raw(id))
    }

    /// A child that left the group may hold the pipe open, so this has a limit.
    fn wait_for_log_end(&self) {
        let until = Instant::now() + LOG_END;
        while !self.reader.is_finished() && Instant::now() < until {
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
        if thread::panicking() {
            eprintln!("--- output of {} ---\n{}", self.name, self.log());
        }
    }
}

/// Copies lines from `output` to `log` until the writers are gone.
/// Waits until the last of these daemons has made its socket.
pub(crate) fn wait_for_socket(socket: &Path, daemons: &[Process]) -> Result<()> {
    let end = Instant::now() + SOCKET;
    while !socket.exists() {
        if Instant::now() > end {
            let logs: String = daemons.iter().map(Process::log).collect();
            bail!("no `{}` within {SOCKET:?}\n{logs}", socket.display());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

fn follow(output: PipeReader, log: Arc<Mutex<String>>) -> Result<JoinHandle<()>> {
    let copy = move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.len() > MAX_LOG {
                let half = log.ceil_char_boundary(MAX_LOG / 2);
                log.drain(..half);
            }
            // Writing to a string does not fail.
            let _ = writeln!(log, "{}", String::from_utf8_lossy(&line));
        }
    };
    thread::Builder::new().name("log".to_owned()).spawn(copy).context("starting a log reader")
}
