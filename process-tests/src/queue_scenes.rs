//! `peer queuefork PATH` and `peer queuefull PATH`: scenes with queues that need a process with a single thread.

use crate::forks::fork;
use crate::{Failure, say};
use ringway::queue::JoinError;
use ringway::{Deadline, JoinableQueue, Queue, RecvError, SendError, Wait};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(5);

/// A fork while loans, messages and tasks are open: they stay the parent's. The child has its own.
pub(super) fn forks(path: &str) -> Result<(), Failure> {
    for trusted in [true, false] {
        let options = Queue::<[u8]>::options().trusted(trusted).capacity(4).max_held(4);
        let queue = options.message_size(64).max_bytes(0).anonymous()?;
        queue.send(&[1; 60])?;
        let (message, mut loan) = (queue.recv()?, queue.reserve(60)?);
        loan.fill(2);
        let (mut message, mut loan) = (Some(message), Some(loan));
        fork(|| {
            let (message, loan) = (message.take().unwrap(), loan.take().unwrap());
            assert_eq!(message.len(), if trusted { 0 } else { 60 });
            drop(message.detach());
            assert!(matches!(loan.commit(), Err(SendError::Forked)));
            assert!(matches!(queue.try_recv(), Err(RecvError::Empty)));
            queue.send(&[3; 61]).unwrap();
            let own = queue.recv().unwrap();
            assert_eq!(&*own, [3; 61]);
            // Ends with the process.
            std::mem::forget((own, queue.reserve(64).unwrap()));
        })
        .succeeded();
        loan.take().ok_or("taken")?.commit()?;
        assert_eq!(&*queue.recv()?, [2; 60]);
        assert_eq!(&*message.take().ok_or("taken")?, [1; 60]);
        // All memory is back.
        let loans: Vec<_> =
            std::iter::from_fn(|| queue.reserve_deadline(64, Deadline::after(SOON)).ok()).collect();
        assert!(loans.len() >= 8, "{}", loans.len());
    }

    let jobs = JoinableQueue::<u64>::options().participants(2).capacity(4).create(path)?;
    jobs.send_many(&[1, 2], Deadline::NEVER)?;
    let (first, second) = (jobs.recv()?, jobs.recv()?);
    let (mut first, mut second) = (Some(first), Some(second));
    fork(|| {
        // Neither ended nor given back by the child.
        assert!(matches!(first.take().unwrap().done(), Err(RecvError::Forked)));
        drop(second.take());
        assert!(matches!(jobs.try_recv(), Err(RecvError::Empty)));
        assert_eq!(jobs.unfinished(), 2);
        assert!(matches!(jobs.join_timeout(SOON), Err(JoinError::Timeout)));
        // There are two places: the child's child finds none.
        fork(|| {
            assert!(matches!(jobs.try_send(3), Err(SendError::Attach(_))));
            assert!(matches!(jobs.try_recv(), Err(RecvError::Attach(_))));
            assert!(matches!(jobs.join_timeout(SOON), Err(JoinError::Attach(_))));
        })
        .succeeded();
    })
    .succeeded();
    drop(second.take());
    let again = jobs.recv()?;
    assert_eq!((*again, again.deliveries()), (2, 1));
    again.done()?;
    first.take().ok_or("taken")?.done()?;
    jobs.join()?;

    // The parent dies; what it was working on comes back, and what the child is working on does not.
    let jobs = JoinableQueue::<u64>::anonymous(4)?;
    let (go, gone) = ringway::Pipe::pair()?;
    jobs.send_many(&[5, 6], Deadline::NEVER)?;
    let parent = fork(|| {
        let _five = jobs.recv().unwrap();
        fork(|| {
            // SAFETY: no memory is involved. Should the test fail, nobody else ends this process.
            unsafe { libc::alarm(60) };
            let six = jobs.recv().unwrap();
            assert_eq!(*six, 6);
            go.send(b"six").unwrap();
            assert_eq!(go.recv().unwrap(), b"end");
            six.done().unwrap();
            go.send(b"done").unwrap();
        });
        while !jobs.is_empty() {
            std::thread::yield_now();
        }
        // SAFETY: ends this process like a kill.
        unsafe { libc::_exit(0) };
    });
    parent.succeeded();
    assert_eq!(gone.recv()?, b"six");
    let five = jobs.recv()?;
    assert_eq!((*five, five.deliveries()), (5, 1));
    five.done()?;
    assert!(matches!(jobs.recv_timeout(Duration::from_millis(250)), Err(RecvError::Timeout)));
    assert_eq!(jobs.unfinished(), 1);
    gone.send(b"end")?;
    assert_eq!(gone.recv()?, b"done");
    jobs.join()?;
    Ok(())
}

/// On a file system of four megabytes: what finds no room is an error, at the reserving, and nobody is the worse for it.
pub(super) fn full(directory: &str) -> Result<(), Failure> {
    // SAFETY: takes numbers only.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        say("cannot");
        return Ok(());
    }
    let at = std::ffi::CString::new(directory)?;
    let mount = |source: &std::ffi::CStr, at: &std::ffi::CStr, kind: *const libc::c_char, flags, data| {
        // SAFETY: C strings, or null where the kernel takes that.
        unsafe { libc::mount(source.as_ptr(), at.as_ptr(), kind, flags, data) }
    };
    let private = mount(c"none", c"/", std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE, std::ptr::null());
    let small = c"size=4m".as_ptr().cast();
    if private != 0 || mount(c"none", &at, c"tmpfs".as_ptr(), 0, small) != 0 {
        say("cannot");
        return Ok(());
    }
    for trusted in [true, false] {
        let options = Queue::<[u8]>::options().trusted(trusted).wait(Wait::Park).capacity(4).max_held(2);
        let queue = options.max_bytes(1 << 30).create(&format!("{directory}/queue-{trusted}"))?;
        let first = vec![1; 1 << 20];
        queue.send(&first)?;
        for _ in 0..3 {
            assert!(matches!(queue.send(&vec![2; 8 << 20]), Err(SendError::NoSpace { .. })));
            assert!(matches!(queue.try_reserve(64 << 20), Err(SendError::NoSpace { .. })));
            queue.send(b"small")?;
        }
        assert!(queue.is_full());
        assert_eq!(&*queue.recv()?, first);
        queue.try_iter().for_each(|message| assert_eq!(&*message, b"small"));
        // As much as there is, again and again: nothing of the failures stayed reserved.
        for _ in 0..20 {
            queue.send(&first)?;
            assert_eq!(&*queue.recv()?, first);
        }
        let all = vec![3; 2 << 20];
        queue.send(&all)?;
        assert_eq!(&*queue.recv()?, all);
        queue.unlink()?;
    }
    say("seen");
    Ok(())
}
