//! Where small objects lie: thousands of them in one segment, so that a lock costs no descriptor.

use crate::errors;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use ringway::{Arena, Place};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// After so many objects a new arena is begun. An old one is given back as a whole when its last object is gone, also what it
/// had to keep because of forks.
const OBJECTS: usize = 8192;

/// Arenas of other processes that are kept at hand.
const KNOWN: usize = 16;

/// Processes that can have objects of one arena at the same time.
const PARTICIPANTS: u16 = 1022;

#[derive(Default)]
struct Arenas {
    /// In which this process makes objects, and how many it has made.
    own: Option<(Arena, usize)>,
    /// In which others did.
    known: Vec<Arena>,
}

/// Locked for moments only, by threads that hold the interpreter's lock: so never at a fork.
static ARENAS: Mutex<Arenas> = Mutex::new(Arenas { own: None, known: Vec::new() });

/// Makes an object in this process's arena.
pub(crate) fn make<T>(make: impl Fn(&Arena) -> Result<T, ringway::Error>) -> PyResult<T> {
    let mut arenas = ARENAS.lock().unwrap_or_else(PoisonError::into_inner);
    if arenas.own.as_ref().is_none_or(|&(_, count)| count >= OBJECTS) {
        let arena = Arena::options().participants(PARTICIPANTS).anonymous().map_err(errors::opening)?;
        arenas.own = Some((arena, 0));
    }
    let Some((arena, count)) = &mut arenas.own else { unreachable!("made above") };
    *count += 1;
    make(arena).map_err(errors::opening)
}

/// The device and number of the file behind a descriptor.
fn identity(fd: i32) -> Option<(u64, u64)> {
    // SAFETY: plain data, for which zeros are as good as anything.
    let mut found: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: a place for the answer.
    let code = unsafe { libc::fstat(fd, &raw mut found) };
    (code == 0).then_some((found.st_dev, found.st_ino))
}

/// The arena behind a descriptor, which stays the caller's.
fn find(fd: i32) -> PyResult<Arena> {
    let Some(wanted) = identity(fd) else { return Err(std::io::Error::last_os_error().into()) };
    let mut arenas = ARENAS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it = |arena: &&Arena| identity(arena.as_fd().as_raw_fd()) == Some(wanted);
    let own = arenas.own.iter().map(|(arena, _)| arena);
    if let Some(arena) = own.chain(&arenas.known).find(is_it) {
        return Ok(arena.clone());
    }
    let copy = copy_of(fd)?;
    // It came from a process that we are a child of, or that we have let in with our key.
    let arena = Arena::options().trusted(true).from_fd(copy).map_err(errors::opening)?;
    if arenas.known.len() >= KNOWN {
        arenas.known.remove(0);
    }
    arenas.known.push(arena.clone());
    Ok(arena)
}

/// Opens the object that another process made at `place`, a text, of the arena behind `fd`.
pub(crate) fn open<T>(
    fd: i32,
    place: &str,
    open: impl FnOnce(&Arena, Place) -> Result<T, ringway::Error>,
) -> PyResult<T> {
    let place: Place =
        place.parse().map_err(|error: ringway::BadPlace| PyValueError::new_err(error.to_string()))?;
    open(&find(fd)?, place).map_err(errors::opening)
}

/// What all objects of this kind have: how they are made, opened, and told of.
macro_rules! made_and_opened {
    ($class:ident, $object:ty) => {
        impl $class {
            /// Tells another process where it lies.
            fn whereabouts(object: &$object) -> (i32, Option<String>) {
                use std::os::fd::{AsFd, AsRawFd};
                (object.as_fd().as_raw_fd(), object.place().map(|place| place.to_string()))
            }

            /// In this process's arena, or with a name.
            fn made(options: ringway::Options<$object>, name: Option<&str>) -> PyResult<$object> {
                match name {
                    None => crate::shared::make(|arena| options.create_in(arena)),
                    Some(name) => options.open_or_create(name).map_err(crate::errors::opening),
                }
            }

            /// Where another process said.
            fn opened(fd: i32, place: Option<&str>) -> PyResult<$object> {
                let options = <$object>::options().trusted(true);
                match place {
                    Some(place) => {
                        crate::shared::open(fd, place, |arena, place| options.open_in(arena, place))
                    }
                    None => options.from_fd(crate::shared::copy_of(fd)?).map_err(crate::errors::opening),
                }
            }
        }
    };
}

pub(crate) use made_and_opened;

/// The descriptor that somebody gives away, if it is one.
pub(crate) fn taken_over(fd: i32) -> PyResult<OwnedFd> {
    // SAFETY: asks only whether there is such a descriptor.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: it is open, and whoever calls this gives it away.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Another descriptor of the same file.
pub(crate) fn copy_of(fd: i32) -> PyResult<OwnedFd> {
    // SAFETY: only asked for a copy; whoever calls this holds it open.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: it was made here, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
