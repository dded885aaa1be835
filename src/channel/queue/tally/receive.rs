//! Receiving: a message is taken as a task, copied if need be, then counted, and only then handed out.

use super::super::core::Core;
use super::super::message::Message;
use crate::channel::RecvError;
use crate::error::Corrupt;
use crate::pool::{Books, Kept, Task};
use crate::wait::Deadline;
use std::sync::Arc;

/// A message that was counted.
struct Counted {
    kept: Kept,
    id: u64,
    deliveries: u8,
}

/// Receives a message, to be read where it lies if the peers are trusted.
///
/// # Errors
/// As [`TallyQueue::recv_deadline`](super::TallyQueue::recv_deadline).
#[inline]
pub(super) fn message(core: &Arc<Core>, deadline: Option<Deadline>) -> Result<Message<'_>, RecvError> {
    let mut copy = None;
    let counted = core.take_counted(deadline, |task| {
        if !core.store().is_trusting {
            core.copy_task(task, copy.insert(Vec::new()))?;
        }
        Ok(())
    })?;
    let Counted { kept, id, deliveries } = counted;
    Ok(Message::counted(core, kept, copy, id, deliveries))
}

/// Receives a message into `buffer`, and returns its length.
///
/// # Errors
/// As [`message`].
pub(super) fn into(
    core: &Arc<Core>,
    buffer: &mut Vec<u8>,
    deadline: Option<Deadline>,
) -> Result<usize, RecvError> {
    let counted = core.take_counted(deadline, |task| core.copy_task(task, buffer))?;
    core.free(counted.kept);
    Ok(buffer.len())
}

impl Core {
    /// The counts, in the queues that have some.
    pub(super) fn books(&self) -> Books<'_> {
        let Some(books) = Books::of(&self.store().pool, &self.slots) else {
            unreachable!("the kind of the segment has counts")
        };
        books
    }

    /// Takes a message, and counts it once it was copied by `copy`. Whoever dies before that has not taken it.
    #[inline]
    fn take_counted(
        &self,
        deadline: Option<Deadline>,
        copy: impl FnOnce(&Task) -> Result<(), RecvError>,
    ) -> Result<Counted, RecvError> {
        let task = self.recv_when(deadline, |me| self.pop_task(me))?;
        if let Err(error) = copy(&task) {
            match error {
                RecvError::NoMemory { .. } => self.give_back(task),
                _ => self.discard(task),
            }
            return Err(error);
        }
        let id = task.position().number(self.slots.geometry().capacity());
        let deliveries = task.deliveries();
        let books = self.books();
        match books.keep(task) {
            Ok(kept) => {
                books.tell(&self.body().finished, self.barrier);
                Ok(Counted { kept, id, deliveries })
            }
            Err(task) => {
                self.give_back(task);
                let (found, limit) = (books.taken(), 0);
                Err(RecvError::Corrupt(Corrupt { field: "count of messages", found, limit, place: None }))
            }
        }
    }

    /// One false message blocks nobody: it is gone, and was never there.
    #[cold]
    fn discard(&self, task: Task) {
        // If a peer took it from us against the rules, it is not ours to free.
        let _ = self.store().pool.done(task);
        self.made_room();
        self.finished();
    }
}
