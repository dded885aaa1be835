//! Memory for all processes of the harness, handed out one piece after the other and hardly ever taken back.
//!
//! What the C library's allocator does depends on everything that was ever freed, so that two runs of an operation
//! would differ by what the harness did between them. Here each stage begins at the same address in fresh pages,
//! and an allocation is a handful of instructions.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The allocator of every program that links this crate.
#[global_allocator]
static ARENA: Arena = Arena;

struct Arena;

/// Bytes for the harness, and for each stage. Only what is touched costs memory.
const REGION: usize = 1 << 30;

thread_local! {
    /// Where the next piece comes from, and where there are no more; both 0 until the first one. Processes here have
    /// one thread; in the tests of this crate each thread has an arena.
    static NEXT: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    static STAGE: Cell<usize> = const { Cell::new(0) };
}

/// From here on this process takes its memory from the stage's pages, which nobody has touched.
pub(crate) fn enter_stage() {
    let stage = STAGE.get();
    NEXT.set((stage, stage + REGION));
}

fn map() -> Option<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let place = unsafe { libc::mmap(core::ptr::null_mut(), 2 * REGION, access, flags, -1, 0) };
    (place != libc::MAP_FAILED).then_some(place as usize)
}

// SAFETY: each piece is inside the mapping, aligned, and overlaps no other that is in use, because the cursor only
// moves back over the piece handed out last, when that is given back.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (mut next, mut end) = NEXT.get();
        if end == 0 {
            let Some(place) = map() else { return core::ptr::null_mut() };
            STAGE.set(place + REGION);
            (next, end) = (place, place + REGION);
        }
        let start = next.next_multiple_of(layout.align());
        if layout.size() > end - start {
            // SAFETY: as our caller promises.
            return unsafe { System.alloc(layout) };
        }
        NEXT.set((start + layout.size(), end));
        start as *mut u8
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if is_last(piece, layout) {
            NEXT.set((piece as usize, NEXT.get().1));
        }
        // Otherwise it is lost, until the process ends.
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (_, end) = NEXT.get();
        if is_last(piece, layout) && size <= end - piece as usize {
            NEXT.set((piece as usize + size, end));
            return piece;
        }
        // SAFETY: the size is not 0, by our caller's promise; the alignment is that of a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: as above.
        let other = unsafe { self.alloc(wanted) };
        if !other.is_null() {
            // SAFETY: both are that long, and the new one is nobody's yet.
            unsafe { core::ptr::copy_nonoverlapping(piece, other, layout.size().min(size)) };
        }
        other
    }
}

/// Whether the piece was handed out last, in the region that pieces come from now.
fn is_last(piece: *mut u8, layout: Layout) -> bool {
    let (next, end) = NEXT.get();
    piece as usize + layout.size() == next && piece as usize >= end.saturating_sub(REGION)
}
