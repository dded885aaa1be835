//! The only file that names atomics, cells or loom, with its own parts in `sync/`.
//!
//! Everything that two threads or two processes touch at once goes through here, so that `loom-tests`,
//! which compiles the very same sources with `cfg(loom)`, sees each access. Two macros mark the places a
//! model must be able to break:
//!
//! - [`order!`] names an ordering: `order!(Release, "spsc.publish")`. In the product it *is* the ordering; under
//!   loom a test can weaken that one site to `Relaxed` and must then see its model fail.
//! - [`mutated!`] names a step of an algorithm that a test can leave out or do wrongly. In the product it is
//!   the constant `false`.
//!
//! `loom-tests` refuses a site that no mutant has killed. With `--cfg ringway_instruments` the steps can be broken
//! in real processes too, and each access to shared memory is a place to hold them up: see `src/instruments.rs`.

#![allow(clippy::disallowed_types, reason = "this is the file the ban points to")]
#![cfg_attr(loom, allow(dead_code))]

pub(crate) use core::sync::atomic::Ordering;
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{compiler_fence, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, fence};

/// The standard library's atomic under a name of our own, so that the ban on the raw one can hold elsewhere.
#[cfg(not(loom))]
macro_rules! atomic {
    ($name:ident $(<$t:ident>)?, $raw:ty, $value:ty) => {
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub(crate) struct $name $(<$t>)? ($raw);

        impl $(<$t>)? $name $(<$t>)? {
            #[inline(always)]
            pub(crate) const fn new(value: $value) -> Self {
                Self(<$raw>::new(value))
            }

            #[inline(always)]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                access();
                self.0.load(order)
            }

            #[inline(always)]
            #[allow(dead_code, reason = "not every kind of atomic is stored to")]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                access();
                self.0.store(value, order);
            }

            #[inline(always)]
            pub(crate) fn compare_exchange(
                &self,
                seen: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                access();
                self.0.compare_exchange(seen, new, success, failure)
            }
        }
    };
}

#[cfg(not(loom))]
atomic!(AtomicU32, core::sync::atomic::AtomicU32, u32);
#[cfg(not(loom))]
atomic!(AtomicU64, core::sync::atomic::AtomicU64, u64);
#[cfg(not(loom))]
atomic!(AtomicPtr<T>, core::sync::atomic::AtomicPtr<T>, *mut T);

#[cfg(not(loom))]
impl AtomicU32 {
    #[inline(always)]
    pub(crate) fn fetch_or(&self, value: u32, order: Ordering) -> u32 {
        access();
        self.0.fetch_or(value, order)
    }

    #[inline(always)]
    pub(crate) fn fetch_and(&self, value: u32, order: Ordering) -> u32 {
        access();
        self.0.fetch_and(value, order)
    }

    #[inline(always)]
    pub(crate) fn fetch_max(&self, value: u32, order: Ordering) -> u32 {
        access();
        self.0.fetch_max(value, order)
    }

    /// The address of the word, for the kernel.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut u32 {
        self.0.as_ptr()
    }
}

#[cfg(not(loom))]
impl AtomicU64 {
    #[inline(always)]
    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        access();
        self.0.fetch_add(value, order)
    }

    #[inline(always)]
    pub(crate) fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        access();
        self.0.fetch_or(value, order)
    }

    #[inline(always)]
    pub(crate) fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
        access();
        self.0.fetch_and(value, order)
    }
}

#[cfg(not(loom))]
#[path = "sync/lone.rs"] // said, because the models find this file by a path
mod lone;
#[cfg(not(loom))]
#[path = "sync/pieces.rs"]
mod pieces;
#[cfg(not(loom))]
pub(crate) use lone::{Bits, Lone, Word};
#[cfg(not(loom))]
pub(crate) use pieces::{copy_in, copy_out, copy_within};

/// An ordering with a name; see the module's introduction.
#[cfg(not(loom))]
macro_rules! order {
    ($order:ident, $site:literal) => {
        $crate::sync::Ordering::$order
    };
}

/// A step that a test can break by name; see the module's introduction.
#[cfg(not(any(loom, ringway_instruments)))]
macro_rules! mutated {
    ($site:literal) => {
        false
    };
}

#[cfg(ringway_instruments)]
macro_rules! mutated {
    ($site:literal) => {
        $crate::instruments::is_planted($site)
    };
}

#[cfg(loom)]
macro_rules! order {
    ($order:ident, $site:literal) => {
        $crate::sync::mutant::order($crate::sync::Ordering::$order, $site)
    };
}

#[cfg(loom)]
macro_rules! mutated {
    ($site:literal) => {
        $crate::sync::mutant::is($site)
    };
}

pub(crate) use {mutated, order};

/// A crash point: called before every access to shared memory. Nothing, unless the instruments are built in; then
/// they may hold the process up here, to be killed or overtaken.
#[inline(always)]
pub(crate) fn access() {
    #[cfg(ringway_instruments)]
    crate::instruments::access();
}

/// One hint to the processor, or to loom's scheduler, that the caller is spinning.
#[inline]
pub(crate) fn spin_loop() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// The cheap half of the asymmetric barrier: orders a publication before the look at the sleepers as far as
/// the compiler is concerned. The processor's part is done by the sleeper's [`heavy`](crate::wait::barrier).
#[inline(always)]
pub(crate) fn light_fence() {
    #[cfg(not(loom))]
    compiler_fence(Ordering::SeqCst);
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Stores to a word that others may be comparing-and-swapping at this moment, always in vain.
///
/// loom leaves the order of a plain store and a concurrent compare-and-swap open, and would see the store
/// undone; there it is a swap.
#[inline(always)]
pub(crate) fn store_beside_cas(word: &AtomicU64, value: u64, order: Ordering) {
    #[cfg(not(loom))]
    word.store(value, order);
    #[cfg(loom)]
    word.swap(value, order);
}

/// Private state of this process behind a lock that lies in shared memory.
///
/// The shared lock is what threads wait for. This only makes sure that a peer which scribbles over that lock
/// cannot lead two of our threads into the same state: the second one is refused. It also knows forks: a child
/// finds its parent's state, perhaps in the hands of a thread that does not exist there, and begins anew.
#[cfg(not(loom))]
pub(crate) struct Exclusive<T> {
    /// `generation << 1 | entered`: of which process the state is, and whether a thread is inside.
    word: AtomicU64,
    state: core::cell::UnsafeCell<T>,
}

// SAFETY: only one thread at a time gets at the state, through `Entered`.
#[cfg(not(loom))]
unsafe impl<T: Send> Sync for Exclusive<T> {}

/// The one thread inside an [`Exclusive`].
#[cfg(not(loom))]
pub(crate) struct Entered<'a, T> {
    exclusive: &'a Exclusive<T>,
    word: u64,
}

#[cfg(not(loom))]
impl<T> Exclusive<T> {
    pub(crate) fn new(generation: u64, state: T) -> Self {
        Exclusive { word: AtomicU64::new(generation << 1), state: core::cell::UnsafeCell::new(state) }
    }

    /// Goes in, as the process `generation`; with `fresh` state if what is here is a parent's. `None` if another
    /// thread is inside.
    #[inline]
    pub(crate) fn enter(&self, generation: u64, fresh: impl FnOnce() -> T) -> Option<Entered<'_, T>> {
        let (idle, inside) = (generation << 1, generation << 1 | 1);
        // Acquire: pairs with the Release in `Entered::drop`: the state is as the last thread left it.
        match self.word.compare_exchange(idle, inside, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Some(Entered { exclusive: self, word: idle }),
            Err(seen) if seen >> 1 == generation => None,
            Err(parents) => {
                self.word.compare_exchange(parents, inside, Ordering::Acquire, Ordering::Relaxed).ok()?;
                // SAFETY: the exchange let us in alone. What is overwritten is a copy of the parent's state and
                // may be half changed, so it is not dropped.
                unsafe { self.state.get().write(fresh()) };
                Some(Entered { exclusive: self, word: idle })
            }
        }
    }
}

#[cfg(not(loom))]
impl<T> Entered<'_, T> {
    /// The process that went in.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.word >> 1
    }
}

#[cfg(not(loom))]
impl<T> core::ops::Deref for Entered<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: we are the one thread inside, until this is dropped.
        unsafe { &*self.exclusive.state.get() }
    }
}

#[cfg(not(loom))]
impl<T> core::ops::DerefMut for Entered<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and this is borrowed exclusively.
        unsafe { &mut *self.exclusive.state.get() }
    }
}

#[cfg(not(loom))]
impl<T> Drop for Entered<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `enter`. In a child forked meanwhile this must not happen, because
        // one of the child's own threads may be inside: who keeps this over a fork forgets it there.
        self.exclusive.word.store(self.word, Ordering::Release);
    }
}

/// A place for one `T` that lies in memory another thread or process may be writing.
///
/// Which of the two may touch it is decided by the indices of the ring it belongs to; this type only makes
/// the access visible to loom. There is never a reference to its content outside a guard.
#[repr(transparent)]
pub(crate) struct Slot<T> {
    #[cfg(not(loom))]
    place: core::cell::UnsafeCell<core::mem::MaybeUninit<T>>,
    #[cfg(loom)]
    place: loom::cell::UnsafeCell<core::mem::MaybeUninit<T>>,
}

// SAFETY: a slot is only a place; who may use it is decided by the ring, whose claim each use names.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T: Copy> Slot<T> {
    /// An empty place, for rings that live on the heap of one process (models and tests).
    #[cfg(any(loom, test))]
    pub(crate) fn vacant() -> Self {
        #[cfg(not(loom))]
        let place = core::cell::UnsafeCell::new(core::mem::MaybeUninit::uninit());
        #[cfg(loom)]
        let place = loom::cell::UnsafeCell::new(core::mem::MaybeUninit::uninit());
        Slot { place }
    }

    /// Copies the content out. (The product reads by wider words: `ring::read`.)
    ///
    /// # Safety
    /// The slot holds an initialised `T`, and by the ring's indices only readers use it now. A process that
    /// breaks that rule can make the value arbitrary, so any bit pattern must be a valid `T`.
    #[inline]
    #[cfg(any(loom, test))]
    pub(crate) unsafe fn read(&self) -> T {
        access();
        #[cfg(not(loom))]
        {
            // SAFETY: aligned and in bounds as part of the ring's slots; volatile, because another process may
            // write it against the rules, and then the value is wrong but the read is still one read.
            let value = unsafe { self.place.get().read_volatile() };
            // SAFETY: initialised, by the caller's word.
            unsafe { value.assume_init() }
        }
        #[cfg(loom)]
        // SAFETY: as above; loom reports a racing writer.
        self.place.with(|place| unsafe { (*place).assume_init() })
    }

    /// Stores `value`.
    ///
    /// # Safety
    /// By the ring's indices the slot is the caller's alone.
    #[inline]
    pub(crate) unsafe fn write(&self, value: T) {
        access();
        #[cfg(not(loom))]
        // SAFETY: aligned and in bounds as part of the ring's slots, and the caller's alone.
        unsafe {
            self.place.get().write(core::mem::MaybeUninit::new(value));
        }
        #[cfg(loom)]
        // SAFETY: as above; loom reports anybody else.
        self.place.with_mut(|place| unsafe {
            (*place).write(value);
        });
    }

    /// The address of the content, for guards that lend it out.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.place.get().cast()
    }
}

/// What the models switch on and off.
#[cfg(loom)]
pub(crate) mod mutant {
    use super::Ordering;
    use std::cell::Cell;

    std::thread_local! {
        // loom runs the threads of a model as coroutines on one OS thread, so this reaches all of them.
        static ACTIVE: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Runs `body` with one site broken.
    pub(crate) fn with<R>(site: &'static str, body: impl FnOnce() -> R) -> R {
        struct Reset;
        impl Drop for Reset {
            fn drop(&mut self) {
                ACTIVE.set(None);
            }
        }
        ACTIVE.set(Some(site));
        let _reset = Reset;
        body()
    }

    pub(crate) fn is(site: &str) -> bool {
        ACTIVE.get() == Some(site)
    }

    pub(crate) fn order(order: Ordering, site: &str) -> Ordering {
        if is(site) { Ordering::Relaxed } else { order }
    }
}
