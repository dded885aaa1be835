//! Segments with a sparse tail: address space that costs nothing until a piece of it is reserved.

use super::*;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

const TAIL: u64 = 1 << 36;

/// A kind of its own: those there are have no tail.
fn expected() -> Expected {
    let plan = Plan { kind: Kind::Unknown(77), tail_len: TAIL, params: [1, 2, 3, 4], ..plan() };
    Expected { plan, ..super::expected() }
}

/// The bytes that a file really takes.
fn taken(segment: &Segment) -> u64 {
    let fd = segment.as_fd().try_clone_to_owned().unwrap();
    std::fs::File::from(fd).metadata().unwrap().blocks() * 512
}

fn solid(segment: &Segment) -> u64 {
    segment.geometry().file_len - TAIL
}

#[test]
fn a_tail_takes_space_only_where_it_is_reserved() {
    let place = Place::new();
    let prefault = crate::sys::memory::PageOptions { prefault: true, huge: false };
    let terms = Terms { pages: prefault, ..terms() };
    let (named, unlinked) = Segment::create(&place.name("a"), &expected(), &terms).unwrap();
    unlinked.link(&named).unwrap();
    let anonymous = Segment::anonymous(&expected(), &terms).unwrap();
    let opened = Segment::open(&place.name("a"), &expected(), &terms).unwrap();
    assert_eq!(opened.geometry(), named.geometry());
    assert_eq!(opened.geometry().params, [1, 2, 3, 4]);
    let passed = anonymous.as_fd().try_clone_to_owned().unwrap();
    let passed = Segment::from_fd(passed, &expected(), &terms).unwrap();
    for (ours, theirs) in [(named, opened), (anonymous, passed)] {
        assert_eq!(taken(&ours), solid(&ours), "prefaulting leaves the tail alone");
        let (at, len) = (TAIL - (1 << 20), 1 << 20);
        ours.reserve_tail(at, len).unwrap();
        assert_eq!(taken(&ours), solid(&ours) + len);
        // SAFETY: inside the tail, reserved, and only this test uses it.
        let first = unsafe { ours.tail().add(at as usize) };
        // SAFETY: as above.
        unsafe { first.write_bytes(7, len as usize) };
        // SAFETY: as above.
        let last = unsafe { theirs.tail().add(TAIL as usize - 1) };
        // SAFETY: as above.
        assert_eq!(unsafe { last.read_volatile() }, 7);
        theirs.punch_tail(at, len).unwrap();
        theirs.punch_tail(at, 0).unwrap();
        assert_eq!(taken(&ours), solid(&ours));
        ours.reserve_tail(at, len).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { last.read_volatile() }, 0);
    }
}

#[test]
fn nothing_is_reserved_or_punched_outside_the_tail() {
    let segment = Segment::anonymous(&expected(), &terms()).unwrap();
    body(&segment).free[0].store(7, Ordering::Relaxed);
    for (at, len) in [(TAIL, 1), (0, TAIL + 1), (u64::MAX, 2), (1, u64::MAX), (u64::MAX - 4095, 8192)] {
        assert!(segment.reserve_tail(at, len).is_err());
        assert!(segment.punch_tail(at, len).is_err());
    }
    assert_eq!(taken(&segment), solid(&segment));
    assert_eq!(body(&segment).free[0].load(Ordering::Relaxed), 7);
}

#[test]
fn a_tail_beyond_the_limit_on_file_sizes_is_an_error_and_no_signal() {
    let place = Place::new();
    fork(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
        // SAFETY: a valid limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        let made = Segment::create(&place.name("a"), &expected(), &terms());
        assert!(matches!(made, Err(Error::NoSpace { .. })), "{made:?}");
        assert!(matches!(Segment::anonymous(&expected(), &terms()), Err(Error::NoSpace { .. })));
        assert_eq!(place.files(), [""; 0]);
    })
    .join();
}
