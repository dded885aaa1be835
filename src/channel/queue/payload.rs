//! What queues can carry.

use super::core::Core;
use super::{layout, typed};
use crate::channel::RecvError;
use crate::error::{Corrupt, Error, Kind};
use crate::options::Settings;
use crate::pool::{self, Demand};
use crate::segment::layout::Plan;
use bytemuck::Pod;
use core::mem::{MaybeUninit, align_of, size_of};

/// What a [`Queue`](crate::Queue) or a [`JoinableQueue`](crate::JoinableQueue) carries: plain values, or bytes of any
/// length.
#[allow(private_bounds, reason = "a closed family: plain values and bytes")]
pub trait Payload: Carried {}

impl<T: Pod> Payload for T {}
impl Payload for [u8] {}

/// How it is done.
pub(super) trait Carried {
    /// What the guard of a task has here.
    type Copy;

    /// Size and alignment, as the segment's header says them.
    const ELEMENT: (u64, u64);

    /// The segment of a queue of them.
    ///
    /// # Errors
    /// What cannot be a queue.
    fn plan(settings: &Settings) -> Result<Plan, Error>;

    /// What the pool of a queue of tasks must be good for.
    fn demand(settings: &Settings) -> Demand;

    /// Copies what has to be copied.
    ///
    /// # Errors
    /// If the message cannot be one of these.
    fn copy_of(core: &Core, task: &pool::Task) -> Result<Self::Copy, RecvError>;

    /// Moves it to another guard.
    fn move_copy(copy: &mut Self::Copy) -> Self::Copy;

    /// The message: the copy, or what lies in the task's chunk.
    ///
    /// # Safety
    /// The task is this process's for as long as the view is used.
    unsafe fn view<'a>(copy: &'a Self::Copy, core: &'a Core, task: Option<&'a pool::Task>) -> &'a Self;

    /// Puts the message among the dead letters, if there is space.
    fn post(letters: &Core, message: &Self) -> bool;
}

/// A value is copied: most are smaller than the guard.
impl<T: Pod> Carried for T {
    type Copy = T;

    const ELEMENT: (u64, u64) = (size_of::<T>() as u64, align_of::<T>() as u64);

    fn plan(settings: &Settings) -> Result<Plan, Error> {
        layout::plan::<T>(settings.capacity)
    }

    fn demand(settings: &Settings) -> Demand {
        layout::demand_for_values(settings, size_of::<T>() as u64)
    }

    #[inline(always)]
    fn copy_of(core: &Core, task: &pool::Task) -> Result<T, RecvError> {
        let mut value = T::zeroed();
        if task.len() != size_of::<T>() as u64 {
            let limit = size_of::<T>() as u64;
            return Err(RecvError::Corrupt(Corrupt {
                field: "length of a task",
                found: task.len(),
                limit,
                place: None,
            }));
        }
        let bytes = bytemuck::bytes_of_mut(&mut value);
        // SAFETY: bytes are as good uninitialised as they are, and the copy only initialises.
        let bytes = unsafe { &mut *(bytes as *mut [u8] as *mut [MaybeUninit<u8>]) };
        core.store().pool.copy_task(task, 0, bytes);
        Ok(value)
    }

    fn move_copy(copy: &mut T) -> T {
        *copy
    }

    #[inline(always)]
    unsafe fn view<'a>(copy: &'a T, _: &'a Core, _: Option<&'a pool::Task>) -> &'a T {
        copy
    }

    fn post(letters: &Core, message: &T) -> bool {
        typed::post(letters, *message)
    }
}

/// Bytes are lent out where they lie if the peers are trusted; else there is a copy.
impl Carried for [u8] {
    type Copy = Vec<u8>;

    const ELEMENT: (u64, u64) = layout::BYTES;

    fn plan(settings: &Settings) -> Result<Plan, Error> {
        layout::plan_pooled(Kind::ByteQueue, layout::BYTES, Self::demand(settings))
    }

    fn demand(settings: &Settings) -> Demand {
        layout::demand_for_bytes(settings)
    }

    #[inline(always)]
    fn copy_of(core: &Core, task: &pool::Task) -> Result<Vec<u8>, RecvError> {
        let mut copy = Vec::new();
        if !core.store().is_trusting {
            core.copy(task.len(), &mut copy, |out| core.store().pool.copy_task(task, 0, out));
        }
        Ok(copy)
    }

    fn move_copy(copy: &mut Vec<u8>) -> Vec<u8> {
        core::mem::take(copy)
    }

    #[inline(always)]
    unsafe fn view<'a>(copy: &'a Vec<u8>, core: &'a Core, task: Option<&'a pool::Task>) -> &'a [u8] {
        match task {
            Some(task) if core.store().is_trusting => {
                let start = core.store().pool.address(task.chunk());
                // SAFETY: the length was checked against the chunk. Its bytes stay as they are while the task is ours, as
                // the caller promises, and the peers are trusted to keep to that.
                unsafe { core::slice::from_raw_parts(start.as_ptr(), task.len() as usize) }
            }
            _ => copy,
        }
    }

    fn post(letters: &Core, message: &[u8]) -> bool {
        letters.send_bytes(message, None).is_ok()
    }
}
