//! A lock that anybody may give back.

use super::error::{AcquireError, ReleaseError};
use super::handle::{attached, handle};
use super::site::{Block, Needs, Primitive, Site, only_one};
use super::waiting::Attachment;
use crate::arena;
use crate::error::{Corrupt, Error, Kind};
use crate::lock::{self, GiveError, TakeError, TokenState, TokenWord};
use crate::options::{Options, Settings};
use crate::segment::Member;
use crate::segment::farewell::Farewell;
use crate::segment::participants::Registry;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::clock;
use crate::wait::{Barrier, Deadline};
use core::ptr::NonNull;
use core::time::Duration;
use std::sync::Arc;

/// A lock without guards: one process takes it, and that one or any other gives it back.
///
/// So it can be handed on: a child takes it and ends, and its parent gives it back when it has seen the child's work; or
/// one process takes it twice, and sleeps the second time until another gives it back. There are no guards because whoever
/// gives it back need not be the one who took it; where it is, a [`Mutex`](crate::Mutex) is what you want. It protects no
/// value, and belongs to no thread: a thread that takes it twice waits for another to give it back.
///
/// ```
/// use ringway::Token;
///
/// # let name = format!("doc-token-{}", std::process::id());
/// let token = Token::open_or_create(&name)?; // in each process
/// let taken = token.acquire()?;
/// if taken.was_recovered() {
///     // its last holder was killed: what it was about may be half done
/// }
/// let elsewhere = Token::open(&name)?; // in another process, say
/// elsewhere.release()?;
/// assert!(!token.is_held());
/// # ringway::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Whose it is when its holder ends
/// - **By a crash** (a kill, an abort, a panic that drops the handles, another program started in its place): it comes back
///   by itself. Whoever takes it next is [told](Taken::was_recovered).
/// - **In good order**: it stays held until somebody gives it back, and nobody's death frees it any more. In good order
///   ends who drops all his handles to it, or calls [`hand_over`](Self::hand_over), or
///   [`hand_over_all`](Self::hand_over_all). A process that ends with handles in statics, or by
///   [`exit`](std::process::exit), drops nothing: it calls one of the two before, or counts as crashed.
///
/// A forked child is a process of its own: what its parent held stays the parent's, and the child may give it back like
/// anybody.
///
/// The handle is cheap to clone, and may be shared by threads.
pub struct Token {
    attachment: Arc<Attachment>,
    /// In the block of the attachment's site: found once.
    token: NonNull<lock::Token>,
    /// The word whose owner a call that does not wait asked after last, mixed with the clock's tick then.
    asked: AtomicU64,
}

// SAFETY: `token` points to memory that `attachment` keeps mapped, and consists of atomics.
unsafe impl Send for Token {}
// SAFETY: as above.
unsafe impl Sync for Token {}

impl Clone for Token {
    fn clone(&self) -> Self {
        Token { attachment: Arc::clone(&self.attachment), token: self.token, asked: AtomicU64::new(0) }
    }
}

handle!([], Token, "token", (), |options| options, " Nobody holds it at first.");
attached!(Token, "token");

/// That a [`Token`] was taken, and how it was found. It is no guard: dropping it does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    was_recovered: bool,
}

impl Taken {
    /// Whether the last holder died with it.
    #[inline]
    pub fn was_recovered(&self) -> bool {
        self.was_recovered
    }
}

impl Token {
    #[inline(always)]
    fn token(&self) -> &lock::Token {
        // SAFETY: in the block of the site, which is mapped as long as this lives; all of it is atomic.
        unsafe { self.token.as_ref() }
    }

    /// Takes it, waiting for it as long as it takes.
    ///
    /// # Errors
    /// [`AcquireError::Corrupt`], and in a forked child [`AcquireError::Attach`].
    #[inline]
    pub fn acquire(&self) -> Result<Taken, AcquireError> {
        self.acquire_when(Some(Deadline::NEVER))
    }

    /// Takes it if nobody has it now, or if whoever has it is dead. (Who tries again and again asks after the holder once in
    /// some milliseconds.)
    ///
    /// # Errors
    /// [`AcquireError::WouldBlock`]; else as [`acquire`](Self::acquire).
    #[inline]
    pub fn try_acquire(&self) -> Result<Taken, AcquireError> {
        self.acquire_when(None)
    }

    /// Takes it, waiting at most `timeout` for it.
    ///
    /// # Errors
    /// [`AcquireError::Timeout`]; else as [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Taken, AcquireError> {
        self.acquire_deadline(Deadline::after(timeout))
    }

    /// Takes it, waiting until `deadline` for it.
    ///
    /// # Errors
    /// [`AcquireError::Timeout`]; else as [`acquire`](Self::acquire).
    #[inline]
    pub fn acquire_deadline(&self, deadline: Deadline) -> Result<Taken, AcquireError> {
        self.acquire_when(Some(deadline))
    }

    /// Takes it, waiting until `deadline`; without one it does not wait.
    #[inline(always)]
    fn acquire_when(&self, deadline: Option<Deadline>) -> Result<Taken, AcquireError> {
        if let Some(member) = self.site().member_if_known()
            && self.token().try_take_plain(member.index())
        {
            return Ok(Taken { was_recovered: false });
        }
        // Taken apart, as by `OwnedSemaphore`: so the fast way's result needs no memory.
        match self.acquire_slowly(deadline) {
            Ok(taken) => Ok(taken),
            Err(error) => Err(error),
        }
    }

    #[cold]
    #[inline(never)]
    fn acquire_slowly(&self, deadline: Option<Deadline>) -> Result<Taken, AcquireError> {
        let me = self.member().map_err(AcquireError::Attach)?.index();
        let Attachment { site, barrier, learnt, .. } = &*self.attachment;
        let (token, dead) = (self.token(), |index| site.is_dead(index));
        let taken = match (token.try_take(me), deadline) {
            (Err(TakeError::Held(_)), Some(deadline)) => {
                learnt.use_for(|waiter| token.take(me, waiter, *barrier, deadline, dead))
            }
            (Err(TakeError::Held(seen)), None) => {
                let is_taken = self.is_worth_asking(seen) && token.take_from_dead(me, dead);
                if is_taken { Ok(true) } else { Err(TakeError::Held(seen)) }
            }
            (tried, _) => tried,
        };
        match taken {
            Ok(was_recovered) => Ok(Taken { was_recovered }),
            Err(TakeError::Held(_)) => Err(AcquireError::WouldBlock),
            Err(TakeError::TimedOut) => Err(AcquireError::Timeout),
            Err(TakeError::Corrupt(found)) => Err(AcquireError::Corrupt(corrupt(found))),
        }
    }

    /// As whom this process takes part.
    fn member(&self) -> Result<Member, Error> {
        let site = self.site();
        match site.member_if_known() {
            Some(member) => Ok(member),
            // A forked child. First of all: nothing is to be held that `hand_over_all` overlooks.
            None => call_at_farewell(site).and_then(|()| site.member()),
        }
    }

    /// Whether it is time to ask after the owner that `seen` names: once for each word and tick of the coarse clock, for
    /// calls that do not wait and may be made millions of times a second.
    fn is_worth_asking(&self, seen: TokenWord) -> bool {
        let now = seen.to_bits() ^ clock::tick().rotate_left(20);
        // Relaxed, both: at worst two threads ask.
        let last = self.asked.load(Ordering::Relaxed);
        self.asked.store(now, Ordering::Relaxed);
        last != now
    }

    /// Gives it back, whoever took it.
    ///
    /// # Errors
    /// [`ReleaseError::TooMany`]: nobody has it. Perhaps because its holder died, and it came back by itself.
    #[inline]
    pub fn release(&self) -> Result<(), ReleaseError> {
        self.site().keep().map_err(|_| ReleaseError::Gone)?;
        self.token().give(self.attachment.barrier).map_err(|why| match why {
            GiveError::Free => ReleaseError::TooMany { bound: 1 },
            GiveError::Corrupt(found) => ReleaseError::Corrupt(corrupt(found)),
        })
    }

    /// Whether somebody held it a moment ago: also one who has died since, and of whom nobody has noticed it.
    pub fn is_held(&self) -> bool {
        self.site().is_there()
            && matches!(self.token().read().state(), Some(TokenState::Held | TokenState::Handed))
    }

    /// Whether this process took it and nobody has given it back since, as of a moment ago: any thread of it, by any handle.
    /// What was [handed over](Self::hand_over) is nobody's in particular.
    pub fn holder_is_me(&self) -> bool {
        let member = self.site().member_if_known();
        member.is_some_and(|member| self.token().read().is_held_by(member.index()))
    }

    /// How often it came back because its holder died, since it was made. (A process that dies just while it gets it back may
    /// leave that one out.)
    pub fn recovered(&self) -> u64 {
        self.token().recovered()
    }

    /// Leaves it held, but by nobody in particular, if this process has it: then its end does not give it back. Returns
    /// whether it had it.
    ///
    /// ```
    /// use ringway::Token;
    ///
    /// let token = Token::anonymous()?; // in a child
    /// token.acquire()?;
    /// assert!(token.hand_over()); // and from here on it may even be killed
    /// assert!(token.is_held() && !token.holder_is_me());
    /// token.release()?; // by its parent
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hand_over(&self) -> bool {
        let member = self.site().member_if_known();
        member.is_some_and(|member| self.token().hand_over(member.index()))
    }

    /// The same for all tokens that this process has, by whatever handles: for a process that is about to end in good order.
    /// Returns how many it had. What its threads take after that is not among them.
    pub fn hand_over_all() -> usize {
        Registry::get().map_or(0, Registry::say_farewell)
    }

    /// Leaves the token in `block` held, by nobody in particular, if the participant `me` has it.
    pub(super) fn leave(block: Block, me: u16) -> bool {
        // SAFETY: the body of a token is such a lock, made of atomics; the caller's segment is mapped.
        unsafe { block.body::<lock::Token>() }.hand_over(me)
    }
}

/// Sees to it that the token is thought of when the process ends in good order.
fn call_at_farewell(site: &Site) -> Result<(), Error> {
    const WHOLE: Farewell = |segment, me, _| usize::from(Token::leave(Block::whole(segment), me));
    let farewell = if site.share().is_some() { arena::FAREWELL } else { WHOLE };
    Registry::call_at_farewell(site.attachment(), farewell)
}

#[cold]
fn corrupt(found: u64) -> Corrupt {
    Corrupt { field: "a token's word", found, limit: 0, place: None }
}

impl Options<Token> {
    /// Whether it is held at first (no): by nobody in particular, until somebody gives it back.
    pub fn held(mut self, yes: bool) -> Self {
        self.settings.held = yes;
        self
    }
}

impl Primitive for Token {
    const KIND: Kind = Kind::Token;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        only_one(settings)?;
        Ok(Needs::body::<lock::Token>())
    }

    fn initialise(block: Block, settings: &Settings) -> Result<(), Error> {
        if settings.held {
            // SAFETY: the body of a token is such a lock, made of atomics; the caller's segment is mapped.
            unsafe { block.body::<lock::Token>() }.initialise_held();
        }
        Ok(())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        call_at_farewell(&site)?;
        // SAFETY: the body of a token is such a lock, made of atomics.
        let token = NonNull::from(unsafe { site.body::<lock::Token>() });
        Ok(Token { attachment: Attachment::new(site, settings.wait), token, asked: AtomicU64::new(0) })
    }

    fn sweep(block: Block, dead: u16) {
        // SAFETY: the body of a token is such a lock, made of atomics; the caller's segment is mapped.
        let token = unsafe { block.body::<lock::Token>() };
        token.sweep(dead, Barrier::of_this_process());
    }
}
