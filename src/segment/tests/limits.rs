//! Systems that refuse: full, foreign, without this or that. An error each time, and nothing is left behind.

use super::*;
use crate::segment::admin;
use crate::segment::create::WITHOUT_UNNAMED_FILES;
use crate::sys::file;
use std::io::Read;
use std::os::fd::AsFd;

/// Runs `body` as a process that may mount what it likes, where nobody else sees it.
fn with_mounts(body: impl FnOnce()) {
    if !is_root() {
        eprintln!("skipped: only root can mount");
        return;
    }
    fork(|| {
        // SAFETY: no memory is involved.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            eprintln!("skipped: no mount namespace to be had here");
            return;
        }
        mount(None, "/", None, libc::MS_REC | libc::MS_PRIVATE, None);
        body();
    })
    .join();
}

#[track_caller]
fn mount(from: Option<&str>, to: &str, kind: Option<&str>, flags: libc::c_ulong, data: Option<&str>) {
    let [from, kind, data] = [from, kind, data].map(|text| text.map(c_string));
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    let to = c_string(to);
    // SAFETY: C strings or null, which live until the call is done.
    let done =
        unsafe { libc::mount(pointer(&from), to.as_ptr(), pointer(&kind), flags, pointer(&data).cast()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Blocks and inodes in use on a file system.
fn in_use(path: &str) -> (u64, u64) {
    // SAFETY: all zeroes is a valid place for the answer.
    let mut answer: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a C string and a place for the answer.
    assert_eq!(unsafe { libc::statvfs(c_string(path).as_ptr(), &mut answer) }, 0);
    (answer.f_blocks - answer.f_bfree, answer.f_files - answer.f_ffree)
}

fn large() -> Expected {
    Expected { plan: Plan { data_len: 1 << 20, capacity: 1 << 17, ..plan() }, ..expected() }
}

#[test]
fn a_full_file_system_is_an_error_at_creation() {
    let place = Place::new();
    with_mounts(|| {
        mount(Some("none"), &place.path, Some("tmpfs"), 0, Some("size=256k,nr_inodes=20"));
        for without in [false, true] {
            WITHOUT_UNNAMED_FILES.set(without);
            let (before, fds) = (in_use(&place.path), descriptors());
            match Segment::create(&place.name("large"), &large(), &terms()) {
                Err(Error::NoSpace { needed }) => assert!(needed > 1 << 20),
                other => panic!("{other:?}"),
            }
            assert_eq!((in_use(&place.path), descriptors()), (before, fds));
            assert_eq!(place.files(), [""; 0]);
            // What fits is all there: every byte can be written, though the rest of the disk is full.
            let segment = create(&place.name("small"));
            let filler = std::fs::File::create(place.name("filler")).unwrap();
            assert!(std::io::copy(&mut std::io::repeat(1).take(1 << 20), &mut &filler).is_err());
            // SAFETY: the data area has 8 KiB, and nobody else uses it.
            unsafe { segment.data(0).write_bytes(7, 8192) };
            drop((segment, filler));
            std::fs::remove_file(place.name("filler")).unwrap();
            std::fs::remove_file(place.name("small")).unwrap();
            assert_eq!(in_use(&place.path), before);
            // Out of names instead of space.
            let mut made = Vec::new();
            while let Ok(file) = std::fs::File::create_new(place.name(&made.len().to_string())) {
                made.push(file);
            }
            assert!(matches!(create_with(&place.name("one-more"), &terms()), Err(Error::NoSpace { .. })));
            for number in 0..made.len() {
                std::fs::remove_file(place.name(&number.to_string())).unwrap();
            }
        }
    });
}

#[test]
fn killed_creators_give_all_space_back() {
    let place = Place::new();
    with_mounts(|| {
        mount(Some("none"), &place.path, Some("tmpfs"), 0, Some("size=8m"));
        let before = in_use(&place.path);
        let mut random = Numbers(3);
        for _ in 0..50 {
            let stage = Stage::new();
            let child = fork(|| {
                stage.set(0, 1);
                let _made = Segment::create(&place.name("a"), &large(), &terms()).unwrap();
                linger();
            });
            stage.wait(0);
            for _ in 0..random.below(20_000) {
                std::hint::spin_loop();
            }
            child.kill();
            assert_eq!(in_use(&place.path), before);
        }
    });
}

#[test]
fn a_file_system_without_reservations_is_refused() {
    let place = Place::new();
    with_mounts(|| {
        mount(Some("none"), &place.path, Some("ramfs"), 0, None);
        let fds = descriptors();
        for without in [false, true] {
            WITHOUT_UNNAMED_FILES.set(without);
            assert!(matches!(create_with(&place.name("a"), &terms()), Err(Error::Unsupported { .. })));
            assert_eq!(place.files(), [""; 0]);
        }
        assert_eq!(descriptors(), fds);
    });
}

#[test]
fn a_read_only_file_system_is_an_error() {
    let place = Place::new();
    with_mounts(|| {
        mount(Some("none"), &place.path, Some("tmpfs"), libc::MS_RDONLY, None);
        for without in [false, true] {
            WITHOUT_UNNAMED_FILES.set(without);
            match create_with(&place.name("a"), &terms()) {
                Err(Error::Os { source, .. }) => assert_eq!(source.raw_os_error(), Some(libc::EROFS)),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn without_proc_there_are_still_names_in_memory() {
    let place = Place::new();
    // An anonymous one from better days.
    let inherited = Segment::anonymous(&expected(), &terms()).unwrap();
    with_mounts(|| {
        mount(Some("none"), "/proc", Some("tmpfs"), 0, None);
        let name = place.name("a");
        let segment = create(&name);
        assert_eq!(place.files(), ["a"]);
        assert_eq!(open(&name).unwrap().id(), segment.id());
        let (child, index) = participant(&name);
        assert!(!segment.is_dead(index));
        child.kill();
        assert!(segment.is_dead(index));
        drop(segment);
        open(&name).unwrap();
        admin::unlink(&name).unwrap();
        // Without a name and without /proc there is no way to a lock of one's own.
        assert!(matches!(Segment::anonymous(&expected(), &terms()), Err(Error::Unsupported { .. })));
        assert!(matches!(inherited.me(), Err(Error::Unsupported { .. })));
    });
    // And made without /proc, a segment is as good to those who have it.
    let name = place.name("b");
    with_mounts(|| {
        mount(Some("none"), "/proc", Some("tmpfs"), 0, None);
        drop(create(&name));
    });
    if is_root() {
        open(&name).unwrap();
    }
}

fn set_limit(resource: libc::__rlimit_resource_t, to: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place for the answer.
    assert_eq!(unsafe { libc::getrlimit(resource, &mut limit) }, 0);
    limit.rlim_cur = to;
    // SAFETY: a valid request.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

#[test]
fn without_descriptors_every_step_fails_cleanly() {
    let place = Place::new();
    let existing = place.name("existing");
    let kept = create(&existing);
    fork(|| {
        let open_before = descriptors() as u64;
        let highest = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().parse::<u64>().ok())
            .max()
            .unwrap();
        // All numbers below the highest are taken, so that the limit is exact.
        while descriptors() as u64 <= highest + 1 {
            std::mem::forget(std::fs::File::open("/dev/null").unwrap());
        }
        let used = descriptors() as u64 - 1; // but for the one that counts
        assert!(used >= open_before - 1);
        let mut outcomes = [[false; 12]; 4];
        for spare in 0..12 {
            set_limit(libc::RLIMIT_NOFILE, used + spare);
            let attempts: [Result<Segment, Error>; 4] = [
                create_with(&place.name("new"), &terms()),
                open(&existing),
                Segment::anonymous(&expected(), &terms()),
                {
                    WITHOUT_UNNAMED_FILES.set(true);
                    let made = create_with(&place.name("other"), &terms());
                    WITHOUT_UNNAMED_FILES.set(false);
                    made
                },
            ];
            set_limit(libc::RLIMIT_NOFILE, used + 20);
            for (at, attempt) in attempts.into_iter().enumerate() {
                match attempt {
                    Ok(segment) => {
                        outcomes[at][spare as usize] = true;
                        if let Some(name) = segment.name().filter(|&name| name != existing) {
                            admin::unlink(name).unwrap();
                        }
                    }
                    Err(Error::Os { source, .. }) => assert_eq!(source.raw_os_error(), Some(libc::EMFILE)),
                    Err(error) => panic!("attempt {at} with {spare}: {error}"),
                }
            }
            assert_eq!(descriptors() as u64 - 1, used, "with {spare}");
            assert_eq!(place.files(), ["existing"], "with {spare}");
            // Asking who is alive needs no descriptor; the parent is.
            set_limit(libc::RLIMIT_NOFILE, used);
            assert!(!kept.is_dead(1));
            assert!(kept.is_dead(9));
        }
        for outcome in outcomes {
            assert!(!outcome[0] && outcome[11], "{outcome:?}");
            assert!(outcome.is_sorted(), "once it works it works: {outcome:?}");
        }
    })
    .join();
}

#[test]
fn without_address_space_every_step_fails_cleanly() {
    let place = Place::new();
    fork(|| {
        let fds = descriptors();
        let expected = Expected { plan: Plan { data_len: 1 << 30, ..plan() }, ..expected() };
        set_limit(libc::RLIMIT_AS, 1 << 29);
        for kind in [Kind::Spsc, Kind::Pipe] {
            let expected = Expected { plan: Plan { kind, ..expected.plan }, ..expected };
            match Segment::create(&place.name("a"), &expected, &terms()) {
                Err(Error::Os { source, .. }) => assert_eq!(source.raw_os_error(), Some(libc::ENOMEM)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(descriptors(), fds);
        assert_eq!(place.files(), [""; 0]);
    })
    .join();
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_signal() {
    let place = Place::new();
    fork(|| {
        set_limit(libc::RLIMIT_FSIZE, 1 << 19);
        let fds = descriptors();
        for _ in 0..2 {
            let made = Segment::create(&place.name("a"), &large(), &terms());
            assert!(matches!(made, Err(Error::NoSpace { .. })), "{made:?}");
            assert!(matches!(Segment::anonymous(&large(), &terms()), Err(Error::NoSpace { .. })));
        }
        create(&place.name("small"));
        assert_eq!(descriptors(), fds);
    })
    .join();
}

#[test]
fn a_profilers_timer_does_not_keep_a_large_segment_from_being_made() {
    fork(|| {
        extern "C" fn ignore(_: i32) {}
        // SAFETY: a handler that does nothing.
        unsafe { libc::signal(libc::SIGPROF, ignore as *const () as libc::sighandler_t) };
        let every = libc::timeval { tv_sec: 0, tv_usec: 500 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        // SAFETY: a valid timer; the old one is not asked for.
        assert_eq!(unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, std::ptr::null_mut()) }, 0);
        let fd = file::memfd(c"test").unwrap();
        file::allocate(fd.as_fd(), 256 << 20).unwrap();
        assert_eq!(file::Stat::of(&fd).unwrap().len(), 256 << 20);
    })
    .join();
}
