//! Sockets and FIFOs as the bell uses them.

use super::*;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// Runs `check` in a forked child, where no other test's children hold copies of its descriptors.
fn alone(check: impl FnOnce() -> bool) {
    // SAFETY: the child makes system calls only and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = i32::from(!check());
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(code) };
    }
    assert!(child > 0, "fork: {}", io::Error::last_os_error());
    let mut status = -1;
    // SAFETY: `status` is ours to fill.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child's check failed");
}

fn sockets() -> (OwnedFd, OwnedFd) {
    pair().expect("a pair of sockets")
}

#[test]
fn bytes_arrive_and_are_taken_one_by_one() {
    let (ours, theirs) = sockets();
    let (clapper, ear) = (Line::new(ours.as_fd()), Line::new(theirs.as_fd()));
    assert!(!ear.is_there() && !ear.take());
    assert!(clapper.put() && clapper.put());
    assert!(ear.is_there() && !clapper.is_there(), "they arrive at the other end only");
    assert!(ear.take(), "one more");
    assert!(!ear.take(), "none more");
    assert!(!ear.is_there());
    assert_eq!(listen(theirs.as_fd(), 0), Heard::TimedOut);
}

#[test]
fn a_full_buffer_refuses_and_loses_nothing() {
    let (ours, theirs) = sockets();
    let (clapper, ear) = (Line::new(ours.as_fd()), Line::new(theirs.as_fd()));
    let mut put = 0;
    while clapper.put() {
        put += 1;
    }
    let mut taken = 1;
    while ear.take() {
        taken += 1;
    }
    assert!(put > 1);
    assert_eq!(put, taken);
    assert!(clapper.put(), "there is room again");
}

#[test]
fn foreign_bytes_are_left_alone() {
    let (ours, theirs) = sockets();
    let (clapper, ear) = (Line::new(ours.as_fd()), Line::new(theirs.as_fd()));
    let mut talk = UnixStream::from(ours.try_clone().expect("a copy"));
    assert!(clapper.put());
    talk.write_all(b"hello").expect("room");
    assert!(clapper.put());
    assert!(!ear.take(), "the byte in front is ours, the one behind it is not");
    assert!(!ear.is_there() && !ear.take());
    let mut heard = [0; 5];
    UnixStream::from(theirs.try_clone().expect("a copy")).read_exact(&mut heard).expect("their words");
    assert_eq!(&heard, b"hello");
    assert!(ear.is_there() && !ear.take());
    assert!(!ear.is_there());
}

/// Sends `byte` with a copy of `fd` attached.
fn send_descriptor(through: &OwnedFd, byte: u8, fd: &OwnedFd) {
    let mut part = libc::iovec { iov_base: (&raw const byte).cast_mut().cast(), iov_len: 1 };
    let mut control = [0_u64; 4];
    // SAFETY: all zeroes is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: arithmetic only.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as usize;
    // SAFETY: the message has room for one control header.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: so it is not null, and `control` is aligned for it and used by nobody else until the call.
    let header = unsafe { &mut *header };
    header.cmsg_level = libc::SOL_SOCKET;
    header.cmsg_type = libc::SCM_RIGHTS;
    // SAFETY: arithmetic only.
    header.cmsg_len = unsafe { libc::CMSG_LEN(4) } as usize;
    // SAFETY: the header lies in `control`, which has room for one descriptor behind it.
    let place = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: as above; four bytes, aligned behind a header of eight-byte words.
    unsafe { place.cast::<i32>().write(fd.as_raw_fd()) };
    // SAFETY: the message and all it names outlive the call.
    let sent = unsafe { libc::sendmsg(through.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    assert_eq!(sent, 1);
}

/// Reads one byte and says whether a descriptor came with it, which it closes.
fn receive_descriptor(through: &OwnedFd) -> (u8, bool) {
    let mut byte = 0_u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut control = [0_u64; 4];
    // SAFETY: all zeroes is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the message and all it names outlive the call.
    let got = unsafe { libc::recvmsg(through.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    assert_eq!(got, 1);
    // SAFETY: the kernel filled in the message.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if header.is_null() {
        return (byte, false);
    }
    // SAFETY: the header is not null and lies in `control`, behind it the one descriptor sent.
    let place = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: as above.
    let fd = unsafe { place.cast::<i32>().read() };
    // SAFETY: the kernel just installed it for us.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    (byte, true)
}

#[test]
fn a_byte_that_carries_a_descriptor_is_not_ours() {
    let (ours, theirs) = sockets();
    let (clapper, ear) = (Line::new(ours.as_fd()), Line::new(theirs.as_fd()));
    assert!(clapper.put());
    send_descriptor(&ours, BYTE, &ours);
    assert!(clapper.put());
    assert!(ear.is_there(), "the first byte is ours, though one with a descriptor follows");
    ear.take();
    assert!(!ear.is_there() && !ear.take());
    assert_eq!(receive_descriptor(&theirs), (BYTE, true), "and that one is still there, descriptor and all");
    assert!(ear.is_there() && !ear.take());
}

#[test]
fn looking_installs_no_descriptor() {
    alone(|| {
        let (ours, theirs) = sockets();
        send_descriptor(&ours, BYTE, &ours);
        let ear = Line::new(theirs.as_fd());
        let before = ours.try_clone().map(|fd| fd.as_raw_fd());
        let seen = ear.is_there() || ear.take();
        let after = ours.try_clone().map(|fd| fd.as_raw_fd());
        !seen && before.is_ok_and(|before| after.is_ok_and(|after| after == before))
    });
}

#[test]
fn a_closed_partner_hangs_up() {
    alone(|| {
        let (ours, theirs) = sockets();
        let copy = theirs.try_clone();
        drop(theirs);
        let alive = !is_hung_up(ours.as_fd());
        drop(copy);
        alive && is_hung_up(ours.as_fd()) && !Line::new(ours.as_fd()).put()
    });
}

#[test]
fn a_partner_that_goes_with_our_byte_unread_hangs_up_for_good() {
    alone(|| {
        let (ours, theirs) = sockets();
        let line = Line::new(ours.as_fd());
        let put = line.put();
        drop(theirs);
        // The reset is reported once, to whoever reads first; the hang-up stays.
        put && is_hung_up(ours.as_fd()) && !line.is_there() && is_hung_up(ours.as_fd())
    });
}

#[test]
fn what_came_before_the_hang_up_is_still_there() {
    alone(|| {
        let (ours, theirs) = sockets();
        let put = Line::new(theirs.as_fd()).put();
        drop(theirs);
        let line = Line::new(ours.as_fd());
        put && is_hung_up(ours.as_fd()) && line.is_there() && !line.take() && is_hung_up(ours.as_fd())
    });
}

#[test]
fn a_partner_that_stops_sending_hangs_up() {
    let (ours, theirs) = sockets();
    assert!(!is_hung_up(ours.as_fd()));
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::shutdown(theirs.as_raw_fd(), libc::SHUT_WR) }, 0);
    assert!(is_hung_up(ours.as_fd()));
}

#[test]
fn listening_ends_at_its_deadline_and_not_before() {
    let (ours, _theirs) = sockets();
    let until = clock::now() + 3_000_000;
    assert_eq!(listen(ours.as_fd(), until), Heard::TimedOut);
    assert!(clock::now() >= until);
}

#[test]
fn a_byte_ends_the_listening() {
    let (ours, theirs) = sockets();
    std::thread::scope(|scope| {
        let listener = scope.spawn(|| listen(theirs.as_fd(), u64::MAX));
        assert!(Line::new(ours.as_fd()).put());
        assert_eq!(listener.join().expect("no panic"), Heard::Readable);
    });
}

/// A directory of this test's own, removed at its end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringway-socket-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        Scratch(path)
    }

    fn open(&self) -> std::fs::File {
        std::fs::File::open(&self.0).expect("our directory")
    }

    fn fifo(&self, mode: u32) -> Result<Fifo, Error> {
        Fifo::open(self.open().as_fd(), c".bell-x-0", mode, identity::effective_user())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn two_openers_meet_in_one_fifo() {
    let dir = Scratch::new("meet");
    let (one, other) = (dir.fifo(0o600).expect("made"), dir.fifo(0o600).expect("opened"));
    assert!(!one.is_there() && !one.take());
    assert!(one.put() && other.put());
    assert!(other.is_there());
    assert_eq!(listen(other.as_fd(), 0), Heard::Readable);
    assert!(other.take() && !one.take());
    drop(one);
    assert_eq!(listen(other.as_fd(), 0), Heard::TimedOut, "a FIFO does not hang up");
}

#[test]
fn a_full_fifo_has_a_byte() {
    let dir = Scratch::new("full");
    let fifo = dir.fifo(0o600).expect("made");
    for _ in 0..70_000 {
        assert!(fifo.put());
    }
    assert!(fifo.is_there());
}

#[test]
fn what_is_no_fifo_of_ours_is_refused() {
    let dir = Scratch::new("refused");
    let path = dir.0.join(".bell-x-0");
    std::fs::write(&path, b"").expect("a file");
    assert!(matches!(dir.fifo(0o600), Err(Error::NotRegular { what: "a regular file", .. })));
    std::fs::remove_file(&path).expect("our file");
    std::os::unix::fs::symlink("elsewhere", &path).expect("a link");
    assert!(matches!(dir.fifo(0o600), Err(Error::NotRegular { what: "a symbolic link", .. })));
    std::fs::remove_file(&path).expect("our link");
    drop(dir.fifo(0o660).expect("made"));
    assert_eq!(Stat::of(dir.fifo(0o660).expect("opened").as_fd()).expect("a FIFO").mode(), 0o660);
    assert!(matches!(dir.fifo(0o600), Err(Error::TooPermissive { mode: 0o660, allowed: 0o600 })));
}
