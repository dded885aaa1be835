//! A data race, for `ci/tsan.sh` to see reported: without that, its silence about the other tests would mean nothing.

use ringway::spsc;
use std::sync::Barrier;
use std::thread;

struct Place(*mut u64);

// SAFETY: none, that is the point.
unsafe impl Send for Place {}

impl Place {
    fn write(&self, value: u64) {
        // SAFETY: mapped and aligned. Nothing keeps the other thread from writing it at the same time: that is the
        // point.
        unsafe { self.0.write_volatile(value) };
    }
}

#[test]
#[ignore = "races on purpose, in the memory of a ring; ci/tsan.sh runs it"]
fn two_threads_write_one_slot() {
    let (mut tx, _rx) = spsc::pair::<u64>(4).unwrap();
    let mut slot = tx.reserve().unwrap();
    let place = &raw mut *slot;
    let start = Barrier::new(2);
    let write = |place: Place| {
        start.wait();
        (0..1000).for_each(|value| place.write(value));
    };
    let (one, other) = (Place(place), Place(place));
    thread::scope(|scope| {
        scope.spawn(|| write(one));
        write(other);
    });
}
