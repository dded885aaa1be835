//! POSIX semaphores, shared by processes.

#![expect(
    clippy::disallowed_types,
    reason = "what others make their own of; nothing of the library, no model"
)]

use std::{cell::UnsafeCell, io};

use super::{
    Lock, Skill, TOOL, Task, Tool, run_lock,
    turns::{self, Player, Turns},
};
use crate::{
    sys::{self, Numbers, SharedPage, numbers},
    transports::{Mode, Peer, Result, Setup},
};

const BLOCK: &[Mode] = &[Mode::Block];

pub(crate) static SEMAPHORE: Tool = Tool {
    peer: Peer {
        name: "posix-semaphore",
        title: "POSIX semaphore",
        modes: BLOCK,
        note: "sem_t, shared by processes; one permit is the lock; in turns, two of them",
        run: |job| match job.task {
            Some(Task::Turns) => turns::measure::<Semaphores>(job),
            _ => run_lock!(OnePermit)(job),
        },
        ..TOOL
    },
    does: &[(Skill::Alone, BLOCK), (Skill::Crowd, BLOCK), (Skill::Turns, BLOCK)],
};

/// A semaphore in memory that all users share.
#[derive(Clone, Copy)]
struct Semaphore(&'static UnsafeCell<libc::sem_t>);

// SAFETY: a semaphore is made for any number of threads.
unsafe impl Send for Semaphore {}
// SAFETY: as above.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    /// One in a cache line of its own.
    fn make(permits: u32) -> Result<Self> {
        // SAFETY: a fresh page of zeroes, which is initialised below.
        let semaphore = unsafe { SharedPage::new()?.place::<UnsafeCell<libc::sem_t>>() };
        // SAFETY: nobody else has seen it yet.
        sys::checked(unsafe { libc::sem_init(semaphore.get(), 1, permits) })?;
        Ok(Semaphore(semaphore))
    }

    #[inline]
    fn acquire(self) -> Result<()> {
        // SAFETY: initialised in `make`, and mapped for good.
        while unsafe { libc::sem_wait(self.0.get()) } != 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error.into());
            }
        }
        Ok(())
    }

    #[inline]
    fn release(self) -> Result<()> {
        // SAFETY: initialised in `make`, and mapped for good.
        Ok(sys::checked(unsafe { libc::sem_post(self.0.get()) }).map(drop)?)
    }
}

/// A semaphore of one permit, and numbers that whoever has it may use.
struct OnePermit<const N: usize> {
    semaphore: Semaphore,
    numbers: Numbers<N>,
}

impl<const N: usize> Lock<N> for OnePermit<N> {
    type End = (Semaphore, Numbers<N>);

    fn make(_: &Setup) -> Result<Self> {
        Ok(OnePermit { semaphore: Semaphore::make(1)?, numbers: numbers()? })
    }

    fn join(&self, _: &Setup) -> Result<Self::End> {
        Ok((self.semaphore, self.numbers))
    }

    #[inline]
    fn with<R>((semaphore, numbers): &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        semaphore.acquire()?;
        // SAFETY: there is one permit, and we have it.
        let result = inside(unsafe { numbers.lend() });
        semaphore.release()?;
        Ok(result)
    }
}

/// A semaphore for each player: the permit in it is the player's turn.
struct Semaphores {
    semaphores: [Semaphore; 2],
    number: Numbers<1>,
}

struct SemaphorePlayer {
    mine: Semaphore,
    other: Semaphore,
    number: Numbers<1>,
}

impl Turns for Semaphores {
    type Player = SemaphorePlayer;

    fn make(_: &Setup) -> Result<Self> {
        Ok(Semaphores { semaphores: [Semaphore::make(1)?, Semaphore::make(0)?], number: numbers()? })
    }

    fn join(&self, _: &Setup, side: usize) -> Result<SemaphorePlayer> {
        let (mine, other) = (self.semaphores[side], self.semaphores[1 - side]);
        Ok(SemaphorePlayer { mine, other, number: self.number })
    }
}

impl Player for SemaphorePlayer {
    #[inline]
    fn turn<R>(&mut self, act: impl FnOnce(&mut u64) -> R) -> Result<R> {
        self.mine.acquire()?;
        // SAFETY: there is one permit in both semaphores together, and we have it.
        let [number] = unsafe { self.number.lend() };
        let result = act(number);
        self.other.release()?;
        Ok(result)
    }
}
