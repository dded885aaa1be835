//! The ring of many writers and readers: each message goes to one reader, whole, and whoever dies anywhere is
//! repaired by whoever comes along, at most once.

use crate::harness::Model;
use crate::ring::mpmc::{Blocker, Cell, Claim, Header, Phase, PopError, Position, PushError, Ring, Word};
use crate::sync::{AtomicU32, Ordering, Slot};
use crate::wait::Barrier;
use loom::thread;
use std::ptr::NonNull;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "one_slot",
        preemptions: 2,
        body: one_slot,
        kills: &["mpmc.commit", "mpmc.observe_late", "mpmc.reuse_late", "mpmc.free", "mpmc.free_before_read"],
    },
    Model { name: "straight_on", preemptions: 3, body: straight_on, kills: &["mpmc.observe", "mpmc.reuse"] },
    Model {
        name: "two_writers",
        preemptions: 2,
        body: two_writers,
        kills: &["mpmc.commit", "mpmc.commit_before_write"],
    },
    Model { name: "two_readers", preemptions: 2, body: two_readers, kills: &["mpmc.free", "mpmc.free_before_read"] },
    Model { name: "rows", preemptions: 2, body: rows, kills: &["mpmc.commit", "mpmc.free", "mpmc.observe"] },
    Model { name: "rows_of_two_writers", preemptions: 2, body: rows_of_two_writers, kills: &["mpmc.commit_before_write"] },
    Model { name: "rows_of_two_readers", preemptions: 2, body: rows_of_two_readers, kills: &["mpmc.free_before_read"] },
    Model { name: "claims_show_the_row", preemptions: 3, body: claims_show_the_row, kills: &["mpmc.claim", "mpmc.take"] },
    Model { name: "writer_dies", preemptions: 2, body: writer_dies, kills: &["mpmc.skip"] },
    Model { name: "reused_after_repair", preemptions: 3, body: reused_after_repair, kills: &["mpmc.repair"] },
    Model { name: "reader_dies", preemptions: 2, body: reader_dies, kills: &["mpmc.redeliver"] },
    Model { name: "stalled_repairer", preemptions: 3, body: stalled_repairer, kills: &["mpmc.repair_exactly"] },
    Model {
        name: "repairer_dies_before_telling",
        preemptions: 3,
        body: repairer_dies_before_telling,
        kills: &["mpmc.announce_before"],
    },
    Model {
        name: "repaired_beside_the_next_holder",
        preemptions: 3,
        body: repaired_beside_the_next_holder,
        kills: &["mpmc.announce_after", "mpmc.orphans_seen"],
    },
    Model {
        name: "send_against_close",
        preemptions: 3,
        body: send_against_close,
        kills: &[
            "mpmc.look_before_claim",
            "mpmc.closed_seen",
            "mpmc.closed_told",
            "barrier.publisher",
            "barrier.sleeper",
        ],
    },
];

type Message = [u64; 2];

/// The ring is about to pass its last lap.
const LAP: u64 = (1 << 40) - 1;

struct Shared<const N: usize> {
    header: Header,
    cells: [Cell<Message>; N],
    /// The participant that is dead, 0 for nobody.
    dead: AtomicU32,
}

impl<const N: usize> Shared<N> {
    fn new() -> Arc<Self> {
        let hint = Position::new(LAP, 0).pack();
        Arc::new(Shared {
            header: Header::hinting(hint, hint),
            cells: std::array::from_fn(|_| Cell::vacant(LAP)),
            dead: AtomicU32::new(0),
        })
    }

    fn ring(&self) -> Ring<Message> {
        let first = NonNull::from(&self.cells).cast();
        // SAFETY: the ring is used while `self` is borrowed or shared, and the cells are what it asks for.
        unsafe { Ring::new(NonNull::from(&self.header), first, N as u64) }.unwrap()
    }

    fn is_dead(&self, who: u16) -> bool {
        // The kernel's answer is never stale: a read-modify-write.
        self.dead.fetch_add(0, Ordering::Acquire) == u32::from(who)
    }

    fn dies(&self, who: u16) {
        self.dead.swap(who.into(), Ordering::Release);
    }

    fn push(&self, me: u16, value: u64) -> Result<u64, PushError> {
        self.ring().push(me, [value; 2], Barrier::of_this_process())
    }

    /// Pushes without a look at the end: its barrier would hide what the slot's own orders are good for.
    fn put(&self, me: u16, value: u64) -> Result<(), PushError> {
        let slots = *self.ring().slots();
        let claim = slots.claim(me)?;
        // SAFETY: the slot is claimed.
        unsafe { self.content(claim).write([value; 2]) };
        slots.commit(claim);
        Ok(())
    }

    /// Pushes, waiting for space and repairing what is in the way.
    fn send(&self, me: u16, value: u64) {
        loop {
            match self.put(me, value) {
                Ok(()) => return,
                Err(PushError::Full(blocker)) => self.repair(blocker),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    fn pop(&self, me: u16) -> Result<u64, PopError> {
        let [left, right] = self.ring().pop(me, |who| self.is_dead(who))?.value;
        assert_eq!(left, right, "torn");
        Ok(left)
    }

    /// Pops, waiting for a message and repairing what is in the way.
    fn recv(&self, me: u16) -> u64 {
        loop {
            match self.pop(me) {
                Ok(value) => return value,
                Err(PopError::Empty) => thread::yield_now(),
                Err(PopError::Busy(blocker)) => self.repair(blocker),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    fn repair(&self, blocker: Blocker) {
        match blocker.owner() {
            Some(owner) if self.is_dead(owner) => drop(self.ring().slots().repair(blocker)),
            _ => thread::yield_now(),
        }
    }

    fn word(&self, index: u32) -> Word {
        Word(self.ring().slots().word_of(index).load(Ordering::Acquire))
    }

    fn content(&self, claim: Claim) -> &Slot<Message> {
        self.cells[claim.position.index as usize].content()
    }
}

fn spawn<const N: usize, R: 'static>(shared: &Arc<Shared<N>>, body: impl FnOnce(&Shared<N>) -> R + 'static) -> thread::JoinHandle<R> {
    let shared = shared.clone();
    thread::spawn(move || body(&shared))
}

/// Two messages through one slot: over the end of a lap, full and empty at once.
fn one_slot() {
    let shared = Shared::<1>::new();
    let writer = spawn(&shared, |shared| (1..=2).for_each(|value| shared.send(1, value)));
    assert_eq!([shared.recv(2), shared.recv(2)], [1, 2]);
    writer.join().unwrap();
}

/// A reader that finds the message where the hint says, and then a writer that finds the slot so.
fn straight_on() {
    let shared = Shared::<1>::new();
    let reader = spawn(&shared, |shared| shared.pop(2).ok());
    shared.push(1, 1).unwrap();
    let second = shared.put(1, 2).is_ok();
    let first = reader.join().unwrap();
    assert!(first.is_none_or(|first| first == 1));
    assert!(!second || first.is_some());
}

/// Two writers meet: both messages are there.
fn two_writers() {
    let shared = Shared::<2>::new();
    let other = spawn(&shared, |shared| shared.push(1, 1).unwrap());
    let mine = shared.push(2, 2).unwrap();
    let mut seen = [shared.recv(3), shared.recv(3)];
    assert_ne!(other.join().unwrap(), mine, "two messages with one id");
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
}

/// Two readers and two messages: each gets one; a writer reuses a slot meanwhile.
fn two_readers() {
    let shared = Shared::<2>::new();
    shared.push(1, 1).unwrap();
    shared.push(1, 2).unwrap();
    let other = spawn(&shared, |shared| shared.recv(2));
    let mine = shared.recv(3);
    let third = shared.push(1, 3).is_ok();
    assert_eq!(mine + other.join().unwrap(), 3);
    assert!(!third || shared.recv(3) == 3);
}

impl<const N: usize> Shared<N> {
    /// Sends a row, what the row leaves by single messages.
    fn send_row<const M: usize>(&self, me: u16, values: [u64; M]) {
        let sent = self.ring().push_row(me, &values.map(|value| [value; 2]), Barrier::of_this_process());
        values[sent..].iter().for_each(|&value| self.send(me, value));
    }

    /// Takes `M` messages, in rows as far as they go.
    fn recv_row<const M: usize>(&self, me: u16) -> [u64; M] {
        let mut values = vec![];
        self.ring().pop_row(me, M, |[left, right]| {
            assert_eq!(left, right, "torn");
            values.push(left);
        });
        while values.len() < M {
            values.push(self.recv(me));
        }
        values.try_into().unwrap()
    }
}

/// More messages than slots, the hints behind most of the time.
fn rows() {
    let shared = Shared::<2>::new();
    let writer = spawn(&shared, |shared| shared.send_row(1, [1, 2, 3]));
    assert_eq!(shared.recv_row(2), [1, 2, 3]);
    writer.join().unwrap();
}

/// A row and a single message meet: all are there, and those of the row in their order.
fn rows_of_two_writers() {
    let shared = Shared::<3>::new();
    let other = spawn(&shared, |shared| shared.send_row(1, [1, 2]));
    shared.push(2, 9).unwrap();
    let early = shared.pop(3).ok();
    other.join().unwrap();
    let mut seen = early.into_iter().collect::<Vec<_>>();
    while seen.len() < 3 {
        seen.push(shared.recv(3));
    }
    assert_eq!(shared.look(3), Err(PopError::Empty));
    seen.retain(|&value| value != 9);
    assert_eq!(seen, [1, 2]);
}

/// Two readers take rows while a writer reuses what they have freed.
fn rows_of_two_readers() {
    let shared = Shared::<2>::new();
    shared.send_row(1, [1, 2]);
    let other = spawn(&shared, |shared| shared.recv_row::<1>(2));
    let [mine] = shared.recv_row(3);
    let third = shared.push(1, 3).is_ok();
    let [others] = other.join().unwrap();
    assert_eq!(mine + others, 3);
    assert!(!third || shared.recv(3) == 3);
}

/// Whoever finds a claim sees what its owner wrote about itself before.
fn claims_show_the_row() {
    let shared = Shared::<1>::new();
    let row = Arc::new(AtomicU32::new(0));
    let owner = spawn(&shared, {
        let row = row.clone();
        move |shared| {
            row.store(1, Ordering::Relaxed);
            let claim = shared.ring().slots().claim(1).unwrap();
            // The same process gets a new row before it takes.
            row.store(2, Ordering::Relaxed);
            shared.ring().slots().commit(claim);
            row.store(3, Ordering::Relaxed);
            let _taken = shared.ring().slots().take_next(1).unwrap();
        }
    });
    let word = shared.word(0);
    let seen = row.load(Ordering::Relaxed);
    let least = match word.state() {
        crate::ring::mpmc::State::Free => 0,
        crate::ring::mpmc::State::Writing => 1,
        crate::ring::mpmc::State::Ready => 2,
        crate::ring::mpmc::State::Reading => 3,
    };
    assert!(seen >= least, "{word:?}, but row {seen}");
    owner.join().unwrap();
}

/// A writer dies in mid-operation in the only slot, another sends, and then somebody receives.
fn writer_dies() {
    let shared = Shared::<1>::new();
    let dying = spawn(&shared, |shared| {
        if let Ok(claim) = shared.ring().slots().claim(1) {
            // SAFETY: the slot is claimed.
            unsafe { shared.content(claim).write([1; 2]) };
            shared.dies(1);
        }
    });
    shared.send(2, 2);
    let early = shared.pop(3);
    dying.join().unwrap();
    assert_eq!(early, Ok(2));
    assert_eq!(shared.look(3), Err(PopError::Empty));
}

/// A writer dies after it wrote. Who writes there next has not asked after it: it only sees that somebody repaired.
fn reused_after_repair() {
    let shared = Shared::<1>::new();
    let dying = spawn(&shared, |shared| {
        let claim = shared.ring().slots().claim(1).unwrap();
        // SAFETY: the slot is claimed.
        unsafe { shared.content(claim).write([1; 2]) };
        shared.ring().slots().sweep(|who| who == 1);
    });
    // Lap 0 comes after the last.
    if shared.word(0).lap() == 0 {
        shared.put(2, 2).unwrap();
    }
    dying.join().unwrap();
}

/// A reader dies in mid-operation, another receives the message again, and then somebody sends.
fn reader_dies() {
    let shared = Shared::<1>::new();
    shared.push(1, 1).unwrap();
    let dying = spawn(&shared, |shared| {
        let Ok(claim) = shared.ring().slots().take_next(2) else { return };
        // SAFETY: the slot is taken.
        let _ = unsafe { shared.content(claim).read() };
        shared.dies(2);
    });
    let first = loop {
        let _ = shared.look(3);
        match shared.pop(3) {
            Ok(first) => break first,
            Err(_) => thread::yield_now(),
        }
    };
    shared.send(1, 2);
    dying.join().unwrap();
    assert_eq!((first, shared.look(3), shared.pop(3)), (1, Ok(()), Ok(2)));
}

/// A repairer is stalled between its judgement and its exchange. Meanwhile another repairs, and the dead one's index
/// has a new holder, which claims the same slot.
fn stalled_repairer() {
    let shared = Shared::<1>::new();
    let _died = shared.ring().slots().claim(1).unwrap();
    shared.dies(1);
    let stalled = spawn(&shared, |shared| {
        let word = shared.word(0);
        if word.is_held() && shared.is_dead(word.owner()) {
            shared.ring().slots().repair(Blocker { index: 0, word });
        }
    });
    shared.ring().slots().sweep(|who| who == 1);
    shared.dead.swap(0, Ordering::Release);
    shared.push(1, 7).unwrap();
    stalled.join().unwrap();
    assert_eq!(shared.pop(2), Ok(7));
}

/// A reader dies, and so does its repairer, right after it made the orphan. A receiver looks for orphans meanwhile.
fn repairer_dies_before_telling() {
    let shared = Shared::<2>::new();
    shared.push(1, 1).unwrap();
    let taken = shared.ring().slots().take_next(2).unwrap();
    shared.dies(2);
    let repairer = spawn(&shared, move |shared| {
        let slots = *shared.ring().slots();
        slots.announce_orphan();
        slots.replace(Blocker { index: 0, word: taken.word }, taken.word.ready(1));
    });
    let early = shared.pop(3);
    repairer.join().unwrap();
    let late = shared.pop(3);
    assert!(early == Ok(1) || late == Ok(1), "{early:?}, then {late:?}");
}

/// The index of the dead reader gets its next holder, which has not swept yet, so nobody is dead for the moment; a
/// repairer that knew it dead before goes on, beside a receiver that looks for orphans.
fn repaired_beside_the_next_holder() {
    let shared = Shared::<2>::new();
    shared.push(1, 1).unwrap();
    let taken = shared.ring().slots().take_next(2).unwrap();
    let repairer = spawn(&shared, move |shared| {
        shared.ring().slots().repair(Blocker { index: 0, word: taken.word });
    });
    let early = shared.pop(3);
    repairer.join().unwrap();
    let late = shared.pop(3);
    assert!(early == Ok(1) || late == Ok(1), "{early:?}, then {late:?}");
}

/// What was sent before the end is received before the end.
fn send_against_close() {
    let shared = Shared::<1>::new();
    let sender = spawn(&shared, |shared| shared.push(1, 1));
    let closer = spawn(&shared, |shared| {
        let closing = &shared.header.closing;
        assert!(closing.begin());
        Barrier::of_this_process().heavy();
        closing.finish();
    });
    let mut received = None;
    let over = shared.header.closing.phase() == Phase::Closed;
    if over {
        received = match shared.pop(2) {
            Err(PopError::Busy(_)) => Some(shared.recv_or_end()),
            result => Some(result),
        };
    }
    closer.join().unwrap();
    let sent = sender.join().unwrap();
    match received {
        Some(Ok(value)) => assert_eq!((value, sent), (1, Ok(sent.unwrap_or(0)))),
        Some(Err(PopError::Empty)) => assert_eq!(sent, Err(PushError::Closed), "sent after the end"),
        _ => {}
    }
}

impl<const N: usize> Shared<N> {
    /// What a receiver would find, after ending what the dead began.
    fn look(&self, me: u16) -> Result<(), PopError> {
        let slots = *self.ring().slots();
        slots.sweep(|who| who != me && self.is_dead(who));
        if (0..N as u32).any(|index| self.word(index).is_orphan()) { Ok(()) } else { slots.look() }
    }

    /// Waits until the slot in the way is no longer being written.
    fn recv_or_end(&self) -> Result<u64, PopError> {
        loop {
            match self.pop(2) {
                Err(PopError::Busy(_)) => thread::yield_now(),
                result => return result,
            }
        }
    }
}
