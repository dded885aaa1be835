//! A process's hold on an object of an arena.

use super::heap::{leave_object, sweep_object};
use super::layout::View;
use super::tenure::State;
use crate::error::Error;
use crate::segment::farewell::Farewell;
use crate::segment::participants::{Claims, Hold, Registry, Shared};
use crate::segment::{Member, Segment};
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

/// Keeps an object in its block, for one handle and its clones. In the block there is a bit for the whole process, which
/// counts its shares in its [`Registry`].
///
/// A forked child inherits shares but no bits. When it first takes part it sets one for each object that its parent had
/// shares of; until then the parent keeps them, also those it has dropped meanwhile.
#[derive(Debug)]
pub(crate) struct Share {
    segment: Arc<Segment>,
    number: u32,
    id: u64,
    /// As whom this process refers to the object; see [`Member::of`].
    member: AtomicU64,
}

impl Share {
    /// One more that the registry has counted already.
    pub(super) fn counted(segment: Arc<Segment>, number: u32, id: u64, member: Member) -> Arc<Self> {
        Arc::new(Share { segment, number, id, member: AtomicU64::new(member.to_word()) })
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn member_cell(&self) -> &AtomicU64 {
        &self.member
    }

    /// Takes part as a forked child that has not yet.
    ///
    /// # Errors
    /// [`Error::Gone`], and what keeps the process from taking part in the arena at all.
    #[cold]
    pub(crate) fn come_back(&self) -> Result<Member, Error> {
        let member = self.segment.member()?;
        let number = self.number;
        let is_kept = with_claims(&self.segment, |claims, me| {
            // Another thread may have been here before us.
            let is_new = !self.is_own() && !claims.has_counted(self.generation());
            let is_kept = match claims.get_mut(number) {
                Some(claim) if claim.id == self.id => {
                    claim.shares += usize::from(is_new);
                    true
                }
                Some(_) => false,
                None => {
                    let is_there = adopt(&self.segment, me, number, self.id);
                    if is_there {
                        claims.insert(number, self.id);
                    }
                    is_there
                }
            };
            if is_kept {
                // Relaxed: as in `Site::member_if_known`.
                self.member.store(member.to_word(), Ordering::Relaxed);
            }
            is_kept
        });
        if is_kept? { Ok(member) } else { Err(Error::Gone) }
    }

    /// That of the process that began it, or was the last to use it first.
    fn generation(&self) -> u64 {
        // Relaxed: as in `Site::member_if_known`.
        Member::generation_of(self.member.load(Ordering::Relaxed))
    }

    /// Whether it is this very process that began it, or has used it, and not one that forked it.
    fn is_own(&self) -> bool {
        // Relaxed: as in `Site::member_if_known`.
        Member::of(self.member.load(Ordering::Relaxed), self.segment.generation()).is_some()
    }

    /// Whether the object is in its block at this moment, for those who do not refer to it.
    pub(crate) fn is_live(&self) -> bool {
        let Some(place) = View::new(&self.segment).numbered(self.number) else { return false };
        let tenure = place.tenure();
        let is_there = matches!(tenure.read().state(), Some(State::Live | State::Closing));
        is_there && tenure.id.load(Ordering::Relaxed) == self.id
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Ok(registry) = Registry::get() else { return };
        let shared = Shared { number: self.number, id: self.id, generation: self.generation() };
        registry.drop_share(&self.segment, shared, |hold, me| {
            if hold == Hold::Kept {
                return;
            }
            let Some(place) = View::new(&self.segment).numbered(self.number) else { return };
            // Who goes because of a panic goes as the dead do.
            if !std::thread::panicking() {
                leave_object(place, me);
            }
            // What leaked guards hold is left to others, as when a process ends: nothing here can refer to it any more.
            sweep_object(place, me);
            if hold == Hold::Over {
                place.tenure().leave(me);
            }
        });
    }
}

/// Lets `act` see which of the arena's objects this process refers to, alone among its threads.
///
/// # Errors
/// [`Error::Gone`] if the process does not take part in the arena.
pub(super) fn with_claims<R>(segment: &Segment, act: impl FnOnce(&mut Claims, u16) -> R) -> Result<R, Error> {
    Registry::get()?.with_claims(segment, adopt, act).ok_or(Error::Gone)
}

/// Refers to an object on behalf of a share that was inherited by a fork. Returns whether it was still there.
fn adopt(segment: &Segment, me: u16, number: u32, id: u64) -> bool {
    View::new(segment).numbered(number).is_some_and(|place| place.tenure().enter(id, me).is_ok())
}

/// Leaves to others, in good order, what this process has in those of its objects that have such `numbers`.
pub(crate) const FAREWELL: Farewell = |segment, me, numbers| {
    let view = View::new(segment);
    numbers.filter_map(|number| view.numbered(number)).filter(|&place| leave_object(place, me)).count()
};
