//! A message that is being worked on.

use super::super::core::Core;
use super::super::holder::Holder;
use super::super::payload::Payload;
use super::super::policy::AT_ONCE;
use crate::channel::RecvError;
use crate::error::Corrupt;
use crate::pool;
use crate::sync::mutated;
use crate::wait::Deadline;
use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

/// A message that is being worked on; see [`JoinableQueue::recv`](crate::JoinableQueue::recv).
///
/// [`done`](Self::done) ends it, once and for all. Dropped without that, or when this process dies, it goes back and is
/// received by another, with [`deliveries`](Self::deliveries) one higher. One that is
/// [forgotten](core::mem::forget) comes back when this process ends. In a process forked meanwhile it cannot be done, and is
/// empty if it was lent out in place.
#[must_use = "a task that is dropped goes back; call `done` when the work is done"]
pub struct Task<'q, M: Payload + ?Sized> {
    holder: Holder<'q>,
    task: Option<pool::Task>,
    /// The message, or the part of it that is not lent out in place.
    copy: M::Copy,
    id: u64,
    deliveries: u8,
}

/// A task whose message was not copied yet: it goes back if that panics.
struct Unread<'q> {
    core: &'q Core,
    task: Option<pool::Task>,
}

impl Drop for Unread<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.core.give_back(task);
        }
    }
}

impl<'q, M: Payload + ?Sized> Task<'q, M> {
    #[inline(always)]
    pub(super) fn receive(core: &'q Arc<Core>, deadline: Option<Deadline>) -> Result<Self, RecvError> {
        let mut given_up = 0;
        loop {
            let task = core.recv_when(deadline, |me| core.pop_task(me))?;
            // Decoding is the user's code, and may panic.
            let mut unread = Unread { core, task: Some(task) };
            let copied = unread.task.as_ref().map(|task| M::copy_of(core, task));
            let (Some(task), Some(copied)) = (unread.task.take(), copied) else { continue };
            let copy = match copied {
                Ok(copy) => copy,
                Err(error) => {
                    match error {
                        RecvError::NoMemory { .. } => core.give_back(task),
                        // One false message blocks nobody.
                        _ => drop(core.end_task(task)),
                    }
                    return Err(error);
                }
            };
            let id = task.position().number(core.slots.geometry().capacity());
            let deliveries = task.deliveries();
            let mut task = Task { holder: Holder::new(core), task: Some(task), copy, id, deliveries };
            if !core.policy.gives_up(deliveries, core.body(), |letters| M::post(letters, &task)) {
                return Ok(task);
            }
            let _ = task.end();
            given_up += 1;
            if given_up >= AT_ONCE {
                match deadline {
                    None => return Err(RecvError::Empty),
                    Some(deadline) if deadline.has_passed() => return Err(RecvError::Timeout),
                    Some(_) => {}
                }
            }
        }
    }

    /// The number of the message in the queue, counted in the order of sending. The same at each delivery.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How many others had it before: they died with it, or gave it back. Counted up to 63.
    pub fn deliveries(&self) -> u8 {
        self.deliveries
    }

    /// Says that the work is done: nobody gets this message any more. What was done before, above all what was sent, is
    /// seen by whoever [joins](crate::JoinableQueue::join) afterwards.
    ///
    /// # Errors
    /// [`RecvError::Forked`] in a process forked meanwhile: the task is its parent's. [`RecvError::Corrupt`] if a peer took
    /// it from us against the rules.
    #[inline]
    pub fn done(mut self) -> Result<(), RecvError> {
        self.end()
    }

    #[inline(always)]
    fn end(&mut self) -> Result<(), RecvError> {
        match self.task.take() {
            Some(task) if self.holder.is_ours() => self.holder.end_task(task).map_err(RecvError::Corrupt),
            _ => Err(RecvError::Forked),
        }
    }

    /// The same task apart from the handle it came through, which may be dropped before it.
    pub fn detach(mut self) -> Task<'static, M> {
        Task {
            holder: self.holder.detach(),
            task: self.task.take(),
            copy: M::move_copy(&mut self.copy),
            id: self.id,
            deliveries: self.deliveries,
        }
    }
}

impl<M: Payload + ?Sized> Deref for Task<'_, M> {
    type Target = M;

    #[inline]
    fn deref(&self) -> &M {
        let task = self.task.as_ref().filter(|_| self.holder.is_ours());
        // SAFETY: while this guard has the task, and in the process it belongs to, the chunk's word names us.
        unsafe { M::view(&self.copy, &self.holder, task) }
    }
}

impl<M: Payload + ?Sized> Drop for Task<'_, M> {
    #[inline]
    fn drop(&mut self) {
        if let Some(task) = self.task.take()
            && self.holder.is_ours()
        {
            self.holder.give_back(task);
        }
    }
}

impl<M: Payload + fmt::Debug + ?Sized> fmt::Debug for Task<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Task { id, deliveries, .. } = self;
        f.debug_struct("Task")
            .field("id", id)
            .field("deliveries", deliveries)
            .field("message", &&**self)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Ends a task of this process.
    #[inline(always)]
    fn end_task(&self, task: pool::Task) -> Result<(), Corrupt> {
        let ended = self.store().pool.done(task);
        self.made_room();
        if !mutated!("channel.wake_finished") {
            pool::tell(&self.slots, &self.body().finished, self.barrier);
        }
        ended
    }

    /// Gives a task of this process back.
    #[cold]
    pub(in crate::channel::queue) fn give_back(&self, task: pool::Task) {
        let Ok(me) = self.me() else { return };
        // If a peer took it from us against the rules, it is not ours to give back.
        if self.store().pool.give_back(task, me).is_ok() {
            self.body().figures.count_redelivered();
            self.told(1);
            self.finished();
        }
    }
}
