//! `membarrier(GLOBAL_EXPEDITED)`: a full barrier on every processor that runs a registered process.
//!
//! One side of an agreement pays for both: who is about to sleep calls [`heavy`], and who publishes needs no
//! fence at all, provided its process is registered. Registration belongs to the address space: forked
//! children inherit it, `exec` loses it. It takes a microsecond while the process has one thread and 13 ms
//! (a grace period of the scheduler) later, so it is done while the program is being loaded.

use crate::sync::{AtomicU32, Ordering};

/// Whether this process is registered: from then on until `exec`, others' [`heavy`] reaches it.
#[inline]
pub(crate) fn registered() -> bool {
    // Relaxed: the value alone matters. Registration lies before it in program order on the thread that did
    // it; another thread that sees it was registered by the same system call, which covers all threads.
    match STATE.load(Ordering::Relaxed) {
        REGISTERED => true,
        UNKNOWN => register(),
        _ => false,
    }
}

/// Makes every thread of every registered process pass a full memory barrier, and the caller too. `false` if
/// the kernel refuses.
pub(crate) fn heavy() -> bool {
    command(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED)
}

/// Registers now. Any number of threads may do so at once: they all get the same answer.
#[cold]
fn register() -> bool {
    let done = command(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
    STATE.store(if done { REGISTERED } else { REFUSED }, Ordering::Relaxed);
    done
}

fn command(command: libc::c_int) -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// What is known: `UNKNOWN` until somebody has asked the kernel.
static STATE: AtomicU32 = AtomicU32::new(UNKNOWN);
const UNKNOWN: u32 = 0;
const REGISTERED: u32 = 1;
const REFUSED: u32 = 2;

extern "C" fn at_load() {
    register();
}

/// Run by the loader before `main`, while there is one thread. Where the linker drops it, [`registered`]
/// makes up for it at the first question.
#[used]
// SAFETY: the section holds pointers to functions that take at most what the loader passes (arguments that
// `at_load` ignores) and return nothing; `at_load` needs nothing of the runtime but the system call.
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_loader_has_registered_us() {
        assert_ne!(STATE.load(Ordering::Relaxed), UNKNOWN);
        assert_eq!(registered(), heavy(), "a kernel offers both or neither");
    }

    #[test]
    fn registering_again_is_harmless() {
        assert_eq!(register(), registered());
    }
}
