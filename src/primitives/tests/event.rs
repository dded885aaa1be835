use crate::{Deadline, Error, Event, Wait};
use std::os::fd::AsFd;
use std::time::Duration;

#[test]
fn it_is_set_or_not() {
    let event = Event::anonymous().unwrap();
    assert!(!event.is_set() && !event.clear());
    assert!(!event.wait_timeout(Duration::from_millis(1)) && !event.wait_deadline(Deadline::NOW));
    event.set();
    event.set();
    event.wait();
    assert!(event.is_set() && event.wait_timeout(Duration::ZERO));
    assert!(event.clear() && !event.is_set() && !event.clear());
}

#[test]
fn all_who_wait_go_on_though_it_is_cleared_at_once() {
    for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
        let event = Event::anonymous().unwrap();
        let other = Event::from_fd(event.as_fd().try_clone_to_owned().unwrap()).unwrap().with_wait(wait);
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| other.wait())).collect();
            while waiting.iter().any(|thread| !thread.is_finished()) {
                event.set();
                event.clear();
            }
        });
    }
}

/// A handler interrupts the very thread that waits.
#[test]
fn a_signal_handler_sets_it() {
    static EVENT: std::sync::OnceLock<Event> = std::sync::OnceLock::new();
    extern "C" fn handler(_: libc::c_int) {
        if let Some(event) = EVENT.get() {
            event.set();
        }
    }
    let event = EVENT.get_or_init(|| Event::anonymous().unwrap());
    let handler: extern "C" fn(libc::c_int) = handler;
    // SAFETY: the handler only sets the event, which is never dropped; nobody else in this process uses the signal.
    unsafe { libc::signal(libc::SIGRTMIN() + 3, handler as libc::sighandler_t) };
    // SAFETY: no memory is involved.
    let thread = unsafe { libc::pthread_self() };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while event.flag().waiting().counts().1 == 0 {
                std::thread::yield_now();
            }
            // SAFETY: the thread waits for the event, which nobody else sets.
            unsafe { libc::pthread_kill(thread, libc::SIGRTMIN() + 3) };
        });
        event.with_wait(Wait::Park).wait();
    });
}

#[test]
fn it_is_nothing_else() {
    let event = Event::anonymous().unwrap();
    let fd = event.as_fd().try_clone_to_owned().unwrap();
    assert!(matches!(crate::Condvar::from_fd(fd), Err(Error::WrongKind { .. })));
    assert!(matches!(Event::options().capacity(3).anonymous(), Err(Error::BadCapacity { asked: 3, .. })));
}
