//! Atomic operations on values whose type the user chose, at any place.

#![allow(clippy::disallowed_types, reason = "part of the file the ban points to")]

use super::{Ordering, access};
use bytemuck::Pod;
use core::ptr::NonNull;

/// A place in shared memory whose type the user chose, and every access to which is atomic.
#[repr(transparent)]
pub(crate) struct Lone<T>(core::cell::UnsafeCell<T>);

impl<T: Word> Lone<T> {
    /// The place at an address.
    ///
    /// # Safety
    /// It is mapped for `'a`, a multiple of the size of `T`, and accessed by atomic operations only.
    #[inline(always)]
    pub(crate) unsafe fn at<'a>(place: NonNull<T>) -> &'a Self {
        // SAFETY: the caller's promise; the layout is that of a `T`.
        unsafe { place.cast::<Self>().as_ref() }
    }
}

/// What can be done to a [`Lone`] place.
///
/// Loads acquire and stores release: who sees a value sees what its writer did before. All that reads and writes in one
/// step is sequentially consistent.
pub(crate) trait Word: Pod {
    fn load(at: &Lone<Self>) -> Self;
    fn store(at: &Lone<Self>, value: Self);
    fn swap(at: &Lone<Self>, value: Self) -> Self;
    fn compare_exchange(at: &Lone<Self>, seen: Self, new: Self) -> Result<Self, Self>;
    fn add(at: &Lone<Self>, value: Self) -> Self;
    fn sub(at: &Lone<Self>, value: Self) -> Self;
}

/// The same for integers.
pub(crate) trait Bits: Word {
    fn and(at: &Lone<Self>, value: Self) -> Self;
    fn or(at: &Lone<Self>, value: Self) -> Self;
    fn xor(at: &Lone<Self>, value: Self) -> Self;
    fn max(at: &Lone<Self>, value: Self) -> Self;
    fn min(at: &Lone<Self>, value: Self) -> Self;
}

macro_rules! lone_integers {
    ($($int:ident $atomic:ident),*) => {$(
        impl Lone<$int> {
            #[inline(always)]
            fn atomic(&self) -> &core::sync::atomic::$atomic {
                access();
                // SAFETY: by the promise of `at`: mapped, aligned, and atomic only.
                unsafe { core::sync::atomic::$atomic::from_ptr(self.0.get()) }
            }
        }

        impl Word for $int {
            #[inline(always)]
            fn load(at: &Lone<Self>) -> Self {
                // Acquire: pairs with the Release in `store`, and with every exchange.
                at.atomic().load(Ordering::Acquire)
            }
            #[inline(always)]
            fn store(at: &Lone<Self>, value: Self) {
                // Release: pairs with the Acquire in `load`, and with every exchange.
                at.atomic().store(value, Ordering::Release);
            }
            #[inline(always)]
            fn swap(at: &Lone<Self>, value: Self) -> Self {
                at.atomic().swap(value, Ordering::SeqCst)
            }
            #[inline(always)]
            fn compare_exchange(at: &Lone<Self>, seen: Self, new: Self) -> Result<Self, Self> {
                at.atomic().compare_exchange(seen, new, Ordering::SeqCst, Ordering::SeqCst)
            }
            #[inline(always)]
            fn add(at: &Lone<Self>, value: Self) -> Self {
                at.atomic().fetch_add(value, Ordering::SeqCst)
            }
            #[inline(always)]
            fn sub(at: &Lone<Self>, value: Self) -> Self {
                at.atomic().fetch_sub(value, Ordering::SeqCst)
            }
        }

        impl Bits for $int {
            #[inline(always)]
            fn and(at: &Lone<Self>, value: Self) -> Self {
                at.atomic().fetch_and(value, Ordering::SeqCst)
            }
            #[inline(always)]
            fn or(at: &Lone<Self>, value: Self) -> Self {
                at.atomic().fetch_or(value, Ordering::SeqCst)
            }
            #[inline(always)]
            fn xor(at: &Lone<Self>, value: Self) -> Self {
                at.atomic().fetch_xor(value, Ordering::SeqCst)
            }
            #[inline(always)]
            fn max(at: &Lone<Self>, value: Self) -> Self {
                at.atomic().fetch_max(value, Ordering::SeqCst)
            }
            #[inline(always)]
            fn min(at: &Lone<Self>, value: Self) -> Self {
                at.atomic().fetch_min(value, Ordering::SeqCst)
            }
        }
    )*};
}

lone_integers!(
    u8 AtomicU8, u16 AtomicU16, u32 AtomicU32, u64 AtomicU64, usize AtomicUsize,
    i8 AtomicI8, i16 AtomicI16, i32 AtomicI32, i64 AtomicI64, isize AtomicIsize
);

/// Floating-point numbers are exchanged by their bits.
macro_rules! lone_floats {
    ($($float:ident $bits:ident),*) => {$(
        impl Lone<$float> {
            #[inline(always)]
            fn bits(&self) -> &Lone<$bits> {
                let place = NonNull::from(self).cast::<$bits>();
                // SAFETY: the same place, and the promise of `at` is as good for its bits.
                unsafe { Lone::at(place) }
            }

            #[inline(always)]
            fn change(&self, change: impl Fn($float) -> $float) -> $float {
                let mut seen = Word::load(self.bits());
                // It fails only if another one's succeeds meanwhile.
                loop {
                    let value = $float::from_bits(seen);
                    match Word::compare_exchange(self.bits(), seen, change(value).to_bits()) {
                        Ok(_) => return value,
                        Err(now) => seen = now,
                    }
                }
            }
        }

        impl Word for $float {
            #[inline(always)]
            fn load(at: &Lone<Self>) -> Self {
                $float::from_bits(Word::load(at.bits()))
            }
            #[inline(always)]
            fn store(at: &Lone<Self>, value: Self) {
                Word::store(at.bits(), value.to_bits());
            }
            #[inline(always)]
            fn swap(at: &Lone<Self>, value: Self) -> Self {
                $float::from_bits(Word::swap(at.bits(), value.to_bits()))
            }
            #[inline(always)]
            fn compare_exchange(at: &Lone<Self>, seen: Self, new: Self) -> Result<Self, Self> {
                Word::compare_exchange(at.bits(), seen.to_bits(), new.to_bits())
                    .map($float::from_bits)
                    .map_err($float::from_bits)
            }
            #[inline(always)]
            fn add(at: &Lone<Self>, value: Self) -> Self {
                at.change(|old| old + value)
            }
            #[inline(always)]
            fn sub(at: &Lone<Self>, value: Self) -> Self {
                at.change(|old| old - value)
            }
        }
    )*};
}

lone_floats!(f32 u32, f64 u64);
