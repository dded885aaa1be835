//! Event loops and futures.

use crate::segment::tests::fork;
use crate::sync::{AtomicU64, Ordering};
use crate::wait::Waiter;
use crate::{AcquireError, Deadline, Event, OwnedSemaphore, Semaphore, Wait};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

/// Longer than anything here takes on the busiest machine.
const PATIENCE: i32 = 120_000;

/// Whether the descriptor becomes readable within so many milliseconds.
fn is_readable(fd: BorrowedFd<'_>, millis: i32) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&mut poll, 1, millis) == 1 }
}

fn run<R>(future: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// A handle of another attachment, as another process has it.
fn other_event(event: &Event) -> Event {
    Event::from_fd(event.as_fd().try_clone_to_owned().unwrap()).unwrap()
}

#[test]
fn an_event_is_readable_while_it_is_set() {
    let event = Event::anonymous().unwrap();
    let other = other_event(&event);
    event.set();
    let ready = event.readiness().unwrap();
    for round in 0..100 {
        assert!(is_readable(ready, PATIENCE), "round {round}");
        assert!(event.is_set() && is_readable(ready, 0), "level-triggered");
        assert!(event.clear());
        assert!(!is_readable(ready, 0), "round {round}");
        other.set();
        assert!(is_readable(ready, PATIENCE), "round {round}");
        // Behind our back.
        assert!(other.clear());
        match round % 3 {
            0 => assert!(!event.is_set()),
            1 => assert!(!event.clear()),
            _ => assert!(!event.wait_timeout(Duration::ZERO)),
        }
        assert!(!is_readable(ready, 0), "round {round}");
        event.clone().set();
    }
}

#[test]
fn a_semaphore_is_readable_while_there_is_a_permit() {
    let permits = Semaphore::anonymous(1).unwrap();
    let other = Semaphore::from_fd(permits.as_fd().try_clone_to_owned().unwrap()).unwrap();
    let ready = permits.readiness().unwrap();
    for round in 0..100 {
        assert!(is_readable(ready, PATIENCE), "round {round}");
        permits.try_acquire().unwrap();
        assert!(!is_readable(ready, 0), "round {round}");
        other.release_many(2).unwrap();
        assert!(is_readable(ready, PATIENCE), "round {round}");
        permits.acquire().unwrap();
        assert!(is_readable(ready, PATIENCE), "round {round}: one is left");
        // Behind our back.
        other.acquire().unwrap();
        assert!(matches!(permits.try_acquire(), Err(AcquireError::WouldBlock)));
        assert!(!is_readable(ready, 0), "round {round}");
        other.release().unwrap();
    }
}

#[test]
fn who_wanted_several_permits_is_told_of_so_many() {
    let permits = Semaphore::anonymous(2).unwrap();
    let ready = permits.readiness().unwrap();
    assert!(is_readable(ready, PATIENCE));
    for round in 0..20 {
        assert!(permits.try_acquire_many(4).is_err());
        assert!(!is_readable(ready, 0), "round {round}");
        permits.release().unwrap();
        assert!(!is_readable(ready, 0), "round {round}: three");
        permits.release().unwrap();
        assert!(is_readable(ready, PATIENCE), "round {round}: four");
        permits.try_acquire_many(4).unwrap();
        assert!(!is_readable(ready, 0));
        permits.release_many(2).unwrap();
        assert!(is_readable(ready, PATIENCE), "round {round}: one is enough again");
    }
}

/// What one handle's polls wait for changes while its thread is asleep.
#[test]
fn nobody_is_forgotten_who_wants_less_than_another() {
    let permits = Semaphore::anonymous(0).unwrap();
    let ready = permits.readiness().unwrap();
    std::thread::scope(|scope| {
        for wanted in [3, 1] {
            let permits = &permits;
            scope.spawn(move || {
                let mut taken = 0;
                while taken < 120 {
                    match permits.try_acquire_many(wanted) {
                        Ok(()) => taken += wanted,
                        Err(_) => assert!(is_readable(ready, PATIENCE)),
                    }
                }
            });
        }
        for _ in 0..80 {
            permits.release_many(3).unwrap();
            std::thread::yield_now();
        }
    });
    assert_eq!(permits.available(), 0);
}

#[test]
fn permits_with_owners_are_told_of_too() {
    let permits = OwnedSemaphore::anonymous(2).unwrap();
    let ready = permits.readiness().unwrap();
    for round in 0..20 {
        assert!(is_readable(ready, PATIENCE), "round {round}");
        let first = permits.try_acquire().unwrap();
        assert!(is_readable(ready, PATIENCE), "round {round}: one is left");
        let second = permits.acquire().unwrap();
        assert!(!is_readable(ready, 0), "round {round}");
        assert!(permits.try_acquire().is_err());
        assert!(!is_readable(ready, 0), "round {round}");
        drop(first);
        assert!(is_readable(ready, PATIENCE), "round {round}");
        drop(second);
    }
}

#[test]
fn what_a_killed_holder_had_is_told_of() {
    for is_future in [false, true] {
        let (permits, taken) = (OwnedSemaphore::anonymous(1).unwrap(), Event::anonymous().unwrap());
        let child = fork(|| {
            core::mem::forget(permits.acquire().unwrap());
            taken.set();
        });
        taken.wait();
        let permit = if is_future {
            run(permits.acquire_async()).unwrap()
        } else {
            assert!(is_readable(permits.readiness().unwrap(), PATIENCE));
            permits.try_acquire().unwrap()
        };
        assert!(permit.was_recovered() && permits.recovered() == 1);
        child.join();
    }
}

#[test]
fn a_child_has_polls_of_its_own() {
    let event = Event::anonymous().unwrap();
    let permits = Semaphore::anonymous(0).unwrap();
    let ready = [event.readiness().unwrap(), permits.readiness().unwrap()];
    assert!(ready.iter().all(|ready| !is_readable(*ready, 0)));
    let child = fork(|| {
        let own = [event.readiness().unwrap(), permits.readiness().unwrap()];
        assert!(own.iter().all(|own| is_readable(*own, PATIENCE)));
        assert!(event.is_set());
        permits.try_acquire().unwrap();
    });
    event.set();
    permits.release().unwrap();
    child.join();
    assert!(is_readable(ready[0], PATIENCE));
    assert!(permits.try_acquire().is_err() && !is_readable(ready[1], 0));
    permits.release().unwrap();
    assert!(is_readable(ready[1], PATIENCE));
}

/// A handler sets it in the middle of whatever the thread does with the same handle, which is polled.
#[test]
fn a_signal_handler_sets_a_polled_event() {
    static EVENT: std::sync::OnceLock<Event> = std::sync::OnceLock::new();
    extern "C" fn handler(_: libc::c_int) {
        if let Some(event) = EVENT.get() {
            event.set();
        }
    }
    let event = EVENT.get_or_init(|| Event::anonymous().unwrap());
    let handler: extern "C" fn(libc::c_int) = handler;
    // SAFETY: the handler only sets the event, which is never dropped; nobody else in this process uses the signal.
    unsafe { libc::signal(libc::SIGRTMIN() + 4, handler as libc::sighandler_t) };
    // SAFETY: no memory is involved.
    let thread = unsafe { libc::pthread_self() };
    let ready = event.readiness().unwrap();
    let (wanted, over) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut sent = 0;
            while over.load(Ordering::Acquire) == 0 {
                if sent < wanted.load(Ordering::Acquire) {
                    // SAFETY: the thread is alive: it waits for this scope.
                    unsafe { libc::pthread_kill(thread, libc::SIGRTMIN() + 4) };
                    sent += 1;
                }
            }
        });
        for round in 1..=500 {
            wanted.store(round, Ordering::Release);
            // Interrupted here or there.
            while !event.clear() {
                is_readable(ready, PATIENCE);
            }
        }
        over.store(1, Ordering::Release);
    });
}

#[test]
fn futures_wait_for_events_and_permits() {
    run(async {
        let (event, answer) = (Event::anonymous().unwrap(), Event::anonymous().unwrap());
        let permits = Semaphore::anonymous(0).unwrap();
        let owned = OwnedSemaphore::anonymous(1).unwrap();
        let ask = async {
            for _ in 0..200 {
                permits.release().unwrap();
                let _licence = owned.acquire_async().await.unwrap();
                event.set();
                answer.wait_async().await.unwrap();
                assert!(answer.clear());
            }
        };
        let reply = async {
            for _ in 0..200 {
                event.wait_async().await.unwrap();
                assert!(event.clear());
                permits.acquire_async().await.unwrap();
                answer.set();
            }
        };
        tokio::join!(ask, reply);
        assert_eq!(permits.available(), 0);
        let refused = permits.acquire_many_async(u32::MAX).await;
        assert!(matches!(refused, Err(AcquireError::TooMany { .. })));
    });
}

/// Between the setting and the clearing nobody has time to look.
#[test]
fn a_future_does_not_miss_an_event_that_is_cleared_at_once() {
    run(async {
        let event = Event::anonymous().unwrap();
        let other = other_event(&event);
        for _ in 0..100 {
            let mut waiting = Box::pin(event.wait_async());
            assert!(futures_poll_once(&mut waiting).await.is_none());
            other.set();
            other.clear();
            waiting.await.unwrap();
        }
    });
}

/// Polls it once; `None` if it is not ready.
async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    core::future::poll_fn(|context| {
        let polled = core::pin::Pin::new(&mut *future).poll(context);
        core::task::Poll::Ready(match polled {
            core::task::Poll::Ready(output) => Some(output),
            core::task::Poll::Pending => None,
        })
    })
    .await
}

#[test]
fn futures_that_are_given_up_take_no_permit_along() {
    run(async {
        let permits = Semaphore::anonymous(0).unwrap();
        let giver = std::thread::spawn({
            let permits = permits.clone();
            move || (0..300).for_each(|_| permits.release().unwrap())
        });
        let taken = AtomicU64::new(0);
        let take = async |count: u32| {
            while taken.load(Ordering::Relaxed) < 300 {
                let soon = Duration::from_micros(50);
                if let Ok(result) = tokio::time::timeout(soon, permits.acquire_many_async(count)).await {
                    result.unwrap();
                    taken.fetch_add(count.into(), Ordering::Relaxed);
                }
            }
        };
        tokio::join!(take(1), take(3), take(1));
        giver.join().unwrap();
        assert_eq!(u64::from(permits.available()) + taken.load(Ordering::Relaxed), 300);
    });
}

/// A thread that tells others takes nothing: who sleeps at the same semaphore gets the permit though the thread was the
/// one that was woken for it.
/// Tasks that wait with a time limit, again and again, for what never comes.
#[test]
fn futures_that_are_given_up_leave_no_waker_behind() {
    struct Nobody;
    impl std::task::Wake for Nobody {
        fn wake(self: std::sync::Arc<Self>) {}
    }
    let (event, permits) = (Event::anonymous().unwrap(), Semaphore::anonymous(0).unwrap());
    for _ in 0..10 {
        let (first, then) = (std::sync::Arc::new(Nobody), std::sync::Arc::new(Nobody));
        let mut waits = (Box::pin(event.wait_async()), Box::pin(permits.acquire_async()));
        for task in [&first, &then, &then] {
            let waker = std::task::Waker::from(std::sync::Arc::clone(task));
            let mut context = std::task::Context::from_waker(&waker);
            assert!(waits.0.as_mut().poll(&mut context).is_pending());
            assert!(waits.1.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(std::sync::Arc::strong_count(&first), 1, "replaced by that of the last poll");
        assert_eq!(std::sync::Arc::strong_count(&then), 3);
        drop(waits);
        assert_eq!(std::sync::Arc::strong_count(&then), 1);
    }
}

#[test]
fn whoever_is_told_and_takes_nothing_is_in_nobodys_way() {
    let permits = Semaphore::anonymous(0).unwrap();
    let polled = Semaphore::from_fd(permits.as_fd().try_clone_to_owned().unwrap()).unwrap();
    polled.readiness().unwrap();
    for _ in 0..100 {
        // It is armed again.
        assert!(polled.try_acquire().is_err());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Without slices: a wake-up that is lost stays lost.
                let (mut waiter, barrier) = (Waiter::unsliced(Wait::Park), permits.attachment.barrier);
                permits
                    .count()
                    .take(1, permits.bound().into(), &mut waiter, barrier, Deadline::NEVER)
                    .unwrap();
            });
            permits.release().unwrap();
        });
    }
}

#[test]
fn epoll_and_tokio_wait_for_both() {
    run(async {
        let (event, permits) = (Event::anonymous().unwrap(), Semaphore::anonymous(0).unwrap());
        // SAFETY: the descriptor belongs to the event, which outlives this.
        let is_set = unsafe { tokio::io::unix::AsyncFd::register(event.readiness().unwrap()) }.unwrap();
        // SAFETY: as above.
        let has_permit = unsafe { tokio::io::unix::AsyncFd::register(permits.readiness().unwrap()) }.unwrap();
        let other = std::thread::spawn({
            let (event, permits) = (event.clone(), permits.clone());
            move || {
                (0..200).for_each(|_| permits.release().unwrap());
                event.set();
            }
        });
        let mut taken = 0;
        while taken < 200 {
            let mut guard = has_permit.readable().await.unwrap();
            while permits.try_acquire().is_ok() {
                taken += 1;
            }
            guard.clear_ready();
        }
        is_set.readable().await.unwrap().clear_ready();
        assert!(event.is_set());
        other.join().unwrap();
    });
}

/// Threads of this process that sleep for event loops.
fn watching() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().filter(|task| {
        let name = task.as_ref().unwrap().path().join("comm");
        std::fs::read_to_string(name).is_ok_and(|name| name.trim() == "ringway-watch")
    });
    threads.count()
}

#[test]
fn the_watching_thread_ends_with_its_handle() {
    for _ in 0..20 {
        let (event, permits) = (Event::anonymous().unwrap(), Semaphore::anonymous(0).unwrap());
        let owned = OwnedSemaphore::anonymous(1).unwrap();
        event.readiness().unwrap();
        permits.readiness().unwrap();
        owned.readiness().unwrap();
    }
    // Those of tests beside this one may be there: not twenty times three.
    assert!(watching() < 40);
}

/// The last handle and its future are dropped by a waker, on the watching thread itself.
#[test]
fn a_waker_drops_the_handle() {
    type Waiting = core::pin::Pin<Box<dyn Future<Output = Result<(), crate::Error>> + Send>>;
    struct Last(std::sync::Mutex<Option<(Event, Waiting)>>, std::sync::mpsc::Sender<()>);
    impl std::task::Wake for Last {
        fn wake(self: std::sync::Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            self.1.send(()).unwrap();
        }
    }
    let (told, dropped) = std::sync::mpsc::channel();
    let event = Event::anonymous().unwrap();
    let other = other_event(&event);
    let last = std::sync::Arc::new(Last(std::sync::Mutex::new(None), told));
    let waker = std::task::Waker::from(std::sync::Arc::clone(&last));
    let mut waiting: Waiting = Box::pin({
        let event = event.clone();
        async move { event.wait_async().await }
    });
    assert!(waiting.as_mut().poll(&mut core::task::Context::from_waker(&waker)).is_pending());
    *last.0.lock().unwrap() = Some((event, waiting));
    other.set();
    dropped.recv().unwrap();
}
