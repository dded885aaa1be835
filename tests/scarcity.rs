//! Descriptors and memory that are not there.

use ringway::{Pipe, RecvError};
use std::fs::File;
use std::os::fd::AsRawFd;

/// One after the other: the limit is the whole process's.
#[test]
fn what_is_not_there_is_an_error_or_comes_later() {
    more_memory_than_the_machine_has_is_an_error();
    a_sender_that_had_no_descriptor_rings_later();
}

fn a_sender_that_had_no_descriptor_rings_later() {
    let name = format!("scarcity-{}", std::process::id());
    let a = Pipe::options().ephemeral(true).create(&name).unwrap();
    let z = Pipe::open(&name).unwrap();
    let ready = z.readiness().unwrap().as_raw_fd();
    let is_readable = || {
        let mut poll = libc::pollfd { fd: ready, events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one valid entry.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    };
    assert!(matches!(z.try_recv(), Err(RecvError::Empty)));
    let few = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
    // SAFETY: `few` is valid and outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &few) }, 0);
    let hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    a.send(b"silent").unwrap();
    assert!(!is_readable());
    drop(hoard);
    a.send(b"heard").unwrap();
    assert!(is_readable());
    assert_eq!(z.recv().unwrap(), b"silent");
}

/// Memory has no size of its own: without a look at the machine, one would take all there is before the kernel
/// ends somebody. (2⁴³ bytes are 8 TiB.)
fn more_memory_than_the_machine_has_is_an_error() {
    let outcome = ringway::spsc::pair::<u64>(1 << 40).map(drop);
    assert!(matches!(outcome, Err(ringway::Error::NoSpace { needed }) if needed > 1 << 43), "{outcome:?}");
}
