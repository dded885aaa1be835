//! What a forked child is: somebody new.

use super::*;

/// `make` starts the child of a process that is attached.
fn a_child_is_somebody_new(make: fn(Box<dyn FnOnce()>) -> Child) {
    let place = Place::new();
    let name = place.name("a");
    let watch = create(&name);
    let stage = Stage::new();
    let parent = fork(|| {
        let segment = Arc::new(open(&name).unwrap());
        let mine = segment.me().unwrap();
        stage.set(0, mine.into());
        let inherited = Arc::clone(&segment);
        let child = make(Box::new(move || {
            assert!(!inherited.is_dead(mine), "the parent is somebody else, and alive");
            let own = inherited.me().unwrap();
            assert_ne!(own, mine);
            assert_eq!(inherited.me().unwrap(), own, "and stays");
            let described = inherited.describe_any(own).unwrap();
            assert_eq!(described.pid, u64::from(std::process::id()));
            assert!(!inherited.is_dead(mine));
            stage.set(1, own.into());
            stage.wait(2);
            // SAFETY: the only two handles there are in this process; the closure forgets its own.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&inherited)) };
            assert_eq!(Arc::strong_count(&inherited), 1);
            drop(inherited);
            stage.set(3, 1);
            linger();
        }));
        stage.wait(3);
        assert_eq!(segment.me().unwrap(), mine);
        assert!(!segment.is_dead(mine));
        // A second child drops what it has inherited without ever having used it.
        let inherited = Arc::clone(&segment);
        make(Box::new(move || {
            // SAFETY: as above.
            unsafe { Arc::decrement_strong_count(Arc::as_ptr(&inherited)) };
            drop(inherited);
        }))
        .join();
        assert_eq!(segment.me().unwrap(), mine);
        stage.set(4, 1);
        drop(child);
        linger();
    });
    let (mine, own) = (stage.wait(0) as u16, stage.wait(1) as u16);
    assert!(!watch.is_dead(mine));
    assert!(!watch.is_dead(own));
    assert_eq!(watch.describe_any(mine).unwrap().pid, parent.pid as u64);
    stage.set(2, 1);
    stage.wait(4);
    assert!(watch.is_dead(own), "the child gave its index back");
    assert!(!watch.is_dead(mine), "and only its own");
    assert_eq!(watch.describe_any(mine).unwrap().pid, parent.pid as u64);
    parent.kill();
    assert!(watch.is_dead(mine));
}

#[test]
fn a_forked_child_is_somebody_new() {
    a_child_is_somebody_new(fork);
}

#[test]
fn a_cloned_child_is_somebody_new() {
    a_child_is_somebody_new(raw_clone);
}

#[test]
fn threads_of_a_child_become_one_participant() {
    let place = Place::new();
    let watch = create(&place.name("a"));
    let others = || (2..=16).filter(|&index| !watch.is_dead(index)).count();
    for _ in 0..10 {
        let (first, second) = (open(&place.name("a")).unwrap(), open(&place.name("a")).unwrap());
        fork(|| {
            let handles = [&first, &second];
            let indices: Vec<u16> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..8).map(|at| scope.spawn(move || handles[at % 2].me().unwrap())).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(indices, [indices[0]; 8]);
            assert_ne!(indices[0], 1, "the index of the parent, which lives");
            assert_eq!(others(), 1);
            // Each handle counts once, however many threads have met in it.
            // SAFETY: neither is used again in this process, which leaves without destructors.
            unsafe { std::ptr::drop_in_place((&raw const first).cast_mut()) };
            assert_eq!(others(), 1);
            // SAFETY: as above.
            unsafe { std::ptr::drop_in_place((&raw const second).cast_mut()) };
            assert_eq!(others(), 0);
        })
        .join();
        assert_eq!(others(), 0);
    }
}

#[test]
fn a_fork_while_another_thread_attaches_leaves_the_child_usable() {
    let place = Place::new();
    let (held, other) = (place.name("held"), place.name("other"));
    drop(create(&held));
    fork(|| {
        let inherited = create(&other);
        std::thread::scope(|scope| {
            // Sweeping, and so holding the process's table of indices, until told to go on.
            let thread = scope.spawn(|| {
                let expected = Expected { sweep: slow_sweep, ..expected() };
                Segment::open(&held, &expected, &terms()).unwrap()
            });
            let watch = map_body(&held);
            eventually("the sweep has begun", || watch[3].load(Ordering::Acquire) == 1);
            fork(|| {
                let mine = inherited.me().unwrap();
                assert!(!inherited.is_dead(mine));
                assert_eq!(mine, 2);
                drop(create(&place.name("more")));
            })
            .join();
            watch[4].store(1, Ordering::Release);
            thread.join().unwrap();
        });
        assert_eq!(inherited.me().unwrap(), 1);
    })
    .join();
}

fn slow_sweep(segment: &Segment, _: u16) {
    let free = &body(segment).free;
    if free[1].load(Ordering::Acquire) == 0 {
        free[0].store(1, Ordering::Release);
        eventually("the word to go on", || free[1].load(Ordering::Acquire) == 1);
    }
}

/// The words of a segment's body, without being attached.
fn map_body(name: &str) -> &'static [AtomicU64; 8] {
    use crate::sys::memory::{Mapping, PageOptions};
    use std::os::fd::AsFd;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    let len = file.metadata().unwrap().len() as usize;
    let mapping = Box::leak(Box::new(Mapping::plain(file.as_fd(), len, PageOptions::default()).unwrap()));
    // The rows of 16 participants fit one page, behind that of the header.
    // SAFETY: the body is in the third page.
    let body = unsafe { mapping.base().add(2 * 4096) };
    // SAFETY: mapped for good, aligned, and made of atomics.
    unsafe { body.cast().as_ref() }
}
