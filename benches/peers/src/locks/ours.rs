//! Ours.

use std::{
    mem,
    os::fd::{AsFd, OwnedFd},
};

use ringway::{Barrier, Condvar, Event, Mutex, OwnedSemaphore, ReentrantMutex, Semaphore};

use super::{
    Lock, Skill, TOOL, Task, Tool, alone, cannot,
    meet::{self, Meeting},
    run_lock,
    turns::{self, Player, Turns},
};
use crate::{
    sys::{Numbers, numbers},
    transports::{Group, Mode, Outcome, Peer, Place, Result, Setup, wait},
    worker::Job,
};

/// What ours have in common.
const OURS: Peer = Peer { group: Group::Ours, modes: MODES, ..TOOL };
const MODES: &[Mode] = &[Mode::Spin, Mode::Adaptive, Mode::Park];
const USUAL: &[Mode] = &[Mode::Adaptive];
const BOUNDED: &[Mode] = &[Mode::Adaptive, Mode::Park];

pub(crate) static MUTEX: Tool = Tool {
    peer: Peer {
        name: "ringway-mutex",
        title: "Ringway Mutex",
        modes: BOUNDED,
        note: "robust; named",
        run: run_lock!(Named),
        ..OURS
    },
    does: &[(Skill::Alone, USUAL), (Skill::Crowd, BOUNDED)],
};

pub(crate) static ANONYMOUS: Tool = Tool {
    peer: Peer {
        name: "ringway-anonymous-mutex",
        title: "Ringway Mutex, anonymous",
        modes: USUAL,
        note: "robust; without a name",
        run: run_lock!(Anonymous),
        ..OURS
    },
    does: &[(Skill::Alone, USUAL)],
};

/// One handle for all threads, beside locks that know no other processes.
pub(crate) static THREADS: Tool = Tool {
    peer: Peer {
        name: "ringway-mutex-threads",
        title: "Ringway Mutex (threads)",
        place: Place::Threads,
        modes: BOUNDED,
        note: "robust; one handle for all threads",
        run: run_lock!(OneHandle),
        ..OURS
    },
    does: &[(Skill::Crowd, BOUNDED)],
};

pub(crate) static REENTRANT: Tool = Tool {
    peer: Peer {
        name: "ringway-reentrant-mutex",
        title: "Ringway ReentrantMutex",
        modes: USUAL,
        note: "robust; named",
        run: run_lock!(Reentrant),
        ..OURS
    },
    does: &[(Skill::Alone, USUAL), (Skill::Crowd, USUAL)],
};

pub(crate) static AGAIN: Tool = Tool {
    peer: Peer {
        name: "ringway-reentrant-again",
        title: "Ringway ReentrantMutex, again",
        modes: USUAL,
        note: "by the thread that has it",
        run: run_lock!(Again),
        ..OURS
    },
    does: &[(Skill::Alone, USUAL)],
};

pub(crate) static SEMAPHORE: Tool = Tool {
    peer: Peer {
        name: "ringway-semaphore",
        title: "Ringway Semaphore",
        note: "one permit is the lock; in turns, two of them",
        run: |job| match job.task {
            Some(Task::Turns) => turns::measure::<Semaphores>(job),
            _ => run_lock!(OnePermit)(job),
        },
        ..OURS
    },
    does: &[(Skill::Alone, USUAL), (Skill::Crowd, BOUNDED), (Skill::Turns, MODES)],
};

pub(crate) static OWNED_SEMAPHORE: Tool = Tool {
    peer: Peer {
        name: "ringway-owned-semaphore",
        title: "Ringway OwnedSemaphore",
        modes: USUAL,
        note: "one permit, which comes back if its holder dies",
        run: run_lock!(OneOwnedPermit),
        ..OURS
    },
    does: &[(Skill::Alone, USUAL), (Skill::Crowd, USUAL)],
};

pub(crate) static EVENT: Tool = Tool {
    peer: Peer {
        name: "ringway-event",
        title: "Ringway Event",
        note: "set, waited for and cleared; in turns, two of them",
        run: |job| match job.task {
            Some(Task::Turns) => turns::measure::<Events>(job),
            Some(Task::Alone) => set_wait_clear(job),
            task => cannot(task),
        },
        ..OURS
    },
    does: &[(Skill::Alone, USUAL), (Skill::Turns, MODES)],
};

pub(crate) static CONDVAR: Tool = Tool {
    peer: Peer {
        name: "ringway-condvar",
        title: "Ringway Mutex and Condvar",
        note: "whose turn it is lies in the mutex",
        run: turns::measure::<MutexAndCondvar>,
        ..OURS
    },
    does: &[(Skill::Turns, MODES)],
};

pub(crate) static BARRIER: Tool = Tool {
    peer: Peer {
        name: "ringway-barrier",
        title: "Ringway Barrier",
        modes: BOUNDED,
        note: "broken, not stuck, if a party dies",
        run: |job| match job.task {
            Some(Task::Meet(parties)) => meet::measure::<Barriers>(job, parties),
            task => cannot(task),
        },
        ..OURS
    },
    does: &[(Skill::Meet, BOUNDED)],
};

fn copy_of(handle: &impl AsFd) -> Result<OwnedFd> {
    Ok(handle.as_fd().try_clone_to_owned()?)
}

/// A mutex with a name.
struct Named<const N: usize>(#[expect(dead_code, reason = "keeps it in being")] Mutex<[u64; N]>);

impl<const N: usize> Lock<N> for Named<N> {
    type End = Mutex<[u64; N]>;

    fn make(setup: &Setup) -> Result<Self> {
        Ok(Named(Mutex::create(&setup.name, [0; N])?))
    }

    fn join(&self, setup: &Setup) -> Result<Self::End> {
        Ok(Mutex::options().wait(wait(setup.mode)).open(&setup.name)?)
    }

    #[inline]
    fn with<R>(end: &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        Ok(inside(&mut *end.lock()?))
    }
}

/// A mutex without one.
struct Anonymous<const N: usize>(Mutex<[u64; N]>);

impl<const N: usize> Lock<N> for Anonymous<N> {
    type End = Mutex<[u64; N]>;

    fn make(_: &Setup) -> Result<Self> {
        Ok(Anonymous(Mutex::anonymous([0; N])?))
    }

    fn join(&self, setup: &Setup) -> Result<Self::End> {
        Ok(Mutex::options().trusted(true).wait(wait(setup.mode)).from_fd(copy_of(&self.0)?)?)
    }

    #[inline]
    fn with<R>(end: &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        Ok(inside(&mut *end.lock()?))
    }
}

/// A mutex that threads use by clones of one handle.
struct OneHandle<const N: usize>(Mutex<[u64; N]>);

impl<const N: usize> Lock<N> for OneHandle<N> {
    type End = Mutex<[u64; N]>;

    fn make(setup: &Setup) -> Result<Self> {
        Ok(OneHandle(Mutex::options().value([0; N]).wait(wait(setup.mode)).anonymous()?))
    }

    fn join(&self, _: &Setup) -> Result<Self::End> {
        Ok(self.0.clone())
    }

    #[inline]
    fn with<R>(end: &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        Ok(inside(&mut *end.lock()?))
    }
}

struct Reentrant<const N: usize>(ReentrantMutex<[u64; N]>);

impl<const N: usize> Lock<N> for Reentrant<N> {
    type End = ReentrantMutex<[u64; N]>;

    fn make(setup: &Setup) -> Result<Self> {
        Ok(Reentrant(ReentrantMutex::create(&setup.name, [0; N])?))
    }

    fn join(&self, setup: &Setup) -> Result<Self::End> {
        Ok(ReentrantMutex::options().trusted(true).wait(wait(setup.mode)).from_fd(copy_of(&self.0)?)?)
    }

    #[inline]
    fn with<R>(end: &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        let guard = end.lock()?;
        let mut value = guard.get();
        let result = inside(&mut value);
        guard.set(value);
        Ok(result)
    }
}

/// One that its thread has already.
struct Again<const N: usize>(Reentrant<N>);

impl<const N: usize> Lock<N> for Again<N> {
    type End = ReentrantMutex<[u64; N]>;

    fn make(setup: &Setup) -> Result<Self> {
        Reentrant::make(setup).map(Again)
    }

    fn join(&self, setup: &Setup) -> Result<Self::End> {
        let mutex = self.0.join(setup)?;
        // Held until the process ends.
        mem::forget(mutex.lock()?);
        Ok(mutex)
    }

    #[inline]
    fn with<R>(end: &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        Reentrant::with(end, inside)
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
        Ok(OnePermit { semaphore: Semaphore::anonymous(1)?, numbers: numbers()? })
    }

    fn join(&self, setup: &Setup) -> Result<Self::End> {
        Ok((semaphore(&self.semaphore, setup)?, self.numbers))
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

fn semaphore(semaphore: &Semaphore, setup: &Setup) -> Result<Semaphore> {
    Ok(Semaphore::options().wait(wait(setup.mode)).from_fd(copy_of(semaphore)?)?)
}

/// The same with a permit that knows its holder.
struct OneOwnedPermit<const N: usize> {
    semaphore: OwnedSemaphore,
    numbers: Numbers<N>,
}

impl<const N: usize> Lock<N> for OneOwnedPermit<N> {
    type End = (OwnedSemaphore, Numbers<N>);

    fn make(_: &Setup) -> Result<Self> {
        Ok(OneOwnedPermit { semaphore: OwnedSemaphore::anonymous(1)?, numbers: numbers()? })
    }

    fn join(&self, setup: &Setup) -> Result<Self::End> {
        let options = OwnedSemaphore::options().wait(wait(setup.mode));
        Ok((options.from_fd(copy_of(&self.semaphore)?)?, self.numbers))
    }

    #[inline]
    fn with<R>((semaphore, numbers): &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        let _permit = semaphore.acquire()?;
        // SAFETY: there is one permit, and we have it.
        Ok(inside(unsafe { numbers.lend() }))
    }
}

fn set_wait_clear(job: &Job) -> Result<Outcome> {
    let event = Event::anonymous()?;
    alone::time(job, |count| {
        for _ in 0..count {
            event.set();
            event.wait();
            if !event.clear() {
                return Err("the event was set, and is not".into());
            }
        }
        Ok(())
    })
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
        let semaphores = [Semaphore::anonymous(1)?, Semaphore::anonymous(0)?];
        Ok(Semaphores { semaphores, number: numbers()? })
    }

    fn join(&self, setup: &Setup, side: usize) -> Result<SemaphorePlayer> {
        let of = |side: usize| semaphore(&self.semaphores[side], setup);
        Ok(SemaphorePlayer { mine: of(side)?, other: of(1 - side)?, number: self.number })
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

/// An event for each player: it is set when it is the player's turn.
struct Events {
    events: [Event; 2],
    number: Numbers<1>,
}

struct EventPlayer {
    mine: Event,
    other: Event,
    number: Numbers<1>,
}

impl Turns for Events {
    type Player = EventPlayer;

    fn make(_: &Setup) -> Result<Self> {
        let events = [Event::anonymous()?, Event::anonymous()?];
        events[0].set();
        Ok(Events { events, number: numbers()? })
    }

    fn join(&self, setup: &Setup, side: usize) -> Result<EventPlayer> {
        let of = |side: usize| -> Result<Event> {
            Ok(Event::options().wait(wait(setup.mode)).from_fd(copy_of(&self.events[side])?)?)
        };
        Ok(EventPlayer { mine: of(side)?, other: of(1 - side)?, number: self.number })
    }
}

impl Player for EventPlayer {
    #[inline]
    fn turn<R>(&mut self, act: impl FnOnce(&mut u64) -> R) -> Result<R> {
        self.mine.wait();
        self.mine.clear();
        // SAFETY: one of the two events is set, or a player is here who has cleared his; that is us.
        let [number] = unsafe { self.number.lend() };
        let result = act(number);
        self.other.set();
        Ok(result)
    }
}

/// Whose turn it is, and the number, in a mutex.
struct MutexAndCondvar {
    mutex: Mutex<[u64; 2]>,
    condvar: Condvar,
}

struct CondvarPlayer {
    mutex: Mutex<[u64; 2]>,
    condvar: Condvar,
    side: u64,
}

impl Turns for MutexAndCondvar {
    type Player = CondvarPlayer;

    fn make(_: &Setup) -> Result<Self> {
        Ok(MutexAndCondvar { mutex: Mutex::anonymous([0; 2])?, condvar: Condvar::anonymous()? })
    }

    fn join(&self, setup: &Setup, side: usize) -> Result<CondvarPlayer> {
        let wait = wait(setup.mode);
        Ok(CondvarPlayer {
            mutex: Mutex::options().trusted(true).wait(wait).from_fd(copy_of(&self.mutex)?)?,
            condvar: Condvar::options().wait(wait).from_fd(copy_of(&self.condvar)?)?,
            side: side as u64,
        })
    }
}

impl Player for CondvarPlayer {
    #[inline]
    fn turn<R>(&mut self, act: impl FnOnce(&mut u64) -> R) -> Result<R> {
        let mut guard = self.condvar.wait_while(self.mutex.lock()?, |[turn, _]| *turn != self.side)?;
        let [turn, number] = &mut *guard;
        let result = act(number);
        *turn = 1 - self.side;
        drop(guard);
        self.condvar.notify_one();
        Ok(result)
    }
}

struct Barriers(Barrier);

impl Meeting for Barriers {
    type Party = Barrier;

    fn make(_: &Setup, parties: usize) -> Result<Self> {
        Ok(Barriers(Barrier::anonymous(parties as u32)?))
    }

    fn join(&self, setup: &Setup) -> Result<Barrier> {
        Ok(Barrier::options().wait(wait(setup.mode)).from_fd(copy_of(&self.0)?)?)
    }

    #[inline]
    fn meet(party: &mut Barrier) -> Result<()> {
        party.wait().map(drop).map_err(Into::into)
    }
}
