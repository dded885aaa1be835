//! Making, opening and handing over segments: atomically, or not at all.

use super::layout::{EPHEMERAL, Geometry, Header, MAX_PARTICIPANTS, Plan};
use super::name::Location;
use super::participants::Registry;
use super::{Segment, Sweep, admin};
use crate::error::Error;
use crate::sync::AtomicU64;
use crate::sys::file::{self, Stat};
use crate::sys::fork::Generation;
use crate::sys::identity;
use crate::sys::memory::{Mapping, PageOptions};
use bytemuck::Zeroable;
use core::mem::ManuallyDrop;
use std::ffi::{CStr, CString};
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
        let place = Location::find(name, true)?;
        if let Some(what) = file::foreign_file_system(place.dir.as_fd())
            .map_err(|source| Error::Os { action: "examine the file system", source })?
        {
            return Err(Error::Unsupported { what });
        }
        let (fd, temporary) = new_file(&place)?;
        let unlinked = Unlinked { place, temporary }; // from here on removes a temporary name
        file::set_mode(fd.as_fd(), terms.mode)
            .map_err(|source| Error::Os { action: "set the segment's mode", source })?;
        let segment = Segment::build(fd, Some(name.to_owned()), expected, terms)?;
        Ok((segment, unlinked))
    }

    /// Makes a segment without a name, in sealed memory: it vanishes with its last process.
    pub(crate) fn anonymous(expected: &Expected, terms: &Terms) -> Result<Self, Error> {
        let fd = file::memfd(c"ringway")
            .map_err(|source| Error::Os { action: "make an anonymous segment", source })?;
        Segment::build(fd, None, expected, terms)
    }

    fn build(fd: OwnedFd, name: Option<String>, expected: &Expected, terms: &Terms) -> Result<Self, Error> {
        let flags = if terms.ephemeral && name.is_some() { EPHEMERAL } else { 0 };
        if !(1..=MAX_PARTICIPANTS).contains(&terms.participants) {
            let asked = terms.participants.into();
            return Err(Error::BadCapacity { asked, min: 1, max: MAX_PARTICIPANTS.into() });
        }
        let header = Header::lay_out(&expected.plan, terms.participants, flags, identity::boot_id()?)
            .ok_or(Error::BadCapacity { asked: expected.plan.capacity, min: 1, max: 1 << 40 })?;
        file::allocate(fd.as_fd(), header.file_len).map_err(|source| match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG | libc::ENOMEM) => {
                Error::NoSpace { needed: header.file_len }
            }
            Some(libc::EOPNOTSUPP) => Error::Unsupported { what: "a file system without fallocate" },
            _ => Error::Os { action: "reserve space for the segment", source },
        })?;
        if name.is_none() {
            file::seal(fd.as_fd())
                .map_err(|source| Error::Os { action: "seal the anonymous segment", source })?;
        }
        file::write_at(fd.as_fd(), bytemuck::bytes_of(&header), 0)
            .map_err(|source| Error::Os { action: "write the segment's header", source })?;
        let geometry = header.validate(header.file_len)?;
        // Whoever it is handed to, or let in by its mode, is the creator's own choice.
        let trusted = terms.trusted.unwrap_or(terms.mode & 0o022 == 0);
        Segment::attach(fd, name, geometry, expected.sweep, terms, trusted)
    }

    /// Opens the segment called `name`.
    pub(crate) fn open(name: &str, expected: &Expected, terms: &Terms) -> Result<Self, Error> {
        loop {
            let place = Location::find(name, false)?;
            let fd = open_named(&place)?;
            let stat = check_file(&fd, &place.name, terms)?;
            let geometry = read_geometry(fd.as_fd(), stat.len())?;
            if geometry.boot != identity::boot_id()? {
                return Err(Error::StaleBoot { name: name.to_owned() });
            }
            expected.check(&geometry)?;
            // Only we, or users the caller mentioned, can write to it.
            let trusted = terms.trusted.unwrap_or(terms.owner.is_none() && stat.mode() & 0o022 == 0);
            let segment =
                Segment::attach(fd, Some(name.to_owned()), geometry, expected.sweep, terms, trusted)?;
            // Removed while we attached: then it is not what the name means any more.
            match Stat::of(segment.as_fd()) {
                Ok(stat) if stat.links() == 0 => drop(segment),
                _ => return Ok(segment),
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
        name: Option<String>,
        geometry: Geometry,
        sweep: Sweep,
        terms: &Terms,
        trusted: bool,
    ) -> Result<Self, Error> {
        let id = Stat::of(&fd).map_err(|source| Error::Os { action: "examine the segment", source })?.id();
        let map = if is_mirrored(&geometry) {
            Mapping::mirrored(fd.as_fd(), geometry.data_at, geometry.data_len, geometry.areas, terms.pages)?
        } else {
            let len = usize::try_from(geometry.file_len)
                .map_err(|_| Error::Unsupported { what: "segments larger than the address space" })?;
            Mapping::plain(fd.as_fd(), len, terms.pages)?
        };
        let generation = Generation::get()?;
        let member = AtomicU64::new(0);
        let fd = ManuallyDrop::new(fd);
        let segment = Segment { fd, id, map, geometry, generation, member, sweep, name, trusted };
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
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                Err(Error::AlreadyExists { name: self.place.name.clone() })
            }
            Err(source) => Err(Error::Os { action: "name the segment", source }),
        }
    }
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

/// A new file in the directory of `place`, without a name if the file system can do that.
fn new_file(place: &Location) -> Result<(OwnedFd, Option<CString>), Error> {
    match unnamed(place.dir.as_fd()) {
        Ok(fd) => return Ok((fd, None)),
        Err(error) => match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL) => {}
            Some(libc::ENOSPC | libc::EDQUOT) => return Err(Error::NoSpace { needed: 0 }),
            _ => return Err(Error::Os { action: "make the segment's file", source: error }),
        },
    }
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    for attempt in 0..1000 {
        let name = temporary_name(attempt);
        match file::open_at(place.dir.as_fd(), &name, flags, 0o600) {
            Ok(fd) => {
                // Tells `clean` that its maker lives. It stays until the segment is detached.
                file::lock_exclusively(fd.as_fd())
                    .map_err(|source| Error::Os { action: "lock a temporary file", source })?;
                return Ok((fd, Some(name)));
            }
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(source) => return Err(Error::Os { action: "make a temporary file", source }),
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
    if tests::WITHOUT_UNNAMED_FILES.get() {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    file::unnamed(dir)
}

/// Whether `name` in the directory of `place` still means the file with this identity.
pub(super) fn still_names(place: &Location, leaf: &CStr, id: file::FileId) -> bool {
    file::open_at(place.dir.as_fd(), leaf, libc::O_PATH | libc::O_NOFOLLOW, 0)
        .and_then(Stat::of)
        .is_ok_and(|stat| stat.id() == id)
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    std::thread_local! {
        /// Makes this thread's directories behave like those of a file system without O_TMPFILE.
        pub(crate) static WITHOUT_UNNAMED_FILES: Cell<bool> = const { Cell::new(false) };
    }
}
