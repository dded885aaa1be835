//! A process's hold on an object of an arena.

use super::layout::View;
use super::tenure::State;
use crate::error::Error;
use crate::segment::participants::{Claims, Registry};
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
        let is_kept = with_claims(&self.segment, |claims| match claims.get_mut(number) {
            // Counted since the child took part.
            Some(claim) => claim.id == self.id,
            None => {
                let is_there = adopt(&self.segment, member.index(), number, self.id);
                if is_there {
                    claims.insert(number, self.id);
                }
                is_there
            }
        });
        if !is_kept? {
            return Err(Error::Gone);
        }
        self.member.store(member.to_word(), Ordering::Relaxed);
        Ok(member)
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
        // A child that never took part has counted nothing.
        let Some(member) = self.segment.member_if_known() else { return };
        let _ = with_claims(&self.segment, |claims| {
            if claims.drop_one(self.number, self.id)
                && let Some(place) = View::new(&self.segment).numbered(self.number)
            {
                place.tenure().leave(member.index());
            }
        });
    }
}

/// Lets `act` see which of the arena's objects this process refers to, alone among its threads.
///
/// # Errors
/// [`Error::Gone`] if the process does not take part in the arena.
pub(super) fn with_claims<R>(segment: &Segment, act: impl FnOnce(&mut Claims) -> R) -> Result<R, Error> {
    Registry::get()?.with_claims(segment, adopt, act).ok_or(Error::Gone)
}

/// Refers to an object on behalf of a share that was inherited by a fork. Returns whether it was still there.
fn adopt(segment: &Segment, me: u16, number: u32, id: u64) -> bool {
    View::new(segment).numbered(number).is_some_and(|place| place.tenure().enter(id, me).is_ok())
}
