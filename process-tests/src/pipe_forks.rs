//! What a forked child may do with a pipe that it inherits: everything its parent may.
//!
//! Played in a process with one thread, because `fork` in a process with several is a trap of its own.

use crate::forks::fork;
use process_tests::parcel;
use ringway::{Deadline, End, Pipe, RecvError, SendError, Wait};
use std::time::Duration;

/// Plays all scenarios; panics where one goes wrong.
pub(crate) fn play(path: &str) -> Result<(), Box<dyn std::error::Error>> {
    both_use_what_they_hold();
    guards_across_a_fork(true);
    guards_across_a_fork(false);
    a_message_begun_stays_with_the_parent();
    an_unused_copy_keeps_the_pipe_open();
    named(path);
    Ok(())
}

fn both_use_what_they_hold() {
    let (a, z) = Pipe::options().capacity(4096).wait(Wait::Park).pair().unwrap();
    let child = fork(|| {
        // The child has both ends, and lets go of one.
        drop(unsafe_copy(&a));
        for number in 0..200 {
            let len = if number % 10 == 0 { 20_000 } else { 100 };
            z.send(&parcel::make(number, len)).unwrap();
            assert_eq!(parcel::check(&z.recv().unwrap()), Ok(number));
        }
    });
    drop(z);
    loop {
        match a.recv() {
            Ok(message) => a.send(&message).unwrap(),
            Err(RecvError::Closed) => break,
            Err(other) => panic!("{other}"),
        }
    }
    child.succeeded();
}

/// Loans and messages that the parent holds while it forks are empty in the child and end nothing of it.
fn guards_across_a_fork(trusted: bool) {
    let (a, z) = Pipe::options().trusted(trusted).capacity(4096).pair().unwrap();
    z.send(b"for a").unwrap();
    let mut loan = Some(a.reserve(5).unwrap());
    loan.as_mut().unwrap().copy_from_slice(b"for z");
    let mut message = Some(a.recv_ref().unwrap());
    let child = fork(|| {
        let mut loan = loan.take().unwrap();
        assert!(loan.is_empty() && std::ops::DerefMut::deref_mut(&mut loan).is_empty());
        // Of an untrusted peer's message there is a copy.
        assert_eq!(message.as_ref().unwrap().len(), if trusted { 0 } else { 5 });
        // The parent has the turn to send, not the child.
        assert!(matches!(a.try_send(b"?"), Err(SendError::Full)));
        loan.commit();
        drop(message.take().unwrap());
        assert!(matches!(a.try_send(b"?"), Err(SendError::Full)), "the guard was not the child's to drop");
        // The other end is free, in the child too.
        z.send(b"from the child").unwrap();
    });
    child.succeeded();
    assert!(matches!(z.try_recv(), Err(RecvError::Empty)));
    loan.take().unwrap().commit();
    assert_eq!(&**message.as_ref().unwrap(), b"for a");
    drop(message);
    assert_eq!(a.recv().unwrap(), b"from the child");
    assert_eq!(z.recv().unwrap(), b"for z");
}

fn a_message_begun_stays_with_the_parent() {
    let (a, z) = Pipe::options().capacity(4096).pair().unwrap();
    let long = parcel::make(7, 30_000);
    let sender = fork(|| {
        a.send(&long).unwrap();
        a.send(b"next").unwrap();
    });
    // In the middle of it.
    while z.received_before() == 0 {
        assert!(matches!(z.recv_deadline(Deadline::NOW), Err(RecvError::Empty | RecvError::Timeout)));
    }
    let other = fork(|| {
        // Here the message cannot be gone on with, nor the lock be taken: the parent keeps its place.
        assert!(matches!(z.recv_timeout(Duration::from_millis(2)), Err(RecvError::Timeout)));
        drop(unsafe_copy(&z));
    });
    other.succeeded();
    assert_eq!(parcel::check(&z.recv().unwrap()), Ok(7));
    assert_eq!(z.recv().unwrap(), b"next");
    sender.succeeded();
}

fn an_unused_copy_keeps_the_pipe_open() {
    let (a, z) = Pipe::options().wait(Wait::Park).pair().unwrap();
    let (go, gone) = Pipe::simplex().unwrap();
    let child = fork(|| {
        drop(unsafe_copy(&z));
        gone.recv().unwrap(); // holds `a` without ever using it
    });
    drop(a);
    assert!(matches!(z.try_recv(), Err(RecvError::Empty)));
    z.send(b"somebody could receive this").unwrap();
    go.send(b"").unwrap();
    assert!(matches!(z.recv(), Err(RecvError::Closed)));
    child.succeeded();
}

/// Of a named pipe a child holds the end from its first call on, and then beyond its parent.
fn named(path: &str) {
    let a = Pipe::options().capacity(4096).wait(Wait::Park).create(path).unwrap();
    let z = Pipe::options().end(End::Second).open(path).unwrap();
    let (go, gone) = Pipe::simplex().unwrap();
    let child = fork(|| {
        drop(unsafe_copy(&z));
        a.send(b"I am here").unwrap();
        gone.recv().unwrap();
        a.send(b"and last").unwrap();
    });
    assert_eq!(z.recv().unwrap(), b"I am here");
    drop(a);
    assert!(matches!(z.try_recv(), Err(RecvError::Empty)), "the child has not left");
    go.send(b"").unwrap();
    assert_eq!(z.recv().unwrap(), b"and last");
    assert!(matches!(z.recv(), Err(RecvError::Closed)));
    assert_eq!(z.peer_deaths(), 1, "it ended without closing");
    child.succeeded();
}

/// A copy to be dropped in a child that ends without dropping the original.
fn unsafe_copy<T>(value: &T) -> T {
    // SAFETY: only called in children, which end by `_exit` and use the original no more.
    unsafe { core::ptr::read(value) }
}
