//! Names, seen from outside: listing, removing, tidying up.

use super::create::{open_named, open_named_for, read_geometry, still_names};
use super::layout::RETIRED_AT;
use super::name::{Directory, Location};
use crate::error::Error;
use crate::sys::file::{self, FileId, Stat};
use crate::sys::{identity, lock_page};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// What files without a proper name yet are called where the file system makes us.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Removes the name of an object. Attached processes go on; nobody finds it any more.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::BadMagic`] and its kin if the file is no segment, which is left alone.
///
/// ```
/// let name = format!("doc-unlink-{}", std::process::id());
/// let ring = ringway::spsc::Producer::<u64>::create(&name, 16)?;
/// ringway::unlink(&name)?;
/// assert!(matches!(ringway::unlink(&name), Err(ringway::Error::NotFound { .. })));
/// # Ok::<(), ringway::Error>(())
/// ```
pub fn unlink(name: &str) -> Result<(), Error> {
    let place = Location::find(name, false)?;
    let _lock = place.dir.lock()?;
    let fd = open_named(&place)?;
    let stat = Stat::of(&fd).map_err(|source| Error::Os { action: "examine the segment", source })?;
    if let Some(what) = stat.special() {
        return Err(Error::NotRegular { name: name.to_owned(), what });
    }
    read_geometry(fd.as_fd(), stat.len())?;
    remove(&place, &fd)
}

/// Removes `name` if it still means the file `id`: by now it may be that of a newer object.
pub(crate) fn unlink_this(name: &str, id: FileId) -> Result<(), Error> {
    let place = Location::find(name, false)?;
    let _lock = place.dir.lock()?;
    if !still_names(&place, &place.leaf, id) {
        return Err(Error::NotFound { name: name.to_owned() });
    }
    let fd = open_named(&place)?;
    remove(&place, &fd)
}

/// Replaces nothing: removes `place` if it was left by an earlier boot, so that its creator can go ahead.
pub(crate) fn remove_stale(name: &str) -> Result<(), Error> {
    let place = Location::find(name, false)?;
    let _lock = place.dir.lock()?;
    // Judged anew under the lock: another opener may have replaced it meanwhile.
    let fd = open_named(&place)?;
    let stat = Stat::of(&fd).map_err(|source| Error::Os { action: "examine the segment", source })?;
    if read_geometry(fd.as_fd(), stat.len())?.boot == identity::boot_id()? {
        return Ok(());
    }
    remove(&place, &fd)
}

/// Removes `place` if it still names the file with this identity. The caller holds the directory's lock.
pub(super) fn remove_this(place: &Location, id: FileId) {
    if still_names(place, &place.leaf, id) {
        let _ = open_named(place).and_then(|fd| remove(place, &fd));
    }
}

fn remove(place: &Location, fd: &OwnedFd) -> Result<(), Error> {
    // Attached handles learn of it; that the word is missing in a file about to vanish is no reason to stop.
    let _ = file::write_at(fd.as_fd(), &1u32.to_ne_bytes(), RETIRED_AT);
    file::unlink_at(place.dir.as_fd(), &place.leaf).map_err(|source| match source.raw_os_error() {
        Some(libc::ENOENT) => Error::NotFound { name: place.name.clone() },
        _ => Error::Os { action: "remove the name", source },
    })
}

/// Removes the names of all objects in the default directory to which no process is attached, and what
/// killed creators left. Returns the names removed.
///
/// # Errors
/// If the directory is not ours, or cannot be read.
pub fn clean() -> Result<Vec<String>, Error> {
    let mut removed = Vec::new();
    let Some(dir) = Directory::default_place(false)? else { return Ok(removed) };
    let _lock = dir.lock()?;
    for leaf in leaves(&dir)? {
        let name = leaf.to_string_lossy().into_owned();
        let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let Ok(fd) = file::open_at(dir.as_fd(), &leaf, flags, 0) else { continue };
        let Ok(stat) = Stat::of(&fd) else { continue };
        let abandoned = if name.starts_with(TEMPORARY_PREFIX) {
            file::is_unlocked(fd.as_fd())
        } else {
            stat.special().is_none()
                && read_geometry(fd.as_fd(), stat.len())
                    .is_ok_and(|geometry| !is_attached(&fd, geometry.participants))
        };
        if abandoned && file::unlink_at(dir.as_fd(), &leaf).is_ok() {
            removed.push(name);
        }
    }
    removed.sort();
    Ok(removed)
}

fn is_attached(fd: &OwnedFd, participants: u16) -> bool {
    lock_page::is_range_held(fd.as_fd(), 1, participants).unwrap_or(true)
}

/// Every name in the default directory that could be an object's, in order.
pub(crate) fn names() -> Result<Vec<String>, Error> {
    let Some(dir) = Directory::default_place(false)? else { return Ok(Vec::new()) };
    let mut names: Vec<String> =
        leaves(&dir)?.into_iter().filter_map(|leaf| leaf.into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

/// Opens a file by name to look at it; nothing is claimed and nothing can be changed through it.
pub(crate) fn open_to_look(name: &str) -> Result<OwnedFd, Error> {
    open_named_for(&Location::find(name, false)?, libc::O_RDONLY)
}

fn leaves(dir: &Directory) -> Result<Vec<CString>, Error> {
    let failed = |source| Error::Os { action: "read the directory for named objects", source };
    let mut leaves = Vec::new();
    for entry in std::fs::read_dir(dir.path()).map_err(failed)? {
        if let Ok(leaf) = CString::new(entry.map_err(failed)?.file_name().as_bytes()) {
            leaves.push(leaf);
        }
    }
    Ok(leaves)
}
