//! Plain bytes that processes share, and nothing else.

use super::handle::handle;
use super::site::{Block, Needs, Primitive, Site};
use crate::CellError;
use crate::error::{Error, Kind};
use crate::options::Settings;
use crate::sync::{copy_in, copy_out};
use core::fmt;
use core::ptr::NonNull;

/// Bytes in shared memory, without any promise about who writes them when.
///
/// This is for those who bring their own rules: a binding that lays a structure of another language over them, a program
/// that guards them by a [`Mutex`](crate::Mutex) beside them. A value that is to be read and replaced as a whole is a
/// [`Value`](crate::Value), many of them are an [`Array`](crate::Array).
///
/// ```
/// use ringway::Memory;
///
/// # let name = format!("doc-memory-{}", std::process::id());
/// let pixels = Memory::open_or_create(&name, 1 << 20)?; // in each process: so many zeros
/// pixels.store_slice(4096, b"hello")?;
/// let mut read = [0; 5];
/// pixels.load_slice(4096, &mut read)?;
/// assert_eq!(&read, b"hello");
/// assert!(pixels.as_ptr().addr().get().is_multiple_of(64));
/// # ringway::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The bytes begin at a multiple of 64 (a cache line) in every process, and are zeros at first. They stay as they are when
/// somebody dies, half written or not.
#[derive(Clone)]
pub struct Memory {
    site: Site,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: `start` is memory that `site` keeps mapped, and that is accessed here by atomics only.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

handle!(
    [], Memory, "memory", (len: usize), |options| options.capacity(len),
    " It has `len` bytes, all of them zeros if it is new; one that exists with another number is refused."
);

#[allow(clippy::len_without_is_empty, reason = "it never is")]
impl Memory {
    fn site(&self) -> &Site {
        &self.site
    }

    /// How many bytes there are; at least one.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where the bytes are in this process, for foreign code. [`len`](Self::len) of them are there as long as a clone of this
    /// handle is, and also as long as the process is if it has *forked* a child since.
    ///
    /// To have the address is safe; to read or write by it is the caller's `unsafe` business. Others may write at the same
    /// moment, so no reference to the bytes may be made, and the accesses that are never undefined are atomic ones; whoever
    /// makes others sees to it, by a lock that all who write obey, that nobody writes meanwhile.
    ///
    /// A forked child takes part in an [`Arena`](crate::Arena) by its first call here. If its parent and all others have
    /// dropped the object before, the bytes may be another's: [`load_slice`](Self::load_slice) says so.
    #[inline]
    pub fn as_ptr(&self) -> NonNull<u8> {
        let _ = self.site.keep();
        self.start
    }

    /// Copies the bytes from `at` on into `into`. Each stretch of one, two, four or eight bytes that lies at a multiple of its
    /// length is copied as it was at one moment; what is longer may come half from before another's write and half from
    /// after it.
    ///
    /// # Errors
    /// [`CellError::OutOfRange`]; in a forked child [`CellError::Attach`].
    #[inline]
    pub fn load_slice(&self, at: usize, into: &mut [u8]) -> Result<(), CellError> {
        let from = self.check(at, into.len())?;
        // SAFETY: so many bytes are mapped there, as was just checked, and accessed by atomics; the slice is the caller's.
        unsafe { copy_out(from, into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    /// Replaces the bytes from `at` on: stretches of one, two, four or eight bytes as [`load_slice`](Self::load_slice) copies
    /// them.
    ///
    /// # Errors
    /// As [`load_slice`](Self::load_slice). Then nothing was written.
    #[inline]
    pub fn store_slice(&self, at: usize, from: &[u8]) -> Result<(), CellError> {
        let to = self.check(at, from.len())?;
        // SAFETY: as in `load_slice`, the other way.
        unsafe { copy_in(from.as_ptr(), to, from.len()) };
        Ok(())
    }

    /// The address of `count` bytes from `at` on, if they are there.
    #[inline]
    fn check(&self, at: usize, count: usize) -> Result<*mut u8, CellError> {
        if at.checked_add(count).is_none_or(|end| end > self.len) {
            return Err(CellError::OutOfRange { index: at.max(self.len), len: self.len });
        }
        self.site.keep().map_err(CellError::Attach)?;
        Ok(self.start.as_ptr().wrapping_add(at))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("name", &self.site.segment().name())
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// No addresses beyond an `isize` are there to be had.
const MOST: u64 = isize::MAX as u64;

impl Primitive for Memory {
    const KIND: Kind = Kind::Memory;

    fn needs(settings: &Settings) -> Result<Needs, Error> {
        // Whoever opens one takes the number as found; whoever creates one is asked by `initialise`.
        let capacity = settings.capacity.map_or(1, |len| len as u64);
        if !(1..=MOST).contains(&capacity) {
            return Err(Error::BadCapacity { asked: capacity, min: 1, max: MOST });
        }
        Ok(Needs { element: (1, 64), capacity, body_len: 0, table_len: capacity })
    }

    fn initialise(_block: Block, settings: &Settings) -> Result<(), Error> {
        match settings.capacity {
            Some(_) => Ok(()),
            None => Err(Error::BadCapacity { asked: 0, min: 1, max: MOST }),
        }
    }

    fn attach(site: Site, _settings: &Settings) -> Result<Self, Error> {
        let (block, capacity) = (site.block(), site.block().capacity());
        if !(1..=MOST).contains(&capacity) {
            return Err(Error::BadGeometry { field: "capacity", found: capacity, expected: MOST });
        }
        let start = block.table_bytes(capacity)?;
        Ok(Memory { site, start, len: capacity as usize })
    }

    /// The dead leave what they wrote.
    fn sweep(_block: Block, _dead: u16) {}
}
