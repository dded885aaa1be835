//! What the mutexes of the tests protect: two numbers that are equal whenever nobody is at work on them.

use bytemuck::{Pod, Zeroable};
use ringway::{LockError, Mutex};

/// Two halves, with something between them, so that they are not written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Halves {
    /// Written first.
    pub left: u64,
    /// Not used.
    pub between: [u64; 14],
    /// Written last.
    pub right: u64,
    /// How often the halves were repaired.
    pub repairs: u64,
}

/// What whoever inherits the mutex does.
///
/// # Panics
/// If the halves show that more than one was at work.
pub fn repair(halves: &mut Halves) {
    assert!(halves.left - halves.right <= 1, "more than one at work: {halves:?}");
    halves.right = halves.left;
    halves.repairs += 1;
}

/// Adds 1 to both halves, after a repair if one is needed.
///
/// # Panics
/// If the halves show that others have been at work at the same time, or the mutex fails otherwise.
pub fn add(mutex: &Mutex<Halves>) {
    let mut halves = match mutex.lock() {
        Ok(guard) => guard,
        Err(LockError::OwnerDied(inherited)) => inherited.recover(repair),
        Err(other) => panic!("{other}"),
    };
    assert_eq!(halves.left, halves.right, "more than one at work, or a death unsaid");
    halves.left += 1;
    std::hint::black_box(&mut *halves);
    for word in &mut halves.between {
        *word = word.wrapping_add(1);
    }
    std::hint::black_box(&mut *halves);
    halves.right += 1;
}
