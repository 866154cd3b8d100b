//! Anonymous network namespaces.
//!
//! A namespace is held by a thread: it leaves the namespace of the process and then runs what it
//! is sent. Sockets, threads and programs made on that thread belong to the namespace for good.
//! There is no name in `/run` and no bind mount, so when the process dies, by whatever signal,
//! the kernel takes the namespace and all that is in it away.

use std::fmt;
use std::fs::{self, File};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle, ThreadId};

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::{Handle, LinkUnspec};

use crate::process::Process;

/// A network namespace and the thread that holds it. Clones are the same namespace; it goes with
/// the last one.
#[derive(Clone)]
pub struct Netns {
    holder: Arc<Holder>,
}

struct Holder {
    name: String,
    jobs: Sender<Job>,
    thread: Option<JoinHandle<()>>,
    id: ThreadId,
    file: File,
}

enum Job {
    Run(Box<dyn FnOnce() + Send>),
    Stop,
}

impl Netns {
    /// Makes a namespace with its loopback up. `name` is for people: it appears in errors and
    /// thread names, and need not be unique.
    pub fn new(name: &str) -> Result<Self> {
        let leave =
            || unshare(CloneFlags::CLONE_NEWNET).context("`unshare` of the network namespace");
        let netns = Self::hold(name, leave)
            .with_context(|| format!("making network namespace `{name}`"))?;
        netns.netlink(async |handle: Handle| {
            let up = LinkUnspec::new_with_name("lo").up().build();
            handle.link().set(up).execute().await.context("setting `lo` up")
        })?;
        Ok(netns)
    }

    /// Enters one that has this name in the file system, made by `ip netns add`. It stays there.
    pub fn named(name: &str) -> Result<Self> {
        let path = format!("/run/netns/{name}");
        let entering = format!("entering `{path}`");
        let enter = move || {
            let file = File::open(path)?;
            setns(file, CloneFlags::CLONE_NEWNET).context("`setns`")
        };
        Self::hold(name, enter).context(entering)
    }

    fn hold(name: &str, enter: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let (opened, file) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || hold(&queue, &opened, enter))
            .context("starting a thread")?;
        let id = thread.thread().id();
        let file = file.recv().context("the thread ended").flatten()?;
        let holder = Holder { name: name.to_owned(), jobs, thread: Some(thread), id, file };
        Ok(Self { holder: Arc::new(holder) })
    }

    /// The name it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.holder.name
    }

    /// The open file that stands for the namespace, for netlink messages that move interfaces.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.holder.file.as_raw_fd()
    }

    /// Runs `job` in the namespace and waits for its result. One job runs at a time, so what lasts
    /// belongs on a thread of its own, with a socket made here. A panic in `job` is passed on.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        if thread::current().id() == self.holder.id {
            return job();
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let job = Job::Run(Box::new(move || {
            // Nobody waits any more only when the caller's thread is gone.
            let _ = answer.send(catch_unwind(AssertUnwindSafe(job)));
        }));
        self.holder.jobs.send(job).expect("the thread lives as long as its sender");
        match answered.recv().expect("the thread answers each job, panics included") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Speaks rtnetlink in the namespace.
    pub fn netlink<T, F>(&self, requests: F) -> Result<T>
    where
        T: Send + 'static,
        F: AsyncFnOnce(Handle) -> Result<T> + Send + 'static,
    {
        let answer = self.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            runtime.block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection()?;
                tokio::spawn(connection);
                requests(handle).await
            })
        });
        answer.with_context(|| format!("in network namespace `{}`", self.name()))
    }

    /// Writes `value` to `/proc/sys/KEY`, which is the namespace's own for keys under `net/`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{key}");
        let (file, value) = (path.clone(), value.to_owned());
        self.run(move || fs::write(file, value))
            .with_context(|| format!("writing `{path}` in network namespace `{}`", self.name()))
    }

    /// A UDP socket of this namespace, to be used from anywhere in the process.
    pub fn udp(&self, address: SocketAddr) -> Result<UdpSocket> {
        self.run(move || UdpSocket::bind(address)).with_context(|| {
            format!("opening UDP `{address}` in network namespace `{}`", self.name())
        })
    }

    /// Starts a program in the namespace. It is killed when the [`Process`] is dropped, and by the
    /// kernel when this process dies.
    pub fn spawn(&self, command: &Command) -> Result<Process> {
        Process::start(self, command)
    }
}

impl fmt::Debug for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netns({})", self.name())
    }
}

/// The life of the thread: enter, tell, work.
fn hold(
    queue: &Receiver<Job>,
    opened: &mpsc::SyncSender<Result<File>>,
    enter: impl FnOnce() -> Result<()>,
) {
    let file = enter()
        .context("changing the network namespace (needs root)")
        .and_then(|()| File::open("/proc/thread-self/ns/net").context("opening the namespace"));
    let failed = file.is_err();
    // The maker waits for exactly this message.
    let _ = opened.send(file);
    if failed {
        return;
    }
    while let Ok(Job::Run(job)) = queue.recv() {
        job();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It fails only when the thread is gone, which is what we want.
        let _ = self.jobs.send(Job::Stop);
        // The last clone may have lived in a job: a thread cannot wait for itself.
        if thread::current().id() != self.id
            && let Some(thread) = self.thread.take()
        {
            // Jobs' panics were passed to whoever sent the job.
            let _ = thread.join();
        }
    }
}
