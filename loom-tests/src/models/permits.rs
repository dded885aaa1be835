//! Permits with owners: none is overlooked, those of the dead come back, nobody sleeps beside a free one.

use crate::harness::Model;
use crate::lock::{Desk, LockWord, Permit, PermitError};
use crate::sync::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::wait::{Barrier, Deadline, Wait, Waiter};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model { name: "there_is_always_one", preemptions: 3, body: there_is_always_one, kills: &["permits.look_twice"] },
    Model { name: "given_to_who_waits", preemptions: 2, body: given_to_who_waits, kills: &["permits.give_wakes"] },
    Model { name: "taken_from_the_dead", preemptions: 2, body: taken_from_the_dead, kills: &["permits.patrol"] },
    Model { name: "swept_while_waited_for", preemptions: 2, body: swept_while_waited_for, kills: &["permits.sweep_wakes"] },
    Model { name: "returned_by_one_who_takes_none", preemptions: 2, body: returned_by_one_who_takes_none, kills: &["permits.return_wakes"] },
    Model { name: "returned_or_taken_over", preemptions: 3, body: returned_or_taken_over, kills: &["lock.bury_exactly"] },
];

struct Shared {
    desk: Desk,
    words: Vec<LockWord>,
    dead: AtomicU32,
}

impl Shared {
    fn new(permits: usize) -> Arc<Self> {
        let words = (0..permits).map(|_| LockWord::new()).collect();
        Arc::new(Shared { desk: Desk::new(), words, dead: AtomicU32::new(0) })
    }

    /// As the semaphore does: the one it had last, or else any.
    fn take(&self, me: u16) -> Permit {
        if let Some(permit) = Desk::try_take_this(&self.words, me, 0) {
            return permit;
        }
        let mut waiter = Waiter::unsliced(Wait::Park);
        let barrier = Barrier::of_this_process();
        // The kernel's answer is never stale: a read-modify-write.
        let dead = |who| self.dead.fetch_add(0, Ordering::Acquire) == u32::from(who);
        self.desk.take(&self.words, me, 0, &mut waiter, barrier, Deadline::NEVER, dead).unwrap()
    }

    fn give(&self, permit: Permit) {
        self.desk.give(&self.words, permit.number, permit.word, Barrier::of_this_process());
    }
}

/// Somebody moves from one permit to the other. One of the two is free at each moment.
fn there_is_always_one() {
    let shared = Shared::new(2);
    let first = shared.desk.try_take(&shared.words, 1, 0).unwrap();
    let looking = thread::spawn({
        let shared = shared.clone();
        move || match shared.desk.try_take(&shared.words, 2, 0) {
            Ok(permit) => shared.give(permit),
            Err(why) => panic!("overlooked: {why:?}"),
        }
    });
    shared.give(first);
    // In vain if the other was faster.
    match shared.desk.try_take(&shared.words, 1, 1) {
        Ok(permit) => shared.give(permit),
        Err(why) => assert_eq!(why, PermitError::None),
    }
    looking.join().unwrap();
}

/// One permit, two who want it.
fn given_to_who_waits() {
    let shared = Shared::new(1);
    let other = thread::spawn({
        let shared = shared.clone();
        move || shared.give(shared.take(2))
    });
    shared.give(shared.take(1));
    other.join().unwrap();
    assert_eq!(shared.desk.recovered(), 0);
}

/// The holder dies while somebody waits.
fn taken_from_the_dead() {
    let shared = Shared::new(1);
    let _dead = shared.take(1);
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || shared.take(2).was_recovered
    });
    shared.dead.swap(1, Ordering::Release);
    futex::end_slices(shared.desk.waiting().word(), 1);
    assert!(waiting.join().unwrap());
    assert_eq!(shared.desk.recovered(), 1);
}

/// The heir of the dead holder's index sweeps.
fn swept_while_waited_for() {
    let shared = Shared::new(1);
    let _dead = shared.take(1);
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || shared.take(2).was_recovered
    });
    shared.desk.sweep(&shared.words, 1, Barrier::of_this_process());
    assert!(waiting.join().unwrap());
    assert_eq!(shared.desk.recovered(), 1);
}

/// A thread that only tells others finds the dead holder.
fn returned_by_one_who_takes_none() {
    let shared = Shared::new(1);
    let _dead = shared.take(1);
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || shared.take(2).was_recovered
    });
    let barrier = Barrier::of_this_process();
    assert_eq!(shared.desk.return_from_dead(&shared.words, 3, barrier, |who| who == 1), 1);
    assert!(waiting.join().unwrap());
    assert_eq!(shared.desk.recovered(), 1);
}

/// The same while another takes the permit over: it comes back once, and whoever has it keeps it.
fn returned_or_taken_over() {
    let shared = Shared::new(1);
    let _dead = shared.take(1);
    let taking = thread::spawn({
        let shared = shared.clone();
        move || shared.desk.take_from_dead(&shared.words, 2, |who| who == 1).is_some()
    });
    let barrier = Barrier::of_this_process();
    let returned = shared.desk.return_from_dead(&shared.words, 3, barrier, |who| who == 1);
    let taken = taking.join().unwrap();
    assert_eq!(u64::from(taken) + returned, 1);
    assert_eq!(shared.words[0].read().owned_by(2), taken);
    assert_eq!(shared.desk.recovered(), 1);
}
