//! Arenas among processes that come, fork, die, and take each other's places: nothing that anybody has goes away, and
//! nothing stays that nobody has.
//!
//! The tests fork while others of their threads are at work, so sometimes a child knows nothing of what its parent had:
//! that must make no difference to what is asked here.

use ringway::inspect::{self, Detail, ObjectsHeld};
use ringway::{Arena, Error, Event, LockError, Mutex, OwnedSemaphore, Place, Semaphore};
use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

struct Child(libc::pid_t);

impl Child {
    fn ends_well(self) {
        assert_eq!(self.wait(), 0, "the child failed");
    }

    fn kill(self) {
        // SAFETY: our own child, which nobody has waited for yet.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        self.wait();
    }

    fn wait(&self) -> i32 {
        let mut status = 0;
        // SAFETY: `status` is a place for the answer.
        let pid = unsafe { libc::waitpid(self.0, &mut status, 0) };
        assert_eq!(pid, self.0);
        status
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
fn step() -> Event {
    Event::anonymous().unwrap()
}

fn reached(step: &Event) {
    assert!(step.wait_timeout(PATIENCE), "the other side did not come so far");
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not {what}");
        std::thread::yield_now();
    }
}

fn arena() -> Arena {
    Arena::anonymous(1 << 22).unwrap()
}

/// The same arena, opened once more.
fn anew(arena: &Arena) -> Arena {
    Arena::options().trusted(true).from_fd(arena.as_fd().try_clone_to_owned().unwrap()).unwrap()
}

fn lock(arena: &Arena, value: u64) -> (Mutex<u64>, Place) {
    let lock = Mutex::options().value(value).create_in(arena).unwrap();
    let place = lock.place().unwrap();
    (lock, place)
}

fn open(arena: &Arena, place: Place) -> Result<Mutex<u64>, Error> {
    Mutex::<u64>::options().open_in(arena, place)
}

/// A parent that makes an object and dies; its child, which goes on as `child`, inherits two handles to it and the arena.
/// Before that it was told of `died`, and the dead parent was swept away as far as it can be. Says where the object is.
fn orphan(arena: &Arena, child: impl FnOnce(&Event, [Mutex<u64>; 2], &Arena)) -> Place {
    let (told, forked, died) = (Mutex::anonymous([0_u64; 2]).unwrap(), step(), step());
    let parent = fork(|| {
        let (one, place) = lock(arena, 7);
        let other = open(arena, place).unwrap();
        *told.lock().unwrap() = bytemuck::cast(place);
        let _ = fork(|| {
            forked.set();
            child(&died, [one, other], arena);
            // The test is over long before the alarm.
            loop {
                std::thread::sleep(PATIENCE);
            }
        });
        loop {
            std::thread::sleep(PATIENCE);
        }
    });
    reached(&forked);
    let place = bytemuck::cast(*told.lock().unwrap());
    parent.kill();
    died.set();
    place
}

#[test]
fn a_child_that_opens_the_arena_anew_gives_back_what_it_inherited() {
    let (arena, opened, dropped) = (arena(), step(), step());
    let place = orphan(&arena, |died, inherited, arena| {
        let again = anew(arena);
        // It is there by the new handle too, which took over everything.
        assert_eq!(again.len(), 1);
        opened.set();
        reached(died);
        drop(inherited);
        dropped.set();
    });
    reached(&opened);
    arena.clean().unwrap();
    reached(&dropped);
    until("free", || {
        arena.clean().unwrap();
        arena.is_empty()
    });
    assert!(matches!(open(&arena, place), Err(Error::Gone)));
}

#[test]
fn a_child_takes_over_only_what_it_still_has() {
    let (arena, dropped) = (arena(), step());
    orphan(&arena, |died, inherited, arena| {
        drop(inherited);
        // Only now it takes part.
        arena.clean().unwrap();
        dropped.set();
        reached(died);
    });
    reached(&dropped);
    until("free", || {
        arena.clean().unwrap();
        arena.is_empty()
    });
}

#[test]
fn one_of_two_inherited_handles_keeps_the_object() {
    let arena = arena();
    for _ in 0..20 {
        let (ready, died, ended_well) = (step(), step(), step());
        // Forked while another thread of its parent is in the middle of it, so that some children know nothing.
        let parent = fork(|| {
            let (first, place) = lock(&arena, 7);
            let second = open(&arena, place).unwrap();
            let mine = anew(&arena);
            std::thread::spawn(move || {
                loop {
                    drop(lock(&mine, 0));
                }
            });
            let child = fork(|| {
                assert_eq!(*first.lock().unwrap(), 7);
                assert_eq!(*second.lock().unwrap(), 7);
                drop(first);
                ready.set();
                reached(&died);
                assert_eq!(*second.lock().unwrap(), 7);
                ended_well.set();
            });
            child.wait();
        });
        reached(&ready);
        parent.kill();
        arena.clean().unwrap();
        let others: Vec<_> = (0..100).map(|_| lock(&arena, 0)).collect();
        died.set();
        reached(&ended_well);
        drop(others);
    }
}

/// How many objects processes have that are not that one.
fn objects_of_others_than(pid: libc::pid_t, arena: &Arena) -> u64 {
    let Detail::Arena(seen) = inspect::stat_fd(arena.as_fd()).unwrap().detail else { panic!("not an arena") };
    let is_another = |held: &&ObjectsHeld| held.participant.pid.is_some_and(|other| other != pid as u32);
    seen.holders.iter().filter(is_another).map(|held| held.objects).sum()
}

#[test]
fn whoever_waits_in_a_late_child_keeps_what_it_waits_for() {
    let (arena, waiting) = (arena(), step());
    let (told, taken) = (Mutex::anonymous([0_u64; 4]).unwrap(), step());
    // Who came later could take the dead parent's place before the child is there, and so end what the parent had.
    arena.clean().unwrap();
    let parent = fork(|| {
        let semaphore = Semaphore::options().create_in(&arena).unwrap();
        let event = Event::options().create_in(&arena).unwrap();
        let places = [semaphore.place().unwrap(), event.place().unwrap()];
        *told.lock().unwrap() = bytemuck::cast(places);
        let _ = fork(|| {
            waiting.set();
            semaphore.acquire().unwrap();
            event.wait();
            taken.set();
        });
    });
    let pid = parent.0;
    parent.ends_well();
    reached(&waiting);
    // It takes part when it begins to wait.
    until("waited for", || objects_of_others_than(pid, &arena) == 2);
    assert_eq!(arena.clean().unwrap(), 1);
    assert_eq!(arena.len(), 2);
    let [semaphore, event]: [Place; 2] = bytemuck::cast(*told.lock().unwrap());
    let semaphore = Semaphore::options().open_in(&arena, semaphore);
    let event = Event::options().open_in(&arena, event);
    let others: Vec<_> = (0..600).map(|_| lock(&arena, 0)).collect();
    assert_eq!(arena.len(), 602);
    semaphore.unwrap().release().unwrap();
    event.unwrap().set();
    reached(&taken);
    assert!(others.iter().all(|(lock, _)| *lock.lock().unwrap() == 0));
}

#[test]
fn what_a_leaked_permit_had_comes_back_when_the_last_handle_goes() {
    let (arena, leaked, go) = (arena(), step(), step());
    let place = Mutex::anonymous([0_u64; 2]).unwrap();
    let child = fork(|| {
        let again = anew(&arena);
        let mine = OwnedSemaphore::options().permits(2).create_in(&again).unwrap();
        *place.lock().unwrap() = bytemuck::cast(mine.place().unwrap());
        leaked.set();
        reached(&go);
        go.clear();
        core::mem::forget(mine.acquire().unwrap());
        drop(mine);
        leaked.set();
        reached(&go);
    });
    reached(&leaked);
    leaked.clear();
    let theirs = bytemuck::cast(*place.lock().unwrap());
    let theirs = OwnedSemaphore::options().open_in(&arena, theirs).unwrap();
    go.set();
    reached(&leaked);
    assert_eq!((theirs.available(), theirs.recovered()), (2, 1));
    go.set();
    child.ends_well();
}

#[test]
fn who_takes_a_dead_ones_place_keeps_what_it_makes() {
    // Two clean up all the time, while processes are killed and others take their places.
    let arena = arena();
    let over = step();
    let cleaners = [(); 2].map(|()| {
        fork(|| {
            let again = anew(&arena);
            while !over.is_set() {
                again.clean().unwrap();
            }
        })
    });
    for _ in 0..150 {
        let ready = step();
        let dead = fork(|| {
            let (_lock, _) = lock(&anew(&arena), 1);
            ready.set();
            std::thread::sleep(PATIENCE);
        });
        reached(&ready);
        dead.kill();
        fork(|| {
            let again = anew(&arena);
            // What is swept away is the first thing to be made use of.
            let kept: Vec<_> = (0..50).map(|_| lock(&again, 2)).collect();
            let blocks: HashSet<String> = kept.iter().map(|(_, place)| block(place)).collect();
            assert_eq!(blocks.len(), kept.len(), "swept away");
        })
        .ends_well();
    }
    over.set();
    cleaners.into_iter().for_each(Child::ends_well);
    arena.clean().unwrap();
    assert!(arena.is_empty());
}

fn block(place: &Place) -> String {
    place.to_string().split(':').next().unwrap().to_owned()
}

#[test]
fn nobody_is_refused_because_somebody_cleans_up() {
    // As many places as there are processes: the one that comes needs that of the dead one, which others sweep meanwhile.
    let arena = Arena::options().capacity(1 << 22).participants(4).anonymous().unwrap();
    let kept: Vec<_> = (0..2000).map(|_| lock(&arena, 0)).collect();
    let (over, ready) = (step(), Semaphore::anonymous(0).unwrap());
    let cleaners = [(); 2].map(|()| {
        fork(|| {
            let again = anew(&arena);
            ready.release().unwrap();
            while !over.is_set() {
                again.clean().unwrap();
            }
        })
    });
    ready.acquire_many(2, ringway::Deadline::after(PATIENCE)).unwrap();
    for _ in 0..40 {
        fork(|| {
            let (lock, _) = lock(&anew(&arena), 1);
            core::mem::forget(lock);
        })
        .ends_well();
    }
    over.set();
    cleaners.into_iter().for_each(Child::ends_well);
    drop(kept);
}

/// Where the slabs' words are, and the slabs, behind so many rows of 64 bytes.
fn ground(participants: u64) -> (u64, u64) {
    let rows = (participants * 64).next_multiple_of(4096);
    (4096 + rows + 4096, 4096 + rows + 4096 + 4096)
}

#[test]
fn no_class_of_blocks_is_too_small_for_its_heads() {
    let kind = number_of_a_kind();
    for participants in [254, 640, 5000, 16_000] {
        let arena = Arena::options().capacity(1 << 16).participants(participants).anonymous().unwrap();
        let (_event, place) = {
            let event = Event::options().create_in(&arena).unwrap();
            let place = event.place().unwrap();
            (event, place)
        };
        let (slabs, first) = ground(participants.into());
        let file = File::from(arena.as_fd().try_clone_to_owned().unwrap());
        let mut word = [0; 8];
        file.read_exact_at(&mut word, slabs).unwrap();
        assert_eq!(u64::from_ne_bytes(word) & 0xf_ffff, 2 << 16, "in use");
        let untrusting =
            Arena::options().trusted(false).from_fd(arena.as_fd().try_clone_to_owned().unwrap()).unwrap();
        for class in 0..20_u64 {
            file.write_all_at(&(class << 20 | 2 << 16).to_ne_bytes(), slabs).unwrap();
            // An object everywhere that says it has no body, of a kind that is swept, and that everybody refers to.
            let object = [2 << 16, 1, kind << 48, 0, u64::MAX, 0, 0, 0];
            let slab: Vec<u8> =
                [object; 1024].as_flattened().iter().flat_map(|word| word.to_ne_bytes()).collect();
            file.write_all_at(&slab, first).unwrap();
            let _ = (untrusting.len(), untrusting.reserved(), untrusting.clean());
            let _ = Event::options().open_in(&untrusting, place);
            let _ = (0..3).map(|_| Event::options().create_in(&untrusting)).collect::<Vec<_>>();
            // Whoever comes sweeps.
            fork(|| drop(anew(&untrusting))).ends_well();
        }
    }
}

/// The number of the kind of a mutex, as it stands in a block.
fn number_of_a_kind() -> u64 {
    let arena = Arena::anonymous(1).unwrap();
    let _lock = lock(&arena, 0);
    let file = File::from(arena.as_fd().try_clone_to_owned().unwrap());
    let mut shape = [0; 8];
    file.read_exact_at(&mut shape, ground(254).1 + 16).unwrap();
    u64::from_ne_bytes(shape) >> 48
}

#[test]
fn a_dead_makers_lock_is_inherited_in_an_arena_too() {
    let arena = arena();
    let (counter, place) = lock(&arena, 7);
    fork(|| {
        let again = anew(&arena);
        let lock = open(&again, place).unwrap();
        core::mem::forget(lock.lock().unwrap());
        core::mem::forget(lock);
    })
    .ends_well();
    assert_eq!(arena.clean().unwrap(), 1);
    assert!(matches!(counter.lock(), Err(LockError::OwnerDied(_))));
}
