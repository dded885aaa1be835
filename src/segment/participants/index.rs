//! Taking a free index.

use super::{Patience, Segment, write_row};
use crate::error::Error;
use crate::sync::{Ordering, mutated};
use crate::sys::file;
use crate::sys::identity::ProcessId;
use crate::sys::lock_page::{self, LockPage, NotTaken};
use std::ffi::CStr;
use std::os::fd::AsFd;

/// Lock, sweep, write the row: in this order, so that the row names the dead predecessor until everything it
/// left behind is cleaned up, and others may help.
///
/// A child shuns its parent's index, `parents`: if that one is gone by now, taking its place would sweep away what the
/// child is about to take over from it.
pub(super) fn take_index(segment: &Segment, parents: u16) -> Result<LockPage, Error> {
    let page = lock_index(segment, parents)?;
    if !mutated!("segment.sweep") {
        segment.sweep(page.index());
    }
    write_row(segment.row(page.index()), ProcessId::own());
    Ok(page)
}

fn lock_index(segment: &Segment, shunned: u16) -> Result<LockPage, Error> {
    const LOOKS: u32 = 4;
    let limit = segment.geometry().participants;
    let mut patience = Patience::new();
    let mut full = 0;
    loop {
        if let Some(page) = lock_one_of(segment, || candidates(segment, shunned))? {
            return Ok(page);
        }
        full += 1;
        // Who removes a name nobody uses holds all indices for a moment, and who sweeps for a dead one holds that one's:
        // until he is done the row is the dead one's, and then empty, as is that of who just comes or goes. A look at that
        // moment's end could miss it, so being full takes several.
        let is_passing =
            |index| segment.row(index).valid.load(Ordering::Relaxed) == 0 || segment.is_inherited(index);
        let passing =
            segment.ask(lock_page::is_being_removed).unwrap_or(false) || (1..=limit).any(is_passing);
        if full >= LOOKS && !passing || !patience.wait() {
            return Err(Error::TooManyParticipants { limit: limit.into() });
        }
        if passing {
            full = 0;
        }
    }
}

/// Takes one of the indices that `candidates` gives, if any is free.
pub(super) fn lock_one_of<I: Iterator<Item = u16>>(
    segment: &Segment,
    candidates: impl Fn() -> I,
) -> Result<Option<LockPage>, Error> {
    // Opened anew: a handed-over descriptor shares its description with its sender.
    let open = || lock_page::private_description(segment.as_fd());
    match LockPage::take(open, segment.id, candidates()) {
        Ok(page) => Ok(Some(page)),
        Err(NotTaken::NotOpened(why)) => lock_one_by_name(segment, candidates, why),
        Err(NotTaken::Full) => Ok(None),
        Err(NotTaken::Failed(error)) => Err(error),
    }
}

/// All indices, in the order in which they are worth a try, at a system call each: the first few whoever had them,
/// so that in a small company the dead are soon swept; then those whose row says that nobody has them; then the
/// rest, which are held, or left by the dead. The rows are a hint: a lie costs steps. `shunned` comes last.
fn candidates(segment: &Segment, shunned: u16) -> impl Iterator<Item = u16> {
    const FEW: u16 = 8;
    let limit = segment.geometry().participants;
    let is_empty = |&index: &u16| segment.row(index).valid.load(Ordering::Relaxed) == 0;
    let others = (1..=limit.min(FEW)).chain((FEW + 1..=limit).filter(is_empty)).chain(FEW + 1..=limit);
    others.filter(move |&index| index != shunned).chain((1..=limit).contains(&shunned).then_some(shunned))
}

/// Without /proc, or when the descriptor was closed behind our back, by `why`.
fn lock_one_by_name<I: Iterator<Item = u16>>(
    segment: &Segment,
    candidates: impl Fn() -> I,
    why: Option<std::io::Error>,
) -> Result<Option<LockPage>, Error> {
    const ACTION: &str = "open the segment once more, for its lock";
    let Some(home) = &segment.home else {
        return Err(match why {
            Some(error) if error.raw_os_error() == Some(libc::ENOENT) && segment.fd_is_ours() => {
                Error::Unsupported { what: "segments without a name where there is no /proc" }
            }
            Some(source) => Error::Os { action: ACTION, source },
            None => Error::Unsupported { what: "segments whose descriptor was closed" },
        });
    };
    let place = home.find().map_err(|source| Error::Os { action: ACTION, source })?;
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let take = |leaf: &CStr| {
        let open = || file::open_at(place.dir.as_fd(), leaf, flags, 0);
        LockPage::take(open, segment.id, candidates())
    };
    let mut taken = take(&place.leaf);
    if let (Err(NotTaken::NotOpened(_)), Some(temporary)) = (&taken, &home.temporary) {
        taken = take(temporary);
    }
    match taken {
        Ok(page) => Ok(Some(page)),
        Err(NotTaken::Full) => Ok(None),
        Err(NotTaken::Failed(error)) => Err(error),
        Err(NotTaken::NotOpened(Some(source))) if source.raw_os_error() != Some(libc::ENOENT) => {
            Err(Error::Os { action: ACTION, source })
        }
        Err(NotTaken::NotOpened(_)) => Err(Error::NotFound { name: home.name.clone() }),
    }
}
