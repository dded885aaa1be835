//! A named pipe whose name is removed while processes are attached: nothing changes for them, and nothing is left.
//! (No test here forks: a child would hold the FIFOs open, too.)

use ringway::{Connection, End, Pipe, RecvError};
use std::os::fd::{AsRawFd, RawFd};

fn is_readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid entry.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

/// Switches readiness on and takes the byte that a named pipe starts with.
fn watched(connection: &Connection) -> RawFd {
    let ready = connection.readiness().unwrap().as_raw_fd();
    assert!(matches!(connection.try_recv(), Err(RecvError::Empty)));
    assert!(!is_readable(ready));
    ready
}

/// A directory of its own, removed at the end.
struct Place(String);

impl Place {
    fn new(test: &str) -> Self {
        let path = format!("/dev/shm/ringway-unlinked-{test}-{}", std::process::id());
        std::fs::create_dir(&path).unwrap();
        Place(path)
    }

    fn name(&self) -> String {
        format!("{}/pipe", self.0)
    }

    fn content(&self) -> Vec<std::ffi::OsString> {
        std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn readiness_outlives_the_name() {
    let place = Place::new("readiness");
    let a = Pipe::create(&place.name()).unwrap();
    let z = Pipe::open(&place.name()).unwrap();
    let ready = watched(&z);
    a.unlink().unwrap();
    // It is only now that the sender opens the FIFO.
    a.send(b"hello").unwrap();
    assert!(is_readable(ready));
    assert_eq!(z.try_recv().unwrap(), b"hello");
    drop((a, z));
    assert!(place.content().is_empty(), "{:?}", place.content());
}

#[test]
fn readiness_asked_for_without_a_name_leaves_nothing() {
    let place = Place::new("late");
    let a = Pipe::create(&place.name()).unwrap();
    let z = Pipe::open(&place.name()).unwrap();
    a.unlink().unwrap();
    let ready = watched(&z);
    a.send(b"hello").unwrap();
    assert!(is_readable(ready));
    // A new pipe of that name has FIFOs of its own.
    let b = Pipe::options().end(End::First).create(&place.name()).unwrap();
    let other = watched(&b);
    assert!(!is_readable(other));
    drop((a, z));
    assert_eq!(place.content().len(), 2, "the new one and its FIFO: {:?}", place.content());
    b.unlink().unwrap();
    drop(b);
    assert!(place.content().is_empty(), "{:?}", place.content());
}
