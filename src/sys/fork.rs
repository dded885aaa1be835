//! Knowing that one has been forked, and keeping forks out of a few instructions.
//!
//! A forked child has its parent's memory but none of its claims. `pthread_atfork` does not see `_Fork` or a
//! raw `clone`, so the generation lives in a private page that the kernel wipes in every child, however it
//! was made (`MADV_WIPEONFORK`, Linux 4.14).

use crate::error::Error;
use crate::sync::{AtomicU64, Ordering, spin_loop};
use core::ptr;

/// Address of the wiped page; 0 until the first use. Set once by compare-and-swap, so that a fork at any
/// moment leaves either none or a usable one, and never a lock held by a thread that is not there.
static PAGE: AtomicU64 = AtomicU64::new(0);

/// The last generation given out in this line of descent; copied to children, not wiped.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A view of the generation of the running process.
///
/// Cheap to ask on every operation: one load from a page nobody writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generation(&'static AtomicU64);

impl Generation {
    /// Makes the page if this is the first call in the process.
    pub(crate) fn get() -> Result<Self, Error> {
        // Relaxed: the page is zero when mapped, and zero means "not numbered yet"; there is nothing to publish.
        let mut address = PAGE.load(Ordering::Relaxed);
        if address == 0 {
            let fresh = map_page()?;
            match PAGE.compare_exchange(0, fresh as u64, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    address = fresh as u64;
                    hold_forks_in_handlers();
                }
                Err(other) => {
                    // SAFETY: we mapped it just now and nobody else has seen it.
                    unsafe { libc::munmap(fresh.cast(), PAGE_BYTES) };
                    address = other;
                }
            }
        }
        // SAFETY: PAGE holds the address of a page that stays mapped until the process ends.
        Ok(Generation(unsafe { &*(address as *const AtomicU64) }))
    }

    /// The number of this process in its line of descent; never 0, never that of an ancestor.
    #[inline]
    pub(crate) fn current(self) -> u64 {
        // Relaxed: only this address space writes the word, and each value stands for itself.
        match self.0.load(Ordering::Relaxed) {
            0 => self.number(),
            generation => generation,
        }
    }

    /// Whether `generation` is the running process's; an unnumbered child is always somebody new.
    #[inline(always)]
    pub(crate) fn is(self, generation: u64) -> bool {
        self.0.load(Ordering::Relaxed) == generation
    }

    #[cold]
    fn number(self) -> u64 {
        let fresh = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        match self.0.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => fresh,
            Err(other_thread) => other_thread,
        }
    }
}

const PAGE_BYTES: usize = 4096;

fn map_page() -> Result<*mut AtomicU64, Error> {
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            PAGE_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(Error::last_os("map the page that tells forks apart"));
    }
    // SAFETY: the page is ours, mapped above.
    if unsafe { libc::madvise(page, PAGE_BYTES, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above; nobody else knows the page.
        unsafe { libc::munmap(page, PAGE_BYTES) };
        return Err(Error::Unsupported { what: "MADV_WIPEONFORK (Linux 4.14)" });
    }
    Ok(page.cast())
}

/// 0 = open, 1 = somebody is inside. Held for two system calls at a time, so spinning with a yield will do.
static GATE: AtomicU64 = AtomicU64::new(0);

/// While this lives, no `fork` of the C library gets through: the child would inherit what must stay ours.
#[derive(Debug)]
pub(crate) struct NoForks(());

impl NoForks {
    pub(crate) fn hold() -> Self {
        enter();
        NoForks(())
    }
}

impl Drop for NoForks {
    fn drop(&mut self) {
        leave();
    }
}

fn enter() {
    // Acquire/Release pair with `leave`: what the former holder did is over.
    while GATE.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        spin_loop();
        // SAFETY: no memory is involved.
        unsafe { libc::sched_yield() };
    }
}

extern "C" fn before_fork() {
    enter();
}

extern "C" fn leave() {
    GATE.store(0, Ordering::Release);
}

fn hold_forks_in_handlers() {
    // SAFETY: the handlers only touch GATE, which is always valid, also in a child of many threads. On
    // failure (no memory) forks are merely not held back; see `LockPage` for what that can cost.
    unsafe { libc::pthread_atfork(Some(before_fork), Some(leave), Some(leave)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_child(make: impl FnOnce() -> libc::pid_t, check: impl FnOnce() -> bool) {
        let child = make();
        if child == 0 {
            let code = if check() { 0 } else { 1 };
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(code) };
        }
        assert!(child > 0);
        let mut status = 0;
        // SAFETY: `status` is a valid place for the answer.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(waited, child);
        assert_eq!(status, 0, "the child's check failed");
    }

    #[test]
    fn a_forked_child_is_a_new_generation() {
        let generation = Generation::get().unwrap();
        let parent = generation.current();
        // SAFETY: the child only runs the check and leaves.
        in_child(|| unsafe { libc::fork() }, || !generation.is(parent) && generation.current() > parent);
        assert!(generation.is(parent));
    }

    #[test]
    fn a_raw_clone_is_a_new_generation_too() {
        let generation = Generation::get().unwrap();
        let parent = generation.current();
        in_child(
            // SAFETY: a clone without CLONE_VM is a fork that no handler sees; the child only checks and leaves.
            || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t },
            || !generation.is(parent) && generation.current() > parent,
        );
    }
}
