//! Creation is atomic: a segment is there and complete, or there is nothing.

use super::*;
use crate::segment::admin;
use crate::segment::create::WITHOUT_UNNAMED_FILES;
use crate::segment::name::Directory;
use crate::sys::memory::PageOptions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn clean(place: &Place) -> Vec<String> {
    let dir = Directory::ours(Path::new(&place.path), 0o022, false).unwrap().unwrap();
    admin::clean_in(dir, |_, _| true).unwrap()
}

#[test]
fn a_new_segment_is_private_complete_and_empty() {
    let place = Place::new();
    let name = place.name("a");
    let segment = create(&name);
    let metadata = std::fs::metadata(&name).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(metadata.len(), segment.geometry().file_len);
    // All of its space is reserved.
    use std::os::unix::fs::MetadataExt;
    assert!(metadata.blocks() * 512 >= metadata.len());
    assert!(segment.is_trusted());
    assert_eq!(segment.me().unwrap(), 1);
    let opened = open(&name).unwrap();
    assert_eq!(opened.geometry(), segment.geometry());
    assert!(opened.is_trusted());
    body(&segment).free[0].store(42, Ordering::Release);
    assert_eq!(body(&opened).free[0].load(Ordering::Acquire), 42);
    // SAFETY: the first word of a data area of 8 KiB, an atomic.
    let word: &AtomicU64 = unsafe { segment.data(0).cast().as_ref() };
    assert_eq!(word.load(Ordering::Relaxed), 0);
}

#[test]
fn the_mode_is_as_asked_whatever_the_umask_says() {
    let place = Place::new();
    fork(|| {
        // SAFETY: no memory is involved.
        unsafe { libc::umask(0o777) };
        for (leaf, unnamed) in [("a", false), ("b", true)] {
            WITHOUT_UNNAMED_FILES.set(unnamed);
            let segment = create_with(&place.name(leaf), &Terms { mode: 0o660, ..terms() }).unwrap();
            let mode = std::fs::metadata(place.name(leaf)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o660);
            assert!(!segment.is_trusted(), "others can write to it");
        }
    })
    .join();
}

#[test]
fn nobody_sees_a_segment_before_it_is_linked() {
    for without in [false, true] {
        WITHOUT_UNNAMED_FILES.set(without);
        let place = Place::new();
        let name = place.name("a");
        let (segment, unlinked) = Segment::create(&name, &expected(), &terms()).unwrap();
        assert!(matches!(open(&name), Err(Error::NotFound { .. })));
        assert_eq!(place.files().len(), usize::from(without));
        drop(unlinked);
        assert_eq!(place.files(), [""; 0], "given up");
        drop(segment);
        let (segment, unlinked) = Segment::create(&name, &expected(), &terms()).unwrap();
        unlinked.link(&segment).unwrap();
        assert_eq!(place.files(), ["a"]);
        let (other, unlinked) = Segment::create(&name, &expected(), &terms()).unwrap();
        match unlinked.link(&other) {
            Err(Error::AlreadyExists { name: said }) => assert_eq!(said, name),
            result => panic!("{result:?}"),
        }
        assert_eq!(place.files(), ["a"]);
        assert_eq!(inode(&name), Some(segment.id().inode));
    }
    WITHOUT_UNNAMED_FILES.set(false);
}

/// Kills creators, who do nothing else, at random moments, and checks that what has a name is complete.
fn kill_creators(place: &Place, without_unnamed: bool) {
    let mut random = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut within, mut made) = (0, 0);
    for _ in 0..100 {
        let stage = Stage::new();
        let child = fork(|| {
            WITHOUT_UNNAMED_FILES.set(without_unnamed);
            loop {
                stage.add(0, 1);
                let _segment = create(&place.name(&format!("n{}", stage.get(0))));
                stage.add(1, 1);
            }
        });
        stage.wait(0);
        for _ in 0..random.below(200_000) {
            std::hint::spin_loop();
        }
        child.kill();
        within += u64::from(stage.get(0) != stage.get(1));
        for number in 1..=stage.get(0) {
            let name = place.name(&format!("n{number}"));
            match open(&name) {
                Ok(segment) => {
                    assert!((2..=16).all(|index| segment.is_dead(index)));
                    made += 1;
                    drop(segment);
                    admin::unlink(&name).unwrap();
                }
                Err(Error::NotFound { .. }) => assert_eq!(number, stage.get(0), "a finished one is missing"),
                Err(error) => panic!("half a segment: {error}"),
            }
        }
    }
    assert!(within > 20 && made > 100, "{within} creations interrupted, {made} finished: no test");
}

#[test]
fn killed_creators_leave_no_trace() {
    let place = Place::new();
    kill_creators(&place, false);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn killed_creators_without_unnamed_files_leave_what_clean_finds() {
    let place = Place::new();
    kill_creators(&place, true);
    let left = place.files();
    assert!(left.iter().all(|name| name.starts_with(admin::TEMPORARY_PREFIX)), "{left:?}");
    assert!(!left.is_empty());
    // That of a living creator stays.
    let stage = Stage::new();
    let alive = fork(|| {
        WITHOUT_UNNAMED_FILES.set(true);
        let (_segment, _unlinked) = Segment::create(&place.name("alive"), &expected(), &terms()).unwrap();
        stage.set(0, 1);
        linger();
    });
    stage.wait(0);
    assert_eq!(clean(&place), left);
    assert_eq!(place.files().len(), 1);
    alive.kill();
    assert_eq!(clean(&place).len(), 1);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn clean_never_takes_a_living_creators_file() {
    let place = Place::new();
    let stage = Stage::new();
    let creator = fork(|| {
        WITHOUT_UNNAMED_FILES.set(true);
        for round in 0..500 {
            let segment = create(&place.name(&format!("n{round}")));
            assert!(inode(segment.name().unwrap()).is_some());
        }
        stage.set(0, 1);
    });
    while stage.get(0) == 0 && !creator.has_failed() {
        clean(&place);
    }
    creator.join();
}

#[test]
fn prefault_and_huge_pages_are_had_or_refused() {
    let place = Place::new();
    let with = |pages| Terms { pages, ..terms() };
    create_with(&place.name("a"), &with(PageOptions { prefault: true, huge: false })).unwrap();
    for (leaf, prefault) in [("b", false), ("c", true)] {
        match create_with(&place.name(leaf), &with(PageOptions { prefault, huge: true })) {
            Ok(segment) => body(&segment).free[0].store(1, Ordering::Release),
            Err(Error::Unsupported { .. }) => assert!(!place.files().contains(&leaf.to_owned())),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn both_areas_of_a_mirrored_segment_are_mapped_twice_in_a_row() {
    let place = Place::new();
    let plan = Plan { kind: Kind::Pipe, data_len: 8192, areas: 2, capacity: 8192, element: (1, 8), ..plan() };
    let expected = Expected { plan, ..expected() };
    let (segment, unlinked) = Segment::create(&place.name("a"), &expected, &terms()).unwrap();
    unlinked.link(&segment).unwrap();
    let opened = Segment::open(&place.name("a"), &expected, &terms()).unwrap();
    let word = |segment: &Segment, area: usize, at: usize| -> &'static AtomicU64 {
        // SAFETY: each area spans twice 8192 bytes, and both segments outlive the words.
        let word = unsafe { segment.data(area).add(at) };
        // SAFETY: aligned, mapped, an atomic.
        unsafe { word.cast().as_ref() }
    };
    for at in (0..8192).step_by(512) {
        for area in [0, 1] {
            let mark = (at + area + 1) as u64;
            word(&segment, area, at).store(mark, Ordering::Release);
            for seen in [&segment, &opened] {
                assert_eq!(word(seen, area, at).load(Ordering::Acquire), mark);
                assert_eq!(word(seen, area, at + 8192).load(Ordering::Acquire), mark);
            }
        }
    }
}
