//! Who is attached: one index per process and segment, shared by all its handles.

use super::Segment;
use super::layout::{self, Row, now_in_nanoseconds};
use super::name::Location;
use crate::error::Error;
use crate::sync::{AtomicPtr, Ordering};
use crate::sys::file::{self, FileId, Stat};
use crate::sys::fork::Generation;
use crate::sys::identity::ProcessId;
use crate::sys::lock_page::{self, LockPage};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The participant indices this process holds.
///
/// One registry per generation: a child forked while another thread was inside leaves that one behind,
/// locked for ever, and makes its own.
#[derive(Debug)]
pub(crate) struct Registry {
    generation: u64,
    members: Mutex<HashMap<FileId, Member>>,
}

#[derive(Debug)]
struct Member {
    page: LockPage,
    handles: usize,
}

static CURRENT: AtomicPtr<Registry> = AtomicPtr::new(core::ptr::null_mut());

impl Registry {
    /// The running process's registry.
    pub(crate) fn get() -> Result<&'static Self, Error> {
        let generation = Generation::get()?.current();
        loop {
            // Acquire pairs with the Release of the exchange below: the registry is built.
            let seen = CURRENT.load(Ordering::Acquire);
            // SAFETY: a registry is never freed once it was made current.
            if let Some(registry) = unsafe { seen.as_ref() }
                && registry.generation == generation
            {
                return Ok(registry);
            }
            let fresh = Box::into_raw(Box::new(Registry { generation, members: Mutex::default() }));
            if CURRENT.compare_exchange(seen, fresh, Ordering::Release, Ordering::Relaxed).is_err() {
                // SAFETY: made just above and seen by nobody.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }

    fn members(&self) -> MutexGuard<'_, HashMap<FileId, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a new handle its share in the process's index.
    pub(super) fn join(&self, segment: &Segment) -> Result<u16, Error> {
        let mut members = self.members();
        self.join_locked(&mut members, segment)
    }

    /// The same for a handle that a forked child inherited; several threads may come here at once.
    #[cold]
    pub(super) fn rejoin(&self, segment: &Segment) -> Result<u16, Error> {
        let mut members = self.members();
        let member = segment.member.load(Ordering::Relaxed);
        if member >> 16 == self.generation {
            return Ok(member as u16);
        }
        self.join_locked(&mut members, segment)
    }

    fn join_locked(&self, members: &mut HashMap<FileId, Member>, segment: &Segment) -> Result<u16, Error> {
        let index = match members.get_mut(&segment.id) {
            Some(member) => {
                member.handles += 1;
                member.page.index()
            }
            None => {
                let page = take_index(segment)?;
                let index = page.index();
                members.insert(segment.id, Member { page, handles: 1 });
                index
            }
        };
        segment.member.store(self.generation << 16 | u64::from(index), Ordering::Relaxed);
        Ok(index)
    }

    /// Takes a handle's share back; the last one gives the index up.
    pub(super) fn leave(&self, segment: &Segment) {
        let mut members = self.members();
        let Some(member) = members.get_mut(&segment.id) else { return };
        member.handles -= 1;
        if member.handles > 0 {
            return;
        }
        // What a leaked guard still claims must not look like the claim of the index's next holder.
        segment.sweep(member.page.index());
        clear_row(segment.row(member.page.index()));
        members.remove(&segment.id);
        if segment.geometry().flags & layout::EPHEMERAL != 0 {
            remove_if_last(segment);
        }
    }
}

/// Lock, sweep, write the row: in this order, so that the row names the dead predecessor until everything it
/// left behind is cleaned up, and others may help.
fn take_index(segment: &Segment) -> Result<LockPage, Error> {
    let limit = segment.geometry().participants;
    let page = LockPage::take(own_description(segment)?, limit)?
        .ok_or(Error::TooManyParticipants { limit: limit.into() })?;
    let index = page.index();
    segment.sweep(index);
    write_row(segment.row(index), ProcessId::own());
    Ok(page)
}

/// Opens the segment's file once more: a handed-over descriptor shares its description with its sender.
fn own_description(segment: &Segment) -> Result<OwnedFd, Error> {
    let refused = |source| Error::Os { action: "open the segment once more, for its lock", source };
    match lock_page::private_description(segment.as_fd()) {
        Ok(fd) if Stat::of(&fd).is_ok_and(|stat| stat.id() == segment.id) => Ok(fd),
        // No /proc here, or the descriptor was closed behind our back: go by the name.
        result => {
            let name = segment.name().ok_or_else(|| match result {
                Err(source) => refused(source),
                Ok(_) => Error::Unsupported { what: "segments whose descriptor was closed" },
            })?;
            let place = Location::find(name, false)?;
            let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK;
            let fd = file::open_at(place.dir.as_fd(), &place.leaf, flags, 0).map_err(refused)?;
            match Stat::of(&fd) {
                Ok(stat) if stat.id() == segment.id => Ok(fd),
                _ => Err(Error::NotFound { name: name.to_owned() }),
            }
        }
    }
}

fn write_row(row: &Row, process: ProcessId) {
    let last = row.valid.load(Ordering::Relaxed);
    row.valid.store(0, Ordering::Relaxed);
    // The fields may become visible before the 0 above; `Segment::describe` says why that is harmless.
    row.pid.store(process.pid, Ordering::Relaxed);
    row.namespace.store(process.namespace, Ordering::Relaxed);
    row.unique.store(process.unique, Ordering::Relaxed);
    let now = now_in_nanoseconds();
    row.joined.store(now, Ordering::Relaxed);
    // The number only has to differ from the last one and from 0. Pairs with the Acquire in `Segment::describe`.
    let number = if now == last || now == 0 { last.wrapping_add(1).max(1) } else { now };
    row.valid.store(number, Ordering::Release);
}

fn clear_row(row: &Row) {
    row.valid.store(0, Ordering::Relaxed);
}

/// Removes the name of an ephemeral segment nobody is attached to any more.
fn remove_if_last(segment: &Segment) {
    let Some(name) = segment.name() else { return };
    // A failure leaves a name without participants behind, which `clean` removes.
    let Ok(place) = Location::find(name, false) else { return };
    let Ok(_lock) = place.dir.lock() else { return };
    if segment.fd_is_ours() && !segment.has_participants() {
        super::admin::remove_this(&place, segment.id);
    }
}
