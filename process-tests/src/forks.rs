//! What a forked child may do with what it inherits: nothing, and with what it opens itself: everything.
//!
//! Played in a process with one thread, because `fork` in a process with several is a trap of its own.

use process_tests::ends::{How, Refusal, Ring, Rx, Tx};
use process_tests::support;
use ringway::inspect::Holder;
use ringway::{Deadline, Error, Wait, bytes, spsc};

/// Plays all scenarios on a ring that it makes at `path`; panics where one goes wrong.
pub(crate) fn play(ring: Ring, path: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut tx = Tx::attach(ring, How::Create(path, 4096), Wait::Park, None)?;
    let mut rx = Rx::attach(ring, How::Open(path), Wait::Park, None)?;
    for number in 0..4 {
        tx.send(number, Deadline::NOW).map_err(|refusal| format!("{refusal:?}"))?;
    }
    let before = figures(path);

    // What is inherited is of no use, and dropping it gives nothing up.
    in_child(|| {
        assert_eq!(tx.send(9, Deadline::NEVER), Err(Refusal::Forked));
        assert_eq!(tx.send(8, Deadline::NOW), Err(Refusal::Forked), "in place, then by copy");
        assert_eq!(rx.recv(Some(0), Deadline::NEVER), Err(Refusal::Forked));
        assert_eq!(rx.recv(Some(1), Deadline::NEVER), Err(Refusal::Forked), "in place, then by copy");
        assert_eq!(rx.look(), Err(Refusal::Not));
        every_other_call(&mut tx, &mut rx);
        // SAFETY: the child ends without dropping the original, see `in_child`.
        drop(unsafe { core::ptr::read(&raw const tx) });
        // SAFETY: as above.
        drop(unsafe { core::ptr::read(&raw const rx) });
        assert_eq!(figures(path), before);
        // Nor can the child take the parent's roles.
        for taken in [
            Tx::attach(ring, How::Open(path), Wait::Park, None).map(drop),
            Rx::attach(ring, How::Open(path), Wait::Park, None).map(drop),
        ] {
            // SAFETY: no memory is involved.
            let parent = unsafe { libc::getppid() } as u32;
            assert!(matches!(taken, Err(Error::RoleTaken { pid, .. }) if pid == parent), "{taken:?}");
        }
    });
    assert_eq!(figures(path), before);
    guards_across_a_fork(&mut tx, &mut rx, path);
    assert_eq!(figures(path), before);

    // The parent goes on as if nothing had been.
    for number in 0..4 {
        assert_eq!(rx.recv(Some(number), Deadline::NOW), Ok(number));
    }

    // What the child opens itself works, in both directions, and ends with it.
    drop(rx);
    let child = fork(|| {
        let mut rx = Rx::attach(ring, How::Open(path), Wait::Park, None).unwrap();
        for number in 100..1100 {
            assert_eq!(rx.recv(Some(number), Deadline::NEVER), Ok(number));
        }
        core::mem::forget(rx); // held to the end, as if killed
    });
    // The former consumer has left: a full ring would count as closed until the child has come.
    while !matches!(support::ring(path).consumer.holder, Holder::Held(_)) {
        std::thread::yield_now();
    }
    for number in 100..1100 {
        tx.send(number, Deadline::NEVER).map_err(|refusal| format!("{refusal:?}"))?;
    }
    child.succeeded();
    assert_eq!(tx.fill(1100).1, Refusal::Closed, "the child is gone");
    drop(tx);
    let mut rx = Rx::attach(ring, How::Open(path), Wait::Park, None)?;
    let child = fork(|| {
        let mut tx = Tx::attach(ring, How::Open(path), Wait::Adaptive, None).unwrap();
        assert_eq!(tx.send(1 << 32, Deadline::NEVER), Ok(()));
        drop(tx);
    });
    let (last, refusal) = rx.drain(None, Deadline::NEVER);
    // The ring may have been found closed before the child came, so look again once it is gone.
    child.succeeded();
    let (last, refusal) =
        if last == Some(1 << 32) { (last, refusal) } else { rx.drain(last, Deadline::NEVER) };
    assert_eq!((last, refusal), (Some(1 << 32), Refusal::Closed));
    Ok(())
}

/// Guards that the parent holds while it forks do nothing in the child, neither committed nor dropped.
fn guards_across_a_fork(tx: &mut Tx, rx: &mut Rx, path: &str) {
    let before = figures(path);
    match (tx, rx) {
        (Tx::Typed(tx), Rx::Typed(rx)) => {
            let (mut reserve, mut peek) = (tx.reserve(), rx.peek());
            in_child(|| {
                reserve.take().unwrap().commit();
                drop(peek.take().unwrap());
                assert_eq!(figures(path), before);
            });
            assert!(reserve.is_some()); // and is given up uncommitted
            peek.unwrap().keep();
            let mut drain = rx.drain();
            assert!(drain.next().is_some());
            in_child(|| {
                assert!(drain.next().is_none());
                // SAFETY: the child ends without dropping the original.
                drop(unsafe { core::ptr::read(&raw const drain) });
                assert_eq!(figures(path), before);
            });
            core::mem::forget(drain); // the message stays
        }
        (Tx::Bytes(tx, ..), Rx::Bytes(rx, ..)) => {
            let (mut loan, mut view) = (tx.reserve(10), rx.peek());
            in_child(|| {
                loan.take().unwrap().commit();
                drop(view.take().unwrap());
                assert_eq!(figures(path), before);
            });
            assert!(loan.is_some()); // and is given up uncommitted
            view.unwrap().keep();
            let mut batch = Some(tx.batch());
            batch.as_mut().unwrap().push(b"never seen").unwrap();
            in_child(|| {
                assert!(matches!(batch.as_mut().unwrap().push(b"nor this"), Err(ringway::SendError::Forked)));
                batch.take().unwrap().commit();
                assert_eq!(figures(path), before);
            });
        }
        _ => panic!("two kinds of ring"),
    }
}

fn every_other_call(tx: &mut Tx, rx: &mut Rx) {
    match (tx, rx) {
        (Tx::Typed(tx), Rx::Typed(rx)) => {
            let message = process_tests::message::Fixed::new(7);
            assert!(matches!(tx.push(message), Err(spsc::PushError::Forked(_))));
            assert!(matches!(tx.push_slice(&[message; 2]), Err(spsc::PushError::Forked(()))));
            assert!(tx.reserve().is_none());
            assert!(matches!(rx.pop(), Err(ringway::PopError::Forked)));
            assert!(matches!(rx.pop_slice(&mut [message; 2]), Err(ringway::PopError::Forked)));
            assert_eq!(rx.drain().count(), 0);
            assert!(rx.peek().is_none());
        }
        (Tx::Bytes(tx, ..), Rx::Bytes(rx, ..)) => forked_bytes(tx, rx),
        _ => panic!("two kinds of ring"),
    }
}

fn forked_bytes(tx: &mut bytes::Producer, rx: &mut bytes::Consumer) {
    assert!(matches!(tx.push(b"x"), Err(ringway::SendError::Forked)));
    assert!(tx.reserve(1).is_none());
    assert!(matches!(tx.reserve_deadline(1, Deadline::NEVER), Err(ringway::SendError::Forked)));
    assert!(matches!(tx.batch().push(b"x"), Err(ringway::SendError::Forked)));
    assert!(matches!(rx.pop(), Err(ringway::PopError::Forked)));
    assert!(rx.peek().is_none());
    assert!(matches!(rx.peek_deadline(Deadline::NEVER), Err(ringway::RecvError::Forked)));
    assert!(rx.drain().next().is_none());
}

/// What must not change: messages written and read, and who has the roles.
fn figures(path: &str) -> (u64, u64, Holder, Holder) {
    let ring = support::ring(path);
    (ring.written, ring.read, ring.producer.holder, ring.consumer.holder)
}

/// A child made by [`fork`].
pub(crate) struct Forked(libc::pid_t);

impl Forked {
    pub(crate) fn succeeded(self) {
        let mut status = 0;
        // SAFETY: `status` is a valid place for the answer.
        let got = unsafe { libc::waitpid(self.0, &mut status, 0) };
        assert_eq!((got, status), (self.0, 0), "the child failed");
    }
}

/// Runs `scenario` in a forked child, which drops nothing that it inherited.
pub(crate) fn fork(scenario: impl FnOnce()) -> Forked {
    // SAFETY: this process has one thread, so the child may do anything.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(scenario));
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(outcome.is_err())) };
    }
    Forked(child)
}

fn in_child(scenario: impl FnOnce()) {
    fork(scenario).succeeded();
}
