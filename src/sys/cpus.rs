//! How many processors the calling thread may use, and how to let another have this one.

use crate::sync::{AtomicU32, Ordering};

/// The processors that the calling thread may run on; at least 1.
///
/// A thread pinned to one processor counts one, wherever its peers run: whoever asks must not conclude that
/// the peers share it.
pub(crate) fn usable() -> usize {
    let mut set = [0_u64; WORDS];
    // SAFETY: the kernel fills at most the given number of bytes of an array that is ours.
    let filled =
        unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&set), set.as_mut_ptr()) };
    let words = usize::try_from(filled).unwrap_or(0).div_ceil(size_of::<u64>()).min(WORDS);
    match filled {
        // As many bytes as the kernel has processors for, which are few of those there is room for.
        1.. => set[..words].iter().map(|word| word.count_ones() as usize).sum::<usize>().max(1),
        // More than 8192 processors, or a filter forbids the question: there is more than one.
        _ => 2,
    }
}

/// The processors of the machine that are switched on; at least 1. Asked once per process.
pub(crate) fn online() -> usize {
    static KNOWN: AtomicU32 = AtomicU32::new(0);
    // Relaxed: whoever finds it unset asks again and gets an answer as good.
    let known = KNOWN.load(Ordering::Relaxed);
    if known != 0 {
        return known as usize;
    }
    // SAFETY: no memory is passed.
    let answer = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    let online = u32::try_from(answer).unwrap_or(2).max(1);
    KNOWN.store(online, Ordering::Relaxed);
    online as usize
}

/// Lets another thread run on this processor, if one is ready.
pub(crate) fn give_way() {
    // SAFETY: no memory is passed, and it cannot fail.
    unsafe { libc::sched_yield() };
}

/// 8192 processors, the most a Linux kernel can be built for.
const WORDS: usize = 8192 / 64;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_what_the_thread_was_given() {
        let all = usable();
        assert!(all >= 1 && all <= online().max(all));
        std::thread::spawn(|| {
            let mut one = [0_u64; WORDS];
            // SAFETY: no memory is passed.
            let cpu = unsafe { libc::sched_getcpu() } as usize;
            one[cpu / 64] = 1 << (cpu % 64);
            // SAFETY: the kernel reads the given number of bytes of an array that is ours.
            let done =
                unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(&one), one.as_ptr()) };
            assert_eq!(done, 0);
            assert_eq!(usable(), 1);
        })
        .join()
        .unwrap();
        assert_eq!(usable(), all);
    }
}
