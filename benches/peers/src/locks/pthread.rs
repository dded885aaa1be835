//! POSIX threads' mutexes, condition variables and barriers, shared by processes.

#![expect(
    clippy::disallowed_types,
    reason = "what others make their own of; nothing of the library, no model"
)]

use std::{cell::UnsafeCell, io, mem, ptr};

use super::{
    Lock, Skill, TOOL, Task, Tool, cannot,
    meet::{self, Meeting},
    run_lock,
    turns::{self, Player, Turns},
};
use crate::{
    sys::SharedPage,
    transports::{Mode, Peer, Result, Setup},
};

const PTHREAD: Peer = Peer { modes: BLOCK, ..TOOL };
const BLOCK: &[Mode] = &[Mode::Block];

pub(crate) static ROBUST: Tool = Tool {
    peer: Peer {
        name: "pthread-robust",
        title: "pthread mutex, robust",
        note: "PTHREAD_PROCESS_SHARED, PTHREAD_MUTEX_ROBUST",
        run: run_lock!(Robust),
        ..PTHREAD
    },
    does: &[(Skill::Alone, BLOCK), (Skill::Crowd, BLOCK)],
};

pub(crate) static PLAIN: Tool = Tool {
    peer: Peer {
        name: "pthread-plain",
        title: "pthread mutex",
        note: "PTHREAD_PROCESS_SHARED; stuck if its owner dies",
        run: run_lock!(Plain),
        ..PTHREAD
    },
    does: &[(Skill::Alone, BLOCK), (Skill::Crowd, BLOCK)],
};

pub(crate) static ADAPTIVE: Tool = Tool {
    peer: Peer {
        name: "pthread-adaptive",
        title: "pthread mutex, adaptive",
        note: "the same with PTHREAD_MUTEX_ADAPTIVE_NP: spins before it sleeps",
        run: run_lock!(Adaptive),
        ..PTHREAD
    },
    does: &[(Skill::Alone, BLOCK), (Skill::Crowd, BLOCK)],
};

pub(crate) static AGAIN: Tool = Tool {
    peer: Peer {
        name: "pthread-recursive-again",
        title: "pthread mutex, recursive, again",
        note: "robust; by the thread that has it",
        run: run_lock!(Again),
        ..PTHREAD
    },
    does: &[(Skill::Alone, BLOCK)],
};

pub(crate) static CONDVAR: Tool = Tool {
    peer: Peer {
        name: "pthread-cond",
        title: "pthread mutex and condition",
        note: "PTHREAD_PROCESS_SHARED, the mutex robust; whose turn it is lies in the mutex",
        run: turns::measure::<MutexAndCondition>,
        ..PTHREAD
    },
    does: &[(Skill::Turns, BLOCK)],
};

pub(crate) static BARRIER: Tool = Tool {
    peer: Peer {
        name: "pthread-barrier",
        title: "pthread barrier",
        note: "PTHREAD_PROCESS_SHARED; stuck if a party dies",
        run: |job| match job.task {
            Some(Task::Meet(parties)) => meet::measure::<Barriers>(job, parties),
            task => cannot(task),
        },
        ..PTHREAD
    },
    does: &[(Skill::Meet, BLOCK)],
};

/// The result of a call that returns its error.
#[inline]
fn checked(answer: libc::c_int) -> Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(answer).into()) }
}

/// A mutex and the numbers it protects, in one cache line if they are few.
#[repr(C, align(64))]
struct Guarded<const N: usize> {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    numbers: UnsafeCell<[u64; N]>,
}

/// Where one lies that all users share.
#[derive(Clone, Copy)]
struct Mutex<const N: usize>(&'static Guarded<N>);

// SAFETY: the mutex is made for any number of threads, and the numbers are used by whoever has it.
unsafe impl<const N: usize> Send for Mutex<N> {}
// SAFETY: as above.
unsafe impl<const N: usize> Sync for Mutex<N> {}

impl<const N: usize> Mutex<N> {
    fn make(robust: bool, kind: libc::c_int) -> Result<Self> {
        // SAFETY: a fresh page of zeroes is such a mutex without an initialisation, which follows, and such numbers.
        let guarded = unsafe { SharedPage::new()?.place::<Guarded<N>>() };
        // SAFETY: plain data, for which all zeroes is a value; it is initialised at once.
        let mut attributes: libc::pthread_mutexattr_t = unsafe { mem::zeroed() };
        // SAFETY: the attributes are ours.
        checked(unsafe { libc::pthread_mutexattr_init(&mut attributes) })?;
        // SAFETY: initialised above.
        checked(unsafe {
            libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED)
        })?;
        // SAFETY: as above.
        checked(unsafe { libc::pthread_mutexattr_settype(&mut attributes, kind) })?;
        if robust {
            // SAFETY: as above.
            checked(unsafe {
                libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST)
            })?;
        }
        // SAFETY: nobody else has seen the mutex yet.
        checked(unsafe { libc::pthread_mutex_init(guarded.mutex.get(), &attributes) })?;
        Ok(Mutex(guarded))
    }

    /// Takes it. If it is robust and its owner has died, that is an error: here nobody dies.
    #[inline]
    fn lock(self) -> Result<()> {
        // SAFETY: initialised in `make`, and mapped for good.
        checked(unsafe { libc::pthread_mutex_lock(self.0.mutex.get()) })
    }

    #[inline]
    fn unlock(self) -> Result<()> {
        // SAFETY: as in `lock`.
        checked(unsafe { libc::pthread_mutex_unlock(self.0.mutex.get()) })
    }

    #[inline]
    fn with<R>(self, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        self.lock()?;
        // SAFETY: we have the mutex, and what we lend ends before we give it back.
        let result = inside(unsafe { &mut *self.0.numbers.get() });
        self.unlock()?;
        Ok(result)
    }
}

/// A kind of mutex as a lock.
macro_rules! kind {
    ($name:ident, $robust:literal, $kind:ident) => {
        struct $name<const N: usize>(Mutex<N>);

        impl<const N: usize> Lock<N> for $name<N> {
            type End = Mutex<N>;

            fn make(_: &Setup) -> Result<Self> {
                Mutex::make($robust, libc::$kind).map($name)
            }

            fn join(&self, _: &Setup) -> Result<Self::End> {
                Ok(self.0)
            }

            #[inline]
            fn with<R>(end: &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
                end.with(inside)
            }
        }
    };
}

kind!(Robust, true, PTHREAD_MUTEX_NORMAL);
kind!(Plain, false, PTHREAD_MUTEX_NORMAL);
kind!(Adaptive, false, PTHREAD_MUTEX_ADAPTIVE_NP);
kind!(Recursive, true, PTHREAD_MUTEX_RECURSIVE);

/// One that its thread has already.
struct Again<const N: usize>(Recursive<N>);

impl<const N: usize> Lock<N> for Again<N> {
    type End = Mutex<N>;

    fn make(setup: &Setup) -> Result<Self> {
        Recursive::make(setup).map(Again)
    }

    fn join(&self, setup: &Setup) -> Result<Self::End> {
        let mutex = self.0.join(setup)?;
        mutex.lock()?; // and never given back
        Ok(mutex)
    }

    #[inline]
    fn with<R>(end: &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        end.with(inside)
    }
}

/// Whose turn it is, and the number, with a mutex; and a condition variable.
struct MutexAndCondition {
    mutex: Mutex<2>,
    condition: Condition,
}

struct Condition(&'static UnsafeCell<libc::pthread_cond_t>);

// SAFETY: a condition variable is made for any number of threads.
unsafe impl Send for Condition {}
// SAFETY: as above.
unsafe impl Sync for Condition {}

struct ConditionPlayer {
    mutex: Mutex<2>,
    condition: Condition,
    side: u64,
}

impl Turns for MutexAndCondition {
    type Player = ConditionPlayer;

    fn make(_: &Setup) -> Result<Self> {
        // SAFETY: a fresh page of zeroes, which is initialised below.
        let condition = unsafe { SharedPage::new()?.place::<UnsafeCell<libc::pthread_cond_t>>() };
        // SAFETY: plain data, for which all zeroes is a value; it is initialised at once.
        let mut attributes: libc::pthread_condattr_t = unsafe { mem::zeroed() };
        // SAFETY: the attributes are ours.
        checked(unsafe { libc::pthread_condattr_init(&mut attributes) })?;
        // SAFETY: initialised above.
        checked(unsafe { libc::pthread_condattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED) })?;
        // SAFETY: nobody else has seen the condition variable yet.
        checked(unsafe { libc::pthread_cond_init(condition.get(), &attributes) })?;
        let mutex = Mutex::make(true, libc::PTHREAD_MUTEX_NORMAL)?;
        Ok(MutexAndCondition { mutex, condition: Condition(condition) })
    }

    fn join(&self, _: &Setup, side: usize) -> Result<ConditionPlayer> {
        Ok(ConditionPlayer { mutex: self.mutex, condition: Condition(self.condition.0), side: side as u64 })
    }
}

impl Player for ConditionPlayer {
    #[inline]
    fn turn<R>(&mut self, act: impl FnOnce(&mut u64) -> R) -> Result<R> {
        self.mutex.lock()?;
        let Guarded { mutex, numbers } = self.mutex.0;
        // SAFETY: we have the mutex; what it protects is not looked at while we wait.
        while unsafe { (*numbers.get())[0] } != self.side {
            // SAFETY: both are initialised and mapped for good, and we have the mutex.
            checked(unsafe { libc::pthread_cond_wait(self.condition.0.get(), mutex.get()) })?;
        }
        // SAFETY: as above.
        let [turn, number] = unsafe { &mut *numbers.get() };
        let result = act(number);
        *turn = 1 - self.side;
        self.mutex.unlock()?;
        // SAFETY: initialised in `make`, and mapped for good.
        checked(unsafe { libc::pthread_cond_signal(self.condition.0.get()) })?;
        Ok(result)
    }
}

struct Barriers(&'static UnsafeCell<libc::pthread_barrier_t>);

// SAFETY: a barrier is made for any number of threads.
unsafe impl Send for Barriers {}
// SAFETY: as above.
unsafe impl Sync for Barriers {}

impl Meeting for Barriers {
    type Party = *mut libc::pthread_barrier_t;

    fn make(_: &Setup, parties: usize) -> Result<Self> {
        // SAFETY: a fresh page of zeroes, which is initialised below.
        let barrier = unsafe { SharedPage::new()?.place::<UnsafeCell<libc::pthread_barrier_t>>() };
        // SAFETY: plain data, for which all zeroes is a value; it is initialised at once.
        let mut attributes: libc::pthread_barrierattr_t = unsafe { mem::zeroed() };
        // SAFETY: the attributes are ours.
        checked(unsafe { libc::pthread_barrierattr_init(&mut attributes) })?;
        let shared = libc::PTHREAD_PROCESS_SHARED;
        // SAFETY: initialised above.
        checked(unsafe { libc::pthread_barrierattr_setpshared(&mut attributes, shared) })?;
        // SAFETY: nobody else has seen the barrier yet.
        checked(unsafe {
            libc::pthread_barrier_init(barrier.get(), ptr::from_ref(&attributes), parties as u32)
        })?;
        Ok(Barriers(barrier))
    }

    fn join(&self, _: &Setup) -> Result<Self::Party> {
        Ok(self.0.get())
    }

    #[inline]
    fn meet(party: &mut Self::Party) -> Result<()> {
        // SAFETY: initialised in `make`, and mapped for good.
        match unsafe { libc::pthread_barrier_wait(*party) } {
            libc::PTHREAD_BARRIER_SERIAL_THREAD => Ok(()),
            answer => checked(answer),
        }
    }
}
