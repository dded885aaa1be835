//! What of received memory this process holds when it forks.
//!
//! The child has the same objects, over the same memory; but to the queue that memory is this process's alone, and would be
//! somebody else's message once it is dropped here. So what is held at a fork is held until the child has dropped it too, or has
//! ended: of a pipe the child has the one end, which it closes then, and this process the other.

use crate::lease::{self, Held};
use pyo3::prelude::*;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is held for one child.
struct Pin {
    /// Who forks. Another thread may do so too before it has come back.
    thread: usize,
    /// At its end when the child has no more use for it.
    end: OwnedFd,
    /// The child's, which is open here for the time of the fork only.
    childs: Option<OwnedFd>,
    /// Dropped with it.
    _held: Vec<Held>,
}

/// What this process has of its parent.
struct Inherited {
    /// So many messages it has not dropped.
    count: usize,
    /// For as long as there are any.
    ends: Vec<OwnedFd>,
}

/// Locked for moments only, by threads that hold the interpreter's lock: so never at a fork. The other as well.
static PINS: Mutex<Vec<Pin>> = Mutex::new(Vec::new());
static INHERITED: Mutex<Inherited> = Mutex::new(Inherited { count: 0, ends: Vec::new() });

/// How many pins there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn this_thread() -> usize {
    // SAFETY: no preconditions.
    let thread = unsafe { libc::pthread_self() };
    thread as usize
}

fn pipe() -> Option<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: a place for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return None;
    }
    // SAFETY: it was made here, for nobody else.
    let reading = unsafe { OwnedFd::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let writing = unsafe { OwnedFd::from_raw_fd(ends[1]) };
    Some((reading, writing))
}

fn is_at_its_end(fd: &OwnedFd) -> bool {
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one entry, which is here.
    let count = unsafe { libc::poll(&raw mut asked, 1, 0) };
    count == 1 && asked.revents & libc::POLLHUP != 0
}

/// Lets go of what children need no more. Whether others need some.
pub(crate) fn sweep() -> bool {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return false;
    }
    let mut pins = lock(&PINS);
    let (over, rest) = pins.drain(..).partition(|pin| pin.childs.is_none() && is_at_its_end(&pin.end));
    *pins = rest;
    let count = pins.len();
    drop(pins);
    COUNT.store(count, Ordering::Relaxed);
    // Not under the lock.
    drop::<Vec<Pin>>(over);
    count > 0
}

/// Something that this process has of its parent was dropped.
pub(crate) fn inherited_less() {
    let mut inherited = lock(&INHERITED);
    inherited.count = inherited.count.saturating_sub(1);
    if inherited.count == 0 {
        inherited.ends.clear();
    }
}

/// For `os.register_at_fork`: the first.
#[pyfunction]
pub(crate) fn before_fork() {
    sweep();
    let held = lease::all();
    if held.is_empty() {
        return;
    }
    let Some((end, childs)) = pipe() else {
        // Without a way to know, for as long as this process lives.
        return core::mem::forget(held);
    };
    let mut pins = lock(&PINS);
    pins.push(Pin { thread: this_thread(), end, childs: Some(childs), _held: held });
    COUNT.store(pins.len(), Ordering::Relaxed);
}

/// The second. If there was no fork after all, there is nobody at the other end.
#[pyfunction]
pub(crate) fn after_fork_in_parent() {
    let this = this_thread();
    for pin in lock(&PINS).iter_mut().filter(|pin| pin.thread == this) {
        pin.childs = None;
    }
}

/// The third.
#[pyfunction]
pub(crate) fn after_fork_in_child() {
    let this = this_thread();
    let mut pins = core::mem::take(&mut *lock(&PINS));
    COUNT.store(0, Ordering::Relaxed);
    let mine = pins.iter_mut().filter(|pin| pin.thread == this).filter_map(|pin| pin.childs.take());
    let mut inherited = lock(&INHERITED);
    inherited.ends.extend(mine);
    inherited.count += lease::forget_all();
    if inherited.count == 0 {
        inherited.ends.clear();
    }
    drop(inherited);
    // The parent's, each of which counts as one that is dropped if nothing else here has it.
    drop(pins);
}
