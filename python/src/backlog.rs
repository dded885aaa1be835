//! What a process has put into a queue that had no room: `put` does not block on that.
//!
//! All of a process's messages go here until it is empty again, so that they stay in order. A thread that needs nothing of
//! Python sends them on. A forked child starts with none: its parent sends what it had.

use crate::forks::generation;
use crate::pins;
use crate::ring::Ring;
use pyo3::prelude::*;
use ringway::{Deadline, SendError};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A queue's backlog in this process.
pub(crate) struct Backlog {
    /// Locked for moments only, by threads that hold the interpreter's lock: so never at a fork.
    current: Mutex<Option<Arc<Waiting>>>,
    /// Whether there ever was one, in this process or before a fork.
    is_used: AtomicBool,
}

/// The messages, and the thread that sends them.
struct Waiting {
    generation: u64,
    queue: Ring,
    messages: Mutex<Messages>,
    /// How many there are, the one that is being sent among them.
    count: AtomicUsize,
    /// Told when there are messages, and when there are none.
    changed: Condvar,
    /// Nobody waits for them at the end of the process.
    is_cancelled: AtomicBool,
}

#[derive(Default)]
struct Messages {
    list: VecDeque<Vec<u8>>,
    has_thread: bool,
}

/// All of this process.
static ALL: Mutex<Vec<Weak<Waiting>>> = Mutex::new(Vec::new());

/// How long a thread with nothing to do stays.
const IDLE: Duration = Duration::from_secs(1);

/// How often one that waits looks around.
const SLICE: Duration = Duration::from_millis(50);

impl Backlog {
    pub(crate) fn new() -> Backlog {
        Backlog { current: Mutex::new(None), is_used: AtomicBool::new(false) }
    }

    /// How many messages of this process are waiting here.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        if !self.is_used.load(Ordering::Relaxed) {
            return 0;
        }
        self.find().map_or(0, |waiting| waiting.count.load(Ordering::Acquire))
    }

    fn find(&self) -> Option<Arc<Waiting>> {
        lock(&self.current).clone().filter(|waiting| waiting.generation == generation())
    }

    /// Takes a message that the queue has no room for, and that was [promised](Ring::promise).
    pub(crate) fn push(&self, queue: &Ring, message: Vec<u8>) {
        self.is_used.store(true, Ordering::Relaxed);
        let waiting = self.find().unwrap_or_else(|| {
            let waiting = Arc::new(Waiting::new(queue.clone()));
            let stale = lock(&self.current).replace(Arc::clone(&waiting));
            // The parent's: perhaps locked in the middle of something, and with a thread that is not here.
            core::mem::forget(stale);
            let mut all = lock(&ALL);
            all.retain(|each| each.strong_count() > 0);
            all.push(Arc::downgrade(&waiting));
            waiting
        });
        waiting.push(message);
    }

    /// Whether all was sent by `deadline`, or nobody is to wait for it.
    pub(crate) fn flush(&self, deadline: Deadline) -> bool {
        self.find().is_none_or(|waiting| waiting.flush(deadline))
    }

    pub(crate) fn cancel(&self) {
        if let Some(waiting) = self.find() {
            waiting.is_cancelled.store(true, Ordering::Release);
            waiting.changed.notify_all();
        }
    }
}

impl Waiting {
    fn new(queue: Ring) -> Waiting {
        Waiting {
            generation: generation(),
            queue,
            messages: Mutex::new(Messages::default()),
            count: AtomicUsize::new(0),
            changed: Condvar::new(),
            is_cancelled: AtomicBool::new(false),
        }
    }

    fn push(self: Arc<Self>, message: Vec<u8>) {
        let mut messages = lock(&self.messages);
        messages.list.push_back(message);
        self.count.fetch_add(1, Ordering::Release);
        if messages.has_thread {
            self.changed.notify_all();
            return;
        }
        let this = Arc::clone(&self);
        let thread = std::thread::Builder::new().name("ringway-backlog".to_owned());
        messages.has_thread = thread.spawn(move || this.send_all()).is_ok();
        // Without a thread the next message tries again, and so does who waits for the end.
    }

    /// The thread.
    fn send_all(&self) {
        loop {
            let message = {
                let mut messages = lock(&self.messages);
                if messages.list.is_empty() {
                    let woken = self.changed.wait_timeout(messages, IDLE);
                    messages = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
                match messages.list.pop_front() {
                    Some(message) => message,
                    None => {
                        messages.has_thread = false;
                        return;
                    }
                }
            };
            self.send(&message);
            self.queue.redeem();
            self.count.fetch_sub(1, Ordering::Release);
            if self.count.load(Ordering::Relaxed) == 0 {
                // Under the lock: between the look of who waits and his sleep there is no gap.
                let _messages = lock(&self.messages);
                self.changed.notify_all();
            }
        }
    }

    /// Sends one, however long that takes. What can never be sent, because the queue was closed, goes.
    fn send(&self, message: &[u8]) {
        loop {
            // The memory that it waits for may be what this process holds for its children.
            match self.queue.send_deadline(message, pins::look_again(Deadline::NEVER)) {
                Err(SendError::Timeout | SendError::Full) => {}
                Err(SendError::NoSpace { .. }) => std::thread::sleep(SLICE), // the disk is full: until it is not
                _ => return,
            }
        }
    }

    fn flush(&self, deadline: Deadline) -> bool {
        let mut messages = lock(&self.messages);
        loop {
            let is_done = self.count.load(Ordering::Acquire) == 0;
            if is_done || self.is_cancelled.load(Ordering::Acquire) {
                return true;
            }
            if deadline.has_passed() {
                return false;
            }
            let woken = self.changed.wait_timeout(messages, SLICE);
            messages = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Calls `look`, without the interpreter's lock, until it says yes, running signal handlers in between. Whether it does so
/// before `end`.
pub(crate) fn until(
    py: Python<'_>,
    end: Deadline,
    mut look: impl FnMut(Deadline) -> bool + Send,
) -> PyResult<bool> {
    while !py.detach(|| look(end.min(Deadline::after(SLICE)))) {
        py.check_signals()?;
        if end.has_passed() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits until the backlogs of all queues of this process are sent.
#[pyfunction]
pub(crate) fn flush_all(py: Python<'_>) -> PyResult<()> {
    let all: Vec<Arc<Waiting>> = lock(&ALL).iter().filter_map(Weak::upgrade).collect();
    let mine = |waiting: &&Arc<Waiting>| waiting.generation == generation();
    for waiting in all.iter().filter(mine) {
        until(py, Deadline::NEVER, |slice| waiting.flush(slice))?;
    }
    Ok(())
}

/// Forgets what the parent's queues had waiting, in a forked child.
#[pyfunction]
pub(crate) fn drop_all() {
    for stale in lock(&ALL).drain(..) {
        core::mem::forget(stale);
    }
}
