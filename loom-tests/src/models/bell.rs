//! The bell: a poller that knows nothing but its descriptor. No poll has a time-out: a byte too few is a deadlock.
//!
//! A sender is killed by a clapper that dies before it puts its byte, or behind it, and answers `false` with its
//! last breath: the bell then touches nothing more.

use crate::harness::Model;
use crate::sync::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::wait::{ALL, Barrier, Bell, Clapper, Ear, Settled};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "publish_against_settle",
        preemptions: 3,
        body: publish_against_settle,
        kills: &[
            "barrier.publisher",
            "barrier.sleeper",
            "bell.look",
            "bell.arm_first",
            "bell.take_one",
            "bell.rearm",
            "bell.stale",
            "bell.watched",
        ],
    },
    Model {
        name: "publish_against_sleep",
        preemptions: 3,
        body: publish_against_sleep,
        kills: &["barrier.publisher", "barrier.sleeper", "bell.look"],
    },
    Model {
        name: "two_senders",
        preemptions: 2,
        body: two_senders,
        kills: &["bell.stale", "bell.take_one"],
    },
    Model {
        name: "other_sender_dies_silently",
        preemptions: 2,
        body: other_sender_dies::<SILENT>,
        kills: &["bell.look", "barrier.sleeper"],
    },
    Model {
        name: "other_sender_dies_before_its_byte",
        preemptions: 2,
        body: other_sender_dies::<BEFORE>,
        kills: &["bell.put_first", "bell.put_failed"],
    },
    Model {
        name: "other_sender_dies_behind_its_byte",
        preemptions: 2,
        body: other_sender_dies::<BEHIND>,
        kills: &["bell.rearm", "bell.stale"],
    },
    Model {
        name: "receiver_dies_armed",
        preemptions: 3,
        body: receiver_dies_armed,
        kills: &["barrier.publisher", "barrier.sleeper", "bell.look"],
    },
    Model { name: "two_receivers", preemptions: 2, body: two_receivers, kills: &["bell.look", "bell.arm_first"] },
    Model {
        name: "watched_beside_a_publish",
        preemptions: 3,
        body: watched_beside_a_publish,
        kills: &["bell.watched", "bell.take_one"],
    },
    Model {
        name: "enabled_beside_a_publish",
        preemptions: 3,
        body: enabled_beside_a_publish,
        kills: &["bell.enable_puts"],
    },
    Model {
        name: "enabled_beside_a_settle",
        preemptions: 3,
        body: enabled_beside_a_settle,
        kills: &["bell.enable_looks_first"],
    },
];

/// What a descriptor is to a bell: a queue of equal bytes, each operation under the kernel's lock. The lock is the
/// read-modify-writes' order: they see the latest count and what came before it.
struct Descriptor(AtomicU32);

impl Descriptor {
    fn count(&self) -> u32 {
        self.0.fetch_add(0, Ordering::AcqRel)
    }

    fn put(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
        futex::wake(&self.0, ALL);
    }

    fn poll(&self) {
        while self.count() == 0 {
            futex::wait(&self.0, 0, u64::MAX);
        }
    }
}

impl Clapper for Descriptor {
    fn put(&self) -> bool {
        Descriptor::put(self);
        true
    }
}

impl Ear for Descriptor {
    fn is_there(&self) -> bool {
        self.count() > 0
    }

    fn take(&self) -> bool {
        let mut seen = self.count();
        while seen > 0 {
            match self.0.compare_exchange(seen, seen - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return seen > 1,
                Err(now) => seen = now,
            }
        }
        false
    }
}

/// Where a sender dies: between publishing and the bell, before or behind its byte.
const SILENT: u8 = 0;
const BEFORE: u8 = 1;
const BEHIND: u8 = 2;

struct Dying<'a>(&'a Descriptor, u8);

impl Clapper for Dying<'_> {
    fn put(&self) -> bool {
        if self.1 == BEHIND {
            self.0.put();
        }
        false
    }
}

/// A ring reduced to what a bell sees: a tail that publishes, and a head under the receive lock.
struct End {
    tail: AtomicU32,
    head: Mutex<u32>,
    bell: Bell,
    descriptor: Descriptor,
    barrier: Barrier,
}

impl End {
    fn off() -> Arc<Self> {
        Arc::new(End {
            tail: AtomicU32::new(0),
            head: Mutex::new(0),
            bell: Bell::new(),
            descriptor: Descriptor(AtomicU32::new(0)),
            barrier: Barrier::of_this_process(),
        })
    }

    fn started() -> Arc<Self> {
        let end = End::off();
        end.bell.start();
        end
    }

    fn watched() -> Arc<Self> {
        let end = End::started();
        end.bell.enable();
        end
    }

    /// Returns the message's position.
    fn send(&self) -> u32 {
        let position = self.tail.fetch_add(1, Ordering::Release);
        self.bell.ring(self.barrier, &self.descriptor);
        position
    }

    fn send_and_die(&self, where_: u8) {
        self.tail.fetch_add(1, Ordering::Release);
        if where_ != SILENT {
            self.bell.ring(self.barrier, &Dying(&self.descriptor, where_));
        }
    }

    fn is_empty(&self, head: u32) -> bool {
        self.tail.load(Ordering::Acquire) == head
    }

    /// One non-blocking receive of an end that is watched.
    fn try_receive(&self) -> bool {
        let mut head = self.head.lock().unwrap();
        let got = !self.is_empty(*head);
        *head += u32::from(got);
        if self.is_empty(*head) {
            // What a settling receiver sees after all makes the poller come again.
            let _ = self.bell.settle_if_watched(self.barrier, &self.descriptor, || self.is_empty(*head));
        }
        got
    }

    /// An event loop: poll, receive once, poll. Told of something, it finds nothing only now and then.
    fn watch(&self, messages: u32) {
        for _ in 0..messages {
            let mut in_vain = 0;
            self.descriptor.poll();
            while !self.try_receive() {
                in_vain += 1;
                assert!(in_vain < 5, "the descriptor stays readable");
                self.descriptor.poll();
            }
        }
    }

    /// A receive that sleeps by the descriptor: settle, poll, try.
    fn receive(&self) {
        loop {
            {
                let mut head = self.head.lock().unwrap();
                if !self.is_empty(*head) {
                    *head += 1;
                    return;
                }
                match self.bell.settle(self.barrier, &self.descriptor, || self.is_empty(*head)) {
                    Settled::Quiet => {}
                    Settled::Ready => continue,
                    Settled::Blind => unreachable!("heavy barriers reach everybody here"),
                }
            }
            self.descriptor.poll();
        }
    }

    /// Everybody is through. The word promises nothing that is not there, and a poller that is told of something
    /// finds it, or finds the descriptor quiet the next time.
    fn check(&self, received: u32) {
        let bytes = self.descriptor.count();
        assert!(bytes > 0 || !self.bell.is_rung(), "the word promises a byte that is not there");
        if bytes > 0 {
            self.try_receive();
        }
        assert_eq!(*self.head.lock().unwrap(), received, "a message is left, or came twice");
        assert_eq!(self.descriptor.count(), 0, "the descriptor stays readable");
    }
}

/// Every message finds its byte, however the second one comes upon the settling behind the first.
fn publish_against_settle() {
    let end = End::watched();
    let sender = spawn(&end, |end| {
        end.send();
        end.send();
    });
    end.watch(2);
    sender.join().unwrap();
    end.check(2);
}

/// The same for a receiver that settles only before it sleeps.
fn publish_against_sleep() {
    let end = End::started();
    let sender = spawn(&end, |end| {
        end.send();
        end.send();
    });
    end.receive();
    end.receive();
    sender.join().unwrap();
    end.bell.enable();
    end.check(2);
}

/// Two put a byte each for one arming, or one keeps silent behind the other.
fn two_senders() {
    let end = End::watched();
    let senders = [spawn(&end, |end| end.send()), spawn(&end, |end| end.send())];
    end.watch(2);
    for sender in senders {
        sender.join().unwrap();
    }
    end.check(2);
}

/// A sender dies on its way to the bell, wherever; the other one's message still gets its byte.
fn other_sender_dies<const WHERE: u8>() {
    let end = End::watched();
    let dying = spawn(&end, |end| end.send_and_die(WHERE));
    let sender = spawn(&end, |end| {
        end.send();
        end.send()
    });
    end.watch(2);
    dying.join().unwrap();
    let last = sender.join().unwrap();
    let received = *end.head.lock().unwrap();
    assert!(received > last || end.descriptor.count() > 0, "a living sender's message has no byte");
    // The dead one's message, if it came last, may have none until somebody cleans up.
    end.bell.ring(end.barrier, &end.descriptor);
    end.watch(1);
    end.check(3);
}

/// A receiver dies between arming and looking; a sender kept silent because of the byte that this one left.
fn receiver_dies_armed() {
    let end = End::watched();
    end.send();
    *end.head.lock().unwrap() += 1;
    let sender = spawn(&end, |end| end.send());
    if end.bell.arm_and_die() {
        // The next receiver.
        end.watch(1);
    }
    sender.join().unwrap();
    if *end.head.lock().unwrap() == 1 {
        end.watch(1);
    }
    end.check(2);
}

/// Two pollers of one descriptor: the byte stays for as long as there is something for either.
fn two_receivers() {
    let end = End::watched();
    let receiver = spawn(&end, |end| end.watch(1));
    let sender = spawn(&end, |end| {
        end.send();
        end.send();
    });
    end.watch(1);
    receiver.join().unwrap();
    sender.join().unwrap();
    end.check(2);
}

/// Somebody starts to poll a socket while messages are sent.
fn watched_beside_a_publish() {
    let end = End::started();
    let sender = spawn(&end, |end| {
        end.send();
        end.send();
    });
    end.bell.enable();
    end.watch(2);
    sender.join().unwrap();
    end.check(2);
}

/// Somebody opens the FIFO of an object whose bell was off, while messages are sent.
fn enabled_beside_a_publish() {
    let end = End::off();
    let sender = spawn(&end, |end| {
        end.send();
        end.send();
    });
    end.bell.enable_with(&end.descriptor);
    end.watch(2);
    sender.join().unwrap();
    end.check(2);
}

/// Another process opens the FIFO while a receiver takes the byte of an earlier opener.
fn enabled_beside_a_settle() {
    let end = End::off();
    end.bell.enable_with(&end.descriptor);
    let opener = spawn(&end, |end| end.bell.enable_with(&end.descriptor));
    end.try_receive();
    opener.join().unwrap();
    end.check(0);
}

fn spawn<R: 'static>(end: &Arc<End>, body: impl FnOnce(&End) -> R + 'static) -> thread::JoinHandle<R> {
    let end = end.clone();
    thread::spawn(move || body(&end))
}
