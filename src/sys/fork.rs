//! Knowing that one has been forked, and keeping forks out of a few instructions.
//!
//! A forked child has its parent's memory but none of its claims.

use super::clock;
use super::own_page::{self, OwnPage};
use crate::error::Error;
use crate::sync::{AtomicU64, Ordering, spin_loop};
use core::marker::PhantomData;
use core::mem::MaybeUninit;

/// The last generation given out in this line of descent; copied to children, not wiped.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A view of the generation of the running process.
///
/// Cheap to ask on every operation: one load from a page nobody writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generation(&'static AtomicU64);

impl Generation {
    /// # Errors
    /// Only the first call in a line of descent can fail: no memory, or a kernel before 4.14.
    pub(crate) fn get() -> Result<Self, Error> {
        Ok(Generation(&own_page::get()?.generation))
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

    /// Whether `generation`, which was somebody's once, is the running process's; an unnumbered child is always
    /// somebody new.
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

/// While this lives, no `fork` of the C library gets through: the child would inherit what must stay ours.
///
/// The gate is a word in the wiped page that names the thread inside: 0 in every child, so that no child waits for
/// a thread it does not have. The thread's signals are held back, so that no handler forks, or comes here, in the
/// middle. Whoever is inside makes a few system calls and must not allocate: an allocator's own fork handlers
/// may hold its locks while they wait for us.
#[derive(Debug)]
pub(crate) struct NoForks {
    page: &'static OwnPage,
    _signals: NoSignals,
}

impl NoForks {
    /// # Errors
    /// As [`Generation::get`].
    pub(crate) fn hold() -> Result<Self, Error> {
        let page = own_page::get()?;
        let signals = NoSignals::hold();
        enter(page, this_thread());
        Ok(NoForks { page, _signals: signals })
    }
}

impl Drop for NoForks {
    fn drop(&mut self) {
        leave(self.page, this_thread());
    }
}

/// While this lives, no signal handler runs on this thread; nor on those it starts meanwhile, as long as they live.
#[derive(Debug)]
pub(crate) struct NoSignals {
    former: libc::sigset_t,
    /// The mask is this thread's.
    thread: PhantomData<*const ()>,
}

impl NoSignals {
    pub(crate) fn hold() -> Self {
        NoSignals { former: hold_signals(), thread: PhantomData }
    }
}

impl Drop for NoSignals {
    fn drop(&mut self) {
        // SAFETY: `former` is the mask this thread had, and no old one is asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.former, core::ptr::null_mut()) };
    }
}

fn hold_signals() -> libc::sigset_t {
    let mut all = MaybeUninit::uninit();
    let mut former = MaybeUninit::uninit();
    // SAFETY: `all` is a place for a set; the call always fills it.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `all` was filled above, and `former` is a place for the mask; with these arguments the call cannot
    // fail.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), former.as_mut_ptr()) };
    // SAFETY: filled above.
    unsafe { former.assume_init() }
}

fn this_thread() -> u64 {
    // SAFETY: no memory is involved.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    id as u64
}

fn enter(page: &OwnPage, me: u64) {
    let mut tries = 0;
    // Acquire pairs with the Release in `leave`: what the former holder did is over.
    while page.gate.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
        spin_loop();
        tries += 1;
        // A real sleep in the end: the holder may have a lower priority than we, on our processor.
        if tries > 100 { clock::pause(50_000) } else { std::thread::yield_now() }
    }
}

fn leave(page: &OwnPage, me: u64) {
    // Only the thread that entered finds itself there. Release: pairs with the Acquire in `enter`.
    let _ = page.gate.compare_exchange(me, 0, Ordering::Release, Ordering::Relaxed);
}

/// Holds the gate over a `fork`. Registered twice, it finds itself there already and lets itself through.
extern "C" fn before_fork() {
    // Before and not afterwards: what is dropped while the fork is under way is inherited too.
    FORKS.fetch_add(1, Ordering::Relaxed);
    if let Some(page) = own_page::existing() {
        let me = this_thread();
        if page.gate.load(Ordering::Relaxed) != me {
            enter(page, me);
        }
    }
}

/// How often this process has forked by the C library, in this line of descent.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// How often this process has forked by the C library. Only comparing two answers makes sense.
pub(crate) fn count() -> u64 {
    // Relaxed: the thread that forked sees it; others must order themselves with that one anyway.
    FORKS.load(Ordering::Relaxed)
}

/// In the parent; the child's gate was wiped.
extern "C" fn after_fork() {
    if let Some(page) = own_page::existing() {
        leave(page, this_thread());
    }
}

pub(super) fn register_handlers() {
    // SAFETY: the handlers only touch the page, which stays once it exists. On failure (no memory) forks are
    // merely not held back; see `LockPage` for what that can cost.
    unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), None) };
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
    fn a_child_does_not_wait_for_a_gate_its_parent_holds() {
        let held = NoForks::hold().unwrap();
        in_child(
            // SAFETY: a clone without CLONE_VM is a fork that no handler holds back; the child only checks.
            || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t },
            || {
                // SAFETY: a forgotten wait ends the child instead of the test.
                unsafe { libc::alarm(20) };
                drop(NoForks::hold().unwrap());
                true
            },
        );
        drop(held);
        drop(NoForks::hold().unwrap());
    }

    #[test]
    fn a_fork_waits_for_the_gate() {
        let held = NoForks::hold().unwrap();
        let ready = std::sync::Barrier::new(2);
        let open = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let forker = scope.spawn(|| {
                ready.wait();
                in_child(
                    // SAFETY: the child only leaves.
                    || unsafe { libc::fork() },
                    || open.load(Ordering::SeqCst) == 1,
                );
            });
            ready.wait();
            // Time for a fork that does not wait to be seen; one that does wait passes however long it takes.
            for _ in 0..1000 {
                std::thread::yield_now();
            }
            open.store(1, Ordering::SeqCst);
            drop(held);
            forker.join().unwrap();
        });
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
