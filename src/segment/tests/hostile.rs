//! Files that are not what they should be: an error for each, and never more than that.

use super::*;
use crate::segment::layout::{Header, MAX_PARTICIPANTS};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

/// A segment nobody is attached to, in a directory of its own.
fn victim() -> (Place, String) {
    let place = Place::new();
    let name = place.name("victim");
    drop(create(&name));
    (place, name)
}

fn header_of(name: &str) -> Header {
    let bytes = std::fs::read(name).unwrap();
    bytemuck::pod_read_unaligned(&bytes[..size_of::<Header>()])
}

/// What opening says to a header with one thing changed.
#[track_caller]
fn lie(change: impl FnOnce(&mut Header)) -> Error {
    let (_place, name) = victim();
    forge(&name, change);
    open(&name).unwrap_err()
}

#[test]
fn every_wrong_header_has_its_error() {
    assert!(matches!(lie(|h| h.magic[3] ^= 1), Error::BadMagic { found } if &found[..3] == b"RIN"));
    assert!(matches!(lie(|h| h.version = 1), Error::WrongVersion { found: 1, expected: 2 }));
    assert!(matches!(lie(|h| h.endian = h.endian.swap_bytes()), Error::WrongEndian));
    assert!(matches!(lie(|h| h.kind = 2), Error::WrongKind { found: Kind::Bytes, expected: Kind::Spsc }));
    assert!(matches!(lie(|h| h.kind = 77), Error::WrongKind { found: Kind::Unknown(77), .. }));
    assert!(matches!(lie(|h| h.element_size = 16), Error::WrongElement { found: (16, 8), expected: (8, 8) }));
    assert!(matches!(lie(|h| h.element_align = 4), Error::WrongElement { found: (8, 4), .. }));
    assert!(matches!(lie(|h| h.capacity = 7), Error::WrongCapacity { found: 7, expected: CAPACITY }));
    assert!(matches!(lie(|h| h.boot = [9; 16]), Error::StaleBoot { .. }));
    for count in [0, u32::from(MAX_PARTICIPANTS) + 1, 65_536 + 16, u32::MAX] {
        assert!(matches!(
            lie(|h| h.participants = count),
            Error::BadGeometry { field: "participants", found, .. } if found == u64::from(count)
        ));
    }
    assert!(matches!(lie(|h| h.participants = 5000), Error::BadGeometry { field: "body offset", .. }));
    for huge in [1 << 46, 1 << 63, u64::MAX - 4095, u64::MAX] {
        assert!(matches!(lie(|h| h.data_len = huge), Error::BadGeometry { .. }));
        assert!(matches!(lie(|h| h.body_len = huge), Error::BadGeometry { .. }));
        assert!(matches!(lie(|h| h.areas = huge), Error::BadGeometry { .. }));
        assert!(matches!(lie(|h| h.file_len = huge), Error::BadGeometry { field: "file length", .. }));
    }
    // A header that agrees with itself, but promises more than the file has.
    assert!(matches!(
        lie(|h| {
            h.data_len += 1 << 30;
            h.file_len += 1 << 30;
        }),
        Error::Truncated { .. }
    ));
    // And one of another body than the object's.
    assert!(matches!(lie(|h| h.body_len += 8), Error::BadGeometry { field: "body length", .. }));
}

#[test]
fn no_changed_byte_of_the_header_goes_unseen() {
    let (_place, name) = victim();
    let honest = header_of(&name);
    let geometry = open(&name).unwrap().geometry;
    for at in 0..size_of::<Header>() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut bytes = bytemuck::bytes_of(&honest).to_vec();
            bytes[at] ^= flip;
            scribble(&name, 0, &bytes);
            let error =
                open(&name).map(|segment| segment.geometry).expect_err(&format!("byte {at} ^ {flip:#x}"));
            assert!(!error.to_string().is_empty());
        }
    }
    scribble(&name, 0, bytemuck::bytes_of(&honest));
    assert_eq!(open(&name).unwrap().geometry, geometry);
}

#[test]
fn random_headers_do_no_more_than_fail() {
    let (_place, name) = victim();
    let honest = header_of(&name);
    let mut random = Numbers(99);
    let mut opened = 0;
    for _ in 0..2000 {
        let mut header = honest;
        let interesting =
            [0, 1, 2, 4095, 4096, 4097, 1 << 31, 1 << 32, 1 << 46, 1 << 63, u64::MAX, header.file_len];
        for _ in 0..1 + random.below(3) {
            let value = interesting[random.below(interesting.len() as u64) as usize];
            let value = value.wrapping_add(random.below(3)).wrapping_sub(1);
            match random.below(9) {
                0 => header.participants = value as u32,
                1 => header.body_at = value,
                2 => header.body_len = value,
                3 => header.data_at = value,
                4 => header.data_len = value,
                5 => header.areas = value,
                6 => header.file_len = value,
                7 => header.flags = value as u32,
                _ => header.kind = value as u32,
            }
        }
        scribble(&name, 0, bytemuck::bytes_of(&header.signed()));
        if let Ok(segment) = open(&name) {
            opened += 1;
            // Whatever it agreed to is really there.
            let geometry = segment.geometry;
            assert!(geometry.file_len <= std::fs::metadata(&name).unwrap().len());
            for index in 1..=geometry.participants {
                segment.row(index).roles.load(Ordering::Relaxed);
            }
            assert!(geometry.data_at + geometry.areas * geometry.data_len <= geometry.file_len as usize);
            scribble(&name, 0, bytemuck::bytes_of(&honest));
        }
        if inode(&name).is_none() {
            drop(create(&name)); // it was made an ephemeral one
        }
    }
    assert!(opened > 0);
}

#[test]
fn truncated_files_say_how_much_is_missing() {
    let (_place, name) = victim();
    let len = std::fs::metadata(&name).unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(&name).unwrap();
    file.set_len(len - 1).unwrap();
    assert!(
        matches!(open(&name), Err(Error::Truncated { needed, found }) if needed == len && found == len - 1)
    );
    file.set_len(4096).unwrap();
    assert!(matches!(open(&name), Err(Error::Truncated { found: 4096, .. })));
    for short in [191, 100, 8] {
        file.set_len(short).unwrap();
        assert!(matches!(open(&name), Err(Error::Truncated { needed: 192, found }) if found == short));
    }
    file.set_len(0).unwrap();
    assert!(matches!(open(&name), Err(Error::Truncated { needed: 192, found: 0 })));
    std::fs::write(&name, "RING").unwrap();
    assert!(matches!(open(&name), Err(Error::Truncated { needed: 192, found: 4 })));
    std::fs::write(&name, "RANG").unwrap();
    assert!(matches!(open(&name), Err(Error::BadMagic { .. })));
}

#[test]
fn a_longer_file_is_as_good() {
    let (_place, name) = victim();
    let file = std::fs::OpenOptions::new().write(true).open(&name).unwrap();
    file.set_len(1 << 20).unwrap();
    open(&name).unwrap();
}

#[test]
fn what_is_no_file_is_named() {
    let place = Place::new();
    let what = |name: &str| match open(name) {
        Err(Error::NotRegular { name: said, what }) if said == name => what,
        other => panic!("{name}: {other:?}"),
    };
    drop(create(&place.name("real")));
    std::os::unix::fs::symlink(place.name("real"), place.name("link")).unwrap();
    assert_eq!(what(&place.name("link")), "a symbolic link");
    std::fs::create_dir(place.name("dir")).unwrap();
    assert_eq!(what(&place.name("dir")), "a directory");
    let fifo = c_string(&place.name("fifo"));
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    assert_eq!(what(&place.name("fifo")), "a FIFO");
    let _socket = std::os::unix::net::UnixListener::bind(place.name("socket")).unwrap();
    assert_eq!(what(&place.name("socket")), "a socket or a device");
    assert_eq!(what("/dev/null"), "a device");
}

#[test]
fn files_that_let_more_users_in_are_refused() {
    let (_place, name) = victim();
    let chmod = |mode| std::fs::set_permissions(&name, std::fs::Permissions::from_mode(mode)).unwrap();
    chmod(0o666);
    assert!(matches!(open(&name), Err(Error::TooPermissive { mode: 0o666, allowed: 0o600 })));
    chmod(0o640);
    assert!(matches!(open(&name), Err(Error::TooPermissive { mode: 0o640, allowed: 0o600 })));
    let with = |mode| Segment::open(&name, &expected(), &Terms { mode, ..terms() });
    assert!(with(0o640).unwrap().is_trusted(), "they can only read");
    chmod(0o660);
    assert!(matches!(with(0o640), Err(Error::TooPermissive { mode: 0o660, allowed: 0o640 })));
    assert!(!with(0o660).unwrap().is_trusted());
    let trusted = Terms { mode: 0o660, trusted: Some(true), ..terms() };
    assert!(Segment::open(&name, &expected(), &trusted).unwrap().is_trusted());
}

#[test]
fn files_of_other_users_are_refused() {
    if !is_root() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    let (_place, name) = victim();
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::chown(c_string(&name).as_ptr(), 12345, 12345) }, 0);
    assert!(matches!(open(&name), Err(Error::ForeignOwner { owner: 12345, expected: 0 })));
    let with = |owner| Segment::open(&name, &expected(), &Terms { owner: Some(owner), ..terms() });
    assert!(matches!(with(1), Err(Error::ForeignOwner { owner: 12345, expected: 1 })));
    assert!(!with(12345).unwrap().is_trusted());
}

#[test]
fn absurd_wishes_are_refused_before_anything_is_made() {
    let place = Place::new();
    for asked in [0, MAX_PARTICIPANTS + 1, u16::MAX] {
        let terms = Terms { participants: asked, ..terms() };
        let refused =
            |result: Error| matches!(result, Error::BadParticipants { asked: said, .. } if said == asked);
        assert!(refused(create_with(&place.name("a"), &terms).unwrap_err()));
        assert!(refused(Segment::anonymous(&expected(), &terms).unwrap_err()));
    }
    for data_len in [1 << 46, 1 << 63, u64::MAX - 100, u64::MAX] {
        let plan = Plan { data_len, capacity: data_len / 8, ..plan() };
        let expected = Expected { plan, ..expected() };
        assert!(matches!(
            Segment::create(&place.name("a"), &expected, &terms()),
            Err(Error::BadCapacity { asked, .. }) if asked == data_len / 8
        ));
        assert!(matches!(Segment::anonymous(&expected, &terms()), Err(Error::BadCapacity { .. })));
    }
    assert_eq!(place.files(), [""; 0]);
    let largest = Terms { participants: MAX_PARTICIPANTS, ..terms() };
    let segment = create_with(&place.name("a"), &largest).unwrap();
    assert!(segment.is_dead(MAX_PARTICIPANTS));
}

fn from_fd(fd: impl Into<OwnedFd>, trusted: Option<bool>) -> Result<Segment, Error> {
    Segment::from_fd(fd.into(), &expected(), &Terms { trusted, ..terms() })
}

#[test]
fn only_sealed_memory_is_taken_from_strangers() {
    const BOTH: u32 = (libc::F_SEAL_SHRINK | libc::F_SEAL_GROW) as u32;
    let (_place, name) = victim();
    let plain = || std::fs::OpenOptions::new().read(true).write(true).open(&name).unwrap();
    assert!(matches!(from_fd(plain(), None), Err(Error::NotSealed { missing: BOTH })));
    assert!(matches!(from_fd(plain(), Some(false)), Err(Error::NotSealed { .. })));
    assert!(from_fd(plain(), Some(true)).unwrap().is_trusted());
    // A memfd without, with half, and with all of its seals.
    let memory = crate::sys::file::memfd(c"test").unwrap();
    crate::sys::file::write_at(memory.as_fd(), &std::fs::read(&name).unwrap(), 0).unwrap();
    let another = || memory.try_clone().unwrap();
    let seal = |seals: i32| {
        // SAFETY: no memory is involved.
        let done = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&memory), libc::F_ADD_SEALS, seals) };
        assert_eq!(done, 0);
    };
    assert!(matches!(from_fd(another(), None), Err(Error::NotSealed { missing: BOTH })));
    seal(libc::F_SEAL_GROW);
    assert!(
        matches!(from_fd(another(), None), Err(Error::NotSealed { missing }) if missing == libc::F_SEAL_SHRINK as u32)
    );
    seal(libc::F_SEAL_SHRINK);
    let taken = from_fd(another(), None).unwrap();
    assert!(!taken.is_trusted());
    assert_eq!(taken.name(), None);
    assert!(from_fd(another(), Some(true)).unwrap().is_trusted());
    // Descriptors that are no memory at all.
    let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(matches!(from_fd(end, None), Err(Error::NotRegular { what: "a socket", .. })));
    let directory = std::fs::File::open("/").unwrap();
    assert!(matches!(from_fd(directory, None), Err(Error::NotRegular { what: "a directory", .. })));
}

#[test]
fn an_anonymous_segment_goes_by_descriptor() {
    let segment = Segment::anonymous(&expected(), &terms()).unwrap();
    body(&segment).free[0].store(5, Ordering::Release);
    let taken = from_fd(segment.as_fd().try_clone_to_owned().unwrap(), None).unwrap();
    assert_eq!(taken.id(), segment.id());
    assert_eq!(body(&taken).free[0].load(Ordering::Acquire), 5);
    fork(|| {
        // Also by somebody who is not the user that made it.
        if is_root() {
            // SAFETY: no memory is involved.
            assert_eq!(unsafe { libc::setuid(12345) }, 0);
        }
        let taken = from_fd(segment.as_fd().try_clone_to_owned().unwrap(), None).unwrap();
        assert_eq!(taken.me().unwrap(), 2);
        assert!(!taken.is_dead(1));
    })
    .join();
    // A descriptor that may only read cannot take part.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&segment.as_fd()));
    let reading = std::fs::File::open(path).unwrap();
    assert!(matches!(from_fd(reading, None), Err(Error::Os { .. })));
}
