//! What all queues have in common: the segment, waiting, and cleaning up after the dead.

use super::layout::{self, Body, Place};
use super::policy::Policy;
use super::store::Store;
use crate::channel::{RecvError, SendError};
use crate::error::Error;
use crate::pool::State;
use crate::ring::mpmc::{Blocker, Phase, PopError, PushError, Slots};
use crate::ring::pace::Lull;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering, mutated};
use crate::sys::clock;
use crate::wait::{ALL, Barrier, Deadline, EventCount, Wait, Waiter, or_a_last_try};
use crate::watch::Watched;
use crossbeam_utils::CachePadded;
use std::sync::{Arc, Mutex};

/// One attachment to a queue, shared by the clones of its handle.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) segment: Arc<Segment>,
    /// In the segment: found once, because every call needs it.
    body: Place,
    pub(super) slots: Slots,
    pub(super) barrier: Barrier,
    pub(super) wait: Wait,
    pub(super) policy: Policy,
    /// What the waits of senders and of receivers have taught. Apart, because the one is written where the other works.
    sending: CachePadded<Learnt>,
    receiving: CachePadded<Learnt>,
    /// When somebody last looked for the dead, in ticks of the coarse clock.
    looked: AtomicU64,
    /// For queues of bytes and of tasks.
    store: Option<Store>,
    /// Who waits for messages and for space by other means than a call that blocks.
    pub(super) arrivals: Watched,
    pub(super) vacancies: Watched,
}

/// How to wait, as learnt so far. Threads share it without waiting for each other: who finds it in use does without.
#[derive(Debug)]
struct Learnt(Mutex<Waiter>, Lull);

impl Learnt {
    fn new(wait: Wait) -> CachePadded<Self> {
        CachePadded::new(Learnt(Mutex::new(Waiter::new(wait)), Lull::default()))
    }

    /// Never blocks: a forked child may have inherited it locked.
    fn get(&self, wait: Wait) -> Waiter {
        self.0.try_lock().map_or_else(|_| Waiter::new(wait), |waiter| *waiter)
    }

    fn keep(&self, waiter: Waiter) {
        if let Ok(mut kept) = self.0.try_lock() {
            *kept = waiter;
        }
    }
}

impl Core {
    pub(super) fn new(segment: Arc<Segment>, wait: Wait, policy: Policy) -> Result<Self, Error> {
        let slots = layout::slots_in(&segment)?;
        let store = layout::pool_in(&segment)?.map(|pool| Store::new(pool, &segment));
        Ok(Core {
            arrivals: Watched::new(segment.generation()),
            vacancies: Watched::new(segment.generation()),
            store,
            policy,
            body: Place::of(layout::body(&segment)),
            segment,
            slots,
            barrier: Barrier::of_this_process(),
            wait,
            sending: Learnt::new(wait),
            receiving: Learnt::new(wait),
            looked: AtomicU64::new(0),
        })
    }

    #[inline(always)]
    pub(super) fn body(&self) -> &Body {
        // SAFETY: it lies in the segment, which this holds.
        unsafe { self.body.get() }
    }

    /// The pool, in queues of bytes and of tasks.
    #[inline(always)]
    pub(super) fn store(&self) -> &Store {
        let Some(store) = &self.store else { unreachable!("the kind of the segment has a pool") };
        store
    }

    #[inline]
    pub(super) fn me(&self) -> Result<u16, Error> {
        self.segment.me()
    }

    /// Whether the holder of `index` is gone, or its index has a new holder that has not cleaned up yet.
    pub(super) fn is_dead(&self, index: u16) -> bool {
        self.segment.is_dead(index) || self.segment.is_inherited(index)
    }

    /// Senders sleep until they are woken: so a lost wake-up stays lost, and a test sees it.
    #[cfg(test)]
    pub(super) fn sleep_unsliced(&self) {
        self.sending.keep(Waiter::unsliced(Wait::Park));
    }

    /// Sends by `attempt`, once.
    ///
    /// # Errors
    /// [`SendError::Full`] where waiting might help.
    #[inline]
    pub(super) fn try_send<R>(
        &self,
        mut attempt: impl FnMut(u16) -> Result<R, PushError>,
    ) -> Result<R, SendError> {
        let me = self.me().map_err(SendError::Attach)?;
        match attempt(me) {
            Ok(sent) => {
                self.told(1);
                Ok(sent)
            }
            Err(why) => self.try_send_again(me, why, attempt),
        }
    }

    #[cold]
    fn try_send_again<R>(
        &self,
        me: u16,
        why: PushError,
        mut attempt: impl FnMut(u16) -> Result<R, PushError>,
    ) -> Result<R, SendError> {
        if let PushError::Full(blocker) = why
            && !self.repair(blocker)
            && !self.look_for_the_dead_now_and_then()
            && !self.slots.pause_for_space(&self.sending.1)
        {
            return Err(self.refused(why));
        }
        let sent = attempt(me).map_err(|why| self.refused(why))?;
        self.told(1);
        Ok(sent)
    }

    /// Sends by `attempt`, waiting for space until `deadline`.
    #[inline]
    pub(super) fn send<R>(
        &self,
        deadline: Deadline,
        mut attempt: impl FnMut(u16) -> Result<R, PushError>,
    ) -> Result<R, SendError> {
        let me = self.me().map_err(SendError::Attach)?;
        match attempt(me) {
            Ok(sent) => {
                self.told(1);
                Ok(sent)
            }
            Err(why) => self.send_slowly(me, why, deadline, attempt),
        }
    }

    #[cold]
    fn send_slowly<R>(
        &self,
        me: u16,
        why: PushError,
        deadline: Deadline,
        mut attempt: impl FnMut(u16) -> Result<R, PushError>,
    ) -> Result<R, SendError> {
        if !matches!(why, PushError::Full(_) | PushError::Contended) {
            return Err(self.refused(why));
        }
        self.slots.pause_for_space(&self.sending.1);
        let mut try_once = || match attempt(me) {
            Ok(sent) => Some(Ok(sent)),
            Err(PushError::Full(_) | PushError::Contended) if self.is_open() => None,
            Err(why) => Some(Err(self.refused(why))),
        };
        let patrol = || {
            self.look_for_the_dead();
            if let Err(PushError::Full(blocker)) = self.slots.look_for_space() {
                self.repair(blocker);
            }
            None
        };
        let mut waiter = self.sending.get(self.wait);
        let more = || self.slots.look_for_space().is_ok();
        let outcome = waiter.wait(&self.body().space, self.barrier, deadline, &mut try_once, patrol, more);
        self.sending.keep(waiter);
        // The last patrol may have made room.
        let sent = or_a_last_try(outcome, try_once).unwrap_or(Err(SendError::Timeout))?;
        self.told(1);
        Ok(sent)
    }

    /// Wakes receivers for `count` messages.
    #[inline(always)]
    pub(super) fn told(&self, count: u32) {
        if !mutated!("channel.wake_items") {
            self.body().items.wake(count, self.barrier);
        }
    }

    /// Wakes senders for `count` slots, after a receive.
    #[inline(always)]
    pub(super) fn freed(&self, count: u32) {
        if !mutated!("channel.wake_space") {
            self.body().space.wake(count, self.barrier);
        }
        if self.arrivals.is_watched() {
            self.settle_arrivals();
        }
    }

    #[cold]
    fn refused(&self, why: PushError) -> SendError {
        match why {
            PushError::Full(_) | PushError::Contended if self.is_open() => {
                self.found_no_space(0);
                SendError::Full
            }
            PushError::Full(_) | PushError::Contended | PushError::Closed => {
                self.finish_closing();
                // A place was given back: whoever waited for it to be filled looks further.
                self.body().items.wake(ALL, self.barrier);
                SendError::Closed
            }
            PushError::Corrupt(corrupt) => SendError::Corrupt(corrupt),
        }
    }

    /// Receives by `attempt`, once.
    ///
    /// # Errors
    /// [`RecvError::Empty`] where waiting might help.
    #[inline]
    pub(super) fn try_recv<R>(
        &self,
        mut attempt: impl FnMut(u16) -> Result<R, PopError>,
    ) -> Result<R, RecvError> {
        let me = self.me().map_err(RecvError::Attach)?;
        match attempt(me) {
            Ok(received) => {
                self.freed(1);
                Ok(received)
            }
            Err(why) => self.try_recv_again(me, why, attempt),
        }
    }

    #[cold]
    fn try_recv_again<R>(
        &self,
        me: u16,
        why: PopError,
        mut attempt: impl FnMut(u16) -> Result<R, PopError>,
    ) -> Result<R, RecvError> {
        let changed = match why {
            PopError::Busy(blocker) => self.repair(blocker),
            PopError::Corrupt(corrupt) => return Err(RecvError::Corrupt(corrupt)),
            PopError::Empty | PopError::Contended => {
                self.look_for_the_dead_now_and_then() || self.slots.pause_for_messages(&self.receiving.1)
            }
        };
        if !changed && self.body().header.closing.phase() == Phase::Open {
            return Err(self.found_nothing());
        }
        let received = self.receive_or_end(me, &mut attempt).unwrap_or_else(|| Err(self.found_nothing()))?;
        self.freed(1);
        Ok(received)
    }

    fn found_nothing(&self) -> RecvError {
        if self.arrivals.is_watched() {
            self.settle_arrivals();
        }
        RecvError::Empty
    }

    /// Receives by `attempt`, waiting for a message until `deadline`.
    #[inline]
    pub(super) fn recv<R>(
        &self,
        deadline: Deadline,
        mut attempt: impl FnMut(u16) -> Result<R, PopError>,
    ) -> Result<R, RecvError> {
        let me = self.me().map_err(RecvError::Attach)?;
        match attempt(me) {
            Ok(received) => {
                self.freed(1);
                Ok(received)
            }
            Err(PopError::Corrupt(corrupt)) => Err(RecvError::Corrupt(corrupt)),
            Err(_) => self.recv_slowly(me, deadline, attempt),
        }
    }

    #[cold]
    fn recv_slowly<R>(
        &self,
        me: u16,
        deadline: Deadline,
        mut attempt: impl FnMut(u16) -> Result<R, PopError>,
    ) -> Result<R, RecvError> {
        self.slots.pause_for_messages(&self.receiving.1);
        let mut try_once = || self.receive_or_end(me, &mut attempt);
        let patrol = || {
            self.look_for_the_dead();
            if let Err(PopError::Busy(blocker)) = self.slots.look() {
                self.repair(blocker);
            }
            None
        };
        let mut waiter = self.receiving.get(self.wait);
        let more = || self.slots.look().is_ok() || self.may_have_returned();
        let outcome = waiter.wait(&self.body().items, self.barrier, deadline, &mut try_once, patrol, more);
        self.receiving.keep(waiter);
        // The last patrol may have brought a message back.
        let received = or_a_last_try(outcome, try_once).unwrap_or(Err(RecvError::Timeout))?;
        self.freed(1);
        Ok(received)
    }

    /// One try: an outcome, or nothing yet.
    fn receive_or_end<R>(
        &self,
        me: u16,
        attempt: &mut impl FnMut(u16) -> Result<R, PopError>,
    ) -> Option<Result<R, RecvError>> {
        // Before the look that finds nothing: what is claimed later is given back.
        let phase = self.body().header.closing.phase();
        let mut outcome = attempt(me);
        if matches!(outcome, Err(PopError::Empty)) && phase != Phase::Open {
            if phase == Phase::Closing {
                self.finish_closing();
                return None;
            }
            // What a dead receiver was taking comes back first.
            self.look_for_the_dead();
            outcome = attempt(me);
            if matches!(outcome, Err(PopError::Empty)) {
                // Others may have been faster, again and again, and left something.
                return if self.holds_any() { None } else { Some(Err(RecvError::Closed)) };
            }
        }
        match outcome {
            Ok(received) => Some(Ok(received)),
            Err(PopError::Corrupt(corrupt)) => Some(Err(RecvError::Corrupt(corrupt))),
            Err(PopError::Empty | PopError::Busy(_) | PopError::Contended) => None,
        }
    }

    /// Ends what the owner of a slot in the way began, if that one is dead. Returns whether a new try is worth it.
    fn repair(&self, blocker: Blocker) -> bool {
        match blocker.owner() {
            Some(owner) if self.is_dead(owner) => {
                if let Some(store) = &self.store {
                    store.pool.disown(&self.slots, blocker);
                }
                let repairs = self.slots.repair(blocker);
                self.body().figures.count(repairs);
                if repairs.is_any() {
                    self.told(1);
                    self.freed(1);
                    self.finished();
                }
                true
            }
            _ => false,
        }
    }

    /// Cleans up after participants that died and whose index nobody has taken since.
    pub(super) fn look_for_the_dead(&self) -> bool {
        self.looked.store(clock::tick(), Ordering::Relaxed);
        let segment = &*self.segment;
        let Ok(me) = segment.me() else { return false };
        let found =
            segment.for_each_dead(|index| layout::clean(segment, me, index, |owner| segment.is_dead(owner)));
        self.body().figures.deaths.fetch_add(found as u64, Ordering::Relaxed);
        found > 0
    }

    /// The same once in a tick of the coarse clock (some milliseconds): for calls that do not wait, and may be made
    /// millions of times a second.
    fn look_for_the_dead_now_and_then(&self) -> bool {
        self.looked.load(Ordering::Relaxed) != clock::tick() && self.look_for_the_dead()
    }

    /// Tells those who wait for the last task that there may be none any more.
    #[inline(always)]
    pub(super) fn finished(&self) {
        self.body().finished.wake(ALL, self.barrier);
    }

    /// Whether tasks may have come back.
    #[inline(always)]
    pub(super) fn may_have_returned(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.pool.may_have_orphans())
    }

    /// Wakes senders for a chunk.
    #[inline(always)]
    pub(super) fn made_room(&self) {
        if !mutated!("channel.wake_room") {
            self.body().room.wake(ALL, self.barrier);
        }
    }

    /// Reserves by `attempt`, waiting for a chunk until `deadline`; without one it does not wait.
    pub(super) fn reserve_slowly<R>(
        &self,
        deadline: Option<Deadline>,
        mut attempt: impl FnMut() -> Option<Result<R, SendError>>,
    ) -> Result<R, SendError> {
        let mut try_once = || match attempt() {
            None if !self.is_open() => Some(Err(SendError::Closed)),
            tried => tried,
        };
        let Some(deadline) = deadline else {
            self.look_for_the_dead_now_and_then();
            return try_once().unwrap_or(Err(SendError::Full));
        };
        let patrol = || {
            self.look_for_the_dead();
            None
        };
        let mut waiter = self.sending.get(self.wait);
        // Whoever frees a chunk wakes all.
        let outcome = waiter.wait(&self.body().room, self.barrier, deadline, &mut try_once, patrol, || false);
        self.sending.keep(waiter);
        or_a_last_try(outcome, try_once).unwrap_or(Err(SendError::Timeout))
    }

    /// Sleeps at one condition until `is_there`; whoever was meant by the wake is woken in our stead if there is `more`.
    pub(super) fn sleep_at(
        &self,
        condition: &EventCount,
        is_there: impl Fn() -> bool,
        more: impl Fn() -> bool,
    ) {
        let patrol = || {
            self.look_for_the_dead();
            None
        };
        let attempt = || is_there().then_some(());
        // Without a deadline there is no other end than a success.
        let _ = Waiter::new(Wait::Park).wait(condition, self.barrier, Deadline::NEVER, attempt, patrol, more);
    }

    /// Whether there is memory for a message of that length. Loads only.
    pub(super) fn has_room(&self, len: u64) -> bool {
        self.store.as_ref().is_none_or(|store| store.has_room(len))
    }

    /// Waits at `finished` until `attempt` gives a result, or the deadline passes.
    pub(super) fn wait_for_the_end<R>(
        &self,
        deadline: Deadline,
        mut attempt: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let patrol = || {
            self.look_for_the_dead();
            None
        };
        // Without spinning: each look reads all words.
        let mut waiter = Waiter::new(Wait::Park);
        let finished = &self.body().finished;
        let outcome = waiter.wait(finished, self.barrier, deadline, &mut attempt, patrol, || false);
        or_a_last_try(outcome, attempt)
    }

    /// Whether a receiver would find something: in the ring, or a task that came back.
    pub(super) fn holds_any(&self) -> bool {
        self.slots.holds_any() || self.may_have_returned() && self.count_of(State::Orphan) > 0
    }

    /// How many messages receivers would find.
    pub(super) fn len(&self) -> usize {
        let returned = if self.may_have_returned() { self.count_of(State::Orphan) } else { 0 };
        self.slots.len() as usize + returned
    }

    /// How many messages are in the ring, in the hands of workers, or on their way back.
    pub(super) fn unfinished(&self) -> usize {
        self.len() + self.count_of(State::Task)
    }

    fn count_of(&self, state: State) -> usize {
        let words = self.store.iter().flat_map(|store| store.pool.words());
        words.filter(|(_, word)| word.state() == Some(state)).count()
    }

    pub(super) fn is_open(&self) -> bool {
        self.body().header.closing.is_open()
    }

    pub(super) fn close(&self) -> bool {
        let first = self.body().header.closing.begin();
        self.finish_closing();
        first
    }

    /// Ends what whoever closed the queue began; it may have died.
    #[cold]
    fn finish_closing(&self) {
        let body = self.body();
        if body.header.closing.phase() == Phase::Closed {
            return;
        }
        // Pairs with the light barrier between a sender's claim and its look.
        if !self.barrier.heavy() {
            // Senders of other processes may not have been reached; their stores become visible by themselves soon.
            clock::pause(UNREACHED);
        }
        body.header.closing.finish();
        layout::wake_everybody(body, self.barrier);
    }
}

/// Longer than any processor keeps a store to itself, in nanoseconds.
const UNREACHED: u64 = 2_000_000;
