//! What others can see of a process: the memory it shares with them.
//!
//! An instruction that neither enters the kernel nor changes that memory leaves the others what the one before it left
//! them: whoever is killed between such instructions dies the same death at each of them.

use crate::process;
use std::ops::Range;

/// The shared memory of a stopped process, as it was when we last looked.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    places: Vec<Range<u64>>,
    content: Vec<u8>,
    /// Another buffer, so that a look allocates nothing.
    now: Vec<u8>,
}

/// More than this is not looked at: then every instruction counts as one that changes it.
const MOST: u64 = 2 << 20;

impl Shared {
    /// What is mapped may have changed, and then the content has.
    pub(crate) fn look_anew(&mut self, pid: i32) {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        self.places.clear();
        self.places.extend(maps.lines().filter_map(place_of));
        self.has_changed(pid);
    }

    /// Whether the content has changed since the last look, as far as anybody can tell.
    pub(crate) fn has_changed(&mut self, pid: i32) -> bool {
        let bytes: u64 = self.places.iter().map(|place| place.end - place.start).sum();
        if bytes > MOST {
            return true;
        }
        self.now.resize(bytes as usize, 0);
        let all_read = process::read_memory(pid, &self.places, &mut self.now);
        let same = all_read && self.now == self.content;
        std::mem::swap(&mut self.now, &mut self.content);
        !same
    }
}

/// The addresses of a line of `/proc/PID/maps`, if they are shared and can be read.
fn place_of(line: &str) -> Option<Range<u64>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let access = words.next()?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    (access.starts_with('r') && access.ends_with('s')).then_some(number(start)?..number(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Shared {
        fn of(place: Range<u64>) -> Self {
            Shared { places: Vec::from([place]), ..Shared::default() }
        }
    }

    #[test]
    fn only_shared_memory_counts_and_every_byte_of_it() {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let place = unsafe { libc::mmap(core::ptr::null_mut(), 8192, access, flags, -1, 0) };
        assert_ne!(place, libc::MAP_FAILED);
        let own = std::process::id() as i32;
        let mut shared = Shared::of(place as u64..place as u64 + 8192);
        shared.has_changed(own);
        assert!(!shared.has_changed(own));
        // SAFETY: the last byte is in the mapping.
        let last = unsafe { place.cast::<u8>().add(8191) };
        // SAFETY: as above; nobody else knows of it.
        unsafe { last.write_volatile(1) };
        assert!(shared.has_changed(own) && !shared.has_changed(own));
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let all: Vec<_> = maps.lines().filter_map(place_of).collect();
        assert!(all.iter().any(|range| range.contains(&(place as u64))), "{maps}");
        let here = &raw const shared as u64;
        assert!(!all.iter().any(|range| range.contains(&here)), "{maps}");
    }

    #[test]
    fn too_much_counts_as_changed() {
        let mut shared = Shared::of(0..MOST + 1);
        assert!(shared.has_changed(1));
    }
}
