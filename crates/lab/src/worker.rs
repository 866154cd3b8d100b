//! Threads that stop when their owner goes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a waiting worker looks whether it is still wanted.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// A thread that is told to stop, and waited for, on drop.
#[derive(Debug)]
pub(crate) struct Worker {
    wanted: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a worker asks now and then.
#[derive(Debug, Clone)]
pub(crate) struct Wanted(Arc<AtomicBool>);

impl Wanted {
    /// Whether to go on.
    pub(crate) fn still(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Worker {
    /// Starts `work`, which must look at its argument at least every [`LOOK`].
    pub(crate) fn start(
        name: &str,
        work: impl FnOnce(Wanted) + Send + 'static,
    ) -> io::Result<Self> {
        let wanted = Arc::new(AtomicBool::new(true));
        let seen = Wanted(Arc::clone(&wanted));
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(seen))?;
        Ok(Self { wanted, thread: Some(thread) })
    }

    /// Stops the thread and waits for its end. A panic in it is passed on.
    pub(crate) fn stop(mut self) {
        self.wanted.store(false, Ordering::Relaxed);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic was printed when it happened; a second one here would abort the process.
            let _ = thread.join();
        }
    }
}
