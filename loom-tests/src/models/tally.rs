//! The counts of a queue: however receivers, those who are done, those who look, and the dead come together, at every instant
//! as many messages are unfinished as were sent and not done.

use crate::harness::Model;
use crate::pool::{Books, Chunk, Demand, DoneRefused, Entry, Header, Layout, Pool, State, Tally, Task, Word};
use crate::ring::mpmc::{self, Geometry, Position, Slots, Stamp};
use crate::sync::{AtomicU32, Ordering};
use crate::wait::{Barrier, Deadline, EventCount, Wait, Waiter};
use loom::thread;
use std::ptr::NonNull;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "look_beside_a_receiver",
        preemptions: 3,
        body: look_beside_a_receiver,
        kills: &["tally.begin", "tally.look", "tally.stamp", "tally.observe_chunk", "tally.observe_slot", "tally.twice"],
    },
    Model { name: "look_beside_a_helper", preemptions: 3, body: look_beside_a_helper, kills: &["tally.settle"] },
    Model {
        name: "look_in_the_middle_of_a_receive",
        preemptions: 3,
        body: look_in_the_middle_of_a_receive,
        kills: &["tally.referenced"],
    },
    Model {
        name: "look_beside_a_worker_that_sends",
        preemptions: 3,
        body: look_beside_a_worker_that_sends,
        kills: &["tally.done", "tally.observe_done"],
    },
    Model {
        name: "look_beside_a_worker_that_promises",
        preemptions: 3,
        body: look_beside_a_worker_that_promises,
        kills: &["promises.promise", "promises.redeem", "promises.total"],
    },
    Model { name: "promiser_dies", preemptions: 2, body: promiser_dies, kills: &["promises.forget"] },
    Model { name: "done_beside_a_receiver", preemptions: 3, body: done_beside_a_receiver, kills: &["tally.twice"] },
    Model { name: "two_are_done_with_one", preemptions: 2, body: two_are_done_with_one, kills: &["tally.exactly"] },
    Model { name: "receiver_dies_counted", preemptions: 3, body: receiver_dies_counted, kills: &["tally.sweep"] },
    Model { name: "helper_stalls", preemptions: 2, body: helper_stalls, kills: &["tally.still"] },
    Model { name: "joiner_asleep", preemptions: 2, body: joiner_asleep, kills: &["tally.tell"] },
    Model { name: "joiner_disturbed", preemptions: 2, body: joiner_disturbed, kills: &["tally.tell"] },
];

/// As aligned as a slot must be.
#[repr(C, align(16))]
struct OneSlot(Stamp);

/// A ring of one slot, chunks of one word, and the counts.
struct Shared<const N: usize> {
    ring: mpmc::Header,
    slots: [OneSlot; 1],
    header: Header,
    entries: [Entry; N],
    tally: Tally,
    finished: EventCount,
    /// The participant that is dead, 0 for nobody.
    dead: AtomicU32,
}

impl<const N: usize> Shared<N> {
    fn new() -> Arc<Self> {
        let hint = Position::new(0, 0).pack();
        Arc::new(Shared {
            ring: mpmc::Header::hinting(hint, hint),
            slots: [OneSlot(Stamp::vacant(0))],
            header: Header::new(),
            entries: std::array::from_fn(|_| Entry::new(Word(0))),
            tally: Tally::new(),
            finished: EventCount::new(),
            dead: AtomicU32::new(0),
        })
    }

    /// Runs `body` with the books.
    fn books<R>(&self, body: impl FnOnce(&Pool, &Slots, Books<'_>) -> R) -> R {
        let (slots, pool) = (self.slots(), self.pool());
        let books = Books::of(&pool, &slots).unwrap();
        body(&pool, &slots, books)
    }

    fn slots(&self) -> Slots {
        let first = NonNull::from(&self.slots).cast();
        let geometry = Geometry::new(1, size_of::<OneSlot>()).unwrap();
        // SAFETY: the slots are used while `self` is borrowed or shared, and are what is asked for.
        unsafe { Slots::new(NonNull::from(&self.ring), first, geometry) }
    }

    fn pool(&self) -> Pool {
        let layout = Layout::of(Demand { messages: N as u64, max_held: 0, usual: 8, largest: 8, max_bytes: 0, share: 0 });
        let (header, area) = (NonNull::from(&self.header), NonNull::from(&self.entries).cast());
        // SAFETY: the pool is used while `self` is borrowed or shared, and has N entries and no extents.
        let pool = unsafe { Pool::new(header, area, NonNull::dangling(), layout.unwrap()) };
        // SAFETY: as above.
        unsafe { pool.with_tally(NonNull::from(&self.tally)) }
    }

    fn send(&self, me: u16, index: u32) {
        self.books(|pool, slots, _| {
            let loan = pool.loan_at(me, 0, index).expect("a free chunk");
            pool.send(slots, slots.claim(me).expect("a free slot"), loan, 8);
        });
    }

    fn work(&self, me: u16) -> Task {
        self.books(|pool, slots, _| {
            let claim = slots.take_next(me).expect("a message");
            pool.receive_task(slots, claim, me).expect("an honest slot")
        })
    }

    fn recv(&self, me: u16) {
        let task = self.work(me);
        self.books(|pool, _, books| pool.free(books.keep(task).expect("nobody scribbles")));
    }

    fn done(&self) -> Result<(), DoneRefused> {
        self.books(|_, _, books| {
            let done = books.done();
            books.tell(&self.finished, Barrier::Fence);
            done
        })
    }

    /// How many are unfinished, unless something moves.
    fn look(&self) -> Option<i64> {
        self.books(|_, _, books| books.look())
    }

    fn is_dead(&self, who: u16) -> bool {
        // The kernel's answer is never stale: a read-modify-write.
        self.dead.fetch_add(0, Ordering::Acquire) == u32::from(who)
    }

    fn dies(&self, who: u16) {
        self.dead.swap(who.into(), Ordering::Release);
    }

    fn sweep(&self, me: u16) {
        self.books(|pool, slots, _| drop(pool.sweep(me, slots, |who| self.is_dead(who))));
    }

    fn first(&self) -> (Chunk, Word) {
        self.pool().words().next().unwrap()
    }

    /// Waits without slices until as many are done as were sent. The first looks come to nothing.
    fn join(&self, mut in_vain: u32) {
        let attempt = || {
            if in_vain > 0 {
                in_vain -= 1;
                return None;
            }
            self.books(|_, _, books| books.is_finished()).then_some(())
        };
        let mut waiter = Waiter::unsliced(Wait::Park);
        waiter.wait(&self.finished, Barrier::Fence, Deadline::NEVER, attempt, || None, || false).unwrap();
    }
}

fn spawn<const N: usize, R: 'static>(
    shared: &Arc<Shared<N>>,
    body: impl FnOnce(&Shared<N>) -> R + 'static,
) -> thread::JoinHandle<R> {
    let shared = shared.clone();
    thread::spawn(move || body(&shared))
}

/// One message, on its way from the ring to its receiver: whoever looks sees one.
fn look_beside_a_receiver() {
    let shared = Shared::<1>::new();
    shared.send(1, 0);
    let receiver = spawn(&shared, |shared| shared.recv(2));
    assert!(matches!(shared.look(), None | Some(1)), "one is unfinished");
    receiver.join().unwrap();
    assert_eq!(shared.look(), Some(1));
}

/// The receiver died as soon as it had counted. Another helps while a third looks.
fn look_beside_a_helper() {
    let shared = Shared::<1>::new();
    shared.send(1, 0);
    let task = shared.work(2);
    shared.books(|_, _, books| books.begin_only(&task));
    let helper = spawn(&shared, |shared| assert!(matches!(shared.look(), None | Some(1))));
    assert!(matches!(shared.look(), None | Some(1)), "one is unfinished");
    helper.join().unwrap();
    assert_eq!(shared.first().1.state(), Some(State::Kept));
}

/// A receiver has stamped the chunk and not freed the slot: it is one message.
fn look_in_the_middle_of_a_receive() {
    let shared = Shared::<1>::new();
    shared.send(1, 0);
    let receiver = spawn(&shared, |shared| drop(shared.work(2)));
    assert!(matches!(shared.look(), None | Some(1)), "one is unfinished");
    receiver.join().unwrap();
    assert_eq!(shared.look(), Some(1));
}

/// A worker sends the next message before it says that the last is done: at no instant is everything finished.
fn look_beside_a_worker_that_sends() {
    let shared = Shared::<2>::new();
    shared.send(1, 0);
    shared.recv(1);
    let worker = spawn(&shared, |shared| {
        shared.send(2, 1);
        shared.done().unwrap();
    });
    assert!(matches!(shared.look(), None | Some(1 | 2)), "at no instant was all done");
    worker.join().unwrap();
    assert_eq!(shared.look(), Some(1));
}

/// The same for a message that has no room yet when the last is done, and is sent later.
fn look_beside_a_worker_that_promises() {
    let shared = Shared::<2>::new();
    shared.send(1, 0);
    shared.recv(1);
    let worker = spawn(&shared, |shared| {
        assert!(shared.tally.promises().promise(2));
        shared.done().unwrap();
        shared.send(2, 1);
        shared.tally.promises().redeem(2);
    });
    let unfinished = shared.look();
    assert!(unfinished.is_none_or(|unfinished| unfinished > 0), "at no instant was all done: {unfinished:?}");
    worker.join().unwrap();
    assert_eq!(shared.look(), Some(1));
}

/// Nobody waits for what a dead process has promised; and whoever finds that out late does not void what the next one of its
/// index promises.
fn promiser_dies() {
    let shared = Shared::<1>::new();
    assert!(shared.tally.promises().promise(1));
    shared.dies(1);
    let late = spawn(&shared, |shared| shared.tally.promises().forget(1, |who| shared.is_dead(who)));
    shared.tally.promises().forget(1, |_| true);
    shared.dies(0);
    assert!(shared.tally.promises().promise(1));
    late.join().unwrap();
    assert_eq!(shared.look(), Some(1));
}

/// The only message is being received, and somebody is done with it: that is right, wherever it is.
fn done_beside_a_receiver() {
    let shared = Shared::<1>::new();
    shared.send(1, 0);
    let receiver = spawn(&shared, |shared| shared.recv(2));
    shared.done().expect("one is unfinished");
    receiver.join().unwrap();
    assert_eq!(shared.done(), Err(DoneRefused::TooMany));
}

/// A receiver is done with the only message, and another says so too, early or late: one of them is right.
fn two_are_done_with_one() {
    let shared = Shared::<1>::new();
    shared.send(1, 0);
    let other = spawn(&shared, |shared| {
        shared.recv(2);
        shared.done()
    });
    let mine = shared.done();
    let others = other.join().unwrap();
    let right = [mine, others].iter().filter(|done| done.is_ok()).count();
    assert_eq!(right, 1, "{mine:?} {others:?}");
    assert_eq!(shared.done(), Err(DoneRefused::TooMany));
    assert_eq!(shared.look(), Some(0));
}

/// A receiver dies as soon as it has counted, while another sweeps: the message is gone, and counts once.
fn receiver_dies_counted() {
    let shared = Shared::<1>::new();
    shared.send(1, 0);
    let receiver = spawn(&shared, |shared| {
        let task = shared.work(2);
        shared.books(|_, _, books| books.begin_only(&task));
        shared.dies(2);
    });
    shared.sweep(3);
    receiver.join().unwrap();
    shared.sweep(3);
    assert!(shared.first().1.is_free(), "{:?}", shared.first().1);
    assert_eq!(shared.look(), Some(1));
}

/// A helper is held up while the receiver ends by itself, and the next one works on a message in the same chunk.
fn helper_stalls() {
    let shared = Shared::<1>::new();
    shared.send(1, 0);
    let task = shared.work(2);
    let helper = spawn(&shared, |shared| {
        assert!(matches!(shared.look(), None | Some(1 | 2)));
    });
    shared.books(|pool, _, books| pool.free(books.keep(task).expect("nobody scribbles")));
    shared.send(1, 0);
    let task = shared.work(3);
    helper.join().unwrap();
    let word = shared.pool().word(task.chunk());
    assert_eq!((word.state(), word.owner()), (Some(State::Task), 3), "handed out without being counted");
    assert_eq!(shared.look(), Some(2));
}

/// Somebody sleeps until two are done with what was sent.
fn joiner_asleep() {
    let shared = Shared::<1>::new();
    for _ in 0..2 {
        shared.send(1, 0);
        shared.recv(1);
    }
    let other = spawn(&shared, |shared| shared.done().unwrap());
    let another = spawn(&shared, |shared| shared.done().unwrap());
    shared.join(1);
    other.join().unwrap();
    another.join().unwrap();
}

/// What is done early is received while somebody looks whether all is done: he looks again.
fn joiner_disturbed() {
    let shared = Shared::<1>::new();
    shared.send(1, 0);
    shared.done().unwrap();
    let receiver = spawn(&shared, |shared| {
        shared.recv(2);
        shared.books(|_, _, books| books.tell(&shared.finished, Barrier::Fence));
    });
    shared.join(1);
    receiver.join().unwrap();
}
