//! Names and the directories they live in.
//!
//! A plain name lives in `$RINGWAY_DIR`, else in `/dev/shm/ringway-UID`, which must be ours and closed to
//! others: a squatter can deny us the directory but never put a file into it. A name with a slash is an
//! absolute path of the caller's choice, on any file system of this machine.

use crate::error::Error;
use crate::sys::file::{self, FileId, Stat};
use crate::sys::identity;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The environment variable that names another directory for plain names.
pub(crate) const DIRECTORY_VARIABLE: &str = "RINGWAY_DIR";
const MAX_NAME: usize = 200;

/// A directory, open: everything happens relative to it, whatever its path comes to mean.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// A name, taken apart and checked.
#[derive(Debug)]
pub(crate) struct Location {
    /// As the caller wrote it, for messages.
    pub(crate) name: String,
    pub(crate) dir: Directory,
    pub(crate) leaf: CString,
}

/// Where a name was found: the same place can be found again whatever the environment says by then.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    pub(crate) name: String,
    dir: PathBuf,
    leaf: CString,
    /// What the file is called until it gets its name, where it cannot do without.
    pub(crate) temporary: Option<CString>,
}

impl Home {
    pub(crate) fn find(&self) -> io::Result<Location> {
        let path = c_path(&self.dir).ok_or(io::ErrorKind::InvalidInput)?;
        let dir = Directory::open(&path, 0)?;
        Ok(Location { name: self.name.clone(), dir, leaf: self.leaf.clone() })
    }
}

impl Location {
    /// Finds the directory of `name`; with `create`, makes the default one if it is not there yet.
    pub(crate) fn find(name: &str, create: bool) -> Result<Self, Error> {
        let invalid = |why| Error::InvalidName { name: name.to_owned(), why };
        let not_found = || Error::NotFound { name: name.to_owned() };
        let (dir, leaf) = match name.rsplit_once('/') {
            None => (None, name),
            Some((parent, leaf)) if name.starts_with('/') => {
                (Some(if parent.is_empty() { "/" } else { parent }), leaf)
            }
            Some(_) => return Err(invalid("a name with a slash must be an absolute path")),
        };
        match leaf.len() {
            0 => return Err(invalid("it is empty")),
            1..=MAX_NAME => {}
            _ => return Err(invalid("it is longer than 200 bytes")),
        }
        if leaf.starts_with('.') {
            return Err(invalid("it starts with a dot"));
        }
        let leaf_name = CString::new(leaf).map_err(|_| invalid("it contains a NUL"))?;
        let dir = match dir {
            Some(path) => {
                let path = c_path(Path::new(path)).ok_or_else(|| invalid("it contains a NUL"))?;
                Directory::open(&path, 0).map_err(|source| match source.raw_os_error() {
                    Some(libc::ENOENT | libc::ENOTDIR) if !create => not_found(),
                    _ => Error::Os { action: "open the directory of the name", source },
                })?
            }
            None => Directory::default_place(create)?.ok_or_else(not_found)?,
        };
        Ok(Location { name: name.to_owned(), dir, leaf: leaf_name })
    }

    /// A place in `dir` that is yet to be named by [`set_leaf`](Self::set_leaf).
    pub(crate) fn within(dir: Directory) -> Self {
        Location { name: String::new(), dir, leaf: CString::default() }
    }

    /// The object called `leaf`, whatever characters that name has.
    pub(crate) fn set_leaf(&mut self, leaf: CString) {
        self.name = leaf.to_string_lossy().into_owned();
        self.leaf = leaf;
    }

    pub(crate) fn home(&self) -> Home {
        Home { name: self.name.clone(), dir: self.dir.path.clone(), leaf: self.leaf.clone(), temporary: None }
    }

    /// Whether the name means the file with this identity.
    pub(crate) fn is_named(&self, id: FileId) -> bool {
        Stat::at(self.dir.as_fd(), &self.leaf).is_ok_and(|stat| stat.id() == id)
    }
}

impl Directory {
    /// The directory of plain names; `None` if it is not there and not to be made.
    pub(crate) fn default_place(create: bool) -> Result<Option<Self>, Error> {
        match std::env::var_os(DIRECTORY_VARIABLE).filter(|path| !path.is_empty()) {
            // A directory of the user's choice may be readable by others, but only we may put files there.
            Some(path) => Self::ours(Path::new(&path), 0o022, create),
            None => {
                let path = format!("/dev/shm/ringway-{}", identity::effective_user());
                Self::ours(Path::new(&path), 0o077, create)
            }
        }
    }

    /// The directory at `path`, which must belong to us, be no link, and have none of the bits `closed_to`.
    pub(crate) fn ours(path: &Path, closed_to: u32, create: bool) -> Result<Option<Self>, Error> {
        let os = |action| move |source| Error::Os { action, source };
        let path = std::path::absolute(path).map_err(os("find the directory for named objects"))?;
        let as_c = c_path(&path).ok_or_else(|| Error::InvalidName {
            name: path.to_string_lossy().into_owned(),
            why: "the directory's name contains a NUL",
        })?;
        let not_ours = |(owner, mode)| Error::DirectoryNotOurs { path: path.clone(), owner, mode };
        let mut tries = 0;
        let dir = loop {
            let error = match Directory::open(&as_c, libc::O_NOFOLLOW) {
                Ok(dir) => break dir,
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::ENOENT) if !create => return Ok(None),
                // Not there; more than once, if somebody keeps removing it.
                Some(libc::ENOENT) if tries < 10 => {
                    tries += 1;
                    match file::make_dir(&as_c, 0o700) {
                        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => {
                            return Err(os("make the directory for named objects")(error));
                        }
                        _ => {}
                    }
                }
                // A file, a link to who knows where, or one that is closed to us: whoever put it there, it is not
                // our directory.
                Some(libc::ENOTDIR | libc::ELOOP | libc::EACCES) => {
                    return Err(
                        what_is_at(&path).map_or_else(os("open the directory for named objects"), not_ours)
                    );
                }
                _ => return Err(os("open the directory for named objects")(error)),
            }
        };
        let stat = Stat::of(&dir.fd).map_err(os("examine a directory"))?;
        if stat.owner() != identity::effective_user() || stat.mode() & closed_to != 0 {
            return Err(not_ours((stat.owner(), stat.mode())));
        }
        Ok(Some(dir))
    }

    fn open(path: &CStr, flags: i32) -> io::Result<Self> {
        let fd = file::open(path, libc::O_DIRECTORY | libc::O_RDONLY | flags)?;
        Ok(Directory { fd, path: PathBuf::from(OsStr::from_bytes(path.to_bytes())) })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn c_path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

/// Owner and permission bits.
fn what_is_at(path: &Path) -> io::Result<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).map(|found| (found.uid(), found.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(name: &str) -> &'static str {
        match Location::find(name, false) {
            Err(Error::InvalidName { why, .. }) => why,
            other => panic!("{name:?}: {other:?}"),
        }
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        assert_eq!(why(""), "it is empty");
        assert_eq!(why("/tmp/"), "it is empty");
        assert_eq!(why(".hidden"), "it starts with a dot");
        assert_eq!(why("/tmp/.hidden"), "it starts with a dot");
        assert_eq!(why("a/b"), "a name with a slash must be an absolute path");
        assert_eq!(why("../b"), "a name with a slash must be an absolute path");
        assert_eq!(why("a\0b"), "it contains a NUL");
        assert_eq!(why("/t\0mp/b"), "it contains a NUL");
        assert_eq!(why(&"x".repeat(201)), "it is longer than 200 bytes");
        assert!(Location::find(&format!("/tmp/{}", "x".repeat(200)), false).is_ok());
    }
}
