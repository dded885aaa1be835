//! What has become of the name of an object that is open.

use std::{
    fs::File,
    os::{fd::BorrowedFd, unix::fs::MetadataExt},
};

use ringway::inspect;

use crate::list::living;

/// Whether the file behind `fd` has no name any more: it was removed, by whatever means.
pub(crate) fn is_nameless(fd: BorrowedFd<'_>) -> bool {
    // A descriptor that cannot be examined is no reason to give up.
    let file = fd.try_clone_to_owned().map(File::from);
    file.and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.nlink() == 0)
}

/// Whether nobody else is attached, and nobody can come.
pub(crate) fn is_deserted(fd: BorrowedFd<'_>) -> bool {
    is_nameless(fd) && inspect::stat_fd(fd).is_ok_and(|seen| living(&seen) <= 1)
}
