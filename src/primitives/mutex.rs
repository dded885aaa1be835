//! A lock and the value it protects.

use super::guard::{Inherited, MutexGuard};
use super::handle::handle;
use super::holding::{self, Holding, Taken, WORDS};
use super::site::{Block, Needs, Primitive, Site, only_one};
use crate::LockError;
use crate::error::{Error, Kind};
use crate::options::{Options, Settings};
use crate::ring::copy;
use crate::wait::{Deadline, Wait};
use bytemuck::Pod;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, align_of, size_of};
use core::ptr::NonNull;
use core::time::Duration;
use std::sync::Arc;

/// A value that one thread of one process at a time may use; whoever dies with it leaves it to the next, who is told.
///
/// Taking and giving back costs no system call while nobody waits. The handle is cheap to clone, and may be shared by
/// threads.
///
/// ```
/// use ringway::{LockError, Mutex};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("doc-mutex-{}", std::process::id());
/// let counter = Mutex::open_or_create(&name, 0_u64)?; // in each process
/// *counter.lock()? += 1;
/// assert_eq!(*counter.lock()?, 1);
/// # ringway::unlink(&name)?;
/// # Ok(())
/// # }
/// ```
///
/// # When a process dies
/// Whoever is waiting, or comes next, gets the mutex as [`LockError::OwnerDied`], which holds it: the value may be half
/// changed, and only [`recover`](crate::Inherited::recover) makes an ordinary guard of it. That stays so over a second
/// death. A process that dies after it finished its work but before the mutex was given back looks the same. So does a
/// panic. Somebody who waits learns of a death after a tenth of a second at most; who comes later, at once.
///
/// # What it does not do
/// It is not fair: who comes along when it is given back may be faster than who was woken. A process that is merely
/// *stopped* keeps it. A thread that has it and locks it again is told
/// [`WouldDeadlock`](LockError::WouldDeadlock); see [`ReentrantMutex`](crate::ReentrantMutex).
pub struct Mutex<T: Pod> {
    holding: Arc<Holding>,
    value: PhantomData<fn(T) -> T>,
}

/// What [`Mutex::lock`] and its kin return.
type Locked<'a, T> = Result<MutexGuard<'a, T>, LockError<Inherited<'a, T>>>;

handle!(
    [T: Pod], Mutex<T>, "mutex", (value: T), |options| options.value(value),
    " `value` is what it protects, if it is new."
);

impl<T: Pod> Mutex<T> {
    fn site(&self) -> &Site {
        self.holding.site()
    }

    pub(super) fn holding(&self) -> &Arc<Holding> {
        &self.holding
    }

    /// Takes the mutex, waiting for it as long as it takes.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`], which holds it; [`LockError::NotRecoverable`]; [`LockError::WouldDeadlock`].
    #[inline]
    pub fn lock(&self) -> Locked<'_, T> {
        self.lock_when(Some(Deadline::NEVER))
    }

    /// Takes the mutex if nobody has it now.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`]; else as [`lock`](Self::lock). That the owner died is noticed a few milliseconds late
    /// if it was alive when this was called just before.
    #[inline]
    pub fn try_lock(&self) -> Locked<'_, T> {
        self.lock_when(None)
    }

    /// Takes the mutex, waiting at most `timeout` for it.
    ///
    /// # Errors
    /// [`LockError::Timeout`]; else as [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Locked<'_, T> {
        self.lock_deadline(Deadline::after(timeout))
    }

    /// Takes the mutex, waiting until `deadline` for it.
    ///
    /// # Errors
    /// [`LockError::Timeout`]; else as [`lock`](Self::lock).
    #[inline]
    pub fn lock_deadline(&self, deadline: Deadline) -> Locked<'_, T> {
        self.lock_when(Some(deadline))
    }

    #[inline(always)]
    fn lock_when(&self, deadline: Option<Deadline>) -> Locked<'_, T> {
        lock_when(&self.holding, deadline)
    }

    /// Another handle to the same mutex with another way of waiting.
    #[must_use]
    pub fn with_wait(&self, wait: Wait) -> Self {
        Mutex { holding: self.holding.with_wait(wait), value: PhantomData }
    }
}

/// Takes the mutex of that handle.
#[inline(always)]
pub(super) fn lock_when<T: Pod>(holding: &Arc<Holding>, deadline: Option<Deadline>) -> Locked<'_, T> {
    match holding.lock(deadline) {
        Ok(taken) => Ok(MutexGuard::new(holding, taken)),
        Err(error) => Err(error.map(|taken| Inherited::new(holding, taken))),
    }
}

impl<T: Pod> Clone for Mutex<T> {
    fn clone(&self) -> Self {
        Mutex { holding: Arc::clone(&self.holding), value: PhantomData }
    }
}

impl<T: Pod> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("name", &self.site().segment().name())
            .field("word", &self.holding.words().gate.word().read())
            .finish_non_exhaustive()
    }
}

impl<T: Pod> Primitive for Mutex<T> {
    const KIND: Kind = Kind::Mutex;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        only_one(settings)?;
        needs_for::<T>()
    }

    fn initialise(block: Block, settings: &Settings) -> Result<(), Error> {
        put_initial(block, settings, value_at::<T>());
        Ok(())
    }

    fn attach(site: Site, settings: &Settings) -> Result<Self, Error> {
        Ok(Mutex { holding: Holding::new(site, settings.wait), value: PhantomData })
    }

    fn sweep(block: Block, dead: u16) {
        holding::sweep(block, dead);
    }
}

impl<T: Pod> Options<Mutex<T>> {
    /// What a new mutex protects; zeros, unless this says otherwise.
    pub fn value(mut self, value: T) -> Self {
        self.settings.initial = Some(bytemuck::bytes_of(&value).into());
        self
    }
}

/// The memory of a lock with a value behind it.
pub(super) fn needs_for<T: Pod>() -> Result<Needs, Error> {
    let (size, align) = (size_of::<T>() as u64, align_of::<T>() as u64);
    if align > 64 || size > 1 << 40 {
        return Err(Error::BadElement { size, align });
    }
    let body_len = (value_at::<T>() + size_of::<T>()) as u64;
    Ok(Needs { element: (size, align), capacity: 1, body_len, table_len: 0 })
}

/// Where the value of a lock is in its block.
const fn value_at<T>() -> usize {
    WORDS.next_multiple_of(align_of::<T>())
}

/// Puts the first value into a new object.
pub(super) fn put_initial(block: Block, settings: &Settings, at: usize) {
    if let Some(initial) = &settings.initial {
        let place = block.value(at, initial.len());
        // SAFETY: the block has room for it, as `value` checked, and nobody else can see it yet.
        unsafe { core::ptr::copy_nonoverlapping(initial.as_ptr(), place.as_ptr(), initial.len()) };
    }
}

/// The value behind the words of a lock.
pub(super) struct Cell<T> {
    place: NonNull<T>,
    is_trusted: bool,
}

/// Where a holder finds the value.
pub(super) enum Place<T> {
    /// In shared memory.
    Shared(NonNull<T>),
    /// In a copy, because peers cannot be trusted to leave it alone.
    Private(Box<T>),
}

impl<T> Place<T> {
    #[inline(always)]
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Place::Shared(_))
    }

    /// # Safety
    /// If it is shared, nobody else writes it meanwhile.
    #[inline(always)]
    pub(super) unsafe fn as_ref(&self) -> &T {
        match self {
            // SAFETY: aligned, inside the mapping, and the caller's promise.
            Place::Shared(place) => unsafe { place.as_ref() },
            Place::Private(copy) => copy,
        }
    }

    /// # Safety
    /// If it is shared, nobody else uses it meanwhile.
    #[inline(always)]
    pub(super) unsafe fn as_mut(&mut self) -> &mut T {
        match self {
            // SAFETY: aligned, inside the mapping, and the caller's promise.
            Place::Shared(place) => unsafe { place.as_mut() },
            Place::Private(copy) => copy,
        }
    }
}

impl<T: Pod> Cell<T> {
    #[inline]
    pub(super) fn of(holding: &Holding) -> Self {
        let site = holding.site();
        let place = site.block().value(value_at::<T>(), size_of::<T>()).cast();
        Cell { place, is_trusted: site.segment().is_trusted() }
    }

    /// The value, for whoever holds the lock.
    #[inline]
    pub(super) fn place(&self, taken: &Taken) -> Place<T> {
        if self.is_trusted { Place::Shared(self.place) } else { Place::Private(self.copy_out(taken)) }
    }

    #[cold]
    fn copy_out(&self, _taken: &Taken) -> Box<T> {
        let mut copy = Box::new(MaybeUninit::<T>::uninit());
        // SAFETY: so many bytes are in the block; the copy is private. Whoever writes the former against the rules makes
        // the bytes wrong, no more, and no thread of ours does: they respect the lock, or each other's copies.
        unsafe {
            copy::contended(self.place.as_ptr().cast(), copy.as_mut_ptr().cast(), size_of::<T>());
        }
        // SAFETY: filled above, and any bits are a valid Pod.
        unsafe { copy.assume_init() }
    }

    /// Puts a private copy where it belongs.
    #[inline]
    pub(super) fn write_back(&self, value: &Place<T>, _taken: &Taken) {
        if let Place::Private(copy) = value {
            let from: *const T = &**copy;
            // SAFETY: as in `copy_out`, the other way.
            unsafe { copy::contended(from.cast(), self.place.as_ptr().cast(), size_of::<T>()) };
        }
    }
}
