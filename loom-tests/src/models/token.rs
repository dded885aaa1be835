//! The token: taken by one, given back by anybody, taken back from the dead, left by those who go in good order. No sleep
//! has a slice unless the model ends it.

use crate::harness::Model;
use crate::lock::{GiveError, Token, TokenState};
use crate::sync::{AtomicU32, Ordering, Slot};
use crate::sys::futex;
use crate::wait::{Barrier, Deadline, Wait, Waiter};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "exclusion",
        preemptions: 2,
        body: exclusion,
        kills: &["token.read", "token.exchange", "token.give_wakes", "barrier.publisher", "barrier.sleeper"],
    },
    Model { name: "taken_by_one", preemptions: 3, body: taken_by_one, kills: &["token.exactly"] },
    Model { name: "two_give_one", preemptions: 3, body: two_give_one, kills: &["token.exactly"] },
    Model { name: "given_by_another", preemptions: 2, body: given_by_another, kills: &["token.exchange", "token.read", "token.give_wakes"] },
    Model { name: "holder_dies", preemptions: 2, body: holder_dies, kills: &["token.patrol", "token.recovered"] },
    Model { name: "two_take_over", preemptions: 3, body: two_take_over, kills: &["token.exactly", "token.take_over_exactly"] },
    Model { name: "stalled_taker_over", preemptions: 3, body: stalled_taker_over, kills: &["lock.count", "token.take_over_exactly"] },
    Model { name: "reused_index", preemptions: 3, body: reused_index, kills: &["token.read", "token.exchange"] },
    Model { name: "swept_while_waited_for", preemptions: 3, body: swept_while_waited_for, kills: &["token.sweep_wakes", "token.recovered"] },
    Model { name: "swept_while_given", preemptions: 3, body: swept_while_given, kills: &["token.exactly"] },
    Model {
        name: "handed_over_while_given",
        preemptions: 3,
        body: handed_over_while_given,
        kills: &["token.exactly", "token.give_again"],
    },
    Model { name: "handed_over_before_death", preemptions: 2, body: handed_over_before_death, kills: &["token.hand_over"] },
    Model { name: "told_once", preemptions: 2, body: told_once, kills: &["token.give_clears", "token.recovered"] },
];

struct Shared {
    token: Token,
    dead: AtomicU32,
    place: Slot<u32>,
}

impl Shared {
    fn new() -> Arc<Self> {
        let shared = Shared { token: Token::new(), dead: AtomicU32::new(0), place: Slot::vacant() };
        shared.write(0);
        Arc::new(shared)
    }

    /// As the public token does: the simple way first. Returns whether the last holder died.
    fn take(&self, me: u16) -> bool {
        if self.token.try_take_plain(me) {
            return false;
        }
        let mut waiter = Waiter::unsliced(Wait::Park);
        let barrier = Barrier::of_this_process();
        self.token.take(me, &mut waiter, barrier, Deadline::NEVER, |who| self.is_dead(who)).unwrap()
    }

    /// The kernel's answer is never stale: a read-modify-write.
    fn is_dead(&self, who: u16) -> bool {
        self.dead.fetch_add(0, Ordering::Acquire) == u32::from(who)
    }

    fn give(&self) -> Result<(), GiveError> {
        self.token.give(Barrier::of_this_process())
    }

    fn sweep(&self, dead: u16) {
        self.token.sweep(dead, Barrier::of_this_process());
    }

    fn die(&self, who: u16) {
        self.dead.swap(who.into(), Ordering::Release);
        // One slice to find out; who has not acted by then sleeps on, to be reported.
        futex::end_slices(self.token.waiting().word(), 1);
    }

    fn write(&self, value: u32) {
        // SAFETY: the caller has the token, or is alone.
        unsafe { self.place.write(value) };
    }

    fn read(&self) -> u32 {
        // SAFETY: the caller has the token, or is alone.
        unsafe { self.place.read() }
    }

    fn state(&self) -> (Option<TokenState>, u16) {
        let word = self.token.read();
        (word.state(), word.owner())
    }
}

fn beside<R: 'static>(shared: &Arc<Shared>, act: impl FnOnce(&Shared) -> R + 'static) -> thread::JoinHandle<R> {
    let shared = shared.clone();
    thread::spawn(move || act(&shared))
}

/// Two processes want it.
fn exclusion() {
    let shared = Shared::new();
    let work = |shared: &Shared, me| {
        assert!(!shared.take(me));
        shared.write(shared.read() + 1);
        shared.give().unwrap();
    };
    let other = beside(&shared, move |shared| work(shared, 2));
    work(&shared, 1);
    other.join().unwrap();
    assert!(shared.token.try_take_plain(1));
    assert_eq!(shared.read(), 2);
}

/// Two try at once.
fn taken_by_one() {
    let shared = Shared::new();
    let other = beside(&shared, |shared| shared.token.try_take_plain(2));
    let ours = shared.token.try_take(1).is_ok();
    assert!(ours != other.join().unwrap());
    assert_eq!(shared.state(), (Some(TokenState::Held), if ours { 1 } else { 2 }));
}

/// Two give back what was taken once: one of them is told.
fn two_give_one() {
    let shared = Shared::new();
    shared.take(1);
    let other = beside(&shared, |shared| shared.give());
    let ours = shared.give();
    let mut given = [ours, other.join().unwrap()];
    given.sort_by_key(Result::is_err);
    assert_eq!(given, [Ok(()), Err(GiveError::Free)]);
    assert_eq!(shared.state(), (Some(TokenState::Free), 0));
}

/// It is a signal: who waits for it has taken it before, and the other, who gives it, never has.
fn given_by_another() {
    let shared = Shared::new();
    shared.take(1);
    let other = beside(&shared, |shared| {
        shared.write(7);
        shared.give().unwrap();
    });
    assert!(!shared.take(1));
    assert_eq!(shared.read(), 7);
    other.join().unwrap();
}

/// The holder dies while somebody waits.
fn holder_dies() {
    let shared = Shared::new();
    shared.take(1);
    let waiting = beside(&shared, |shared| (shared.take(2), shared.read()));
    shared.write(7);
    shared.die(1);
    assert_eq!(waiting.join().unwrap(), (true, 7));
    assert_eq!((shared.token.recovered(), shared.state()), (1, (Some(TokenState::Held), 2)));
    // If he dies as well, the next one is told although it was swept away.
    shared.sweep(2);
    assert_eq!(shared.token.try_take(3), Ok(true));
}

/// Two find the holder dead.
fn two_take_over() {
    let shared = Shared::new();
    shared.take(1);
    let other = beside(&shared, |shared| shared.token.take_from_dead(2, |who| who == 1));
    let ours = shared.token.take_from_dead(3, |who| who == 1);
    assert!(ours != other.join().unwrap());
    assert_eq!(shared.state(), (Some(TokenState::Held), if ours { 3 } else { 2 }));
    assert_eq!(shared.token.recovered(), 1);
}

/// Somebody finds the holder dead, and stalls. Meanwhile the heir of its index has cleaned up, and has it under the very
/// same index when the other acts.
fn stalled_taker_over() {
    let shared = Shared::new();
    shared.take(1);
    shared.dead.swap(1, Ordering::Release);
    let stalled = beside(&shared, |shared| shared.token.take_from_dead(2, |who| shared.is_dead(who)));
    shared.sweep(1);
    shared.dead.swap(0, Ordering::Release);
    let heir = shared.token.try_take(1) == Ok(true) && shared.give().is_ok() && shared.token.try_take_plain(1);
    let owner = if stalled.join().unwrap() { 2 } else { 1 };
    assert_eq!((heir, shared.state()), (owner == 1, (Some(TokenState::Held), owner)));
}

/// The heir of a dead holder's index takes it under the same index. Who finds that index in the word knows what its holder
/// did before: it is alive.
fn reused_index() {
    let shared = Shared::new();
    shared.take(1);
    shared.dead.swap(1, Ordering::Release);
    let heir = beside(&shared, |shared| {
        shared.sweep(1);
        shared.write(1);
        assert_eq!(shared.token.try_take(1), Ok(true));
    });
    let seen = shared.token.read();
    if seen.is_held_by(1) && seen.was_recovered() {
        // The heir wrote it before he took it; nobody else writes.
        assert_eq!(shared.read(), 1);
    }
    heir.join().unwrap();
}

/// The heir of the dead holder's index sweeps before anybody who waits has found out.
fn swept_while_waited_for() {
    let shared = Shared::new();
    shared.take(1);
    let waiting = beside(&shared, |shared| shared.take(2));
    shared.sweep(1);
    assert!(waiting.join().unwrap());
    assert_eq!(shared.token.recovered(), 1);
}

/// It comes back from the dead, or somebody gives it back: one of the two.
fn swept_while_given() {
    let shared = Shared::new();
    shared.take(1);
    let sweeping = beside(&shared, |shared| shared.sweep(1));
    let given = shared.give();
    sweeping.join().unwrap();
    assert_eq!(shared.token.recovered(), u64::from(given.is_err()));
    assert_eq!(shared.token.try_take(2), Ok(given.is_err()));
}

/// Its holder ends in good order while another gives it back: that is what it is left for.
fn handed_over_while_given() {
    let shared = Shared::new();
    shared.take(1);
    let ending = beside(&shared, |shared| shared.token.hand_over(1));
    assert_eq!(shared.give(), Ok(()));
    ending.join().unwrap();
    assert_eq!(shared.state(), (Some(TokenState::Free), 0));
}

/// Its holder ends in good order while somebody waits; a third gives it back.
fn handed_over_before_death() {
    let shared = Shared::new();
    shared.take(1);
    let waiting = beside(&shared, |shared| shared.take(2));
    assert!(shared.token.hand_over(1));
    shared.die(1);
    shared.give().unwrap();
    assert!(!waiting.join().unwrap(), "taken for dead");
    assert_eq!(shared.token.recovered(), 0);
}

/// Two want what came back from the dead: the first is told.
fn told_once() {
    let shared = Shared::new();
    shared.take(1);
    shared.sweep(1);
    let told = |shared: &Shared, me| {
        let told = shared.take(me);
        shared.give().unwrap();
        u32::from(told)
    };
    let other = beside(&shared, move |shared| told(shared, 2));
    let ours = told(&shared, 3);
    assert_eq!(ours + other.join().unwrap(), 1);
}
