//! What is free is given back to the operating system.
//!
//! A first list of thousands of objects needs much for a moment, and what stays afterwards lies
//! scattered over all of it. The allocator of glibc keeps the gaps for itself, and has such a heap for
//! every thread.
#![expect(unsafe_code, reason = "there is no safe way to set up the allocator of the C library")]

#[cfg(target_env = "gnu")]
mod allocator {
    /// From this size on, in bytes, memory is mapped on its own and unmapped when it is freed. It
    /// is glibc's own first value; setting it keeps it from growing.
    const MAPPED: libc::c_int = 128 * 1024;

    pub(super) fn use_one_heap() {
        // SAFETY: both only change numbers that the allocator looks at, and no thread but this one
        // has been started.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        }
    }

    pub(super) fn give_back() {
        // SAFETY: it takes the allocator's own locks, and no memory that is in use.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}

/// Other allocators look after themselves.
#[cfg(not(target_env = "gnu"))]
mod allocator {
    pub(super) fn use_one_heap() {}

    pub(super) fn give_back() {}
}

/// Makes all threads share one heap, before there are any: they allocate little, and what one has
/// freed is then there for the others.
pub fn use_one_heap() {
    allocator::use_one_heap();
}

/// Gives back what is free. Takes milliseconds for tens of megabytes.
pub fn give_back() {
    allocator::give_back();
}
