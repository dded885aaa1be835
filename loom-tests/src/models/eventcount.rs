//! The eventcount and the waiter above it. No sleep has a slice: a lost wake-up is a deadlock.

use crate::harness::Model;
use crate::sync::{AtomicU32, Ordering};
use crate::wait::{Barrier, Deadline, EventCount, Wait, Waiter};
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "publish_against_sleep",
        preemptions: 3,
        body: publish_against_sleep,
        kills: &["barrier.publisher", "barrier.sleeper", "waiter.try_when_armed", "eventcount.bump_first"],
    },
    Model {
        name: "publish_against_sleep_with_fences",
        preemptions: 3,
        body: publish_against_sleep_with_fences,
        kills: &["barrier.publisher", "barrier.sleeper"],
    },
    Model {
        name: "sleep_again_behind_a_waker",
        preemptions: 3,
        body: sleep_again_behind_a_waker,
        kills: &["eventcount.arm_anew", "eventcount.clear_exactly", "eventcount.bump_first"],
    },
    Model {
        name: "two_sleepers_two_wakes",
        preemptions: 2,
        body: two_sleepers_two_wakes,
        kills: &["eventcount.keep_flag", "eventcount.clear_if_fewer"],
    },
    Model {
        name: "ready_out_of_order",
        preemptions: 1,
        body: ready_out_of_order,
        kills: &["waiter.baton"],
    },
];

/// A queue reduced to what waiting sees: positions become ready, and are taken in order.
struct Positions {
    ready: [AtomicU32; 2],
    head: AtomicU32,
    items: EventCount,
    barrier: Barrier,
}

impl Positions {
    fn new(barrier: Barrier) -> Arc<Self> {
        let ready = [AtomicU32::new(0), AtomicU32::new(0)];
        Arc::new(Positions { ready, head: AtomicU32::new(0), items: EventCount::new(), barrier })
    }

    fn publish(&self, position: usize) {
        self.ready[position].store(1, Ordering::Release);
        self.items.wake(1, self.barrier);
    }

    fn takeable(&self, position: u32) -> bool {
        self.ready.get(position as usize).is_some_and(|ready| ready.load(Ordering::Acquire) == 1)
    }

    /// Fails only if it would have to wait: losing to another receiver is no reason, the next may be there.
    fn take(&self) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if !self.takeable(head) {
                return None;
            }
            match self.head.compare_exchange(head, head + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(taken) => return Some(taken),
                Err(now) => head = now,
            }
        }
    }

    fn receive(&self) -> u32 {
        let more = || self.takeable(self.head.load(Ordering::Acquire));
        Waiter::unsliced(Wait::Park)
            .wait(&self.items, self.barrier, Deadline::NEVER, || self.take(), || None, more)
            .expect("nothing ends this wait but a message")
    }
}

fn one_message(barrier: Barrier) {
    let queue = Positions::new(barrier);
    let receiver = thread::spawn({
        let queue = queue.clone();
        move || queue.receive()
    });
    queue.publish(0);
    assert_eq!(receiver.join().unwrap(), 0);
}

/// One publishes and looks for sleepers, one announces itself and looks for messages.
fn publish_against_sleep() {
    one_message(Barrier::of_this_process());
}

/// The same where nobody has the light barrier.
fn publish_against_sleep_with_fences() {
    one_message(Barrier::Fence);
}

/// The receiver, served without a sleep, arms and sleeps again while the waker still tidies up.
fn sleep_again_behind_a_waker() {
    let queue = Positions::new(Barrier::of_this_process());
    let receiver = thread::spawn({
        let queue = queue.clone();
        move || (queue.receive(), queue.receive())
    });
    queue.publish(0);
    queue.publish(1);
    assert_eq!(receiver.join().unwrap(), (0, 1));
}

/// Two sleepers share one value of the word; the first wake must not hide the second sleeper.
fn two_sleepers_two_wakes() {
    let queue = Positions::new(Barrier::of_this_process());
    let receive = || {
        let queue = queue.clone();
        thread::spawn(move || queue.receive())
    };
    let receivers = [receive(), receive()];
    queue.publish(0);
    queue.publish(1);
    let got: u32 = receivers.map(|receiver| receiver.join().unwrap()).iter().sum();
    assert_eq!(got, 1);
}

/// The second position is ready first: its wake goes to somebody who cannot take it yet, and the wake of the
/// first position to somebody else.
fn ready_out_of_order() {
    let queue = Positions::new(Barrier::of_this_process());
    let receive = || {
        let queue = queue.clone();
        thread::spawn(move || queue.receive())
    };
    let receivers = [receive(), receive()];
    let slow = thread::spawn({
        let queue = queue.clone();
        move || queue.publish(0)
    });
    queue.publish(1);
    slow.join().unwrap();
    let got: u32 = receivers.map(|receiver| receiver.join().unwrap()).iter().sum();
    assert_eq!(got, 1);
}
