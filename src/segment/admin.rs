//! Names, seen from outside: listing, removing, tidying up.
//!
//! # Removing a name
//! Two processes that both judge a file to be stale, and remove it by name one after the other, end with two live
//! segments: the second removes what the first has put in its place. So whoever removes a name first locks a
//! byte of the very file it judged (see [`lock_page`]) and then looks whether the name still means that file.
//! Whoever may remove it only while nobody is attached locks the bytes of all participants in the same call: an
//! opener is either there before it, or comes too late and looks again.
//!
//! The retired word is written before the name goes. A remover that is killed in between leaves an object that
//! says of itself that it is removed; the next opener finishes the job.

use super::create::{is_stale, open_named, open_named_for, read_geometry};
use super::layout::{Geometry, MAGIC, MAX_PARTICIPANTS, RETIRED_AT};
use super::name::{Directory, Home, Location};
use crate::error::Error;
use crate::sync::mutated;
use crate::sys::file::{self, FileId, Stat};
use crate::sys::socket::Fifo;
use crate::sys::{clock, lock_page};
use std::collections::HashSet;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What files without a proper name yet are called where the file system makes us.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// What the FIFOs beside named objects are called: see [`fifo_name`].
const FIFO_PREFIX: &str = ".bell-";

/// The FIFO of one direction of the object in the file with this identity. Not by the object's name, which another
/// object may have by now.
pub(super) fn fifo_name(id: FileId, lane: usize) -> CString {
    CString::new(format!("{FIFO_PREFIX}{:x}-{lane}", id.inode)).unwrap_or_default()
}

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
    loop {
        let file = Candidate::open(&place)?;
        let mut magic = [0; MAGIC.len()];
        file::read_at(file.fd.as_fd(), &mut magic, 0)
            .map_err(|source| Error::Os { action: "read the segment's header", source })?;
        // The rest may be damaged, or of another version: it is one of ours, and unwanted.
        if magic != MAGIC {
            return Err(Error::BadMagic { found: magic });
        }
        if let Removal::Done = file.remove(&place, Condition::Always)? {
            return Ok(());
        }
    }
}

/// Removes the name of an object to which no process is attached: what is left if all its processes were killed.
/// `false` if somebody is attached; then nothing happens.
///
/// # Errors
/// As [`unlink`].
///
/// ```
/// let name = format!("doc-unused-{}", std::process::id());
/// let ring = ringway::spsc::Producer::<u64>::create(&name, 16)?;
/// assert!(!ringway::unlink_unused(&name)?);
/// drop(ring);
/// assert!(ringway::unlink_unused(&name)?);
/// # Ok::<(), ringway::Error>(())
/// ```
pub fn unlink_unused(name: &str) -> Result<bool, Error> {
    let place = Location::find(name, false)?;
    loop {
        let file = Candidate::open(&place)?;
        let geometry = file.geometry()?;
        match file.remove(&place, Condition::Unused(geometry.participants))? {
            Removal::Done => return Ok(true),
            Removal::InUse | Removal::Kept => return Ok(false),
            Removal::Gone => {} // the name means another file by now, or none
        }
    }
}

/// Removes the name at `home` if it still means the file with this identity.
pub(super) fn unlink_this(home: &Home, id: FileId) -> Result<(), Error> {
    let not_found = || Error::NotFound { name: home.name.clone() };
    let place = home.find().map_err(|_| not_found())?;
    let file = Candidate::open(&place)?;
    match file.id == id && file.remove(&place, Condition::Always)? == Removal::Done {
        true => Ok(()),
        false => Err(not_found()),
    }
}

/// Removes the FIFOs that nobody has open. Those who have one need it also after the object has lost its name: who
/// is attached, and has not opened it yet, finds it. The last of them to leave removes it, or `clean`.
fn remove_fifos(place: &Location, id: FileId) {
    for lane in [0, 1] {
        let _ = Fifo::remove_unused(place.dir.as_fd(), &fifo_name(id, lane)); // mostly there is none
    }
}

/// The same when somebody has left an object whose name is gone.
pub(super) fn remove_fifos_of_nameless(home: &Home, id: FileId) {
    if let Ok(place) = home.find()
        && !place.is_named(id)
    {
        remove_fifos(&place, id);
    }
}

/// Removes `name` if it was left by an earlier boot, so that its creator can go ahead.
pub(crate) fn remove_stale(name: &str) -> Result<(), Error> {
    let place = Location::find(name, false)?;
    let file = Candidate::open(&place)?;
    let geometry = file.geometry()?;
    // Judged anew: another opener may have replaced it meanwhile.
    if is_stale(file.fd.as_fd(), &geometry)? {
        file.remove(&place, Condition::Unused(geometry.participants))?;
    }
    Ok(())
}

/// Removes the name at `home` if nobody is attached to the file with this identity.
pub(super) fn remove_unused(home: &Home, id: FileId, participants: u16) -> Result<(), Error> {
    let Ok(place) = home.find() else { return Ok(()) };
    let file = Candidate::open(&place)?;
    if file.id == id {
        file.remove(&place, Condition::Unused(participants))?;
    }
    Ok(())
}

/// Removes the name for a remover that was killed, or overtaken, after it had retired the file.
pub(super) fn finish_removal(place: &Location, id: FileId) -> Result<(), Error> {
    match Candidate::open(place) {
        Ok(file) if file.id == id => file.remove(place, Condition::Always).map(drop),
        Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A file whose name may have to go, open through a description of its own.
struct Candidate {
    fd: OwnedFd,
    id: FileId,
    len: u64,
}

#[derive(Clone, Copy)]
enum Condition {
    /// Whoever is attached goes on without the name.
    Always,
    /// Only if nobody is attached to the segment, which has room for that many.
    Unused(u16),
}

#[derive(Debug, PartialEq, Eq)]
enum Removal {
    Done,
    /// The name does not mean that file, or not any more.
    Gone,
    /// Somebody is attached.
    InUse,
    /// Nobody is, and it was not wanted.
    Kept,
}

impl Candidate {
    fn open(place: &Location) -> Result<Self, Error> {
        let fd = open_named(place)?;
        let stat = Stat::of(&fd).map_err(|source| Error::Os { action: "examine the segment", source })?;
        match stat.special() {
            Some(what) => Err(Error::NotRegular { name: place.name.clone(), what }),
            None => Ok(Candidate { fd, id: stat.id(), len: stat.len() }),
        }
    }

    fn geometry(&self) -> Result<Geometry, Error> {
        read_geometry(self.fd.as_fd(), self.len)
    }

    /// Takes the candidate: it is judged anew before it is tried again.
    fn remove(self, place: &Location, condition: Condition) -> Result<Removal, Error> {
        self.remove_if(place, condition, |_| true)
    }

    /// The same if `is_wanted`, which is asked when nobody else can come and change the answer.
    fn remove_if(
        self,
        place: &Location,
        condition: Condition,
        is_wanted: impl FnOnce(BorrowedFd<'_>) -> bool,
    ) -> Result<Removal, Error> {
        let locked = match condition {
            Condition::Always => self.lock_name()?,
            Condition::Unused(participants) => lock_page::try_lock_unused(self.fd.as_fd(), participants)
                .map_err(|error| lock_page::refusal(error, "lock the name"))?,
        };
        if !locked {
            return Ok(Removal::InUse);
        }
        let removed = if is_wanted(self.fd.as_fd()) { self.remove_locked(place) } else { Ok(Removal::Kept) };
        lock_page::unlock_name(self.fd.as_fd(), MAX_PARTICIPANTS);
        removed
    }

    fn remove_locked(&self, place: &Location) -> Result<Removal, Error> {
        if !place.is_named(self.id) {
            return Ok(Removal::Gone);
        }
        // Only where we know what the word means: a damaged file, or one of another version, just goes.
        let retire = self.geometry().is_ok();
        self.set_retired(retire && !mutated!("segment.retire_first"), 1);
        match file::unlink_at(place.dir.as_fd(), &place.leaf) {
            Ok(()) => {
                self.set_retired(retire && mutated!("segment.retire_first"), 1);
                remove_fifos(place, self.id);
                Ok(Removal::Done)
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Removal::Gone),
            Err(source) => {
                self.set_retired(retire, 0);
                Err(Error::Os { action: "remove the name", source })
            }
        }
    }

    fn lock_name(&self) -> Result<bool, Error> {
        let mut patience = Patience::new();
        loop {
            match lock_page::try_lock_name(self.fd.as_fd()) {
                Ok(true) => return Ok(true),
                Ok(false) if patience.wait() => {}
                Ok(false) => {
                    let source = std::io::ErrorKind::TimedOut.into();
                    return Err(Error::Os {
                        action: "wait for the process that is removing the name",
                        source,
                    });
                }
                Err(error) => return Err(lock_page::refusal(error, "lock the name")),
            }
        }
    }

    fn set_retired(&self, known: bool, value: u32) {
        if known {
            // A word for those who are attached; that it cannot be written is no reason to keep the name.
            let _ = file::write_at(self.fd.as_fd(), &value.to_ne_bytes(), RETIRED_AT);
        }
    }
}

/// Waits for a process in the middle of a removal: microseconds, unless it is stopped, or a peer that means us
/// harm. So there is an end to it, after a second or two.
pub(super) struct Patience(u32);

impl Patience {
    pub(super) fn new() -> Self {
        Patience(0)
    }

    /// `false` when it is time to give up.
    pub(super) fn wait(&mut self) -> bool {
        self.0 += 1;
        clock::pause(if self.0 < 20 { 50_000 } else { 1_000_000 });
        self.0 < 1000
    }
}

/// Removes the names of all objects in the default directory to which no process is attached, and what
/// killed creators left. Returns the names removed.
///
/// # Errors
/// If the directory is not ours, or cannot be read.
pub fn clean() -> Result<Vec<String>, Error> {
    clean_if(|_, _| true)
}

/// The same, except for objects that are no litter: their content may mean something without anybody attached.
///
/// `is_litter` is asked about each object to which no process is attached, by its name and a descriptor that
/// [`inspect::stat_fd`](crate::inspect::stat_fd) can look at. Until it has answered nobody can attach to that object, and
/// whoever wants to waits: it should be quick, and must not try to open it.
///
/// # Errors
/// As [`clean`].
///
/// ```no_run
/// use ringway::{Kind, inspect};
///
/// // All but what counts something.
/// let removed = ringway::clean_if(|_, object| {
///     !inspect::stat_fd(object).is_ok_and(|seen| matches!(seen.kind, Kind::Value | Kind::Semaphore))
/// })?;
/// # Ok::<(), ringway::Error>(())
/// ```
pub fn clean_if(is_litter: impl FnMut(&str, BorrowedFd<'_>) -> bool) -> Result<Vec<String>, Error> {
    match Directory::default_place(false)? {
        Some(dir) => clean_in(dir, is_litter),
        None => Ok(Vec::new()),
    }
}

/// The same for any directory.
pub(crate) fn clean_in(
    dir: Directory,
    mut is_litter: impl FnMut(&str, BorrowedFd<'_>) -> bool,
) -> Result<Vec<String>, Error> {
    let entries = || {
        file::entries(dir.as_fd())
            .map_err(|source| Error::Os { action: "read the directory for named objects", source })
    };
    let is_fifo = |leaf: &CString| leaf.as_bytes().starts_with(FIFO_PREFIX.as_bytes());
    // An object has its name before its FIFOs: whose FIFO is found first has a name in the second list.
    let fifos: Vec<_> = entries()?.into_iter().filter(is_fifo).collect();
    let leaves: Vec<_> = entries()?.into_iter().filter(|leaf| !is_fifo(leaf)).collect();
    let mut removed = Vec::new();
    let mut kept = HashSet::new();
    let mut place = Location::within(dir);
    for leaf in leaves {
        place.set_leaf(leaf);
        if is_abandoned_and_removed(&place, &mut is_litter) {
            removed.push(place.name.clone());
        } else if let Ok(stat) = Stat::at(place.dir.as_fd(), &place.leaf) {
            kept.extend([fifo_name(stat.id(), 0), fifo_name(stat.id(), 1)]);
        }
    }
    for fifo in fifos {
        if !kept.contains(&fifo) {
            // It belongs to an object without a name. Those still attached may have it open.
            let _ = Fifo::remove_unused(place.dir.as_fd(), &fifo);
        }
    }
    removed.sort();
    Ok(removed)
}

/// Removes one name if nobody is attached to the object and it is litter, or if it was left by a killed creator.
fn is_abandoned_and_removed(
    place: &Location,
    is_litter: &mut impl FnMut(&str, BorrowedFd<'_>) -> bool,
) -> bool {
    let Ok(file) = Candidate::open(place) else { return false };
    if place.name.starts_with(TEMPORARY_PREFIX) {
        // Its maker holds the lock, or has yet to take it: it then finds the file gone and makes another. We hold it
        // until the name is removed.
        return file::try_lock_exclusively(file.fd.as_fd())
            && place.is_named(file.id)
            && file::unlink_at(place.dir.as_fd(), &place.leaf).is_ok();
    }
    file.geometry().is_ok_and(|geometry| {
        let condition = Condition::Unused(geometry.participants);
        let removal = file.remove_if(place, condition, |fd| is_litter(&place.name, fd));
        removal.is_ok_and(|removal| removal == Removal::Done)
    })
}

/// Every name in the default directory that could be an object's, in order.
pub(crate) fn names() -> Result<Vec<String>, Error> {
    match Directory::default_place(false)? {
        Some(dir) => names_in(&dir),
        None => Ok(Vec::new()),
    }
}

/// The same for any directory.
pub(crate) fn names_in(dir: &Directory) -> Result<Vec<String>, Error> {
    let leaves = file::entries(dir.as_fd())
        .map_err(|source| Error::Os { action: "read the directory for named objects", source })?;
    let mut names: Vec<String> = leaves.into_iter().filter_map(|leaf| leaf.into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

/// Opens a file by name to look at it; nothing is claimed and nothing can be changed through it.
pub(crate) fn open_to_look(name: &str) -> Result<OwnedFd, Error> {
    open_named_for(&Location::find(name, false)?, libc::O_RDONLY)
}
