//! A mapped file that says of itself what it is, and who is attached to it.
//!
//! - [`layout`]: the bytes in the file
//! - [`name`]: names and their directories
//! - [`create`]: making, opening, handing over; atomically, or not at all
//! - [`participants`]: who is attached, who is alive, and cleaning up after the dead
//! - [`farewell`]: ending in good order
//! - [`admin`]: listing, removing

pub(crate) mod admin;
pub(crate) mod create;
pub(crate) mod farewell;
pub(crate) mod layout;
pub(crate) mod name;
pub(crate) mod participants;
#[cfg(test)]
pub(crate) mod tests;

use crate::error::Error;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::file::{self, FileId, Stat};
use crate::sys::fork::Generation;
use crate::sys::identity::ProcessId;
use crate::sys::lock_page;
use crate::sys::memory::Mapping;
use crate::sys::socket::Fifo;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::NonNull;
use layout::{Geometry, Row};
use name::Home;
use participants::Registry;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One attachment of this process to a segment: one descriptor, one mapping, and a share in the process's
/// participant index.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Asks the kernel who is alive; never locks anything itself. Not dropped blindly: a library may have
    /// closed the number and somebody else reused it.
    fd: ManuallyDrop<OwnedFd>,
    id: FileId,
    map: Mapping,
    geometry: Geometry,
    generation: Generation,
    /// `generation << 16 | index`: this process's claim to be somebody in this segment.
    member: AtomicU64,
    /// What to clean up before an index is used again.
    sweep: Sweep,
    /// `None` for segments that were made without a name, or came as a descriptor.
    home: Option<Home>,
    trusted: bool,
}

/// Undoes or finishes what the dead owner of an index left in the segment's objects.
///
/// Called before the index is used again, when this process is nobody in the segment yet, with the process's
/// table of indices locked: it must not ask for [`Segment::me`], attach or detach, panic or wait.
pub(crate) type Sweep = fn(&Segment, u16);

impl Segment {
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The name, as the caller wrote it; `None` for segments that were made without one, or came as a descriptor.
    pub(crate) fn name(&self) -> Option<&str> {
        self.home.as_ref().map(|home| home.name.as_str())
    }

    /// Whether peers are held to be honest, so that views of shared bytes may be lent out.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// The start of the object's own words: page-aligned, `geometry.body_len` bytes.
    pub(crate) fn body(&self) -> NonNull<u8> {
        // SAFETY: the geometry was checked against the length of the mapping.
        unsafe { self.map.base().add(self.geometry.body_at) }
    }

    /// The object's own words as a structure of atomics.
    ///
    /// # Safety
    /// `B` is `repr(C)`, made of atomics (or plain words only their owner reads), valid when all zero, and
    /// not larger than the `body_len` of the plan its kind was made with.
    pub(crate) unsafe fn body_as<B>(&self) -> &B {
        debug_assert!(size_of::<B>() <= self.geometry.body_len && align_of::<B>() <= 4096);
        // SAFETY: in bounds and aligned by the caller's word; atomics may be shared with anybody.
        unsafe { self.body().cast().as_ref() }
    }

    /// The start of data area `index`: page-aligned, mapped twice in a row if the object is mirrored.
    pub(crate) fn data(&self, index: usize) -> NonNull<u8> {
        debug_assert!(index < self.geometry.areas);
        let copies = match &self.map {
            Mapping::Plain(_) => 1,
            Mapping::Mirrored(_) => 2,
        };
        // SAFETY: the geometry was checked against the length of the mapping, and `index` is one of its areas.
        unsafe { self.map.base().add(self.geometry.data_at + index * copies * self.geometry.data_len) }
    }

    /// The start of the sparse tail: page-aligned, `geometry.tail_len` bytes. A page of it may be touched only once it
    /// is reserved: else a full file system is a SIGBUS.
    pub(crate) fn tail(&self) -> NonNull<u8> {
        debug_assert!(matches!(self.map, Mapping::Plain(_)) || self.geometry.tail_len == 0);
        // SAFETY: the geometry was checked against the length of the mapping.
        unsafe { self.map.base().add(self.geometry.tail_at) }
    }

    /// Reserves `len` bytes of the tail from `at` on: from now on writing there cannot meet a full file system.
    ///
    /// # Errors
    /// The system's. Nothing has changed then, except that some of it may be reserved.
    pub(crate) fn reserve_tail(&self, at: u64, len: u64) -> io::Result<()> {
        file::allocate_range(self.our_fd()?, self.in_tail(at, len)?, len)
    }

    /// Gives `len` bytes of the tail from `at` on back to the file system. They are zeros, and not reserved.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn punch_tail(&self, at: u64, len: u64) -> io::Result<()> {
        file::punch(self.our_fd()?, self.in_tail(at, len)?, len)
    }

    /// Reads a stretch of the tail from `at` on. A hole in it is zeros, and stays one: unlike a look through the mapping,
    /// which fills it, or ends in a SIGBUS where there is no space. Returns how many bytes were initialised.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn read_tail(&self, at: u64, out: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        file::read_new_at(self.our_fd()?, out, self.in_tail(at, out.len() as u64)?)
    }

    /// How many bytes the segment really takes.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn allocated(&self) -> io::Result<u64> {
        Ok(Stat::of(self.our_fd()?)?.allocated())
    }

    /// Where in the file a stretch of the tail is, if it is one.
    fn in_tail(&self, at: u64, len: u64) -> io::Result<u64> {
        let inside = at.checked_add(len).is_some_and(|end| end <= self.geometry.tail_len as u64);
        if inside { Ok(self.geometry.tail_at as u64 + at) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// The descriptor, unless a library closed it behind our back.
    fn our_fd(&self) -> io::Result<BorrowedFd<'_>> {
        if self.fd_is_ours() { Ok(self.fd.as_fd()) } else { Err(io::Error::from_raw_os_error(libc::EBADF)) }
    }

    /// This process's participant index. A forked child becomes somebody new here.
    ///
    /// # Errors
    /// Only in a forked child's first call: no index free, or the kernel refused a lock.
    #[inline]
    pub(crate) fn me(&self) -> Result<u16, Error> {
        // Relaxed: written by threads of this process that hold the registry; the value stands for itself.
        let member = self.member.load(Ordering::Relaxed);
        if self.generation.is(member >> 16) { Ok(member as u16) } else { Registry::get()?.rejoin(self) }
    }

    /// The same with the generation it holds for: see [`is_still`](Self::is_still).
    ///
    /// # Errors
    /// As [`me`](Self::me).
    #[inline]
    pub(crate) fn member(&self) -> Result<Member, Error> {
        if let Some(member) = self.member_if_known() {
            return Ok(member);
        }
        let index = Registry::get()?.rejoin(self)?;
        Ok(Member(self.generation.current() << 16 | u64::from(index)))
    }

    /// The same, if it is the one it was at the last call.
    #[inline(always)]
    pub(crate) fn member_if_known(&self) -> Option<Member> {
        // Relaxed: as in `me`.
        Member::of(self.member.load(Ordering::Relaxed), self.generation)
    }

    /// Where that is written: see [`Member::of`].
    pub(crate) fn member_cell(&self) -> &AtomicU64 {
        &self.member
    }

    /// Whether this is still the process that was `member`, and not a child of it.
    #[inline]
    pub(crate) fn is_still(&self, member: Member) -> bool {
        member.is_of(self.generation)
    }

    /// Whether the process that holds, or held, `index` is gone. Costs two system calls.
    ///
    /// Load the word that names the owner *before* asking (with Acquire): an index is reused only after a
    /// sweep, so a word that still names the dead owner afterwards can be changed by compare-and-swap.
    pub(crate) fn is_dead(&self, index: u16) -> bool {
        if index == 0 || index > self.geometry.participants {
            return true; // nobody can be that
        }
        let member = self.member.load(Ordering::Relaxed);
        if member as u16 == index && self.generation.is(member >> 16) {
            return false;
        }
        match self.ask(|fd| lock_page::is_held(fd, index)) {
            Some(held) => !held,
            // The descriptor was closed behind our back: ask after the process itself. Not knowing is alive.
            None => self.describe_any(index).is_some_and(|process| process.is_gone(ProcessId::own())),
        }
    }

    /// Whether the row of `index` names a process that is gone, though the index is held: between the lock and
    /// the sweep of its next holder everything still names the dead predecessor, and others may help.
    ///
    /// Load the word that names the owner before asking, with Acquire: a holder writes its row before its first
    /// claim, so a word of the *new* holder shows the new row. Costs about ten system calls.
    pub(crate) fn is_inherited(&self, index: u16) -> bool {
        self.describe_any(index).is_some_and(|process| process.is_gone(ProcessId::own()))
    }

    /// Asks the kernel about locks; `None` if there is no way to do so.
    fn ask(&self, held: impl Fn(BorrowedFd<'_>) -> std::io::Result<bool>) -> Option<bool> {
        if self.fd_is_ours()
            && let Ok(held) = held(self.fd.as_fd())
            // A lock is one of our file for certain; the lack of one is only if the number still means it.
            && (held || self.fd_is_ours())
        {
            return Some(held);
        }
        held(self.reopen_by_name()?.as_fd()).ok()
    }

    /// The segment's file through a new description, found by its name; `None` if that does not mean it any more.
    fn reopen_by_name(&self) -> Option<OwnedFd> {
        let place = self.home.as_ref()?.find().ok()?;
        let fd = create::open_named(&place).ok()?;
        Stat::of(&fd).is_ok_and(|stat| stat.id() == self.id).then_some(fd)
    }

    /// Removes the segment's name, unless it means something else by now. Whoever is attached goes on.
    pub(crate) fn unlink(&self) -> Result<(), Error> {
        match &self.home {
            Some(home) => admin::unlink_this(home, self.id),
            None => Err(Error::NotFound { name: String::new() }),
        }
    }

    /// The FIFO beside a named segment for one direction of its object; made if it is not there.
    pub(crate) fn fifo(&self, lane: usize) -> Result<Fifo, Error> {
        let failed = |source| Error::Os { action: "find the directory of the object", source };
        let home =
            self.home.as_ref().ok_or(Error::Unsupported { what: "a FIFO beside an anonymous object" })?;
        let place = home.find().map_err(failed)?;
        let stat = Stat::of(self.fd.as_fd()).map_err(failed)?;
        // Whoever may open the object may open its FIFO.
        Fifo::open(place.dir.as_fd(), &admin::fifo_name(self.id, lane), stat.mode() & 0o666, stat.owner())
    }

    pub(crate) fn row(&self, index: u16) -> &Row {
        assert!((1..=self.geometry.participants).contains(&index), "no such participant index");
        let at = layout::ROWS_AT as usize + (usize::from(index) - 1) * size_of::<Row>();
        // SAFETY: the rows of all participants lie before the body, which is inside the mapping.
        let row = unsafe { self.map.base().add(at) };
        // SAFETY: a row consists of atomics, and `at` and the mapping's base are 64-byte aligned.
        unsafe { row.cast().as_ref() }
    }

    /// What the holder of `index` says of itself; `None` while its row is empty or incomplete, or if there cannot
    /// be such an index.
    pub(crate) fn describe_any(&self, index: u16) -> Option<ProcessId> {
        (1..=self.geometry.participants).contains(&index).then(|| self.row(index))?.describe()
    }

    /// Whether the name has been removed or given to another segment.
    pub(crate) fn is_retired(&self) -> bool {
        // SAFETY: the first page is always mapped.
        let word = unsafe { self.map.base().add(layout::RETIRED_AT as usize) };
        // SAFETY: an aligned atomic, right behind the header.
        let word: &AtomicU32 = unsafe { word.cast().as_ref() };
        word.load(Ordering::Relaxed) != 0
    }

    /// The memory descriptor, if it is still the one we opened.
    pub(crate) fn fd_is_ours(&self) -> bool {
        Stat::of(self.fd.as_fd()).is_ok_and(|stat| stat.id() == self.id)
    }

    pub(crate) fn sweep(&self, index: u16) {
        (self.sweep)(self, index);
    }
}

/// A process as a participant: claims made under its index are its own for as long as it is the same process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member(u64);

impl Member {
    /// What a word says that was written for a process of some generation, if that is the running one.
    #[inline(always)]
    pub(crate) fn of(word: u64, generation: Generation) -> Option<Self> {
        generation.is(word >> 16).then_some(Member(word))
    }

    /// For a process of which generation a word was written.
    pub(crate) fn generation_of(word: u64) -> u64 {
        word >> 16
    }

    /// The word that says so.
    pub(crate) fn to_word(self) -> u64 {
        self.0
    }

    /// Whether `generation`, that of the running process, is still the one it was.
    #[inline(always)]
    pub(crate) fn is_of(self, generation: Generation) -> bool {
        generation.is(self.0 >> 16)
    }

    /// The generation of the process that it is.
    #[inline(always)]
    pub(crate) fn generation(self) -> u64 {
        self.0 >> 16
    }

    /// The participant index; never 0.
    #[inline]
    pub(crate) fn index(self) -> u16 {
        self.0 as u16
    }
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // `current` and not `is`: a handle that never joined says 0, as does an unnumbered child's page.
        if self.generation.current() == self.member.load(Ordering::Relaxed) >> 16
            && let Ok(registry) = Registry::get()
        {
            registry.leave(self);
        }
        if self.fd_is_ours() {
            // SAFETY: dropped here only, and the value is not used again.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
    }
}
