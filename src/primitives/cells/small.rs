//! Values of up to eight bytes: one word, read and written by one instruction.

use super::PATIENCE;
use super::error::CellError;
use crate::sync::{Lone, Word};
use bytemuck::Pod;
use core::mem::size_of;
use core::ptr::NonNull;

/// Whether values of the type lie in a word.
pub(super) const fn is_small<T>() -> bool {
    size_of::<T>() <= 8
}

/// Whether each of many values of the type, one behind the other, is a word at a multiple of its size.
pub(super) const fn is_word<T>() -> bool {
    is_small::<T>() && size_of::<T>().is_power_of_two()
}

/// Does `$with` with the type of the word that a `$type` lies in.
macro_rules! by_word {
    ($type:ty, |$word:ident| $with:expr, $nothing:expr) => {
        match size_of::<$type>() {
            0 => $nothing,
            1 => {
                type $word = u8;
                $with
            }
            2 => {
                type $word = u16;
                $with
            }
            3 | 4 => {
                type $word = u32;
                $with
            }
            _ => {
                type $word = u64;
                $with
            }
        }
    };
}

/// The value in a word.
fn of_word<W: Pod, T: Pod>(word: W) -> T {
    bytemuck::pod_read_unaligned(&bytemuck::bytes_of(&word)[..size_of::<T>()])
}

/// A word with the value, and zeros behind it.
fn to_word<W: Pod, T: Pod>(value: T) -> W {
    let mut word = W::zeroed();
    bytemuck::bytes_of_mut(&mut word)[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&value));
    word
}

/// The word at a place.
///
/// # Safety
/// The word is mapped there for `'a`, at a multiple of its size, and accessed by atomic operations only.
unsafe fn word_at<'a, W: Word>(place: NonNull<u8>) -> &'a Lone<W> {
    // SAFETY: the caller's promise.
    unsafe { Lone::at(place.cast()) }
}

/// Reads a value.
///
/// # Safety
/// The type [is small](is_small). As for [`word_at`], for the smallest word of one, two, four or eight bytes that holds it.
#[inline]
pub(super) unsafe fn read<T: Pod>(place: NonNull<u8>) -> T {
    // SAFETY: the caller's promise.
    by_word!(T, |W| of_word::<W, T>(W::load(unsafe { word_at(place) })), T::zeroed())
}

/// Replaces a value.
///
/// # Safety
/// As for [`read`].
#[inline]
pub(super) unsafe fn write<T: Pod>(place: NonNull<u8>, value: T) {
    // SAFETY: the caller's promise.
    by_word!(T, |W| W::store(unsafe { word_at(place) }, to_word::<W, T>(value)), ())
}

/// Replaces a value by what `change` makes of it, and returns that.
///
/// # Safety
/// As for [`read`].
pub(super) unsafe fn update<T: Pod>(
    place: NonNull<u8>,
    mut change: impl FnMut(T) -> T,
) -> Result<T, CellError> {
    by_word!(
        T,
        |W| {
            // SAFETY: the caller's promise.
            let word: &Lone<W> = unsafe { word_at(place) };
            let mut seen = W::load(word);
            for _ in 0..PATIENCE {
                let value = change(of_word(seen));
                match W::compare_exchange(word, seen, to_word(value)) {
                    Ok(_) => return Ok(value),
                    Err(now) => seen = now,
                }
            }
            Err(CellError::Overtaken)
        },
        Ok(change(T::zeroed()))
    )
}
