//! Indices: taken, shared, given back, used again; and what happens to the name.

use super::*;
use crate::segment::admin;
use crate::segment::layout::RETIRED_AT;
use crate::segment::name::Directory;
use std::path::Path;

fn ephemeral() -> Terms {
    Terms { ephemeral: true, ..terms() }
}

fn clean(place: &Place) -> Vec<String> {
    let dir = Directory::ours(Path::new(&place.path), 0o022, false).unwrap().unwrap();
    admin::clean_in(dir, |_, _| true).unwrap()
}

#[test]
fn a_table_of_two_has_no_room_for_three() {
    let place = Place::new();
    let name = place.name("a");
    let segment = create_with(&name, &Terms { participants: 2, ..terms() }).unwrap();
    let (child, index) = participant(&name);
    assert_eq!((segment.me().unwrap(), index), (1, 2));
    fork(|| {
        let before = descriptors();
        assert!(matches!(open(&name), Err(Error::TooManyParticipants { limit: 2 })));
        // An inherited handle is one more process, too.
        assert!(matches!(segment.me(), Err(Error::TooManyParticipants { limit: 2 })));
        assert_eq!(descriptors(), before);
        assert!(!segment.is_dead(1));
        assert!(!segment.is_dead(2));
    })
    .join();
    child.kill();
    fork(|| assert_eq!(open(&name).unwrap().me().unwrap(), 2)).join();
}

#[test]
fn handles_of_one_process_share_an_index_and_the_last_gives_it_back() {
    let place = Place::new();
    let name = place.name("a");
    let first = create(&name);
    let second = open(&name).unwrap();
    let third = Segment::from_fd(
        std::os::fd::AsFd::as_fd(&first).try_clone_to_owned().unwrap(),
        &expected(),
        &Terms { trusted: Some(true), ..terms() },
    )
    .unwrap();
    assert_eq!([&first, &second, &third].map(|handle| handle.me().unwrap()), [1; 3]);
    let ask_a_stranger = |expected| fork(|| assert_eq!(open(&name).unwrap().me().unwrap(), expected)).join();
    ask_a_stranger(2);
    drop(first);
    ask_a_stranger(2);
    drop(third);
    ask_a_stranger(2);
    assert_eq!(second.describe_any(1).unwrap().pid, u64::from(std::process::id()));
    drop(second);
    ask_a_stranger(1);
    fork(|| {
        let segment = open(&name).unwrap();
        assert_eq!(segment.me().unwrap(), 1);
        assert_eq!(segment.describe_any(2), None, "the row of one who left is empty");
    })
    .join();
}

#[test]
fn threads_that_attach_and_detach_never_lose_the_index() {
    let place = Place::new();
    let name = place.name("a");
    drop(create(&name));
    fork(|| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let segment = open(&name).unwrap();
                        let mine = segment.me().unwrap();
                        assert_eq!(mine, 1, "the only process there is");
                        let described = segment.describe_any(mine).unwrap();
                        assert_eq!(described.pid, u64::from(std::process::id()));
                    }
                });
            }
        });
        assert_eq!(clean(&place), ["a"], "and nobody is left");
    })
    .join();
}

#[test]
fn a_dead_index_is_swept_while_its_row_still_names_the_dead() {
    let place = Place::new();
    let name = place.name("a");
    let segment = create(&name);
    let seen = body(&segment);
    let look = || [&seen.sweeps, &seen.index, &seen.pid].map(|word| word.load(Ordering::Relaxed));
    assert_eq!(look(), [0, 0, 0], "the creator's own index had no holder before");
    let (child, index) = participant(&name);
    assert_eq!(index, 2);
    assert_eq!(look(), [1, 2, 0]);
    let dead = child.pid as u64;
    child.kill();
    assert_eq!(segment.describe_any(2).unwrap().pid, dead, "until the index is used again");
    let (heir, index) = participant(&name);
    assert_eq!(index, 2);
    assert_eq!(look(), [2, 2, dead]);
    eventually("the new holder's row", || {
        segment.describe_any(2).is_some_and(|process| process.pid == heir.pid as u64)
    });
    heir.kill();
    fork(|| drop(open(&name).unwrap())).join();
    assert_eq!(look()[0], 4, "before the first use and when it is given back");
    assert_eq!(segment.describe_any(2), None);
}

#[test]
fn in_a_large_company_the_empty_seats_go_first_and_then_those_of_the_dead() {
    let place = Place::new();
    let name = place.name("a");
    let watch = create_with(&name, &Terms { participants: 12, ..terms() }).unwrap();
    let mut living: Vec<_> = (0..9).map(|_| participant(&name)).collect();
    let indices: Vec<u16> = living.iter().map(|(_, index)| *index).collect();
    assert_eq!(indices, [2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let (dead, index) = living.remove(7);
    assert_eq!(index, 9);
    dead.kill();
    for expected in [11, 12, 9] {
        let (child, index) = participant(&name);
        assert_eq!(index, expected);
        living.push((child, index));
    }
    fork(|| assert!(matches!(open(&name), Err(Error::TooManyParticipants { limit: 12 })))).join();
    let (dead, index) = living.remove(2);
    assert_eq!(index, 4);
    dead.kill();
    let (_heir, index) = participant(&name);
    assert_eq!(index, 4);
    // Rows that lie, by being empty or not, keep nobody out.
    let (dead, index) = living.remove(0);
    assert_eq!(index, 2);
    dead.kill();
    for index in 1..=12 {
        watch.row(index).valid.store(0, Ordering::Relaxed);
    }
    assert_eq!(participant(&name).1, 2);
}

#[test]
fn killed_in_the_sweep_means_swept_again() {
    let place = Place::new();
    let name = place.name("a");
    let segment = create(&name);
    let (child, _) = participant(&name);
    let dead = child.pid as u64;
    child.kill();
    let mut doomed = fork(|| {
        let sweep: Sweep = |segment, index| {
            record(segment, index);
            // SAFETY: no memory is involved, and nothing of this process needs an orderly end.
            unsafe { libc::raise(libc::SIGKILL) };
        };
        drop(Segment::open(&name, &Expected { sweep, ..expected() }, &terms()));
    });
    assert_eq!(doomed.reap(), libc::SIGKILL);
    assert!(segment.is_dead(2));
    assert_eq!(segment.describe_any(2).unwrap().pid, dead, "the row waits for a sweep that was finished");
    let (_heir, index) = participant(&name);
    assert_eq!((index, body(&segment).pid.load(Ordering::Relaxed)), (2, dead));
}

#[test]
fn an_ephemeral_name_goes_with_the_last_participant() {
    let place = Place::new();
    let name = place.name("a");
    let segment = create_with(&name, &ephemeral()).unwrap();
    let second = open(&name).unwrap();
    let stage = Stage::new();
    let child = fork(|| {
        let segment = open(&name).unwrap();
        stage.set(0, 1);
        stage.wait(1);
        drop(segment);
    });
    stage.wait(0);
    drop(segment);
    drop(second);
    assert_eq!(place.files(), ["a"], "somebody else is attached");
    stage.set(1, 1);
    child.join();
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn an_ephemeral_name_stays_when_a_forked_child_drops_what_it_inherited() {
    let place = Place::new();
    let name = place.name("a");
    let segment = create_with(&name, &ephemeral()).unwrap();
    fork(|| {
        // SAFETY: not used again in this process, which leaves without destructors.
        unsafe { std::ptr::drop_in_place((&raw const segment).cast_mut()) };
    })
    .join();
    assert_eq!(place.files(), ["a"]);
    let stage = Stage::new();
    let child = fork(|| {
        segment.me().unwrap();
        stage.set(0, 1);
        stage.wait(1);
        // SAFETY: as above.
        unsafe { std::ptr::drop_in_place((&raw const segment).cast_mut()) };
    });
    stage.wait(0);
    drop(segment);
    assert_eq!(place.files(), ["a"], "the child has become a participant");
    stage.set(1, 1);
    child.join();
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn an_ephemeral_segment_removes_its_own_name_only() {
    let place = Place::new();
    let name = place.name("a");
    let old = create_with(&name, &ephemeral()).unwrap();
    admin::unlink(&name).unwrap();
    let new = create(&name);
    drop(old);
    assert_eq!(inode(&name), Some(new.id().inode));
    // One that never got the name does not take it away either.
    assert!(matches!(create_with(&name, &ephemeral()), Err(Error::AlreadyExists { .. })));
    assert_eq!(inode(&name), Some(new.id().inode));
}

#[test]
fn killed_participants_leave_an_ephemeral_name_to_clean() {
    let place = Place::new();
    let name = place.name("a");
    let stage = Stage::new();
    let child = fork(|| {
        let _segment = create_with(&name, &ephemeral()).unwrap();
        stage.set(0, 1);
        linger();
    });
    stage.wait(0);
    child.kill();
    assert_eq!(place.files(), ["a"]);
    assert_eq!(clean(&place), ["a"]);
}

#[test]
fn unlinking_tells_the_attached_and_leaves_them_alone() {
    let place = Place::new();
    let name = place.name("a");
    let segment = create(&name);
    let (child, index) = participant(&name);
    assert!(!segment.is_retired());
    admin::unlink(&name).unwrap();
    assert!(segment.is_retired());
    assert_eq!(place.files(), [""; 0]);
    assert!(matches!(open(&name), Err(Error::NotFound { .. })));
    assert!(matches!(admin::unlink(&name), Err(Error::NotFound { .. })));
    assert!(!segment.is_dead(index));
    let new = create(&name);
    assert_ne!(new.id(), segment.id());
    assert!(!new.is_retired());
    child.kill();
    assert!(segment.is_dead(index));
}

#[test]
fn a_handle_unlinks_its_own_object_only() {
    let place = Place::new();
    let name = place.name("a");
    let old = create(&name);
    admin::unlink(&name).unwrap();
    let new = create(&name);
    assert!(matches!(old.unlink(), Err(Error::NotFound { .. })));
    assert_eq!(inode(&name), Some(new.id().inode));
    new.unlink().unwrap();
    assert!(new.is_retired());
    assert!(matches!(new.unlink(), Err(Error::NotFound { .. })));
    let anonymous = Segment::anonymous(&expected(), &terms()).unwrap();
    assert!(matches!(anonymous.unlink(), Err(Error::NotFound { .. })));
}

#[test]
fn an_interrupted_removal_is_finished_by_the_next_opener() {
    let place = Place::new();
    let name = place.name("a");
    let segment = create(&name);
    // As a remover leaves it that was killed between its two steps.
    scribble(&name, RETIRED_AT, &1u32.to_ne_bytes());
    assert!(matches!(open(&name), Err(Error::NotFound { .. })));
    assert_eq!(place.files(), [""; 0]);
    let again = Probe::options().open_or_create(&name).unwrap();
    assert_ne!(again.0.id(), segment.id());
    assert!(!again.0.is_retired());
}

#[test]
fn a_removal_that_fails_is_taken_back() {
    if !is_root() {
        eprintln!("skipped: only root can make a name that its owner cannot remove");
        return;
    }
    let place = Place::new();
    let name = place.name("a");
    let segment = create(&name);
    chown(&name, 1234);
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::chmod(c_string(&place.path).as_ptr(), 0o755) }, 0);
    fork(|| {
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::setuid(1234) }, 0);
        assert!(matches!(admin::unlink(&name), Err(Error::Os { action: "remove the name", .. })));
    })
    .join();
    assert!(!segment.is_retired());
    assert_eq!(place.files(), ["a"]);
}

fn chown(path: &str, user: u32) {
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::chown(c_string(path).as_ptr(), user, user) }, 0);
}

#[test]
fn what_is_no_segment_is_not_unlinked() {
    let place = Place::new();
    let name = place.name("a");
    std::fs::write(&name, "a letter to somebody").unwrap();
    assert!(matches!(admin::unlink(&name), Err(Error::BadMagic { found }) if &found == b"a letter"));
    std::fs::write(&name, "").unwrap();
    assert!(matches!(admin::unlink(&name), Err(Error::BadMagic { .. })));
    std::os::unix::fs::symlink(&name, place.name("link")).unwrap();
    assert!(matches!(admin::unlink(&place.name("link")), Err(Error::NotRegular { .. })));
    std::fs::create_dir(place.name("dir")).unwrap();
    assert!(matches!(admin::unlink(&place.name("dir")), Err(Error::NotRegular { .. })));
    assert_eq!(place.files(), ["a", "dir", "link"]);
    // A segment of another version, or one that is damaged, is ours and may go.
    drop(create(&place.name("b")));
    scribble(&place.name("b"), 12, &9u32.to_ne_bytes());
    assert!(matches!(open(&place.name("b")), Err(Error::WrongVersion { found: 9, .. })));
    admin::unlink(&place.name("b")).unwrap();
    drop(create(&place.name("c")));
    let file = std::fs::OpenOptions::new().write(true).open(place.name("c")).unwrap();
    file.set_len(100).unwrap();
    admin::unlink(&place.name("c")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 100, "and nothing is written to it");
    assert_eq!(place.files(), ["a", "dir", "link"]);
}

#[test]
fn clean_removes_what_nobody_uses_and_nothing_else() {
    let place = Place::new();
    let _mine = create(&place.name("mine"));
    drop(create(&place.name("nobodys")));
    drop(create(&place.name("childs")));
    let (child, _) = participant(&place.name("childs"));
    drop(create(&place.name("stale")));
    forge(&place.name("stale"), |header| header.boot = [7; 16]);
    std::fs::write(place.name("letter"), "not a segment").unwrap();
    std::fs::write(place.name(".tmp-of-the-dead"), "").unwrap();
    let path = c_string(&place.name("fifo"));
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    assert_eq!(clean(&place), [".tmp-of-the-dead", "nobodys", "stale"]);
    assert_eq!(place.files(), ["childs", "fifo", "letter", "mine"]);
    child.kill();
    assert_eq!(clean(&place), ["childs"]);
}

#[test]
fn clean_keeps_the_fifos_of_what_it_keeps() {
    let place = Place::new();
    let mine = create(&place.name("mine"));
    let foreign = create(&place.name("other-version"));
    let gone = create(&place.name("gone"));
    let mut fifos: Vec<_> = [&mine, &foreign, &gone].map(|segment| segment.fifo(0).unwrap()).into();
    scribble(&place.name("other-version"), 12, &9u32.to_ne_bytes());
    let names: Vec<_> = place.files().into_iter().filter(|name| name.starts_with(".bell-")).collect();
    assert_eq!(names.len(), 3);
    std::fs::remove_file(place.name("gone")).unwrap();
    drop(foreign);
    let left = || place.files().into_iter().filter(|name| name.starts_with(".bell-")).count();
    assert_eq!(clean(&place), [""; 0]);
    assert_eq!(left(), 3, "all are open");
    fifos.remove(2);
    // A child that another test forks meanwhile has them open, too, until it ends.
    let watchdog = std::time::Instant::now();
    while left() == 3 {
        assert_eq!(clean(&place), [""; 0]);
        assert!(watchdog.elapsed().as_secs() < 60, "the FIFO of what has no name stays");
    }
    assert_eq!(left(), 2);
    drop(fifos);
    mine.unlink().unwrap();
    drop((mine, gone));
    while left() == 2 {
        assert_eq!(clean(&place), [""; 0]);
        assert!(watchdog.elapsed().as_secs() < 60, "the FIFO of what lost its name stays");
    }
    assert_eq!(left(), 1);
}

#[test]
fn a_fifo_can_be_opened_while_others_clean_up() {
    let place = Place::new();
    let segment = create(&place.name("nameless"));
    segment.unlink().unwrap();
    let done = crate::sync::AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::Relaxed) == 0 {
                clean(&place);
            }
        });
        // Each is closed at once, so that it is always about to be removed.
        let opened = (0..2000).try_for_each(|_| segment.fifo(0).map(drop));
        done.store(1, Ordering::Relaxed);
        opened.unwrap();
    });
}

#[test]
fn strange_indices_are_nobody() {
    let place = Place::new();
    let segment = create(&place.name("a"));
    for index in [0, 17, 18, 255, u16::MAX] {
        assert!(segment.is_dead(index), "{index}");
        assert_eq!(segment.describe_any(index), None);
    }
}

#[test]
fn a_row_in_the_making_describes_nobody() {
    let place = Place::new();
    let segment = create(&place.name("a"));
    let row = segment.row(1);
    let valid = row.valid.load(Ordering::Relaxed);
    assert_ne!(valid, 0);
    row.valid.store(0, Ordering::Relaxed);
    assert_eq!(segment.describe_any(1), None);
    row.valid.store(valid, Ordering::Relaxed);
    // Whatever a hostile process writes there, no living one is declared dead by it.
    let honest = segment.describe_any(1).unwrap();
    let observer = crate::sys::identity::ProcessId::own();
    for pid in [0, 1 << 31, (1 << 32) - 1, 1 << 32, u64::MAX] {
        row.pid.store(pid, Ordering::Relaxed);
        assert!(!segment.describe_any(1).unwrap().is_gone(observer), "{pid}");
    }
    row.pid.store(honest.pid, Ordering::Relaxed);
    assert!(!segment.describe_any(1).unwrap().is_gone(observer));
}
