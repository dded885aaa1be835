//! The thread that sleeps for others.

use super::Subject;
use crate::error::Error;
use crate::sys::event::Event;
use crate::sys::fork::NoSignals;
use core::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;

/// A thread that sleeps for others.
pub(super) struct Watch {
    subject: Box<dyn Subject>,
    state: Mutex<State>,
    changed: Condvar,
    event: OnceLock<Event>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    /// The thread is to look; else it has told, and waits.
    is_armed: bool,
    /// What whoever polls the descriptor waits for.
    polled: Option<u64>,
    /// The descriptor is readable.
    is_raised: bool,
    /// The handle is gone, or there will always be something: the thread ends.
    is_over: bool,
    /// The thread wakes futures.
    is_elsewhere: bool,
    has_ended: bool,
    wakers: Vec<Sleeper>,
    /// How many tickets were given out.
    tickets: u64,
}

/// A future to be woken.
#[derive(Debug)]
struct Sleeper {
    waker: Waker,
    /// What it waits for.
    wanted: u64,
    ticket: u64,
}

impl Watch {
    /// Starts a thread that sleeps at `subject`.
    ///
    /// # Errors
    /// If there can be none.
    pub(super) fn start(subject: Box<dyn Subject>) -> Result<Arc<Self>, Error> {
        let watch = Arc::new(Watch {
            subject,
            state: Mutex::default(),
            changed: Condvar::new(),
            event: OnceLock::new(),
            thread: Mutex::new(None),
        });
        let theirs = Arc::clone(&watch);
        let builder = std::thread::Builder::new().name("ringway-watch".to_owned()).stack_size(STACK);
        // The program's signal handlers are no business of this thread.
        let signals = NoSignals::hold();
        let started = builder.spawn(move || theirs.run());
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
    fn run(&self) {
        let subject = &*self.subject;
        let is_there = |wanted| subject.is_there(wanted);
        loop {
            let mut state = self.state();
            while !state.is_armed && !state.is_over {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            subject.sleep_until(&|| {
                let state = self.state();
                let mut wanted =
                    state.polled.iter().chain(state.wakers.iter().map(|sleeper| &sleeper.wanted));
                state.is_over || wanted.any(|&wanted| is_there(wanted))
            });
            let mut state = self.state();
            // Whoever asks from now on need not be told again.
            state.is_over |= subject.is_over();
            let (now, later) = core::mem::take(&mut state.wakers)
                .into_iter()
                .partition::<Vec<_>, _>(|sleeper| state.is_over || is_there(sleeper.wanted));
            state.wakers = later;
            if state.is_over || state.polled.is_some_and(is_there) {
                state.polled = None;
                self.raise(&mut state);
            }
            state.is_armed = state.polled.is_some() || !state.wakers.is_empty();
            state.is_elsewhere = !now.is_empty();
            drop(state);
            self.changed.notify_all();
            now.into_iter().for_each(|sleeper| sleeper.waker.wake());
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

    /// There is not what is `wanted`: whoever polls is to sleep until there is.
    pub(super) fn settle(&self, wanted: u64) {
        let mut state = self.state();
        let Some(event) = self.event.get() else { return };
        if state.is_over {
            return;
        }
        if state.is_raised {
            event.lower();
            state.is_raised = false;
        }
        // If the thread is asleep, what has come just now found it waiting for something else.
        if state.polled.replace(wanted) != Some(wanted) && state.is_armed && self.subject.is_there(wanted) {
            self.raise(&mut state);
        }
        self.arm(state);
    }

    fn arm(&self, mut state: MutexGuard<'_, State>) {
        if !state.is_armed {
            state.is_armed = true;
            self.changed.notify_all();
        }
    }

    /// What is readable while there is what is `wanted`, or what [`settle`](Self::settle) says after that.
    ///
    /// # Errors
    /// What the operating system refuses.
    pub(super) fn event(&self, wanted: u64) -> Result<&Event, Error> {
        if self.event.get().is_none() {
            let event = Event::new()?;
            let mut state = self.state();
            if self.event.set(event).is_ok() {
                if state.is_over {
                    self.raise(&mut state);
                } else {
                    state.polled = Some(wanted);
                    if state.is_armed && self.subject.is_there(wanted) {
                        self.raise(&mut state);
                    }
                    self.arm(state);
                }
            }
        }
        Ok(self.event.get().expect("just set"))
    }

    /// What a future is known by here. See [`wake_later`](Self::wake_later).
    pub(super) fn ticket(&self) -> u64 {
        let mut state = self.state();
        state.tickets += 1;
        state.tickets
    }

    /// Has `waker`, the last one of the future with this ticket, woken when there is what is `wanted`; at once if it is over.
    /// Try once more after this.
    pub(super) fn wake_later(&self, ticket: u64, waker: &Waker, wanted: u64) {
        let mut state = self.state();
        if state.is_over {
            drop(state);
            waker.wake_by_ref();
            return;
        }
        let former = match state.wakers.iter_mut().find(|sleeper| sleeper.ticket == ticket) {
            Some(sleeper) if sleeper.waker.will_wake(waker) => None,
            Some(sleeper) => Some(core::mem::replace(&mut sleeper.waker, waker.clone())),
            None => {
                state.wakers.push(Sleeper { waker: waker.clone(), wanted, ticket });
                None
            }
        };
        self.arm(state);
        // Foreign code, which may come back here.
        drop(former);
    }

    /// The future with this ticket is gone.
    pub(super) fn forget(&self, ticket: u64) {
        let mut state = self.state();
        let at = state.wakers.iter().position(|sleeper| sleeper.ticket == ticket);
        let sleeper = at.map(|at| state.wakers.swap_remove(at));
        drop(state);
        // As above.
        drop(sleeper);
    }

    /// Ends the thread, and waits for its end, unless it is waking futures: then it ends by itself.
    pub(super) fn end(&self) {
        self.state().is_over = true;
        self.changed.notify_all();
        self.subject.wake();
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

/// Enough for system calls and wakers.
const STACK: usize = 256 << 10;

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("state", &self.state).finish_non_exhaustive()
    }
}
