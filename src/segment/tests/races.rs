//! Several processes after one name.

use super::*;
use crate::segment::admin;
use crate::segment::name::Directory;
use std::path::Path;

const OLD_BOOT: [u8; 16] = [0x42; 16];

/// Leaves a segment as an earlier boot would have.
fn leave_from_an_earlier_boot(name: &str) {
    drop(create(name));
    forge(name, |header| header.boot = OLD_BOOT);
}

#[test]
fn a_segment_of_an_earlier_boot_is_not_opened_but_replaced() {
    let place = Place::new();
    let name = place.name("a");
    leave_from_an_earlier_boot(&name);
    let old = inode(&name).unwrap();
    match open(&name) {
        Err(Error::StaleBoot { name: said }) => assert_eq!(said, name),
        other => panic!("{other:?}"),
    }
    assert_eq!(inode(&name), Some(old), "opening removes nothing");
    assert!(matches!(create_with(&name, &terms()), Err(Error::AlreadyExists { .. })));
    let new = Probe::options().open_or_create(&name).unwrap();
    assert_ne!(new.0.id().inode, old);
    assert_eq!(open(&name).unwrap().id(), new.0.id());
}

#[test]
fn a_segment_in_use_is_of_this_boot_whatever_it_says() {
    let place = Place::new();
    let name = place.name("a");
    let segment = create(&name);
    // As a container sees it that shows a boot number of its own.
    forge(&name, |header| header.boot = OLD_BOOT);
    assert_eq!(open(&name).unwrap().id(), segment.id());
    assert_eq!(Probe::options().open_or_create(&name).unwrap().0.id(), segment.id());
    drop(segment);
    assert!(matches!(open(&name), Err(Error::StaleBoot { .. })));
}

#[test]
fn a_segment_in_memory_needs_no_boot_number() {
    let place = Place::new();
    let name = place.name("a");
    drop(create(&name));
    forge(&name, |header| header.boot = [0; 16]);
    open(&name).unwrap();
}

#[test]
fn eight_openers_of_an_old_file_end_in_one_segment() {
    for _ in 0..20 {
        let place = Place::new();
        let name = place.name("a");
        leave_from_an_earlier_boot(&name);
        // Held open, so that its inode number is not given out again.
        let old = std::fs::File::open(&name).unwrap();
        let stage = Stage::new();
        let openers: Vec<_> = (0..8)
            .map(|number| {
                fork(|| {
                    stage.add(0, 1);
                    eventually("all are here", || stage.get(0) == 8);
                    let probe = Probe::options().open_or_create(&name).unwrap();
                    stage.set(1 + number, probe.0.id().inode);
                    stage.set(11 + number, probe.0.me().unwrap().into());
                    linger();
                })
            })
            .collect();
        let inodes: Vec<u64> = (0..8).map(|number| stage.wait(1 + number)).collect();
        assert_eq!(inodes, [inode(&place.name("a")).unwrap(); 8]);
        assert_ne!(
            Some(inodes[0]),
            inode(&format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&old)))
        );
        let mut indices: Vec<u64> = (0..8).map(|number| stage.wait(11 + number)).collect();
        indices.sort();
        assert_eq!(indices, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(place.files(), ["a"]);
        drop(openers);
    }
}

/// Watches the name for a while. As soon as it no longer means this segment, the segment says that it is retired.
fn watch_for_removal(probe: &Probe, name: &str) {
    for _ in 0..100 {
        if inode(name) != Some(probe.0.id().inode) {
            return assert!(
                probe.0.is_retired(),
                "a second segment beside one that believes to be the first"
            );
        }
    }
}

/// A moment of varying length.
fn dither(random: &mut Numbers) {
    for _ in 0..random.below(20_000) {
        std::hint::spin_loop();
    }
}

#[test]
fn creators_against_an_unlinker_never_split() {
    const REMOVALS: u64 = 300;
    let place = Place::new();
    let name = place.name("a");
    let stage = Stage::new();
    let creators: Vec<_> = (1..=2)
        .map(|number| {
            fork(|| {
                let mut random = Numbers(number);
                while stage.get(0) < REMOVALS {
                    let probe = Probe::options().open_or_create(&name).unwrap();
                    watch_for_removal(&probe, &name);
                    dither(&mut random);
                }
            })
        })
        .collect();
    eventually("enough removals", || {
        match admin::unlink(&name) {
            Ok(()) => stage.add(0, 1),
            Err(Error::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        stage.get(0) >= REMOVALS || creators.iter().any(Child::has_failed)
    });
    creators.into_iter().for_each(Child::join);
}

/// While anybody is attached, the name means its segment, whoever tidies up.
fn rendezvous(ephemeral: bool, tidy: impl Fn(&Place)) {
    const SEGMENTS: u64 = 100;
    let place = Place::new();
    let name = place.name("a");
    let stage = Stage::new();
    let guests: Vec<_> = (1..=2)
        .map(|number| {
            fork(|| {
                let mut random = Numbers(number);
                while stage.get(0) < SEGMENTS {
                    let probe = Probe::options().ephemeral(ephemeral).open_or_create(&name).unwrap();
                    stage.add(0, u64::from(body(&probe.0).free[0].fetch_add(1, Ordering::AcqRel) == 0));
                    for _ in 0..random.below(3) {
                        assert_eq!(inode(&name), Some(probe.0.id().inode), "attached to something else");
                        assert!(!probe.0.is_retired());
                        dither(&mut random);
                    }
                    drop(probe);
                    dither(&mut random);
                }
            })
        })
        .collect();
    eventually("enough segments", || {
        tidy(&place);
        stage.get(0) >= SEGMENTS || guests.iter().any(Child::has_failed)
    });
    guests.into_iter().for_each(Child::join);
    tidy(&place);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn an_ephemeral_name_is_never_removed_under_a_newcomer() {
    rendezvous(true, |_| {});
}

#[test]
fn clean_never_removes_a_name_under_a_newcomer() {
    rendezvous(false, |place| {
        let dir = Directory::ours(Path::new(&place.path), 0o022, false).unwrap().unwrap();
        admin::clean_in(dir, |_, _| true).unwrap();
    });
}

/// A process that is about to remove the name, because nobody is attached, and gets no further.
fn remover_in_the_middle(name: &str) -> Child {
    use crate::sys::lock_page;
    use std::os::fd::AsFd;
    let stage = Stage::new();
    let child = fork(|| {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
        assert!(lock_page::try_lock_unused(file.as_fd(), 16).unwrap());
        stage.set(0, 1);
        linger();
    });
    stage.wait(0);
    child
}

#[test]
fn a_stopped_remover_holds_nobody_up_for_ever() {
    let place = Place::new();
    let name = place.name("a");
    drop(create(&name));
    let remover = remover_in_the_middle(&name);
    remover.signal(libc::SIGSTOP);
    assert!(matches!(open(&name), Err(Error::TooManyParticipants { .. })));
    match admin::unlink(&name) {
        Err(Error::Os { source, .. }) => assert_eq!(source.kind(), std::io::ErrorKind::TimedOut),
        other => panic!("{other:?}"),
    }
    remover.kill();
    open(&name).unwrap();
}

#[test]
fn an_opener_waits_for_a_remover_in_the_middle() {
    let place = Place::new();
    let name = place.name("a");
    drop(create(&name));
    let remover = remover_in_the_middle(&name);
    let old = inode(&name).unwrap();
    let stage = Stage::new();
    let opener = fork(|| {
        stage.set(0, 1);
        let probe = Probe::options().open_or_create(&name).unwrap();
        stage.set(1, probe.0.id().inode);
    });
    stage.wait(0);
    std::fs::remove_file(&name).unwrap();
    // Whether it met the locked file or came after its removal: it ends in a new one.
    remover.kill();
    assert_ne!(stage.wait(1), old);
    opener.join();
}

#[test]
fn a_child_forked_during_a_removal_keeps_no_lock() {
    use crate::sys::lock_page;
    use std::os::fd::AsFd;
    let place = Place::new();
    let name = place.name("a");
    drop(create(&name));
    fork(|| {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&name).unwrap();
        assert!(lock_page::try_lock_unused(file.as_fd(), 16).unwrap());
        let _child = fork(|| linger());
        lock_page::unlock_name(file.as_fd(), 16);
        drop(file);
        open(&name).unwrap();
    })
    .join();
}
