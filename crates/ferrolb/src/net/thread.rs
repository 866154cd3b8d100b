//! Being on time: what the kernel offers to a thread that must not wait for others.
#![expect(unsafe_code, reason = "neither std nor nix sets the policy of a thread")]

use std::io;

use nix::sys::prctl;

/// The lowest of the real-time priorities: before every ordinary thread, behind the kernel's own
/// threads that carry frames.
const PRIORITY: libc::c_int = 1;

/// Nanoseconds by which the kernel may wake an ordinary thread late to save power; zero would mean
/// the default of 50 µs.
const SLACK: libc::c_ulong = 1;

/// Makes the calling thread run whenever it has something to do, even if all processors are busy
/// (`SCHED_FIFO`, `sched(7)`). Threads that it starts do not inherit this.
///
/// Its memory is not locked: `mlockall` needs CAP_IPC_LOCK or a limit above all that the process
/// maps, and what is touched twenty times a second is the last that the kernel takes away.
///
/// # Errors
///
/// `PermissionDenied` without CAP_SYS_NICE, and in a cgroup that was given no real-time budget even
/// with it. The thread is then woken as precisely as an ordinary one can be.
pub fn become_punctual() -> io::Result<()> {
    // It concerns ordinary threads alone, and a kernel that refuses it still wakes us.
    let _ = prctl::set_timerslack(SLACK);
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `parameters` lives until the call returns; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
