//! Readiness as a descriptor, with the event loops people use.

use ringway::{Connection, Pipe, RecvError};
use std::os::fd::{AsRawFd, RawFd};
use std::thread;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

fn is_readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid entry.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

/// Pipes of both kinds: over a pair of sockets, and with a name.
fn pipes(test: &str) -> [(Connection, Connection); 2] {
    let name = format!("readiness-{test}-{}", std::process::id());
    let named = Pipe::options().ephemeral(true).create(&name).unwrap();
    let other = Pipe::open(&name).unwrap();
    [Pipe::pair().unwrap(), (named, other)]
}

#[test]
fn poll_tells_whether_there_is_something() {
    for (a, z) in pipes("poll") {
        a.send(b"before").unwrap();
        let ready = z.readiness().unwrap().as_raw_fd();
        assert!(is_readable(ready), "what was sent before anybody asked");
        assert_eq!(z.recv().unwrap(), b"before");
        // A named pipe may be readable once without reason; a receive settles that.
        assert!(matches!(z.try_recv(), Err(RecvError::Empty)));
        assert!(!is_readable(ready));
        for round in 0..100_u32 {
            a.send(&round.to_le_bytes()).unwrap();
            a.send(b"second").unwrap();
            assert!(is_readable(ready));
            z.recv().unwrap();
            assert!(is_readable(ready), "level-triggered");
            z.recv().unwrap();
            assert!(!is_readable(ready));
        }
        // Messages in pieces, and empty ones.
        a.send(b"").unwrap();
        assert!(is_readable(ready));
        assert_eq!(z.recv().unwrap(), b"");
        assert!(!is_readable(ready));
        drop(a);
        assert!(is_readable(ready), "the end of the stream");
        assert!(matches!(z.try_recv(), Err(RecvError::Closed)));
        assert!(is_readable(ready), "for good");
    }
}

#[test]
fn an_end_that_only_sends_is_never_ready() {
    let (tx, rx) = Pipe::simplex().unwrap();
    assert!(tx.readiness().is_err());
    assert!(rx.readiness().is_ok());
}

#[test]
fn epoll_wakes_for_each_of_many_pipes() {
    const PIPES: usize = 8;
    const EACH: u64 = 2000;
    // SAFETY: no memory is involved.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    assert!(epoll >= 0);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..PIPES).map(|_| Pipe::simplex().unwrap()).unzip();
    for (index, receiver) in receivers.iter().enumerate() {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
        let fd = receiver.readiness().unwrap().as_raw_fd();
        // SAFETY: `event` is valid, and both descriptors are open.
        assert_eq!(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) }, 0);
    }
    let sender = thread::spawn(move || {
        for n in 0..EACH {
            for sender in &senders {
                sender.send(&n.to_le_bytes()).unwrap();
            }
            if n % 7 == 0 {
                thread::yield_now();
            }
        }
    });
    let mut next = [0_u64; PIPES];
    let mut open = PIPES;
    while open > 0 {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: `event` has room for one. No time limit: a lost readiness hangs, and the runner's limit tells.
        if unsafe { libc::epoll_wait(epoll, &mut event, 1, -1) } != 1 {
            continue;
        }
        let index = event.u64 as usize;
        let receiver = &receivers[index];
        loop {
            match receiver.try_recv() {
                Ok(message) => {
                    assert_eq!(message, next[index].to_le_bytes());
                    next[index] += 1;
                }
                Err(RecvError::Empty) => break,
                Err(RecvError::Closed) => {
                    let fd = receiver.readiness().unwrap().as_raw_fd();
                    // SAFETY: the descriptor is open; a null event is allowed for removal.
                    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
                    open -= 1;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!(next, [EACH; PIPES]);
    sender.join().unwrap();
    // SAFETY: ours, and not used again.
    unsafe { libc::close(epoll) };
}

#[tokio::test(flavor = "current_thread")]
async fn tokio_receives_without_a_thread() {
    const MESSAGES: u64 = 5000;
    for (a, z) in pipes("tokio") {
        let sender = thread::spawn(move || {
            for n in 0..MESSAGES {
                a.send(&n.to_le_bytes()).unwrap();
                if n % 50 == 0 {
                    // Lets the receiver run dry now and then.
                    thread::yield_now();
                }
            }
            a.recv_timeout(Duration::from_secs(60)).unwrap()
        });
        // SAFETY: the descriptor is borrowed from `z`, which outlives `ready`, and is closed with `z` only.
        let ready = unsafe { AsyncFd::register(z.readiness().unwrap()) }.unwrap();
        let mut next = 0;
        while next < MESSAGES {
            let mut guard = ready.readable().await.unwrap();
            loop {
                match z.try_recv() {
                    Ok(message) => {
                        assert_eq!(message, next.to_le_bytes());
                        next += 1;
                    }
                    Err(RecvError::Empty) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            guard.clear_ready();
        }
        z.send(b"done").unwrap();
        assert_eq!(sender.join().unwrap(), b"done");
    }
}
