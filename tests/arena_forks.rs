//! Arenas and the children of fork: what a child inherits stays, and what the dead had comes back.

use ringway::{Arena, Error, Event, LockError, Mutex, Place, Semaphore};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

struct Child(libc::pid_t);

impl Child {
    fn ends_well(self) {
        let mut status = 0;
        // SAFETY: `status` is a place for the answer.
        let pid = unsafe { libc::waitpid(self.0, &mut status, 0) };
        assert_eq!((pid, status), (self.0, 0), "the child failed");
    }

    fn kill(self) {
        // SAFETY: our own child, which nobody has waited for yet.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        let mut status = 0;
        // SAFETY: as above.
        unsafe { libc::waitpid(self.0, &mut status, 0) };
    }
}

fn fork(body: impl FnOnce()) -> Child {
    // SAFETY: the C library's fork keeps its allocator usable, and that is all the child needs of it.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: a forgotten wait ends the child.
            unsafe { libc::alarm(PATIENCE.as_secs() as u32 + 10) };
            let code = i32::from(catch_unwind(AssertUnwindSafe(body)).is_err());
            // SAFETY: ends the child without the parent's destructors.
            unsafe { libc::_exit(code) }
        }
        pid => {
            assert!(pid > 0, "{}", std::io::Error::last_os_error());
            Child(pid)
        }
    }
}

/// Whether the other side has come so far; across forks.
fn steps() -> Event {
    Event::anonymous().unwrap()
}

fn reached(step: &Event) {
    assert!(step.wait_timeout(PATIENCE), "the other side did not come so far");
}

fn lock(arena: &Arena, value: u64) -> (Mutex<u64>, Place) {
    let lock = Mutex::options().value(value).create_in(arena).unwrap();
    let place = lock.place().unwrap();
    (lock, place)
}

fn open(arena: &Arena, place: Place) -> Result<Mutex<u64>, Error> {
    Mutex::<u64>::options().open_in(arena, place)
}

fn arena() -> Arena {
    Arena::anonymous(1 << 20).unwrap()
}

#[test]
fn parent_and_child_use_the_same_objects() {
    let arena = arena();
    let (counter, _) = lock(&arena, 0);
    let done = Semaphore::options().create_in(&arena).unwrap();
    let add = || (0..2000).for_each(|_| *counter.lock().unwrap() += 1);
    let children: Vec<_> = (0..3)
        .map(|_| {
            fork(|| {
                add();
                done.release().unwrap();
            })
        })
        .collect();
    add();
    (0..3).for_each(|_| done.acquire_timeout(PATIENCE).unwrap());
    assert_eq!(*counter.lock().unwrap(), 8000);
    children.into_iter().for_each(Child::ends_well);
}

#[test]
fn a_child_finds_what_its_parent_has_dropped_meanwhile() {
    let (arena, dropped) = (arena(), steps());
    let (counter, place) = lock(&arena, 7);
    let event = Event::options().create_in(&arena).unwrap();
    let child = fork(|| {
        reached(&dropped);
        assert!(!event.is_set());
        assert_eq!(*counter.lock().unwrap(), 7);
        event.set();
        assert!(event.is_set());
    });
    drop((counter, event));
    // Whoever would take the memory of the two gets other.
    let others: Vec<_> = (0..100).map(|_| lock(&arena, 1)).collect();
    assert!(others.iter().all(|(_, other)| *other != place));
    dropped.set();
    child.ends_well();
    assert_eq!(*open(&arena, place).unwrap().lock().unwrap(), 7, "it may have had another child");
}

#[test]
fn an_orphan_finds_what_its_parent_has_left() {
    let (arena, taken, gone) = (arena(), steps(), steps());
    // The parent makes the objects and ends; the grandchild goes on, as a daemon does.
    let (place, told) = (Mutex::anonymous([0_u64; 2]).unwrap(), steps());
    let parent = fork(|| {
        let (counter, _) = lock(&arena, 7);
        let event = Event::options().create_in(&arena).unwrap();
        let text = counter.place().unwrap();
        *place.lock().unwrap() = *bytemuck::from_bytes(bytemuck::bytes_of(&text));
        let _ = fork(|| {
            reached(&gone);
            assert_eq!(*counter.lock().unwrap(), 7);
            taken.set();
            // The other object was taken over with the first.
            reached(&told);
            event.set();
            assert!(event.is_set());
            *counter.lock().unwrap() = 8;
            taken.set();
        });
    });
    parent.ends_well();
    gone.set();
    reached(&taken);
    taken.clear();
    assert!(arena.clean().unwrap() <= 1);
    let counter = open(&arena, *bytemuck::from_bytes(bytemuck::bytes_of(&*place.lock().unwrap()))).unwrap();
    told.set();
    reached(&taken);
    let end = std::time::Instant::now() + PATIENCE;
    while *counter.lock().unwrap() != 8 && std::time::Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!(*counter.lock().unwrap(), 8);
}

#[test]
fn what_is_gone_is_gone_for_a_late_child_too() {
    let (arena, swept) = (arena(), steps());
    let ended = steps();
    let parent = fork(|| {
        let (counter, _) = lock(&arena, 7);
        let event = Event::options().create_in(&arena).unwrap();
        let semaphore = Semaphore::options().create_in(&arena).unwrap();
        let _ = fork(|| {
            reached(&swept);
            assert!(matches!(counter.lock(), Err(LockError::Attach(Error::Gone))));
            assert!(semaphore.try_acquire().is_err() && semaphore.release().is_err());
            event.set();
            assert!(!event.clear() && event.is_set() && event.wait_timeout(Duration::ZERO));
            ended.set();
        });
    });
    parent.ends_well();
    assert_eq!(arena.clean().unwrap(), 1);
    assert!(arena.is_empty());
    let others: Vec<_> = (0..10).map(|_| lock(&arena, 1)).collect();
    swept.set();
    reached(&ended);
    others.iter().for_each(|(other, _)| assert_eq!(*other.lock().unwrap(), 1));
}

#[test]
fn what_a_killed_process_had_comes_back() {
    let arena = arena();
    let (kept, place) = lock(&arena, 7);
    for _ in 0..3 {
        let made = steps();
        let child = fork(|| {
            let theirs: Vec<_> = (0..200).map(|value| lock(&arena, value)).collect();
            let shared = open(&arena, place).unwrap();
            let _held = shared.lock();
            made.set();
            std::thread::sleep(PATIENCE);
            drop(theirs);
        });
        reached(&made);
        assert_eq!(arena.len(), 201);
        child.kill();
        match kept.lock() {
            Err(LockError::OwnerDied(inherited)) => drop(inherited.recover(|_| {})),
            other => panic!("{other:?}"),
        }
        assert_eq!(arena.clean().unwrap(), 1);
        assert_eq!(arena.len(), 1);
    }
}

#[test]
fn children_make_objects_for_their_parent() {
    let arena = arena();
    let (place, made, opened) = (Mutex::anonymous([0_u64; 2]).unwrap(), steps(), steps());
    let child = fork(|| {
        let (lock, at) = lock(&arena, 7);
        *place.lock().unwrap() = *bytemuck::from_bytes(bytemuck::bytes_of(&at));
        made.set();
        reached(&opened);
        drop(lock);
    });
    reached(&made);
    let lock = open(&arena, *bytemuck::from_bytes(bytemuck::bytes_of(&*place.lock().unwrap()))).unwrap();
    opened.set();
    child.ends_well();
    assert_eq!(*lock.lock().unwrap(), 7);
}
