use crate::inspect::{self, Detail};
use crate::{Barrier, Condvar, Deadline, Event, Mutex, OwnedSemaphore, Semaphore};
use std::os::fd::AsFd;

fn detail(object: &impl AsFd) -> Detail {
    inspect::stat_fd(object.as_fd()).unwrap().detail
}

#[test]
fn onlookers_see_permits_and_who_holds_them() {
    let semaphore = Semaphore::options().permits(3).bound(5).anonymous().unwrap();
    semaphore.acquire().unwrap();
    let Detail::Semaphore(seen) = detail(&semaphore) else { panic!("no semaphore") };
    assert_eq!((seen.available, seen.bound, seen.awaited), (2, 5, false));

    let semaphore = OwnedSemaphore::anonymous(700).unwrap();
    let held = [(); 3].map(|()| semaphore.acquire().unwrap());
    let Detail::OwnedSemaphore(seen) = detail(&semaphore) else { panic!("no semaphore") };
    assert_eq!((seen.permits, seen.available, seen.recovered, seen.corrupt), (700, 697, 0, 0));
    let [holder] = seen.holders[..] else { panic!("{seen:?}") };
    assert_eq!((holder.participant.pid, holder.permits), (Some(std::process::id()), 3));
    super::scribble_at(&semaphore, semaphore.site().segment().geometry().data_at as u64 + 8 * 699, 5 << 16);
    let Detail::OwnedSemaphore(seen) = detail(&semaphore) else { panic!("no semaphore") };
    assert_eq!((seen.available, seen.corrupt), (696, 1));
    drop(held);
}

#[test]
fn onlookers_see_what_has_happened() {
    let event = Event::anonymous().unwrap();
    event.set();
    event.clear();
    event.set();
    let Detail::Event(seen) = detail(&event) else { panic!("no event") };
    assert_eq!((seen.set, seen.settings, seen.awaited), (true, 2, false));

    let condvar = Condvar::anonymous().unwrap();
    let look = || match detail(&condvar) {
        Detail::Condvar(seen) => (seen.notifications, seen.waiters),
        other => panic!("no condition variable: {other:?}"),
    };
    condvar.notify_one();
    let mutex = Mutex::anonymous(()).unwrap();
    let (guard, told) = condvar.wait_deadline(mutex.lock().unwrap(), Deadline::NOW).unwrap();
    assert_eq!((told, look()), (false, (0, 0)), "nobody waited");
    drop(guard);
    let told = condvar.wait_after(
        || {
            assert_eq!(look(), (0, 1));
            assert_eq!(condvar.notify(5), 1);
        },
        Deadline::NOW,
    );
    assert_eq!((told.unwrap(), look()), (true, (1, 0)));
}

#[test]
fn onlookers_see_who_waits_at_a_barrier() {
    let barrier = Barrier::anonymous(2).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| barrier.wait().unwrap());
        let seen = loop {
            let Detail::Barrier(seen) = detail(&barrier) else { panic!("no barrier") };
            if !seen.arrived.is_empty() {
                break seen;
            }
            std::thread::yield_now();
        };
        assert_eq!((seen.parties, seen.generation, seen.broken), (2, 0, false));
        assert_eq!(seen.arrived[0].pid, Some(std::process::id()));
        barrier.wait().unwrap();
        waiting.join().unwrap();
    });
    barrier.abort();
    let Detail::Barrier(seen) = detail(&barrier) else { panic!("no barrier") };
    assert_eq!((seen.arrived.len(), seen.generation, seen.broken), (0, 2, true));
}

/// A table that is too short for what its header says.
#[test]
fn a_lie_about_the_number_is_seen_through() {
    let barrier = Barrier::anonymous(4).unwrap();
    let geometry = barrier.site().segment().geometry();
    assert_eq!((geometry.capacity, geometry.data_len), (4, 4096));
    // 4096 bytes are room for 512 parties; a header with an honest checksum for 513 of them needs a second page.
    let header = crate::segment::layout::Header::lay_out(
        &crate::segment::layout::Plan {
            kind: crate::Kind::Barrier,
            element: (0, 1),
            capacity: 513,
            variant: 0,
            body_len: geometry.body_len as u64,
            data_len: 4096,
            areas: 1,
            tail_len: 0,
            params: [0; 4],
        },
        geometry.participants,
        geometry.flags,
        geometry.boot,
    );
    let file = std::fs::File::from(barrier.as_fd().try_clone_to_owned().unwrap());
    std::os::unix::fs::FileExt::write_all_at(&file, bytemuck::bytes_of(&header.unwrap()), 0).unwrap();
    let fd = barrier.as_fd().try_clone_to_owned().unwrap();
    assert!(matches!(
        Barrier::from_fd(fd),
        Err(crate::Error::BadGeometry { field: "capacity", found: 513, expected: 512 })
    ));
    assert!(inspect::stat_fd(barrier.as_fd()).is_err());
}
