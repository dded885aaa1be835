//! Who is alive, and who says so.

use super::*;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

fn close_everything() {
    // SAFETY: the child uses none of them any more, except through numbers it checks.
    assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }, 0);
}

#[test]
fn closing_all_descriptors_is_not_dying() {
    let place = Place::new();
    let name = place.name("a");
    let segment = create(&name);
    let stage = Stage::new();
    let child = fork(|| {
        let segment = open(&name).unwrap();
        close_everything();
        stage.set(0, segment.me().unwrap().into());
        stage.wait(1);
        assert_eq!(u64::from(segment.me().unwrap()), stage.get(0), "still the same participant");
        assert!(!segment.is_dead(1), "and still able to tell that the creator lives");
        stage.set(2, 1);
        linger();
    });
    let index = stage.wait(0) as u16;
    assert_ne!(index, segment.me().unwrap());
    assert!(!segment.is_dead(index));
    stage.set(1, 1);
    stage.wait(2);
    assert!(!segment.is_dead(index));
    child.kill();
    assert!(segment.is_dead(index));
}

/// Puts another file on the number of the segment's descriptor.
fn reuse_number(segment: &Segment, other: BorrowedFd<'_>) {
    // SAFETY: whoever counts on the number checks it first, which is what is tested.
    assert!(unsafe { libc::dup2(other.as_raw_fd(), segment.as_fd().as_raw_fd()) } >= 0);
}

fn close_number(segment: &Segment) -> i32 {
    let number = segment.as_fd().as_raw_fd();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::close(number) }, 0);
    number
}

/// An observer loses its descriptor, then somebody else gets the number; it must tell the living from the dead.
fn an_observer_robbed_of_its_descriptor(
    segment: &Segment,
    other: &Segment,
    peer: impl FnOnce() -> (Child, u16),
) {
    let me = segment.me().unwrap();
    let (child, index) = peer();
    let check = |dead| {
        assert!(!segment.is_dead(me));
        assert_eq!(segment.is_dead(index), dead);
    };
    check(false);
    close_number(segment);
    check(false);
    // In the other segment nobody has the peer's index: to ask there is to be told that it is free.
    reuse_number(segment, other.as_fd());
    assert!(other.is_dead(index));
    check(false);
    child.signal(libc::SIGKILL);
    child.settle();
    check(true);
    close_number(segment);
    check(true);
    child.kill();
    check(true);
}

#[test]
fn an_observer_without_its_descriptor_asks_by_name() {
    let place = Place::new();
    fork(|| {
        let (segment, other) = (create(&place.name("a")), create(&place.name("b")));
        an_observer_robbed_of_its_descriptor(&segment, &other, || participant(&place.name("a")));
    })
    .join();
}

#[test]
fn an_observer_without_descriptor_and_name_asks_after_the_process() {
    let place = Place::new();
    fork(|| {
        let segment = Segment::anonymous(&expected(), &terms()).unwrap();
        let other = create(&place.name("b"));
        an_observer_robbed_of_its_descriptor(&segment, &other, || {
            let stage = Stage::new();
            let child = fork(|| {
                stage.set(0, segment.me().unwrap().into());
                linger();
            });
            (child, stage.wait(0) as u16)
        });
        // Nor is anything closed that is not ours.
        let null = std::fs::File::open("/dev/null").unwrap();
        let number = segment.as_fd().as_raw_fd();
        // SAFETY: the number is free.
        assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), number) }, number);
        drop(segment);
        // SAFETY: no memory is involved.
        assert!(unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0, "a stranger's descriptor was closed");
    })
    .join();
}

#[test]
fn the_killed_are_dead_as_zombies_and_once_reaped() {
    let place = Place::new();
    let segment = create(&place.name("a"));
    let (child, index) = participant(&place.name("a"));
    assert!(!segment.is_dead(index));
    child.signal(libc::SIGKILL);
    child.settle();
    assert!(segment.is_dead(index), "as a zombie");
    child.kill();
    assert!(segment.is_dead(index), "as nothing at all");
}

#[test]
fn the_stopped_are_alive() {
    let place = Place::new();
    let segment = create(&place.name("a"));
    let (child, index) = participant(&place.name("a"));
    child.signal(libc::SIGSTOP);
    child.settle();
    assert!(!segment.is_dead(index));
    child.signal(libc::SIGCONT);
    assert!(!segment.is_dead(index));
}

#[test]
fn exec_gives_the_claim_up() {
    let place = Place::new();
    let segment = create(&place.name("a"));
    let stage = Stage::new();
    let child = fork(|| {
        let segment = open(&place.name("a")).unwrap();
        stage.set(0, segment.me().unwrap().into());
        stage.wait(1);
        let (program, argument) = (c_string("sleep"), c_string("1000"));
        let arguments = [program.as_ptr(), argument.as_ptr(), std::ptr::null()];
        // SAFETY: C strings, and a list of them that ends with null.
        unsafe { libc::execvp(program.as_ptr(), arguments.as_ptr()) };
        panic!("there is no program called sleep");
    });
    let index = stage.wait(0) as u16;
    assert!(!segment.is_dead(index));
    stage.set(1, 1);
    eventually("exec lets go of the lock", || segment.is_dead(index));
    // SAFETY: our own child, not reaped yet; no signal is sent.
    assert_eq!(unsafe { libc::kill(child.pid, 0) }, 0);
    assert!(std::fs::read_to_string(format!("/proc/{}/comm", child.pid)).unwrap().starts_with("sleep"));
}

/// A participant is killed while a child of its own, made by `make`, lives on.
fn an_orphan_does_not_stand_in(make: fn(Box<dyn FnOnce()>) -> Child) {
    let place = Place::new();
    let segment = create(&place.name("a"));
    let stage = Stage::new();
    let child = fork(|| {
        let segment = open(&place.name("a")).unwrap();
        stage.set(0, segment.me().unwrap().into());
        let orphan = make(Box::new(move || {
            stage.set(1, std::process::id().into());
            linger();
        }));
        std::mem::forget(orphan);
        linger();
    });
    let index = stage.wait(0) as u16;
    let orphan = stage.wait(1) as libc::pid_t;
    assert!(!segment.is_dead(index));
    child.kill();
    assert!(segment.is_dead(index));
    // SAFETY: a process this test has started, which waits to be killed.
    assert_eq!(unsafe { libc::kill(orphan, libc::SIGKILL) }, 0, "the orphan outlived its parent");
}

#[test]
fn a_forked_orphan_does_not_keep_its_parents_index() {
    an_orphan_does_not_stand_in(fork);
}

#[test]
fn a_cloned_orphan_does_not_keep_its_parents_index() {
    an_orphan_does_not_stand_in(raw_clone);
}

#[test]
fn forks_during_an_attach_inherit_no_claim() {
    const FORKS: u64 = 60;
    let place = Place::new();
    let segment = create(&place.name("a"));
    let me = segment.me().unwrap();
    let stage = Stage::new();
    let child = fork(|| {
        // A group of its own, so that the many can be found again.
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while stage.get(0) == 0 {
                    drop(open(&place.name("a")).unwrap());
                }
            });
            for _ in 0..FORKS {
                std::mem::forget(fork(|| {
                    stage.add(1, 1);
                    linger();
                }));
            }
            stage.set(0, 1);
        });
        stage.set(2, 1);
        linger();
    });
    stage.wait(2);
    eventually("all forked children are there", || stage.get(1) == FORKS);
    let group = child.pid;
    child.kill();
    let kept: Vec<u16> = (1..=16).filter(|&index| index != me && !segment.is_dead(index)).collect();
    // SAFETY: the group of a process this test has started; its members wait to be killed.
    assert_eq!(unsafe { libc::kill(-group, libc::SIGKILL) }, 0);
    assert_eq!(kept, [0; 0], "indices that forked children kept alive");
}
