//! Telling event loops and futures, which cannot sleep at a futex.
//!
//! A thread of this process sleeps at the condition in their stead. When there is something, it raises a descriptor and
//! wakes the futures, and then waits until somebody found nothing again. All of that is private to the process: nothing
//! of it is in shared memory, a peer that is killed leaves nothing behind, and processes that use none of it pay
//! nothing.
//!
//! ```text
//!            ┌──────────── a receive finds or leaves nothing; a future waits ────────────┐
//!            v                                                                           │
//!         ARMED: the thread sleeps at the condition ── there is something ──> told: the descriptor is readable
//! ```

use super::core::Core;
use super::layout::Body;
use super::policy::Policy;
use crate::error::Error;
use crate::ring::mpmc::{Phase, PopError};
use crate::segment::Segment;
use crate::sync::{AtomicU64, Exclusive, Ordering, spin_loop};
use crate::sys::event::Event;
use crate::sys::fork::NoSignals;
use crate::wait::{ALL, Wait};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;

/// One condition of one handle, watched or not.
pub(super) struct Watched {
    /// 0 until somebody asked for it; then the process (by its generation) that did so last.
    by: AtomicU64,
    /// For space, else for messages.
    is_sending: bool,
    watch: Exclusive<Option<Arc<Watch>>>,
}

// Nothing of ours panics inside, so nothing is ever half changed.
impl core::panic::UnwindSafe for Watched {}
impl core::panic::RefUnwindSafe for Watched {}

/// A thread that sleeps for others.
#[derive(Debug)]
pub(super) struct Watch {
    state: Mutex<State>,
    changed: Condvar,
    event: OnceLock<Event>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    /// The thread is to look; else it has told, and waits.
    is_armed: bool,
    /// Whoever polls the descriptor waits for space for a message of so many bytes; receivers for 0.
    polled: Option<u64>,
    /// The descriptor is readable.
    is_raised: bool,
    /// The handle is gone, or the queue closed: the thread ends.
    is_over: bool,
    /// The thread wakes futures.
    is_elsewhere: bool,
    has_ended: bool,
    /// With the length of the message that each wants to send; 0 of receivers.
    wakers: Vec<(Waker, u64)>,
}

impl Watched {
    pub(super) fn new(segment: &Segment, is_sending: bool) -> Self {
        let watch = Exclusive::new(segment.generation().current(), None);
        Watched { by: AtomicU64::new(0), is_sending, watch }
    }

    /// Whether anybody ever asked for it. One load.
    #[inline(always)]
    pub(super) fn is_watched(&self) -> bool {
        // Relaxed: who asks for it looks himself afterwards.
        self.by.load(Ordering::Relaxed) != 0
    }

    /// The watch of this process, if there is one.
    fn find<R>(&self, generation: u64, then: impl FnOnce(&mut Option<Arc<Watch>>) -> R) -> R {
        loop {
            // Whoever is inside is there for a few instructions, or makes the watch.
            match self.watch.enter(generation, || None) {
                Some(mut watch) => return then(&mut watch),
                None => spin_loop(),
            }
            std::thread::yield_now();
        }
    }

    fn existing(&self, core: &Core) -> Option<Arc<Watch>> {
        let generation = core.segment.generation().current();
        if self.by.load(Ordering::Relaxed) != generation {
            // The parent's, whose thread is not here.
            return None;
        }
        self.find(generation, |watch| watch.clone())
    }

    /// The watch of this process, made if there is none.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(super) fn get(&self, core: &Core) -> Result<Arc<Watch>, Error> {
        if let Some(watch) = self.existing(core) {
            return Ok(watch);
        }
        let fresh = Watch::start(core, self.is_sending)?;
        let generation = core.segment.generation().current();
        let watch = self.find(generation, |watch| Arc::clone(watch.get_or_insert(Arc::clone(&fresh))));
        if !Arc::ptr_eq(&watch, &fresh) {
            // Another thread was faster.
            fresh.end(|| core.wake_watches(self.is_sending));
        }
        self.by.store(generation, Ordering::Relaxed);
        Ok(watch)
    }

    /// Nothing is there: whoever polls is to sleep until there is something, for senders space for `len` bytes.
    fn settle(&self, core: &Core, len: u64) {
        if let Some(watch) = self.existing(core) {
            watch.settle(len);
        }
    }

    /// Ends the thread.
    pub(super) fn end(&self, core: &Core) {
        if self.is_watched()
            && let Some(watch) = self.existing(core)
        {
            watch.end(|| core.wake_watches(self.is_sending));
        }
    }
}

impl Watch {
    fn start(core: &Core, is_sending: bool) -> Result<Arc<Self>, Error> {
        let watch = Arc::new(Watch {
            state: Mutex::default(),
            changed: Condvar::new(),
            event: OnceLock::new(),
            thread: Mutex::new(None),
        });
        // A handle of its own: the thread may outlive the other by a moment.
        let core = Core::new(Arc::clone(&core.segment), Wait::Park, Policy::REDELIVER)?;
        let theirs = Arc::clone(&watch);
        let builder = std::thread::Builder::new().name("ringway-watch".to_owned()).stack_size(STACK);
        // The program's signal handlers are no business of this thread.
        let signals = NoSignals::hold();
        let started = builder.spawn(move || theirs.run(&core, is_sending));
        drop(signals);
        let thread = started.map_err(|source| Error::Os { action: "start a thread that watches", source })?;
        *watch.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(watch)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread.
    fn run(&self, core: &Core, is_sending: bool) {
        let is_there = |len| if is_sending { core.has_vacancies(len) } else { core.has_arrivals() };
        loop {
            let mut state = self.state();
            while !state.is_armed && !state.is_over {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            core.watch(is_sending, || {
                let state = self.state();
                let mut wanted = state.polled.iter().chain(state.wakers.iter().map(|(_, len)| len));
                state.is_over || wanted.any(|&len| is_there(len))
            });
            let mut state = self.state();
            // Whoever asks from now on need not be told again.
            state.is_over |= if is_sending { !core.is_open() } else { core.is_at_its_end() };
            let (now, later) = core::mem::take(&mut state.wakers)
                .into_iter()
                .partition::<Vec<_>, _>(|&(_, len)| state.is_over || is_there(len));
            state.wakers = later;
            if state.is_over || state.polled.is_some_and(is_there) {
                state.polled = None;
                self.raise(&mut state);
            }
            state.is_armed = state.polled.is_some() || !state.wakers.is_empty();
            state.is_elsewhere = !now.is_empty();
            drop(state);
            self.changed.notify_all();
            now.into_iter().for_each(|(waker, _)| waker.wake());
            let mut state = self.state();
            state.is_elsewhere = false;
            if state.is_over {
                state.has_ended = true;
                drop(state);
                self.changed.notify_all();
                return;
            }
        }
    }

    fn raise(&self, state: &mut State) {
        if let Some(event) = self.event.get()
            && !state.is_raised
        {
            event.raise();
            state.is_raised = true;
        }
    }

    fn settle(&self, len: u64) {
        let mut state = self.state();
        let Some(event) = self.event.get() else { return };
        if state.is_over {
            return;
        }
        if state.is_raised {
            event.lower();
            state.is_raised = false;
        }
        state.polled = Some(len);
        self.arm(state);
    }

    fn arm(&self, mut state: MutexGuard<'_, State>) {
        if !state.is_armed {
            state.is_armed = true;
            self.changed.notify_all();
        }
    }

    /// What is readable while there is something.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub(super) fn event(&self) -> Result<&Event, Error> {
        if self.event.get().is_none() {
            let event = Event::new()?;
            let mut state = self.state();
            if self.event.set(event).is_ok() {
                if state.is_over {
                    self.raise(&mut state);
                } else {
                    state.polled = Some(0);
                    self.arm(state);
                }
            }
        }
        Ok(self.event.get().expect("just set"))
    }

    /// Has `waker` woken when there is something, for senders space for `len` bytes; at once if the queue is closed. Try
    /// once more after this.
    pub(super) fn wake_later(&self, waker: &Waker, len: u64) {
        let mut state = self.state();
        if state.is_over {
            drop(state);
            waker.wake_by_ref();
            return;
        }
        match state.wakers.iter_mut().find(|(other, _)| other.will_wake(waker)) {
            Some((_, wanted)) => *wanted = (*wanted).min(len),
            None => state.wakers.push((waker.clone(), len)),
        }
        self.arm(state);
    }

    fn end(&self, wake: impl FnOnce()) {
        self.state().is_over = true;
        self.changed.notify_all();
        wake();
        // Not while it wakes futures: that is foreign code, which may wait for whoever is here. Then it ends by itself.
        let mut state = self.state();
        while !state.has_ended && !state.is_elsewhere {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let has_ended = state.has_ended;
        drop(state);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|_| has_ended) {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

/// How a handle is watched.
impl Core {
    /// Whether a receiver would have something to say, or to do: a message, the end, or a closing to be finished.
    fn has_arrivals(&self) -> bool {
        self.holds_any() || self.body().header.closing.phase() == Phase::Closing || self.is_at_its_end()
    }

    /// Whether the queue is closed, and nobody is in the middle of a message: then there always is something to say.
    fn is_at_its_end(&self) -> bool {
        let is_closed = self.body().header.closing.phase() == Phase::Closed;
        is_closed && !matches!(self.slots.look(), Err(PopError::Busy(_)))
    }

    /// Whether a sender of `len` bytes would: space, or the end.
    fn has_vacancies(&self, len: u64) -> bool {
        self.slots.look_for_space().is_ok() && self.has_room(len) || !self.is_open()
    }

    /// Lets event loops know that there is nothing to receive, if that is so.
    #[cold]
    pub(super) fn settle_arrivals(&self) {
        if !self.has_arrivals() {
            self.arrivals.settle(self, 0);
        }
    }

    /// Lets event loops know that a message of `len` bytes found no space.
    pub(super) fn found_no_space(&self, len: u64) {
        if self.vacancies.is_watched() {
            self.vacancies.settle(self, len);
        }
    }

    /// Wakes the threads that sleep for others, and everybody else.
    fn wake_watches(&self, is_sending: bool) {
        let Body { items, space, room, .. } = self.body();
        let conditions = if is_sending { [space, room] } else { [items, items] };
        conditions.iter().for_each(|condition| condition.wake(ALL, self.barrier));
    }

    /// Sleeps until `is_there`, for a thread that then only tells others: receivers, or senders.
    fn watch(&self, is_sending: bool, is_there: impl Fn() -> bool) {
        let Body { items, space, room, .. } = self.body();
        if !is_sending {
            return self.sleep_at(items, &is_there, || self.holds_any());
        }
        let has_space = || self.slots.look_for_space().is_ok();
        while !is_there() {
            self.sleep_at(space, || has_space() || is_there(), has_space);
            // Only a chunk is missing.
            self.sleep_at(room, || !has_space() || is_there(), || false);
        }
    }
}

/// Enough for system calls and wakers.
const STACK: usize = 256 << 10;

impl core::fmt::Debug for Watched {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Watched").field("is_watched", &self.is_watched()).finish()
    }
}
