//! What is to be done when a process ends in good order, so that it is not taken for dead.

use super::Segment;
use super::participants::Registry;
use crate::error::Error;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Leaves to others, in good order, what the process that is the participant with this index has in a segment: of many
/// objects, those with these numbers. Returns of how many.
///
/// Called with the process's table of indices locked: it must not attach or detach, panic or wait.
pub(crate) type Farewell = fn(&Segment, u16, &mut dyn Iterator<Item = u32>) -> usize;

/// The attachments of this process that want to hear of its end. By their address: each is in an `Arc`, which a weak
/// reference keeps from being another's.
#[derive(Debug, Default)]
pub(super) struct Farewells(Mutex<HashMap<usize, (Weak<Segment>, Farewell)>>);

impl Farewells {
    fn all(&self) -> MutexGuard<'_, HashMap<usize, (Weak<Segment>, Farewell)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That of an attachment which is about to go, if it has one. It is not called any more.
    pub(super) fn take(&self, segment: &Segment) -> Option<Farewell> {
        self.all().remove(&core::ptr::from_ref(segment).addr()).map(|(_, farewell)| farewell)
    }
}

impl Registry {
    /// Has `farewell` called when the process ends in good order, or takes part in the segment no more: from now on, as long
    /// as there is this attachment. A forked child says so for itself.
    ///
    /// # Errors
    /// Only if the process cannot know which one it is.
    pub(crate) fn call_at_farewell(segment: &Arc<Segment>, farewell: Farewell) -> Result<(), Error> {
        let mut all = Registry::get()?.farewells.all();
        all.entry(Arc::as_ptr(segment).addr()).or_insert_with(|| (Arc::downgrade(segment), farewell));
        Ok(())
    }

    /// Leaves to others, in good order, what this process has wherever it takes part. Returns of how many objects.
    pub(crate) fn say_farewell(&self) -> usize {
        // Outside the lock: a last reference that is dropped here detaches, and comes here again.
        let all: Vec<_> = self
            .farewells
            .all()
            .values()
            .filter_map(|(segment, farewell)| Some((segment.upgrade()?, *farewell)))
            .collect();
        let say = |(segment, farewell): (Arc<Segment>, Farewell)| {
            self.as_member(&segment, |me, numbers| farewell(&segment, me, numbers))
        };
        all.into_iter().filter_map(say).sum()
    }
}
