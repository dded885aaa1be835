//! Making, opening and handing over segments: atomically, or not at all.

use super::layout::{EPHEMERAL, Geometry, Header, MAX_PARTICIPANTS, Plan, RETIRED_AT};
use super::name::{Home, Location};
use super::participants::Registry;
use super::{Segment, Sweep, admin};
use crate::error::Error;
use crate::sync::{AtomicU64, mutated};
use crate::sys::file::{self, FileSystem, Stat};
use crate::sys::fork::Generation;
use crate::sys::memory::{Mapping, PageOptions};
use crate::sys::{identity, lock_page};
use bytemuck::Zeroable;
use core::mem::ManuallyDrop;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// How a segment is to be made and whom it is to be shared with.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) participants: u16,
    pub(crate) mode: u32,
    pub(crate) owner: Option<u32>,
    pub(crate) pages: PageOptions,
    pub(crate) ephemeral: bool,
    /// `None`: decided by who can write to the segment; see [`Options`](crate::Options).
    pub(crate) trusted: Option<bool>,
}

/// What the opener of an existing segment insists on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) plan: Plan,
    /// Whether the capacity was asked for or is to be taken as found.
    pub(crate) exact_capacity: bool,
    pub(crate) sweep: Sweep,
}

/// A segment that is complete but has no name yet. Dropping it leaves no trace.
#[derive(Debug)]
pub(crate) struct Unlinked {
    place: Location,
    /// The `.tmp-` name it goes by where the file system has no unnamed files.
    temporary: Option<CString>,
}

impl Drop for Unlinked {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary {
            // Failing leaves an unlocked temporary behind, which `clean` removes.
            let _ = file::unlink_at(self.place.dir.as_fd(), name);
        }
    }
}

impl Segment {
    /// Makes a segment for `name`, complete and attached, but not yet under its name: see [`Unlinked::link`].
    pub(crate) fn create(name: &str, expected: &Expected, terms: &Terms) -> Result<(Self, Unlinked), Error> {
        let header = lay_out(expected, terms, true)?;
        let mut place = Location::find(name, true)?;
        let mut made = new_file(&place, header.file_len);
        if matches!(&made, Err(Error::Os { source, .. }) if source.raw_os_error() == Some(libc::ENOENT)) {
            // The directory went away while we looked; the default one can be made again.
            place = Location::find(name, true)?;
            made = new_file(&place, header.file_len);
        }
        let (fd, temporary) = made?;
        let mut home = place.home();
        home.temporary.clone_from(&temporary);
        let unlinked = Unlinked { place, temporary }; // from here on removes a temporary name
        file::set_mode(fd.as_fd(), terms.mode)
            .map_err(|source| Error::Os { action: "set the segment's mode", source })?;
        if mutated!("segment.link_first") {
            let _ = file::link(fd.as_fd(), unlinked.place.dir.as_fd(), &unlinked.place.leaf);
        }
        let segment = Segment::build(fd, Some(home), header, expected, terms)?;
        Ok((segment, unlinked))
    }

    /// Makes a segment without a name, in sealed memory: it vanishes with its last process.
    pub(crate) fn anonymous(expected: &Expected, terms: &Terms) -> Result<Self, Error> {
        let header = lay_out(expected, terms, false)?;
        let fd = file::memfd(c"ringway")
            .map_err(|source| Error::Os { action: "make an anonymous segment", source })?;
        Segment::build(fd, None, header, expected, terms)
    }

    fn build(
        fd: OwnedFd,
        home: Option<Home>,
        header: Header,
        expected: &Expected,
        terms: &Terms,
    ) -> Result<Self, Error> {
        let solid = header.file_len - header.tail_len;
        let refused = |source: io::Error| match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG | libc::ENOMEM) => {
                Error::NoSpace { needed: solid }
            }
            Some(libc::EOPNOTSUPP) => Error::Unsupported { what: "a file system without fallocate" },
            _ => Error::Os { action: "reserve space for the segment", source },
        };
        file::allocate(fd.as_fd(), solid).map_err(refused)?;
        if header.tail_len > 0 {
            file::set_len(fd.as_fd(), header.file_len).map_err(refused)?;
        }
        if home.is_none() {
            file::seal(fd.as_fd())
                .map_err(|source| Error::Os { action: "seal the anonymous segment", source })?;
        }
        file::write_at(fd.as_fd(), bytemuck::bytes_of(&header), 0)
            .map_err(|source| Error::Os { action: "write the segment's header", source })?;
        let geometry = header.validate(header.file_len)?;
        // Whoever it is handed to, or let in by its mode, is the creator's own choice.
        let trusted = terms.trusted.unwrap_or(terms.mode & 0o022 == 0);
        // Nobody was here before who could have left something: a look at all of it would only bring its pages into being.
        let mut segment = Segment::attach(fd, home, geometry, |_, _| {}, terms, trusted)?;
        segment.sweep = expected.sweep;
        Ok(segment)
    }

    /// Opens the segment called `name`.
    pub(crate) fn open(name: &str, expected: &Expected, terms: &Terms) -> Result<Self, Error> {
        loop {
            let place = Location::find(name, false)?;
            let fd = open_named(&place)?;
            let stat = check_file(&fd, &place.name, terms)?;
            let geometry = read_geometry(fd.as_fd(), stat.len())?;
            if is_stale(fd.as_fd(), &geometry)? {
                return Err(Error::StaleBoot { name: name.to_owned() });
            }
            expected.check(&geometry)?;
            // Only we, or users the caller mentioned, can write to it.
            let trusted = terms.trusted.unwrap_or(terms.owner.is_none() && stat.mode() & 0o022 == 0);
            let home = Some(place.home());
            let segment = Segment::attach(fd, home, geometry, expected.sweep, terms, trusted)?;
            // Being attached keeps others from removing the name for want of participants. Was it removed before?
            let retired = is_retired(segment.as_fd())?;
            let nameless = Stat::of(segment.as_fd()).is_ok_and(|stat| stat.links() == 0);
            if !retired && !nameless {
                return Ok(segment);
            }
            let id = segment.id();
            drop(segment);
            if !nameless {
                admin::finish_removal(&place, id)?;
            }
        }
    }

    /// Attaches to a segment handed over as a descriptor.
    pub(crate) fn from_fd(fd: OwnedFd, expected: &Expected, terms: &Terms) -> Result<Self, Error> {
        let stat = Stat::of(&fd).map_err(|source| Error::Os { action: "examine the descriptor", source })?;
        if let Some(what) = stat.special() {
            return Err(Error::NotRegular { name: format!("descriptor {}", fd.as_raw_fd()), what });
        }
        let trusted = terms.trusted.unwrap_or(false);
        let missing = file::missing_seals(fd.as_fd());
        if missing != 0 && !trusted {
            return Err(Error::NotSealed { missing: missing as u32 });
        }
        let geometry = read_geometry(fd.as_fd(), stat.len())?;
        expected.check(&geometry)?;
        Segment::attach(fd, None, geometry, expected.sweep, terms, trusted)
    }

    fn attach(
        fd: OwnedFd,
        home: Option<Home>,
        geometry: Geometry,
        sweep: Sweep,
        terms: &Terms,
        trusted: bool,
    ) -> Result<Self, Error> {
        let stat = Stat::of(&fd).map_err(|source| Error::Os { action: "examine the segment", source })?;
        check_reserved(fd.as_fd(), &stat, &geometry)?;
        let id = stat.id();
        let map = if is_mirrored(&geometry) {
            Mapping::mirrored(fd.as_fd(), geometry.data_at, geometry.data_len, geometry.areas, terms.pages)?
        } else {
            let len = usize::try_from(geometry.file_len)
                .map_err(|_| Error::Unsupported { what: "segments larger than the address space" })?;
            Mapping::with_tail(fd.as_fd(), len - geometry.tail_len, geometry.tail_len, terms.pages)?
        };
        let generation = Generation::get()?;
        let member = AtomicU64::new(0);
        let fd = ManuallyDrop::new(fd);
        let segment = Segment { fd, id, map, geometry, generation, member, sweep, home, trusted };
        Registry::get()?.join(&segment)?;
        Ok(segment)
    }
}

impl Unlinked {
    /// Gives `segment` its name. Until here nobody could see it; from here on it is complete.
    pub(crate) fn link(mut self, segment: &Segment) -> Result<(), Error> {
        let dir = self.place.dir.as_fd();
        let linked = match &self.temporary {
            None => file::link(segment.as_fd(), dir, &self.place.leaf),
            Some(temporary) => file::rename_new(dir, temporary, &self.place.leaf),
        };
        match linked {
            Ok(()) => {
                self.temporary = None;
                Ok(())
            }
            Err(_) if mutated!("segment.link_first") => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                Err(Error::AlreadyExists { name: self.place.name.clone() })
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) => {
                Err(Error::NoSpace { needed: segment.geometry().file_len })
            }
            Err(source) => Err(Error::Os { action: "name the segment", source }),
        }
    }
}

/// The header of a new segment.
fn lay_out(expected: &Expected, terms: &Terms, named: bool) -> Result<Header, Error> {
    if !(1..=MAX_PARTICIPANTS).contains(&terms.participants) {
        return Err(Error::BadParticipants { asked: terms.participants, max: MAX_PARTICIPANTS });
    }
    let flags = if terms.ephemeral && named { EPHEMERAL } else { 0 };
    let boot = identity::boot_id()?.unwrap_or(UNKNOWN_BOOT);
    Header::lay_out(&expected.plan, terms.participants, flags, boot).ok_or(Error::BadCapacity {
        asked: expected.plan.capacity,
        min: 1,
        max: 1 << 40,
    })
}

/// What a creator writes who cannot read the boot's number.
const UNKNOWN_BOOT: [u8; 16] = [0; 16];

/// Whether a named segment was left by an earlier boot. Locks do not outlive a boot, so one that anybody is
/// attached to was not, whatever its header says: containers can show a boot number of their own.
pub(crate) fn is_stale(fd: BorrowedFd<'_>, geometry: &Geometry) -> Result<bool, Error> {
    let maybe = match identity::boot_id()? {
        Some(current) if geometry.boot == current => false,
        Some(_) if geometry.boot != UNKNOWN_BOOT => true,
        // The creator or we cannot tell: then only a file that can outlive a boot may have done so.
        _ => !FileSystem::of(fd)
            .map_err(|source| Error::Os { action: "examine the file system", source })?
            .is_memory(),
    };
    // Not knowing is "not stale": removing is what cannot be undone.
    Ok(maybe && !lock_page::is_any_held(fd, geometry.participants).unwrap_or(true))
}

impl Expected {
    fn check(&self, geometry: &Geometry) -> Result<(), Error> {
        let plan = &self.plan;
        if geometry.kind != plan.kind {
            return Err(Error::WrongKind { found: geometry.kind, expected: plan.kind });
        }
        if geometry.element != plan.element {
            return Err(Error::WrongElement { found: geometry.element, expected: plan.element });
        }
        if self.exact_capacity && geometry.capacity != plan.capacity {
            return Err(Error::WrongCapacity { found: geometry.capacity, expected: plan.capacity });
        }
        expect("body length", geometry.body_len as u64, plan.body_len)
    }
}

pub(crate) fn expect(field: &'static str, found: u64, expected: u64) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::BadGeometry { field, found, expected }) }
}

/// Byte rings and pipes see each data area twice in a row, so that every record is contiguous.
fn is_mirrored(geometry: &Geometry) -> bool {
    use crate::error::Kind;
    matches!(geometry.kind, Kind::Bytes | Kind::Pipe)
}

/// Opens by name without following a link and without blocking on a FIFO.
pub(super) fn open_named(place: &Location) -> Result<OwnedFd, Error> {
    open_named_for(place, libc::O_RDWR)
}

/// The same for reading or for both, as `access` says.
pub(super) fn open_named_for(place: &Location, access: libc::c_int) -> Result<OwnedFd, Error> {
    let flags = access | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let not_regular = |what| Error::NotRegular { name: place.name.clone(), what };
    file::open_at(place.dir.as_fd(), &place.leaf, flags, 0).map_err(|source| match source.raw_os_error() {
        Some(libc::ENOENT) => Error::NotFound { name: place.name.clone() },
        Some(libc::ELOOP) => not_regular("a symbolic link"),
        Some(libc::EISDIR) => not_regular("a directory"),
        Some(libc::ENXIO) => not_regular("a socket or a device"),
        _ => Error::Os { action: "open the segment", source },
    })
}

/// A regular file, ours, closed to those the options do not let in.
fn check_file(fd: &OwnedFd, name: &str, terms: &Terms) -> Result<Stat, Error> {
    let stat = Stat::of(fd).map_err(|source| Error::Os { action: "examine the segment", source })?;
    if let Some(what) = stat.special() {
        return Err(Error::NotRegular { name: name.to_owned(), what });
    }
    let expected = terms.owner.unwrap_or_else(identity::effective_user);
    if stat.owner() != expected && stat.owner() != identity::effective_user() {
        return Err(Error::ForeignOwner { owner: stat.owner(), expected });
    }
    if stat.mode() & 0o077 & !terms.mode != 0 {
        return Err(Error::TooPermissive { mode: stat.mode(), allowed: terms.mode });
    }
    Ok(stat)
}

/// Copies the header out by `pread`, which a truncated file cannot turn into a SIGBUS, and checks the copy.
pub(crate) fn read_geometry(fd: BorrowedFd<'_>, file_len: u64) -> Result<Geometry, Error> {
    let mut header = Header::zeroed();
    let got = file::read_at(fd, bytemuck::bytes_of_mut(&mut header), 0)
        .map_err(|source| Error::Os { action: "read the segment's header", source })?;
    let known = got.min(header.magic.len());
    if got < size_of::<Header>() && header.magic[..known] == super::layout::MAGIC[..known] {
        return Err(Error::Truncated { needed: size_of::<Header>() as u64, found: got as u64 });
    }
    header.validate(file_len)
}

/// All before the tail was reserved when the segment was made. In memory a hole would be filled by the first look at it:
/// who attaches to a gigabyte that is not there would pay for it, or, where there is no space, be killed by a SIGBUS.
fn check_reserved(fd: BorrowedFd<'_>, stat: &Stat, geometry: &Geometry) -> Result<(), Error> {
    let (found, expected) = (stat.allocated(), geometry.tail_at as u64);
    if found < expected && FileSystem::of(fd).is_ok_and(FileSystem::is_tmpfs) {
        return Err(Error::BadGeometry { field: "reserved length", found, expected });
    }
    Ok(())
}

/// Whether somebody has set about removing the name. By `pread`, which is cheaper than the page's first touch.
fn is_retired(fd: BorrowedFd<'_>) -> Result<bool, Error> {
    let mut word = [0; 4];
    file::read_at(fd, &mut word, RETIRED_AT)
        .map_err(|source| Error::Os { action: "read the segment's header", source })?;
    Ok(word != [0; 4])
}

/// A new file in the directory of `place`, without a name if the file system can do that.
fn new_file(place: &Location, len: u64) -> Result<(OwnedFd, Option<CString>), Error> {
    let dir = place.dir.as_fd();
    let file_system =
        FileSystem::of(dir).map_err(|source| Error::Os { action: "examine the file system", source })?;
    if let Some(what) = file_system.foreign() {
        return Err(Error::Unsupported { what });
    }
    let refused = |action| {
        move |source: io::Error| match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Error::NoSpace { needed: len },
            _ => Error::Os { action, source },
        }
    };
    match unnamed(dir) {
        Ok(fd) => return Ok((fd, None)),
        Err(error) => match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL) => {}
            _ => return Err(refused("make the segment's file")(error)),
        },
    }
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    for attempt in 0..1000 {
        let name = temporary_name(attempt);
        match file::open_at(dir, &name, flags, 0o600) {
            Ok(fd) => {
                // The lock tells `clean` that the file's maker lives; it stays until the segment is detached. If
                // `clean` was faster, the file has lost its name.
                let locked = file::try_lock_exclusively(fd.as_fd());
                if locked && Stat::of(&fd).is_ok_and(|stat| stat.links() == 1) {
                    return Ok((fd, Some(name)));
                }
                let _ = file::unlink_at(dir, &name);
            }
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => return Err(refused("make a temporary file")(error)),
        }
    }
    Err(Error::AlreadyExists { name: admin::TEMPORARY_PREFIX.to_owned() })
}

fn temporary_name(attempt: u32) -> CString {
    let clock = super::layout::now_in_nanoseconds();
    let name = format!("{}{}-{clock:x}-{attempt}", admin::TEMPORARY_PREFIX, std::process::id());
    CString::new(name).unwrap_or_default()
}

fn unnamed(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    #[cfg(test)]
    if WITHOUT_UNNAMED_FILES.get() {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    // It could not be given a name without /proc, where there is no boot number either.
    if identity::boot_id().is_ok_and(|known| known.is_none()) {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    file::unnamed(dir)
}

#[cfg(test)]
std::thread_local! {
    /// Makes this thread's directories behave like those of a file system without O_TMPFILE.
    pub(super) static WITHOUT_UNNAMED_FILES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}
