//! Which CPUs the two processes run on.

use std::{fmt, fs, io};

use crate::sys;

/// The CPUs of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pins {
    /// This process on the first, the other on the second.
    Two(usize, usize),
    /// Only this one may be used, by both.
    One(usize),
}

impl Pins {
    /// Chooses two usable CPUs that are not hyperthreads of one core, if there are such.
    pub(crate) fn choose() -> io::Result<Pins> {
        let cpus = sys::usable_cpus()?;
        let Some(&near) = cpus.first() else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "this process may run on no CPU at all"));
        };
        let siblings = siblings(near);
        let others = || cpus[1..].iter().copied();
        let far = others().find(|cpu| !siblings.contains(cpu)).or_else(|| others().next());
        Ok(far.map_or(Pins::One(near), |far| Pins::Two(near, far)))
    }

    /// The CPU of this process.
    pub(crate) fn near(self) -> usize {
        match self {
            Pins::Two(near, _) | Pins::One(near) => near,
        }
    }

    /// The CPU of the other process.
    pub(crate) fn far(self) -> usize {
        match self {
            Pins::Two(_, far) | Pins::One(far) => far,
        }
    }
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pins::Two(near, far) => write!(f, "two processes pinned to CPUs {near} and {far}"),
            Pins::One(cpu) => write!(f, "two processes that share CPU {cpu}, the only usable one"),
        }
    }
}

/// The CPUs of `cpu`'s core, itself included, as far as the kernel says.
fn siblings(cpu: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    fs::read_to_string(path).map(|list| parse_list(&list)).unwrap_or_default()
}

/// The kernel's notation: `0,4-6`. What does not fit it is skipped.
fn parse_list(list: &str) -> Vec<usize> {
    let mut cpus = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cpus.extend(first..=last.min(first + 4096));
        }
    }
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel() {
        assert_eq!(parse_list("0,4-6\n"), [0, 4, 5, 6]);
        assert!(parse_list("").is_empty());
        assert_eq!(parse_list("x,3"), [3]);
    }

    #[test]
    fn two_cpus_are_different_and_usable() {
        let usable = sys::usable_cpus().unwrap();
        match Pins::choose().unwrap() {
            Pins::Two(near, far) => {
                assert!(near != far && usable.contains(&near) && usable.contains(&far));
            }
            Pins::One(cpu) => assert_eq!(usable, [cpu]),
        }
    }
}
