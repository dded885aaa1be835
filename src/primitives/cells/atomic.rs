//! The types whose values change in one step.

use crate::sync::{Bits, Word};
use bytemuck::Pod;

/// A number that a [`Value`](crate::Value) or an [`Array`](crate::Array) can change in one step, without a lock: integers of up
/// to eight bytes, and floating-point numbers.
///
/// Loads acquire and stores release: who sees a number sees what its writer did before. What reads and writes in one step is
/// sequentially consistent.
#[allow(private_bounds, reason = "the types are a closed family; how it is done is no promise")]
pub trait Atomic: Pod + Word {}

/// An [`Atomic`] type of whole numbers.
#[allow(private_bounds, reason = "as above")]
pub trait Integer: Atomic + Bits {}

macro_rules! of {
    ($family:ident: $($type:ty)*) => { $(impl $family for $type {})* };
}

of!(Atomic: u8 u16 u32 u64 usize i8 i16 i32 i64 isize f32 f64);
of!(Integer: u8 u16 u32 u64 usize i8 i16 i32 i64 isize);
