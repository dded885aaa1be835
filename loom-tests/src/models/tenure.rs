//! An arena's block: who refers to its object keeps it, and when nobody does any more it is free.

use crate::harness::Model;
use crate::sync::{AtomicU64, Ordering, Slot};
use crate::tenure::{Refused, State, Tenure};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "made_beside_a_comer",
        preemptions: 3,
        body: made_beside_a_comer,
        kills: &["tenure.announce", "tenure.read"],
    },
    Model {
        name: "left_beside_a_comer",
        preemptions: 3,
        body: left_beside_a_comer,
        kills: &[
            "tenure.mark_first",
            "tenure.look_again",
            "tenure.enter_fence",
            "tenure.close_fence",
        ],
    },
    Model { name: "two_leave", preemptions: 3, body: two_leave, kills: &["tenure.leave_closes"] },
    Model { name: "leaver_dies", preemptions: 3, body: leaver_dies, kills: &["tenure.sweep_closes"] },
    Model { name: "closer_dies", preemptions: 3, body: closer_dies, kills: &["tenure.reopen"] },
    Model { name: "swept_while_made", preemptions: 3, body: swept_while_made, kills: &["tenure.kept"] },
    Model { name: "swept_while_left", preemptions: 3, body: swept_while_left, kills: &["tenure.kept_fence"] },
    Model { name: "stalled_closer", preemptions: 3, body: stalled_closer, kills: &["tenure.count"] },
];

struct Shared {
    word: AtomicU64,
    id: AtomicU64,
    users: [AtomicU64; 1],
    data: Slot<u32>,
}

/// That of the first object of a block.
const ID: u64 = 2;

impl Shared {
    /// A free block.
    fn free() -> Arc<Self> {
        let data = Slot::vacant();
        // SAFETY: nobody else has it yet.
        unsafe { data.write(0) };
        let [word, id, users] = [0; 3].map(AtomicU64::new);
        Arc::new(Shared { word, id, users: [users], data })
    }

    /// A block with an object that `users` refer to.
    fn live(users: &[u16]) -> Arc<Self> {
        let shared = Shared::free();
        assert!(shared.make(users[0], 7));
        for &user in &users[1..] {
            shared.tenure().enter(ID, user).unwrap();
        }
        shared
    }

    fn tenure(&self) -> Tenure<'_> {
        Tenure { word: &self.word, id: &self.id, users: &self.users }
    }

    fn make(&self, me: u16, data: u32) -> bool {
        let Some(making) = self.tenure().make(me) else { return false };
        // SAFETY: the block is ours alone; loom reports otherwise.
        unsafe { self.data.write(data) };
        self.tenure().announce(making, me);
        true
    }

    /// Looks at the first object.
    fn look(&self) {
        // SAFETY: nobody makes another one of it while we refer to it; loom reports otherwise.
        assert_eq!(unsafe { self.data.read() }, 7);
    }

    /// Comes to the first object, and looks at it.
    fn enter_and_look(&self, me: u16) -> bool {
        match self.tenure().enter(ID, me) {
            Ok(()) => {
                self.look();
                true
            }
            Err(Refused::Gone) => false,
            Err(corrupt) => panic!("{corrupt:?}"),
        }
    }

    /// Goes, and makes another object of the block if that left it free.
    fn leave_and_make(&self, me: u16) -> bool {
        self.tenure().leave(me);
        self.make(me, 8)
    }

    fn state(&self) -> Option<State> {
        self.tenure().read().state()
    }
}

fn beside<R: 'static>(shared: &Arc<Shared>, act: impl FnOnce(&Shared) -> R + 'static) -> thread::JoinHandle<R> {
    let shared = shared.clone();
    thread::spawn(move || act(&shared))
}

/// Who comes early is refused, or sees all of it.
fn made_beside_a_comer() {
    let shared = Shared::free();
    let comer = beside(&shared, |shared| shared.enter_and_look(2));
    assert!(shared.make(1, 7));
    let came = comer.join().unwrap();
    assert_eq!(shared.tenure().is_used_by(2), came);
    assert!(shared.tenure().is_used_by(1));
    assert_eq!(shared.state(), Some(State::Live));
}

/// The last one leaves while another comes: it is one's or the other's.
fn left_beside_a_comer() {
    let shared = Shared::live(&[1]);
    let comer = beside(&shared, |shared| shared.enter_and_look(2) && shared.leave_and_make(2));
    shared.leave_and_make(1);
    comer.join().unwrap();
}

/// The last two leave together: one of them frees it, after both have ended what they did with it.
fn two_leave() {
    let shared = Shared::live(&[1, 2]);
    let other = beside(&shared, |shared| {
        shared.look();
        shared.leave_and_make(2)
    });
    shared.look();
    let made = shared.leave_and_make(1);
    assert!(other.join().unwrap() != made, "nobody, or both");
}

/// One died after it had left and before it closed; its index is swept while the other leaves, and dies there too.
fn leaver_dies() {
    let shared = Shared::live(&[1, 2]);
    let unmark = |shared: &Shared, index: u16| shared.users[0].fetch_and(!(1 << index), Ordering::Release);
    unmark(&shared, 1);
    let other = beside(&shared, move |shared| unmark(shared, 2));
    shared.tenure().sweep(1);
    other.join().unwrap();
    shared.tenure().sweep(2);
    assert_eq!(shared.state(), Some(State::Free));
}

/// The last one died closing, and is swept while another comes.
fn closer_dies() {
    let shared = Shared::live(&[1]);
    shared.users[0].fetch_and(!(1 << 1), Ordering::Release);
    let live = shared.word.load(Ordering::Acquire);
    shared.word.store((live + (1 << 20)) & !0xf_ffff | 3 << 16 | 1, Ordering::Release);
    let comer = beside(&shared, |shared| shared.enter_and_look(2));
    shared.tenure().sweep(1);
    let made = shared.make(3, 8);
    assert_ne!(comer.join().unwrap(), made, "it is whose, or whose?");
}

/// One died after it had set its mark and before it looked, while another makes an object of the block: whoever sweeps
/// looks only at what is complete.
fn swept_while_made() {
    let shared = Shared::free();
    shared.users[0].fetch_or(1 << 1, Ordering::Relaxed);
    let maker = beside(&shared, |shared| shared.make(2, 7));
    if shared.tenure().is_kept_by(1) {
        shared.look();
    }
    shared.tenure().sweep(1);
    assert!(maker.join().unwrap());
    assert_eq!(shared.state(), Some(State::Live));
    assert!(shared.tenure().is_used_by(2) && !shared.tenure().is_used_by(1));
}

/// The same while the last one leaves: whoever has seen the mark of the dead has the object until he takes it away.
fn swept_while_left() {
    let shared = Shared::live(&[2]);
    let comer = beside(&shared, |shared| shared.users[0].fetch_or(1 << 1, Ordering::Relaxed));
    let leaver = beside(&shared, |shared| shared.leave_and_make(2));
    if shared.tenure().is_kept_by(1) {
        // The one that it came for, or the next.
        // SAFETY: nobody makes another one of it while the mark is there; loom reports otherwise.
        let data = unsafe { shared.data.read() };
        assert!(data == 7 || data == 8);
        shared.tenure().sweep(1);
    }
    comer.join().unwrap();
    leaver.join().unwrap();
    shared.tenure().sweep(1);
    assert!(!shared.tenure().is_used_by(1));
}

/// Somebody who met a closing long ago must not end a later one.
fn stalled_closer() {
    let shared = Shared::live(&[1, 2]);
    let stalled = beside(&shared, |shared| shared.leave_and_make(2));
    let again = beside(&shared, |shared| {
        shared.tenure().leave(1);
        if shared.tenure().enter(ID, 1).is_ok() {
            shared.tenure().leave(1);
        }
    });
    shared.enter_and_look(3);
    stalled.join().unwrap();
    again.join().unwrap();
}
