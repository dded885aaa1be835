//! What of received memory this process holds when it forks.
//!
//! The child has the same objects, over the same memory; but to the queue that memory is this process's alone, and would be
//! somebody else's message once it is dropped here. So what is held at a fork is held until the child has dropped it too, or has
//! ended: of a pipe the child has the one end, which it closes then, and this process the other.

use crate::lease::Memory;
use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::time::Duration;
use ringway::Deadline;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is held for one child.
struct Pin {
    /// At its end when the child has no more use for it.
    end: OwnedFd,
    /// Dropped with it.
    memory: Vec<Arc<Memory>>,
}

struct State {
    /// What objects of this process hold, each at its place.
    held: Vec<Option<Arc<Memory>>>,
    /// Places that are free.
    free: Vec<usize>,
    /// What it holds for its children.
    pins: Vec<Pin>,
    /// How much of what its parent held when it was forked it has not dropped.
    inherited: usize,
    /// For as long as there is any: the ends that parents look at.
    ends: Vec<OwnedFd>,
    /// While there is a fork: the child's end.
    childs: Option<OwnedFd>,
    /// What is not needed any more, by a child of its parent or by a parent for its child: dropped at the next occasion.
    stale: Vec<Arc<Memory>>,
}

/// Locked for moments only; and over a fork, by the thread that forks.
static STATE: Mutex<State> = Mutex::new(State {
    held: Vec::new(),
    free: Vec::new(),
    pins: Vec::new(),
    inherited: 0,
    ends: Vec::new(),
    childs: None,
    stale: Vec::new(),
});

/// Whether there is something to be swept. Changed under the lock; Relaxed, since whoever sees it too late looks again.
static IS_WORTH_SWEEPING: AtomicBool = AtomicBool::new(false);

type Guard = MutexGuard<'static, State>;

std::thread_local! {
    /// The lock, over a fork. Never dropped where it is, so that threads need nothing for it.
    static FORKING: Cell<Option<ManuallyDrop<Guard>>> = const { Cell::new(None) };
}

fn state() -> Guard {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something is held from now on: what `make` makes of its place among all that is.
pub(crate) fn add(make: impl FnOnce(usize) -> Arc<Memory>) -> Arc<Memory> {
    let mut state = state();
    let State { held, free, .. } = &mut *state;
    let place = free.pop().unwrap_or_else(|| {
        held.push(None);
        held.len() - 1
    });
    let memory = make(place);
    held[place] = Some(Arc::clone(&memory));
    memory
}

/// What has this place is not held any more.
pub(crate) fn remove(place: usize) {
    let mut state = state();
    let State { held, free, .. } = &mut *state;
    let memory = held[place].take();
    free.push(place);
    drop(state);
    // Not under the lock: a queue may go with it.
    drop(memory);
}

/// Something that this process has of its parent was dropped.
pub(crate) fn inherited_less() {
    let mut state = state();
    state.inherited = state.inherited.saturating_sub(1);
    if state.inherited == 0 {
        state.ends.clear();
    }
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

/// Takes those out that children need no more.
fn take_unneeded(pins: &mut Vec<Pin>) -> Vec<Pin> {
    let ask = |pin: &Pin| libc::pollfd { fd: pin.end.as_raw_fd(), events: 0, revents: 0 };
    let mut asked: Vec<libc::pollfd> = pins.iter().map(ask).collect();
    // SAFETY: so many entries are there.
    let count = unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, 0) };
    if count <= 0 {
        return Vec::new();
    }
    let (mut unneeded, mut rest) = (Vec::new(), Vec::new());
    for (pin, asked) in pins.drain(..).zip(asked) {
        if asked.revents & libc::POLLHUP == 0 { rest.push(pin) } else { unneeded.push(pin) }
    }
    *pins = rest;
    unneeded
}

/// Lets go of what children need no more. Whether others need some. One load if there are none.
///
/// Whoever waits must ask again and again, also if there are none: another thread may fork, and nothing wakes anybody when the child
/// ends. See [`look_again`].
#[inline]
pub(crate) fn sweep() -> bool {
    IS_WORTH_SWEEPING.load(Ordering::Relaxed) && sweep_slowly()
}

/// How often one that waits looks whether children still need what this process holds for them; and if there are none, whether there
/// are some.
const LOOK: Duration = Duration::from_millis(100);
const LOOK_FOR_SOME: Duration = Duration::from_secs(1);

/// Sweeps, and says when whoever waits until `until` is to do so again: what is let go of may be what others wait for.
pub(crate) fn look_again(until: Deadline) -> Deadline {
    until.min(Deadline::after(if sweep() { LOOK } else { LOOK_FOR_SOME }))
}

#[cold]
fn sweep_slowly() -> bool {
    let mut state = state();
    let stale = core::mem::take(&mut state.stale);
    let unneeded = take_unneeded(&mut state.pins);
    let is_needed = !state.pins.is_empty();
    IS_WORTH_SWEEPING.store(is_needed, Ordering::Relaxed);
    drop(state);
    // Not under the lock: a queue may go with it.
    drop((stale, unneeded));
    is_needed
}

/// Just before a fork, in the thread that makes it.
pub(crate) fn before_fork() {
    // So there are never many more pins than children.
    sweep();
    let mut state = state();
    let memory: Vec<_> = state.held.iter().flatten().cloned().collect();
    if !memory.is_empty() {
        // One that only forks must not gather descriptors. The memory goes at the next occasion: not under the lock.
        let State { pins, stale, .. } = &mut *state;
        stale.extend(take_unneeded(pins).into_iter().flat_map(|pin| pin.memory));
        match pipe() {
            Some((end, childs)) => {
                state.pins.push(Pin { end, memory });
                state.childs = Some(childs);
                IS_WORTH_SWEEPING.store(true, Ordering::Relaxed);
            }
            // Without a way to know, for as long as this process lives.
            None => core::mem::forget(memory),
        }
    }
    FORKING.set(Some(ManuallyDrop::new(state)));
}

/// The lock, as it was before the fork.
fn locked_before() -> Option<Guard> {
    FORKING.take().map(ManuallyDrop::into_inner)
}

/// After the fork, in the parent. If there was none after all, nobody is at the other end now.
pub(crate) fn after_fork() {
    if let Some(mut state) = locked_before() {
        state.childs = None;
    }
}

/// After the fork, in the child: what it has is not its own.
pub(crate) fn after_fork_in_child() {
    let Some(mut state) = locked_before() else { return };
    let State { held, free, pins, inherited, ends, childs, stale } = &mut *state;
    *inherited += held.iter().flatten().count();
    ends.extend(childs.take());
    // Objects that it has keep theirs. The rest goes when there is time for it: now others' locks may be locked for ever.
    stale.extend(held.drain(..).flatten());
    free.clear();
    stale.extend(pins.drain(..).flat_map(|pin| pin.memory));
    IS_WORTH_SWEEPING.store(!stale.is_empty(), Ordering::Relaxed);
}
