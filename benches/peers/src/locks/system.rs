//! What the kernel itself offers: locks of files, and a descriptor that counts.

use std::{
    fs::File,
    io::{Read, Write},
    mem,
    os::fd::{AsRawFd, FromRawFd},
    path::PathBuf,
};

use super::{Lock, Skill, TOOL, Task, Tool, alone, cannot, run_lock};
use crate::{
    sys::{self, Numbers, numbers},
    transports::{Mode, Outcome, Peer, Result, Setup},
    worker::Job,
};

const SYSTEM: Peer = Peer { modes: BLOCK, ..TOOL };
const BLOCK: &[Mode] = &[Mode::Block];

pub(crate) static EVENTFD: Tool = Tool {
    peer: Peer {
        name: "eventfd",
        title: "eventfd",
        note: "written to, and read again",
        run: |job| match job.task {
            Some(Task::Alone) => write_and_read(job),
            task => cannot(task),
        },
        ..SYSTEM
    },
    does: &[(Skill::Alone, BLOCK)],
};

pub(crate) static FLOCK: Tool = Tool {
    peer: Peer {
        name: "flock",
        title: "flock",
        note: "given back by the kernel if its owner dies, who is not told",
        run: run_lock!(Flock),
        ..SYSTEM
    },
    does: &[(Skill::Alone, BLOCK), (Skill::Crowd, BLOCK)],
};

pub(crate) static FCNTL: Tool = Tool {
    peer: Peer {
        name: "fcntl",
        title: "fcntl, F_OFD_SETLKW",
        note: "the same for a part of a file",
        run: run_lock!(Fcntl),
        ..SYSTEM
    },
    does: &[(Skill::Alone, BLOCK)],
};

fn write_and_read(job: &Job) -> Result<Outcome> {
    // SAFETY: touches no memory.
    let raw = sys::checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?;
    // SAFETY: eventfd has just returned this descriptor to us alone.
    let mut file = unsafe { File::from_raw_fd(raw) };
    alone::time(job, |count| {
        for _ in 0..count {
            file.write_all(&1_u64.to_ne_bytes())?;
            let mut found = [0; 8];
            file.read_exact(&mut found)?;
            if u64::from_ne_bytes(found) != 1 {
                return Err("one was written, and another number is read".into());
            }
        }
        Ok(())
    })
}

/// A file that is locked, and numbers that whoever has the lock may use.
struct LockedFile<const N: usize> {
    path: PathBuf,
    numbers: Numbers<N>,
}

impl<const N: usize> LockedFile<N> {
    fn make(setup: &Setup) -> Result<Self> {
        let path = setup.dir.join("locked");
        File::create(&path)?;
        Ok(LockedFile { path, numbers: numbers()? })
    }

    /// Each user opens it by itself: the lock belongs to an open file.
    fn join(&self) -> Result<(File, Numbers<N>)> {
        Ok((File::options().read(true).write(true).open(&self.path)?, self.numbers))
    }
}

/// A way of locking a file as a lock. `$set` locks it or lets it go.
macro_rules! file_lock {
    ($name:ident, $lock:expr, $unlock:expr) => {
        struct $name<const N: usize>(LockedFile<N>);

        impl<const N: usize> Lock<N> for $name<N> {
            type End = (File, Numbers<N>);

            fn make(setup: &Setup) -> Result<Self> {
                LockedFile::make(setup).map($name)
            }

            fn join(&self, _: &Setup) -> Result<Self::End> {
                self.0.join()
            }

            #[inline]
            fn with<R>(
                (file, numbers): &mut Self::End,
                inside: impl FnOnce(&mut [u64; N]) -> R,
            ) -> Result<R> {
                $lock(file)?;
                // SAFETY: whoever uses these numbers has the lock, and that is us.
                let result = inside(unsafe { numbers.lend() });
                $unlock(file)?;
                Ok(result)
            }
        }
    };
}

file_lock!(Flock, |file: &File| file.lock(), |file: &File| file.unlock());
file_lock!(Fcntl, |file: &File| set(file, libc::F_WRLCK), |file: &File| set(file, libc::F_UNLCK));

fn set(file: &File, kind: libc::c_int) -> std::io::Result<()> {
    // SAFETY: plain data of integers, for which all zeroes is a value: the whole file.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    // SAFETY: the kernel reads `lock`, which lives.
    sys::checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &lock) }).map(drop)
}
