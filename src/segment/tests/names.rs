//! The directory that must be ours, and names in it.

use super::*;
use crate::segment::admin;
use crate::segment::name::{DIRECTORY_VARIABLE, Directory, Location};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn ours(path: &str, closed_to: u32) -> Result<Option<Directory>, Error> {
    Directory::ours(Path::new(path), closed_to, true)
}

fn chmod(path: &str, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn not_ours(path: &str, result: Result<Option<Directory>, Error>) -> (u32, u32) {
    match result {
        Err(Error::DirectoryNotOurs { path: said, owner, mode }) => {
            assert_eq!(said, Path::new(path));
            (owner, mode)
        }
        other => panic!("{path}: {other:?}"),
    }
}

fn me() -> u32 {
    crate::sys::identity::effective_user()
}

#[test]
fn the_directory_is_made_for_us_alone() {
    let place = Place::new();
    let path = place.name("new");
    assert!(Directory::ours(Path::new(&path), 0o077, false).unwrap().is_none());
    assert_eq!(place.files(), [""; 0], "looking makes nothing");
    assert!(ours(&path, 0o077).unwrap().is_some());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(ours(&path, 0o077).unwrap().is_some(), "and found again");
}

#[test]
fn a_directory_that_lets_others_in_is_refused() {
    let place = Place::new();
    let path = place.name("dir");
    std::fs::create_dir(&path).unwrap();
    chmod(&path, 0o770);
    assert_eq!(not_ours(&path, ours(&path, 0o077)), (me(), 0o770));
    chmod(&path, 0o755);
    assert_eq!(not_ours(&path, ours(&path, 0o077)), (me(), 0o755));
    assert!(ours(&path, 0o022).unwrap().is_some(), "one of the user's choice may be readable");
    chmod(&path, 0o1777);
    assert_eq!(not_ours(&path, ours(&path, 0o022)), (me(), 0o1777));
}

#[test]
fn a_link_or_a_file_in_its_place_is_refused() {
    let place = Place::new();
    std::fs::create_dir(place.name("elsewhere")).unwrap();
    chmod(&place.name("elsewhere"), 0o700);
    let link = place.name("link");
    std::os::unix::fs::symlink(place.name("elsewhere"), &link).unwrap();
    assert_eq!(not_ours(&link, ours(&link, 0o077)).0, me());
    let dangling = place.name("dangling");
    std::os::unix::fs::symlink(place.name("nowhere"), &dangling).unwrap();
    not_ours(&dangling, ours(&dangling, 0o077));
    assert!(!Path::new(&place.name("nowhere")).exists(), "nothing is made through a link");
    let file = place.name("file");
    std::fs::write(&file, "").unwrap();
    chmod(&file, 0o640);
    assert_eq!(not_ours(&file, ours(&file, 0o077)), (me(), 0o640));
}

#[test]
fn another_users_directory_is_refused() {
    if !is_root() {
        eprintln!("skipped: only root can give a directory away");
        return;
    }
    let place = Place::new();
    let path = place.name("dir");
    std::fs::create_dir(&path).unwrap();
    chmod(&path, 0o700);
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::chown(c_string(&path).as_ptr(), 12345, 12345) }, 0);
    assert_eq!(not_ours(&path, ours(&path, 0o077)), (12345, 0o700));
    // The same seen by a user who cannot even open it.
    chmod(&place.path, 0o755);
    fork(|| {
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::setuid(54321) }, 0);
        assert_eq!(not_ours(&path, ours(&path, 0o077)), (12345, 0o700));
    })
    .join();
}

/// Runs in a child, whose environment is its own.
fn with_directory(path: &str, body: impl FnOnce()) {
    fork(|| {
        set_variable(DIRECTORY_VARIABLE, path);
        body();
    })
    .join();
}

#[test]
fn plain_names_live_in_the_directory_of_the_environment() {
    let place = Place::new();
    let path = place.name("dir");
    with_directory(&path, || {
        let segment = create("plain");
        assert_eq!(segment.name(), Some("plain"));
        assert_eq!(inode(&format!("{path}/plain")), Some(segment.id().inode));
        assert!(
            matches!(create_with("plain", &terms()), Err(Error::AlreadyExists { name }) if name == "plain")
        );
        assert_eq!(open("plain").unwrap().id(), segment.id());
        // The segment remembers where it was found, whatever the environment comes to say.
        set_variable(DIRECTORY_VARIABLE, &place.name("other"));
        assert!(matches!(open("plain"), Err(Error::NotFound { name }) if name == "plain"));
        segment.unlink().unwrap();
    });
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    // Relative to the working directory of that moment.
    with_directory("dir", || {
        std::env::set_current_dir(&place.path).unwrap();
        let segment = create_with("plain", &Terms { ephemeral: true, ..terms() }).unwrap();
        std::env::set_current_dir("/").unwrap();
        assert!(Path::new(&place.name("dir/plain")).exists());
        drop(segment);
        assert!(!Path::new(&place.name("dir/plain")).exists());
    });
    chmod(&path, 0o770);
    with_directory(&path, || {
        assert!(matches!(
            Segment::create("plain", &expected(), &terms()),
            Err(Error::DirectoryNotOurs { mode: 0o770, .. })
        ));
        assert!(matches!(open("plain"), Err(Error::DirectoryNotOurs { mode: 0o770, .. })));
        assert!(matches!(crate::unlink("plain"), Err(Error::DirectoryNotOurs { mode: 0o770, .. })));
        assert!(matches!(crate::clean(), Err(Error::DirectoryNotOurs { mode: 0o770, .. })));
    });
}

#[test]
fn cleaning_and_listing_serve_the_directory_of_the_environment() {
    let place = Place::new();
    with_directory(&place.name("dir"), || {
        assert_eq!(crate::clean().unwrap(), [""; 0], "not there yet");
        assert_eq!(admin::names().unwrap(), [""; 0]);
        let _used = create("used");
        drop(create("unused"));
        std::fs::write(place.name("dir/.hidden"), "").unwrap();
        std::fs::write(place.name("dir/letter"), "").unwrap();
        assert_eq!(admin::names().unwrap(), ["letter", "unused", "used"]);
        assert_eq!(crate::clean().unwrap(), ["unused"]);
        assert_eq!(admin::names().unwrap(), ["letter", "used"]);
    });
}

#[test]
fn cleaning_asks_about_what_nobody_uses() {
    let place = Place::new();
    with_directory(&place.name("dir"), || {
        let _used = create("used");
        drop(create("litter"));
        drop(create("treasure"));
        std::fs::write(place.name("dir/letter"), "").unwrap();
        let mut asked = Vec::new();
        let removed = crate::clean_if(|name, fd| {
            let path = place.name(&format!("dir/{name}"));
            asked.push((name.to_owned(), crate::sys::file::Stat::of(fd).unwrap().id()));
            assert_eq!(inode(&path), Some(asked.last().unwrap().1.inode), "the file of that name");
            name == "litter"
        });
        assert_eq!(removed.unwrap(), ["litter"]);
        asked.sort_by(|one, other| one.0.cmp(&other.0));
        assert!(asked.iter().map(|(name, _)| name).eq(["litter", "treasure"]), "{asked:?}");
        assert_eq!(admin::names().unwrap(), ["letter", "treasure", "used"]);
        // It is not removed, and nothing is left of having been asked about.
        let kept = open("treasure").unwrap();
        assert!(!kept.is_retired());
        drop(kept);
        assert_eq!(crate::clean().unwrap(), ["treasure"]);
    });
}

#[test]
fn a_directory_that_is_not_there_has_no_objects_and_gets_none() {
    let place = Place::new();
    let name = place.name("gone/a");
    assert!(matches!(open(&name), Err(Error::NotFound { name: said }) if said == name));
    assert!(matches!(crate::unlink(&name), Err(Error::NotFound { .. })));
    match Segment::create(&name, &expected(), &terms()) {
        Err(Error::Os { source, .. }) => assert_eq!(source.raw_os_error(), Some(libc::ENOENT)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(Probe::options().open_or_create(&name), Err(Error::Os { .. })));
    std::fs::write(place.name("file"), "").unwrap();
    assert!(matches!(open(&place.name("file/a")), Err(Error::NotFound { .. })));
}

#[test]
fn a_directory_that_vanishes_is_no_directory() {
    let place = Place::new();
    std::fs::create_dir(place.name("dir")).unwrap();
    let found = Location::find(&place.name("dir/a"), true).unwrap();
    let (segment, unlinked) = Segment::create(&place.name("dir/a"), &expected(), &terms()).unwrap();
    std::fs::remove_dir(place.name("dir")).unwrap();
    assert!(matches!(crate::segment::create::open_named(&found), Err(Error::NotFound { .. })));
    match unlinked.link(&segment) {
        Err(Error::Os { source, .. }) => assert_eq!(source.raw_os_error(), Some(libc::ENOENT)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_can_be_anything_that_is_left() {
    let place = Place::new();
    for name in ["a", "ä ö\n", "-rf", "tmp-1", &"x".repeat(200)] {
        let segment = create(&place.name(name));
        assert_eq!(open(&place.name(name)).unwrap().id(), segment.id());
        crate::unlink(&place.name(name)).unwrap();
    }
    assert_eq!(place.files(), [""; 0]);
}
