//! Event loops and futures.

use super::*;
use crate::JoinableQueue;
use crate::segment::tests::fork;
use crate::sync::{AtomicU64, Ordering};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Longer than anything here takes on the busiest machine.
const PATIENCE: i32 = 120_000;

/// Whether the descriptor becomes readable within so many milliseconds.
fn is_readable(fd: BorrowedFd<'_>, millis: i32) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&mut poll, 1, millis) == 1 }
}

#[test]
fn readable_while_there_is_something() {
    let queue = Queue::<u64>::anonymous(4).unwrap();
    let sender = queue.clone();
    queue.send(0).unwrap();
    let ready = queue.readiness().unwrap();
    for round in 0..100 {
        assert!(is_readable(ready, PATIENCE), "round {round}");
        assert_eq!(queue.try_recv().unwrap(), round * 2);
        assert!(!is_readable(ready, 0), "round {round}");
        sender.send(round * 2 + 1).unwrap();
        sender.send(round * 2 + 2).unwrap();
        assert!(is_readable(ready, PATIENCE), "round {round}");
        assert_eq!(queue.try_recv().unwrap(), round * 2 + 1);
        assert!(is_readable(ready, PATIENCE), "round {round}: one is left");
    }
    queue.recv().unwrap();
    assert!(!is_readable(ready, 0));
    queue.close();
    assert!(is_readable(ready, PATIENCE));
    assert!(matches!(queue.try_recv(), Err(RecvError::Closed)));
    assert!(is_readable(ready, 0), "the end stays");
    assert!(is_readable(queue.clone().readiness().unwrap(), PATIENCE));
}

#[test]
fn whom_another_forestalled_is_told_again() {
    let queue = Queue::<[u8]>::anonymous(4).unwrap();
    let other = queue.with_wait(Wait::Park).unwrap();
    let ready = queue.readiness().unwrap();
    for _ in 0..20 {
        other.send(b"message").unwrap();
        assert!(is_readable(ready, PATIENCE));
        // By another handle, as another process would.
        other.recv().unwrap();
        assert!(matches!(queue.try_recv(), Err(RecvError::Empty)));
        assert!(!is_readable(ready, 0));
    }
}

#[test]
fn a_task_that_comes_back_is_told_of() {
    let jobs = JoinableQueue::<u64>::anonymous(4).unwrap();
    let ready = jobs.readiness().unwrap();
    jobs.send(1).unwrap();
    assert!(is_readable(ready, PATIENCE));
    let task = jobs.try_recv().unwrap();
    assert!(!is_readable(ready, 0));
    drop(task);
    assert!(is_readable(ready, PATIENCE));
}

#[test]
fn writable_while_there_is_space() {
    let queue = Queue::<u64>::anonymous(2).unwrap();
    let ready = queue.send_readiness().unwrap();
    for _ in 0..20 {
        assert!(is_readable(ready, PATIENCE));
        while queue.try_send(1).is_ok() {}
        assert!(!is_readable(ready, 0));
        queue.recv().unwrap();
        assert!(is_readable(ready, PATIENCE));
    }
    let bytes =
        Queue::<[u8]>::options().capacity(9).max_held(0).message_size(64).max_bytes(0).anonymous().unwrap();
    let ready = bytes.send_readiness().unwrap();
    let mut loans: Vec<_> = std::iter::from_fn(|| bytes.try_reserve(64).ok()).collect();
    assert!(!is_readable(ready, 0), "there are places, but no memory");
    loans.pop();
    assert!(is_readable(ready, PATIENCE));
}

#[test]
fn a_child_has_a_watch_of_its_own() {
    let queue = Queue::<u64>::anonymous(4).unwrap();
    let ready = queue.readiness().unwrap();
    assert!(!is_readable(ready, 0));
    let child = fork(|| {
        let own = queue.readiness().unwrap();
        assert!(own.as_raw_fd() != ready.as_raw_fd());
        assert!(is_readable(own, PATIENCE));
        assert_eq!(queue.recv().unwrap(), 7);
    });
    queue.send(7).unwrap();
    child.join();
    assert!(matches!(queue.try_recv(), Err(RecvError::Empty)));
    queue.send(8).unwrap();
    assert!(is_readable(ready, PATIENCE));
}

fn run<R>(future: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

#[test]
fn futures_send_and_receive() {
    run(async {
        let queue = Queue::<u64>::anonymous(2).unwrap();
        let bytes = Queue::<[u8]>::anonymous(1).unwrap();
        let send = async {
            for number in 0..500 {
                queue.send_async(number).await.unwrap();
            }
            queue.close();
        };
        let pass = async {
            while let Ok(number) = queue.recv_async().await {
                bytes.send_async(&vec![number as u8; number as usize]).await.unwrap();
            }
            bytes.close();
        };
        let receive = async {
            let mut count = 0;
            while let Ok(message) = bytes.recv_async().await {
                assert_eq!(*message, vec![count as u8; count]);
                count += 1;
            }
            count
        };
        assert_eq!(tokio::join!(send, pass, receive).2, 500);
    });
}

#[test]
fn a_dropped_future_takes_nothing_and_others_are_told() {
    run(async {
        let jobs = JoinableQueue::<u64>::anonymous(4).unwrap();
        let (first, second) = (jobs.clone(), jobs.clone());
        let taken = AtomicU64::new(0);
        let sender = std::thread::spawn({
            let jobs = jobs.clone();
            move || (0..300).for_each(|number| jobs.send(number).unwrap())
        });
        let take = async |jobs: JoinableQueue<u64>| {
            while taken.load(Ordering::Relaxed) < 300 {
                // Given up again and again.
                let soon = Duration::from_micros(50);
                if let Ok(task) = tokio::time::timeout(soon, jobs.recv_async()).await {
                    task.unwrap().done().unwrap();
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        tokio::join!(take(first), take(second));
        sender.join().unwrap();
        jobs.join().unwrap();
    });
}

#[test]
fn tokio_polls_the_descriptor() {
    run(async {
        let queue = Queue::<u64>::anonymous(2).unwrap();
        // SAFETY: the descriptor belongs to the queue, which outlives this.
        let ready = unsafe { tokio::io::unix::AsyncFd::register(queue.readiness().unwrap()) }.unwrap();
        let sender = std::thread::spawn({
            let queue = queue.clone();
            move || (0..200).for_each(|number| queue.send(number).unwrap())
        });
        let mut next = 0;
        while next < 200 {
            let mut guard = ready.readable().await.unwrap();
            while let Ok(number) = queue.try_recv() {
                assert_eq!(number, next);
                next += 1;
            }
            guard.clear_ready();
        }
        sender.join().unwrap();
    });
}

#[test]
fn the_watching_thread_ends_with_its_handle() {
    let queue = Queue::<u64>::anonymous(2).unwrap();
    for _ in 0..20 {
        let handle = queue.with_wait(Wait::Park).unwrap();
        handle.readiness().unwrap();
        handle.send_readiness().unwrap();
    }
    let threads = std::fs::read_dir("/proc/self/task").unwrap().filter(|task| {
        let name = task.as_ref().unwrap().path().join("comm");
        std::fs::read_to_string(name).is_ok_and(|name| name.trim() == "ringway-watch")
    });
    // Those of tests beside this one may be there: not twenty times two.
    assert!(threads.count() < 30);
}
