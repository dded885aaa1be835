//! Pools on the heap of one process, with participants that are only numbers and die when the test says so.

mod deaths;
mod extents;
mod finding;
mod growing;
mod hostile;
mod kills;
mod messages;
mod sequences;
mod threads;

use super::*;
use crate::ring::mpmc::{Claim, Geometry, Position, PushError, Slots, Stamp};
use core::mem::MaybeUninit;

/// What `extent` reserves from.
#[derive(Debug, Default)]
struct Space {
    /// How many more bytes there are.
    left: AtomicU64,
    calls: AtomicU64,
}

impl Space {
    fn plenty() -> Self {
        Space { left: AtomicU64::new(1 << 60), calls: AtomicU64::new(0) }
    }
}

const RELAXED: crate::sync::Ordering = crate::sync::Ordering::Relaxed;

impl Backing for Space {
    fn reserve(&self, _: u64, len: u64) -> std::io::Result<()> {
        self.calls.fetch_add(1, RELAXED);
        let left = self.left.load(RELAXED);
        if len > left {
            return Err(std::io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.left.store(left - len, RELAXED);
        Ok(())
    }

    fn punch(&self, _: u64, len: u64) -> std::io::Result<()> {
        self.calls.fetch_add(1, RELAXED);
        self.left.fetch_add(len, RELAXED);
        Ok(())
    }
}

#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

/// Zeroed pages that any thread may write through pointers.
struct Pages(NonNull<Page>, usize);

impl Pages {
    fn new(bytes: u64) -> Self {
        let count = bytes.div_ceil(4096) as usize;
        let pages = vec![Page([0; 4096]); count].into_boxed_slice();
        Pages(NonNull::new(Box::into_raw(pages).cast()).unwrap(), count)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let pages = core::ptr::slice_from_raw_parts_mut(self.0.as_ptr(), self.1);
        // SAFETY: made from a box of that many pages.
        drop(unsafe { Box::from_raw(pages) });
    }
}

/// A queue of payloads without its endpoints.
struct Heap {
    ring_header: Box<crate::ring::mpmc::Header>,
    slots: Box<[Stamp]>,
    pool: Pool,
    finder: Finder,
    space: Space,
    area: Pages,
    _tail: Pages,
    _header: Box<Header>,
}

// SAFETY: the pages are reached through the pool only, as it allows.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

const DEMAND: Demand =
    Demand { messages: 4, max_held: 2, usual: 64, largest: 128, max_bytes: 1 << 16, share: 0 };

impl Heap {
    fn of(demand: Demand) -> Self {
        let layout = Layout::of(demand).unwrap();
        let (area, tail) = (Pages::new(layout.len()), Pages::new(layout.tail_len()));
        let header = Box::new(Header::new());
        // SAFETY: the box and the pages live as long as the pool, and are as large as the layout says.
        let pool = unsafe { Pool::new(NonNull::from(&*header), area.0.cast(), tail.0.cast(), layout) };
        Heap {
            ring_header: Box::new(crate::ring::mpmc::Header::hinting(0, 0)),
            slots: (0..demand.messages).map(|_| Stamp::vacant(0)).collect(),
            pool,
            finder: Finder::new(),
            space: Space::plenty(),
            area,
            _tail: tail,
            _header: header,
        }
    }

    fn new() -> Self {
        Self::of(DEMAND)
    }

    fn slots(&self) -> Slots {
        let first = NonNull::from(&self.slots[..]).cast();
        let geometry = Geometry::new(self.slots.len() as u64, size_of::<Stamp>()).unwrap();
        // SAFETY: the boxes outlive the slots' use in each test, and hold what `new` asks for.
        unsafe { Slots::new(NonNull::from(&*self.ring_header), first, geometry) }
    }

    #[inline(always)]
    fn reserve(&self, me: u16, len: u64) -> Result<Loan, ReserveError> {
        self.pool.reserve(me, len, &self.finder, &self.space)
    }

    /// Sends `message` as participant `me`.
    fn send(&self, me: u16, message: &[u8]) -> Result<Position, PushError> {
        let loan = self.reserve(me, message.len() as u64).unwrap();
        assert_eq!(self.pool.copy_in(&loan, 0, message), message.len());
        match self.slots().claim(me) {
            Ok(claim) => {
                self.pool.send(&self.slots(), claim, loan, message.len() as u64);
                Ok(claim.position)
            }
            Err(error) => {
                self.pool.give_up(loan);
                Err(error)
            }
        }
    }

    /// The next slot of the ring, for `me` to read.
    fn next(&self, me: u16) -> Claim {
        let orphan = self.slots().take_orphan(me, |_| false);
        orphan.unwrap_or_else(|| self.slots().take_next(me).unwrap())
    }

    fn keep(&self, me: u16) -> Kept {
        self.pool.receive_kept(&self.slots(), self.next(me), me).unwrap()
    }

    fn work(&self, me: u16) -> Task {
        self.pool.receive_task(&self.slots(), self.next(me), me).unwrap()
    }

    fn content(&self, kept: &Kept) -> Vec<u8> {
        collect(kept.len(), |at, out| self.pool.copy_kept(kept, at, out))
    }

    fn content_of_task(&self, task: &Task) -> Vec<u8> {
        collect(task.len(), |at, out| self.pool.copy_task(task, at, out))
    }

    /// Receives a message whole, as `me`.
    fn recv(&self, me: u16) -> Vec<u8> {
        let kept = self.keep(me);
        let content = self.content(&kept);
        self.pool.free(kept);
        content
    }

    /// What whoever comes along does after deaths.
    fn sweep(&self, dead: &[u16]) -> Swept {
        let slots = self.slots();
        slots.sweep(|who| dead.contains(&who));
        self.pool.sweep(99, &slots, |who| dead.contains(&who))
    }

    fn is_finished(&self) -> bool {
        is_finished(&self.slots(), &self.pool)
    }

    /// Insists that every chunk is free.
    #[track_caller]
    fn all_free(&self) {
        let census = self.pool.census();
        let free = u64::from(self.pool.layout().entries());
        assert_eq!(census, Census { free, ..Default::default() });
        assert!(self.is_finished());
    }
}

fn collect(len: u64, copy: impl FnOnce(u64, &mut [MaybeUninit<u8>]) -> usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(len as usize);
    let copied = copy(0, &mut content.spare_capacity_mut()[..len as usize]);
    assert_eq!(copied as u64, len);
    // SAFETY: that many bytes were copied.
    unsafe { content.set_len(copied) };
    content
}
