//! The bell in one process, by real descriptors.

use super::super::stress::Child;
use super::*;
use crate::sys::socket::{self, Heard};
use std::os::fd::{AsFd, OwnedFd};

struct Pair(OwnedFd, OwnedFd);

impl Pair {
    fn new() -> Self {
        let (sender, receiver) = socket::pair().expect("a pair of sockets");
        Pair(sender, receiver)
    }

    fn clapper(&self) -> Line<'_> {
        Line::new(self.0.as_fd())
    }

    fn ear(&self) -> Line<'_> {
        Line::new(self.1.as_fd())
    }

    fn readable(&self) -> bool {
        socket::listen(self.1.as_fd(), 0) == Heard::Readable
    }
}

fn started() -> Bell {
    let bell = Bell::new();
    bell.start();
    bell
}

const BARRIER: Barrier = Barrier::Fence;

#[test]
fn a_bell_that_is_off_stays_silent() {
    let (bell, pair) = (Bell::new(), Pair::new());
    assert!(bell.is_off());
    bell.ring(BARRIER, &pair.clapper());
    assert!(!pair.readable());
    assert_eq!(bell.settle(BARRIER, &pair.ear(), || true), Settled::Blind);
    assert_eq!(bell.0.load(Ordering::Relaxed), 0);
}

#[test]
fn messages_behind_the_first_cost_nothing() {
    let (bell, pair) = (started(), Pair::new());
    for _ in 0..3 {
        bell.ring(BARRIER, &pair.clapper());
    }
    assert!(pair.readable());
    assert!(!pair.ear().take(), "one byte for all of them");
    assert!(!pair.readable());
}

#[test]
fn only_a_watched_bell_is_settled_by_every_receive() {
    let (bell, pair) = (started(), Pair::new());
    bell.ring(BARRIER, &pair.clapper());
    assert_eq!(bell.settle_if_watched(BARRIER, &pair.ear(), || true), None);
    assert!(pair.readable(), "the byte waits for somebody who watches");
    bell.enable();
    assert_eq!(bell.settle_if_watched(BARRIER, &pair.ear(), || false), Some(Settled::Ready));
    assert!(pair.readable());
    assert!(bell.settle_if_watched(BARRIER, &pair.ear(), || true).is_some());
    assert!(!pair.readable());
    bell.ring(BARRIER, &pair.clapper());
    assert!(pair.readable());
}

#[test]
fn what_a_settled_receiver_knows_depends_on_its_barrier() {
    let (bell, pair) = (started(), Pair::new());
    let here = Barrier::of_this_process();
    let expected = if matches!(here, Barrier::Fence) { Settled::Blind } else { Settled::Quiet };
    assert_eq!(bell.settle(here, &pair.ear(), || true), expected);
    bell.ring(here, &pair.clapper());
    assert_eq!(bell.settle(here, &pair.ear(), || true), expected);
    assert_eq!(bell.settle(Barrier::Fence, &pair.ear(), || true), Settled::Blind);
}

#[test]
fn bytes_too_many_are_taken_one_by_one_and_all() {
    let (bell, pair) = (started(), Pair::new());
    for _ in 0..5 {
        assert!(pair.clapper().put());
    }
    bell.ring(BARRIER, &pair.clapper());
    assert_eq!(bell.settle(BARRIER, &pair.ear(), || true), Settled::Blind);
    assert!(!pair.readable());
}

#[test]
fn a_byte_that_finds_no_room_is_tried_again() {
    let (bell, pair) = (started(), Pair::new());
    while pair.clapper().put() {}
    bell.ring(BARRIER, &pair.clapper());
    assert_eq!(bell.0.load(Ordering::Relaxed) & STATE, ARMED, "not rung: the byte is not there");
    while pair.ear().take() {}
    assert!(!pair.readable());
    bell.ring(BARRIER, &pair.clapper());
    assert!(pair.readable());
}

#[test]
fn ringing_for_a_peer_that_is_gone_is_harmless() {
    // In a process of its own: a child of another test may hold a copy of the peer's socket.
    let child = Child::spawn(|| {
        let (bell, Pair(sender, receiver)) = (started(), Pair::new());
        drop(receiver);
        bell.ring(BARRIER, &Line::new(sender.as_fd()));
        i32::from(bell.0.load(Ordering::Relaxed) & STATE != ARMED || !socket::is_hung_up(sender.as_fd()))
    });
    assert_eq!(child.join(), 0);
}

#[test]
fn a_fifo_that_lost_its_bytes_is_made_good_by_its_next_opener() {
    let (bell, pair) = (Bell::new(), Pair::new());
    bell.enable_with(&pair.clapper());
    bell.ring(BARRIER, &pair.clapper());
    pair.ear().take(); // as the kernel does when the last process closes a FIFO
    bell.ring(BARRIER, &pair.clapper());
    assert!(!pair.readable(), "the word promises a byte");
    bell.enable_with(&pair.clapper());
    assert!(pair.readable());
}

#[test]
fn a_peer_that_stuffs_the_descriptor_is_left_to_it() {
    struct Endless;
    impl Ear for Endless {
        fn is_there(&self) -> bool {
            true
        }
        fn take(&self) -> bool {
            true
        }
    }
    assert_eq!(started().settle(BARRIER, &Endless, || true), Settled::Ready);
}

#[test]
fn a_scribbling_peer_ends_nothing_but_itself() {
    let (bell, pair) = (started(), Pair::new());
    let stop = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut noise = 1_u64;
            while stop.load(Ordering::Relaxed) == 0 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bell.0.store(noise >> (noise & 63), Ordering::Relaxed);
            }
        });
        for _ in 0..10_000 {
            bell.ring(BARRIER, &pair.clapper());
            let _ = bell.settle(BARRIER, &pair.ear(), || true);
            bell.enable();
            bell.enable_with(&pair.clapper());
        }
        stop.store(1, Ordering::Relaxed);
    });
}

#[test]
fn every_word_has_a_meaning() {
    for word in (0..8).chain([u64::MAX, u64::MAX - 1, u64::MAX - 2, 1 << 63]) {
        let (bell, pair) = (Bell(AtomicU64::new(word)), Pair::new());
        bell.ring(BARRIER, &pair.clapper());
        let _ = bell.settle(BARRIER, &pair.ear(), || true);
        assert!(!pair.readable(), "{word:#x}");
        if word & STATE != OFF {
            bell.ring(BARRIER, &pair.clapper());
            assert!(pair.readable(), "{word:#x}");
        }
    }
}
