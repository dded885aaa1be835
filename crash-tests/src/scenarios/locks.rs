//! What scenarios of locks have in common: a mutex that others wait for, and a look at what is left.

use crate::process::{Process, elsewhere, give_way, patience};
use process_tests::halves::{Halves, repair};
use ringway::inspect::{self, Detail};
use ringway::{LockError, Mutex, MutexGuard, Wait};

/// A mutex of an operation. Handles are leaked: their processes end soon, and guards may go anywhere.
pub(super) type Lock = &'static Mutex<Halves>;

/// A guard of it.
pub(super) type Guard = MutexGuard<'static, Halves>;

pub(super) const LOCK: &str = "lock";

/// A mutex with places for so many processes, the next one of which needs the place of the dead.
pub(super) fn create_lock(places: u16) -> Lock {
    leak(Mutex::options().participants(places).wait(Wait::Park).create(LOCK).unwrap())
}

pub(super) fn open_lock() -> Lock {
    leak(Mutex::options().wait(Wait::Park).open(LOCK).unwrap())
}

pub(super) fn leak<T>(it: T) -> &'static T {
    Box::leak(Box::new(it))
}

/// The mutex, and what its value was and whether the last owner died with it, before it was repaired.
pub(super) fn take(lock: Lock) -> (Guard, Halves, bool) {
    match lock.lock_timeout(patience()) {
        Ok(guard) => {
            let seen = *guard;
            assert!(is_whole(&seen), "half changed, and nobody said so: {seen:?}");
            (guard, seen, false)
        }
        Err(LockError::OwnerDied(inherited)) => {
            let seen = *inherited;
            (inherited.recover(repair_all), seen, true)
        }
        Err(error) => panic!("the lock: {error}"),
    }
}

/// All that was half done when the last owner died.
pub(super) fn repair_all(halves: &mut Halves) {
    repair(halves);
    halves.between = [halves.left; 14];
}

pub(super) fn is_whole(halves: &Halves) -> bool {
    halves.left == halves.right && halves.between == [halves.left; 14]
}

/// One more, by the owner.
pub(super) fn change(halves: &mut Halves) {
    halves.left += 1;
    std::hint::black_box(&mut *halves);
    for word in &mut halves.between {
        *word += 1;
    }
    std::hint::black_box(&mut *halves);
    halves.right += 1;
}

/// The first half of that.
pub(super) fn half_change(halves: &mut Halves) {
    halves.left += 1;
    halves.between[0] += 1;
    std::hint::black_box(halves);
}

/// Another takes the mutex, if it can be taken, and gives it back: that wakes one who sleeps on it. Whoever sleeps without
/// slices, because a wake-up that was forgotten is to be seen, needs that if his waker died first.
pub(super) fn nudge(lock: Lock) {
    if let Err(LockError::OwnerDied(inherited)) = lock.lock_timeout(patience()) {
        drop(inherited.recover(repair_all));
    }
}

/// Whether those who wait for the dead to wake them have to be woken by others in their stead: they sleep without slices.
pub(super) fn needs_a_nudge(after: bool) -> bool {
    cfg!(ringway_instruments) && !after
}

pub(super) fn look(name: &str) -> Detail {
    inspect::stat(name).unwrap().detail
}

pub(super) fn look_at_lock() -> inspect::Mutex {
    match look(LOCK) {
        Detail::Lock(lock) => *lock,
        other => panic!("{other:?}"),
    }
}

/// A process that waits until the mutex is as it says, and then for the mutex. Its result: whether the last owner died,
/// and what the value was; then it has changed it. Nothing if that is given up.
pub(super) fn sleeper(when: fn(&inspect::Mutex) -> bool) -> Process {
    Process::start("the sleeper", move || {
        let lock = open_lock();
        while !when(&look_at_lock()) {
            give_way();
        }
        match lock.lock() {
            Ok(mut guard) => {
                assert!(is_whole(&guard), "half changed, and nobody said so: {:?}", *guard);
                let seen = guard.left;
                change(&mut guard);
                vec![0, seen]
            }
            Err(LockError::OwnerDied(inherited)) => {
                let seen = inherited.left;
                change(&mut inherited.recover(repair_all));
                vec![1, seen]
            }
            Err(LockError::NotRecoverable) => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    })
}

/// Waits until all these sleep, by `is_awaited` in the right place.
pub(super) fn until_asleep(sleepers: &[Process], is_awaited: impl Fn() -> bool) {
    while !is_awaited() {
        give_way();
    }
    sleepers.iter().for_each(Process::until_asleep);
}

/// The mutex, with `before` in both halves, excludes and lets in as a new one, also those who take the places of the dead:
/// so many others have one at once.
pub(super) fn lock_must_be_as_good_as_new(lock: Lock, before: u64, places: u16) {
    let (guard, seen, died) = take(lock);
    assert!(!died && seen.left == before, "{died} {seen:?}");
    in_places(places, &|_| open_lock(), &|other: &Lock| {
        assert!(matches!(other.try_lock().unwrap_err(), LockError::WouldBlock), "two have the mutex");
    });
    drop(guard);
    in_places(places, &|_| open_lock(), &|other: &Lock| change(&mut take(other).0));
    let (guard, seen, died) = take(lock);
    assert!(!died && seen.left == before + u64::from(places), "{died} {seen:?}");
    drop(guard);
    ringway::unlink(LOCK).unwrap();
}

/// So many other processes take part at once, one started by the other; each does `what` while all before it are there.
pub(super) fn in_places<H>(places: u16, open: &dyn Fn(u16) -> H, what: &dyn Fn(&H)) {
    if places == 0 {
        return;
    }
    elsewhere(|| {
        let handle = open(places);
        what(&handle);
        in_places(places - 1, open, what);
        // The next ones are gone, and this one leaves as one should.
        drop(handle);
        Vec::new()
    });
}
