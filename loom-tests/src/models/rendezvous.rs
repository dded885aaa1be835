//! The rendezvous: nobody goes on before all have come, everybody does then, and nobody waits for the dead.

use crate::harness::Model;
use crate::lock::{Arrival, MeetError, Phase, Rendezvous};
use crate::sync::{AtomicU32, Ordering, Slot};
use crate::sys::futex;
use crate::wait::{Deadline, Wait, Waiter};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "two_meet",
        preemptions: 2,
        body: two_meet,
        kills: &["rendezvous.arrive", "rendezvous.exchange", "rendezvous.look", "barrier.publisher", "barrier.sleeper"],
    },
    Model { name: "two_meet_twice", preemptions: 1, body: two_meet_twice, kills: &["rendezvous.generation"] },
    Model { name: "three_meet", preemptions: 1, body: three_meet, kills: &["rendezvous.wakes_all", "rendezvous.count"] },
    Model { name: "one_is_dead", preemptions: 2, body: one_is_dead, kills: &["rendezvous.patrol"] },
    Model { name: "one_is_swept", preemptions: 2, body: one_is_swept, kills: &["rendezvous.break_wakes"] },
    Model { name: "the_last_dies", preemptions: 2, body: the_last_dies, kills: &["rendezvous.patrol"] },
    Model { name: "reset_and_again", preemptions: 2, body: reset_and_again, kills: &["rendezvous.reset"] },
    Model { name: "broken_and_reset", preemptions: 2, body: broken_and_reset, kills: &["rendezvous.log"] },
];

struct Shared {
    rendezvous: Rendezvous,
    places: Vec<Arrival>,
    data: Vec<Slot<u32>>,
    dead: AtomicU32,
}

impl Shared {
    fn new(parties: usize) -> Arc<Self> {
        let data: Vec<Slot<u32>> = (0..parties).map(|_| Slot::vacant()).collect();
        for data in &data {
            // SAFETY: nobody else has it yet.
            unsafe { data.write(0) };
        }
        let places = (0..parties).map(|_| Arrival::new()).collect();
        Arc::new(Shared { rendezvous: Rendezvous::new(), places, data, dead: AtomicU32::new(0) })
    }

    fn meet(&self, me: u16) -> Result<usize, MeetError> {
        let mut waiter = Waiter::unsliced(Wait::Park);
        // The kernel's answer is never stale: a read-modify-write.
        let dead = |who| self.dead.fetch_add(0, Ordering::Acquire) == u32::from(who);
        self.rendezvous.meet(&self.places, me, &mut waiter, Deadline::NEVER, dead)
    }

    /// Writes one's own, meets, and reads what all others have written.
    fn write_and_meet(&self, me: usize) -> usize {
        // SAFETY: nobody else touches it before all have met.
        unsafe { self.data[me].write(7) };
        let place = self.meet(me as u16 + 1).unwrap();
        for data in &self.data {
            // SAFETY: all have met, and nobody writes any more; loom reports otherwise.
            assert_eq!(unsafe { data.read() }, 7);
        }
        place
    }

    fn expire(&self, sleeps: u32) {
        futex::end_slices(self.rendezvous.waiting().word(), sleeps);
    }
}

fn all_meet(parties: usize) {
    let shared = Shared::new(parties);
    let others: Vec<_> = (1..parties)
        .map(|me| {
            let shared = shared.clone();
            thread::spawn(move || shared.write_and_meet(me))
        })
        .collect();
    let mut places = vec![shared.write_and_meet(0)];
    places.extend(others.into_iter().map(|other| other.join().unwrap()));
    places.sort_unstable();
    assert_eq!(places, (0..parties).collect::<Vec<_>>());
}

/// Two parties; each sees what the other wrote before.
fn two_meet() {
    all_meet(2);
}

/// Three parties; two sleep.
fn three_meet() {
    all_meet(3);
}

/// The second time counts for itself.
fn two_meet_twice() {
    let shared = Shared::new(2);
    let other = thread::spawn({
        let shared = shared.clone();
        move || {
            shared.meet(2).unwrap();
            // SAFETY: between the first and the second meeting it is ours.
            unsafe { shared.data[0].write(7) };
            shared.meet(2).unwrap();
        }
    });
    shared.meet(1).unwrap();
    shared.meet(1).unwrap();
    // SAFETY: after the second meeting nobody writes it.
    assert_eq!(unsafe { shared.data[0].read() }, 7);
    other.join().unwrap();
    assert_eq!(shared.rendezvous.generation(), 2);
}

/// A party of three dies while it waits: the second learns it, the third never comes.
fn one_is_dead() {
    let shared = Shared::new(3);
    let _dead = shared.rendezvous.arrive(&shared.places, 1).unwrap();
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || shared.meet(2)
    });
    shared.dead.swap(1, Ordering::Release);
    shared.expire(1);
    assert_eq!(waiting.join().unwrap(), Err(MeetError::Broken));
    assert_eq!(shared.rendezvous.phase(), Some(Phase::Broken));
}

/// The heir of the dead one's index sweeps before anybody has found out.
fn one_is_swept() {
    let shared = Shared::new(3);
    let _dead = shared.rendezvous.arrive(&shared.places, 1).unwrap();
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || shared.meet(2)
    });
    shared.rendezvous.sweep(&shared.places, 1);
    assert_eq!(waiting.join().unwrap(), Err(MeetError::Broken));
}

/// The last party arrives, and dies before it can tell the others: either of them opens the next generation.
fn the_last_dies() {
    let shared = Shared::new(3);
    let [one, other, _dead] =
        [2, 3, 1].map(|me| shared.rendezvous.arrive(&shared.places, me).unwrap());
    let survive = move |shared: &Shared, arrived, me| {
        let mut waiter = Waiter::unsliced(Wait::Park);
        let deadline = Deadline::NEVER;
        let met = shared.rendezvous.wait_for_all(
            &shared.places,
            arrived,
            me,
            &mut waiter,
            deadline,
            |who| who == 1,
        );
        met.unwrap();
    };
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || survive(&shared, one, 2)
    });
    survive(&shared, other, 3);
    waiting.join().unwrap();
    assert_eq!(shared.rendezvous.generation(), 1, "opened once");
}

/// Who is told that it broke because it was reset may come again at once, and meets whoever reset it.
fn reset_and_again() {
    let shared = Shared::new(2);
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || shared.meet(2).or_else(|_| shared.meet(2))
    });
    shared.rendezvous.reset(&shared.places).unwrap();
    let mine = shared.meet(1).unwrap();
    assert_ne!(mine, waiting.join().unwrap().unwrap());
}

/// Who waited when it broke is told so, even if it is as good as new when he looks, and others have met there since.
fn broken_and_reset() {
    let shared = Shared::new(2);
    let waiting = thread::spawn({
        let shared = shared.clone();
        move || shared.meet(2)
    });
    let came = shared.rendezvous.waiting_in(&shared.places).count() > 0;
    shared.rendezvous.abort();
    shared.rendezvous.reset(&shared.places).unwrap();
    if came {
        assert_eq!(waiting.join().unwrap(), Err(MeetError::Broken));
    } else {
        // It came before the break, or finds it broken, or comes after the reset and waits until this.
        shared.rendezvous.abort();
        assert_eq!(waiting.join().unwrap(), Err(MeetError::Broken));
    }
}
