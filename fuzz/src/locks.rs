//! Every call of locks, and what else processes agree by, on handles that do not trust anybody: what each returns is
//! something that there can be.

use arbitrary::Arbitrary;
use ringway::{AcquireError, Barrier, BarrierError, Condvar, Deadline, Event, Inherited, LockError, Mutex};
use ringway::{MutexGuard, OwnedSemaphore, Permit, ReentrantInherited, ReentrantMutex, ReentrantMutexGuard};
use ringway::{ReleaseError, Semaphore, Token};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

pub const PARTIES: u32 = 3;
pub const PERMITS: u32 = 3;
pub const BOUND: u32 = 6;

/// What the locks protect.
pub type Value = [u64; 4];

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Call {
    Try(u8),
    /// Waits for so many microseconds at most.
    Wait(u8, u8),
    /// Gives back what was taken, or sets, or tells; last or first.
    Give(bool, u8),
    /// The other end of some things: clears, resets, aborts, leaks.
    Clear(u8),
    Look,
    /// Asks for a descriptor, and polls it. Rare: it makes a thread.
    Poll(u8, u8),
}

/// An object under attack, and what its calls leave in one's hands.
pub trait Victim {
    type Held<'a>
    where
        Self: 'a;

    /// How many permits, parties or elements it has, where that is a question. A handle knows it, whoever writes what.
    fn size(&self) -> u64 {
        0
    }

    fn call<'a>(&'a self, held: &mut Vec<Self::Held<'a>>, call: Call);
}

pub(crate) fn deadline(micros: u8) -> Deadline {
    Deadline::after(Duration::from_micros((micros % 32).into()))
}

pub(crate) fn expected(error: LockError) {
    match error {
        LockError::WouldBlock | LockError::Timeout | LockError::WouldDeadlock => {}
        LockError::NotRecoverable | LockError::Corrupt(_) => {}
        other => panic!("{other}"),
    }
}

fn poll(polled: Result<BorrowedFd<'_>, ringway::Error>) {
    let fd = polled.expect("no descriptor, or no thread").as_raw_fd();
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&mut poll, 1, 0) };
}

/// What a mutex handed out, with the value it led to at first: nobody else may change that.
pub struct Seen<'a> {
    hand: Option<Hand<'a>>,
    value: Value,
}

enum Hand<'a> {
    Guard(MutexGuard<'a, Value>),
    Inherited(Inherited<'a, Value>),
}

impl Seen<'_> {
    /// Repairs it, or writes to it, if that is needed or possible.
    fn use_it(&mut self, word: u8) {
        self.value[usize::from(word) % 4] = word.into();
        let change = |value: &mut Value| value[usize::from(word) % 4] = word.into();
        self.hand = self.hand.take().map(|hand| match hand {
            Hand::Guard(mut guard) => {
                change(&mut guard);
                Hand::Guard(guard)
            }
            Hand::Inherited(inherited) => Hand::Guard(inherited.recover(change)),
        });
    }
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        let now = match &self.hand {
            Some(Hand::Guard(guard)) => **guard,
            Some(Hand::Inherited(inherited)) => **inherited,
            None => return,
        };
        assert_eq!(now, self.value, "a private copy has changed");
    }
}

pub(crate) fn remove<T>(held: &mut Vec<T>, last: bool) -> Option<T> {
    if last || held.is_empty() { held.pop() } else { Some(held.swap_remove(0)) }
}

impl Victim for Mutex<Value> {
    type Held<'a> = Seen<'a>;

    fn call<'a>(&'a self, held: &mut Vec<Seen<'a>>, call: Call) {
        let locked = match call {
            Call::Try(_) | Call::Poll(..) => self.try_lock(),
            Call::Wait(_, micros) => self.lock_deadline(deadline(micros)),
            Call::Give(last, word) => {
                let mut seen = remove(held, last);
                if let Some(seen) = &mut seen
                    && word % 2 == 0
                {
                    seen.use_it(word);
                }
                return;
            }
            Call::Clear(how) => {
                // No guard is leaked here: its copy would be, and AddressSanitizer says so.
                if let Some(seen) = held.last_mut() {
                    seen.use_it(how);
                }
                return;
            }
            Call::Look => return drop(format!("{self:?}")),
        };
        match locked {
            Ok(guard) => {
                let value = *guard;
                held.push(Seen { hand: Some(Hand::Guard(guard)), value });
            }
            Err(LockError::OwnerDied(inherited)) => {
                let value = *inherited;
                held.push(Seen { hand: Some(Hand::Inherited(inherited)), value });
            }
            Err(error) => expected(error.without_guard()),
        }
    }
}

pub enum ReentrantGuardOr<'a> {
    Guard(ReentrantMutexGuard<'a, Value>),
    Inherited(ReentrantInherited<'a, Value>),
}

impl Victim for ReentrantMutex<Value> {
    type Held<'a> = ReentrantGuardOr<'a>;

    fn call<'a>(&'a self, held: &mut Vec<Self::Held<'a>>, call: Call) {
        let locked = match call {
            Call::Try(_) | Call::Poll(..) => self.try_lock(),
            Call::Wait(_, micros) => self.lock_deadline(deadline(micros)),
            Call::Give(last, _) => return drop(remove(held, last)),
            Call::Clear(how) => {
                match held.pop() {
                    Some(ReentrantGuardOr::Inherited(inherited)) => {
                        held.push(ReentrantGuardOr::Guard(inherited.recover(|_| [how.into(); 4])));
                    }
                    Some(guard) if how % 4 == 0 => core::mem::forget(guard),
                    guard => held.extend(guard),
                }
                return;
            }
            Call::Look => {
                drop(format!("{self:?}"));
                for guard in held {
                    match guard {
                        ReentrantGuardOr::Guard(guard) => {
                            guard.update(|value| value.map(|word| word.wrapping_add(1)));
                            guard.depth();
                        }
                        ReentrantGuardOr::Inherited(inherited) => drop(inherited.get()),
                    }
                }
                return;
            }
        };
        match locked {
            Ok(guard) => held.push(ReentrantGuardOr::Guard(guard)),
            Err(LockError::OwnerDied(inherited)) => held.push(ReentrantGuardOr::Inherited(inherited)),
            Err(error) => expected(error.without_guard()),
        }
    }
}

fn acquired<P>(result: Result<P, AcquireError>, asked: u32, most: u32) -> Option<P> {
    match result {
        Ok(permit) => return Some(permit),
        Err(AcquireError::WouldBlock | AcquireError::Timeout | AcquireError::Corrupt(_)) => {}
        Err(AcquireError::TooMany { asked: said, bound }) => {
            assert!(said == asked && bound == most && asked > bound);
        }
        Err(other) => panic!("{other}"),
    }
    None
}

impl Victim for Semaphore {
    type Held<'a> = ();

    fn size(&self) -> u64 {
        self.bound().into()
    }

    fn call<'a>(&'a self, _held: &mut Vec<()>, call: Call) {
        let most = self.bound();
        match call {
            Call::Try(count) => {
                acquired(self.try_acquire_many((count % 8).into()), (count % 8).into(), most);
            }
            Call::Wait(count, micros) => {
                let count = (count % 8).into();
                acquired(self.acquire_many(count, deadline(micros)), count, most);
            }
            Call::Give(_, count) => match self.release_many((count % 8).into()) {
                Ok(()) | Err(ReleaseError::Corrupt(_)) => {}
                Err(ReleaseError::TooMany { bound }) => assert_eq!(bound, most),
                Err(other) => panic!("{other}"),
            },
            Call::Clear(_) | Call::Look => drop(format!("{self:?} {}", self.available())),
            Call::Poll(often, count) => {
                if often == 0 {
                    poll(self.readiness());
                    acquired(self.try_acquire_many((count % 8).into()), (count % 8).into(), most);
                    poll(self.readiness());
                }
            }
        }
    }
}

impl Victim for OwnedSemaphore {
    type Held<'a> = Permit<'a>;

    fn size(&self) -> u64 {
        self.permits().into()
    }

    fn call<'a>(&'a self, held: &mut Vec<Permit<'a>>, call: Call) {
        match call {
            Call::Try(_) => held.extend(acquired(self.try_acquire(), 1, u32::MAX)),
            Call::Wait(_, micros) => {
                held.extend(acquired(self.acquire_deadline(deadline(micros)), 1, u32::MAX));
            }
            Call::Give(last, _) => drop(remove(held, last)),
            Call::Clear(how) => {
                if how % 4 == 0 {
                    core::mem::forget(held.pop());
                }
            }
            Call::Look => {
                assert!(self.available() <= self.permits());
                drop(format!("{self:?} {}", self.recovered()));
            }
            Call::Poll(often, _) => {
                if often == 0 {
                    poll(self.readiness());
                    held.extend(acquired(self.try_acquire(), 1, u32::MAX));
                    poll(self.readiness());
                }
            }
        }
    }
}

impl Victim for Token {
    type Held<'a> = ();

    fn call<'a>(&'a self, _held: &mut Vec<()>, call: Call) {
        match call {
            Call::Try(_) => {
                acquired(self.try_acquire(), 1, 1);
            }
            Call::Wait(_, micros) => {
                acquired(self.acquire_deadline(deadline(micros)), 1, 1);
            }
            Call::Give(..) => match self.release() {
                Ok(()) | Err(ReleaseError::TooMany { bound: 1 } | ReleaseError::Corrupt(_)) => {}
                Err(other) => panic!("{other}"),
            },
            Call::Clear(_) => {
                self.hand_over();
            }
            Call::Look => drop(format!("{self:?} {} {}", self.is_held(), self.recovered())),
            Call::Poll(often, _) => {
                if often == 0 {
                    Token::hand_over_all();
                    self.holder_is_me();
                }
            }
        }
    }
}

impl Victim for Event {
    type Held<'a> = ();

    fn call<'a>(&'a self, _held: &mut Vec<()>, call: Call) {
        match call {
            Call::Try(_) => drop(self.wait_deadline(Deadline::NOW)),
            Call::Wait(_, micros) => drop(self.wait_deadline(deadline(micros))),
            Call::Give(..) => self.set(),
            Call::Clear(_) => drop(self.clear()),
            Call::Look => drop(format!("{self:?} {}", self.is_set())),
            Call::Poll(often, _) => {
                if often == 0 {
                    poll(self.readiness());
                    self.is_set();
                    poll(self.readiness());
                }
            }
        }
    }
}

/// A condition with a mutex that is nobody else's.
pub struct Meeting {
    pub condvar: Condvar,
    pub mutex: Mutex<Value>,
}

impl Victim for Meeting {
    type Held<'a> = ();

    fn call<'a>(&'a self, _held: &mut Vec<()>, call: Call) {
        let locked = || self.mutex.lock().expect("nobody else has it");
        match call {
            Call::Try(_) | Call::Look | Call::Poll(..) => {
                let (guard, _) = self.condvar.wait_deadline(locked(), Deadline::NOW).expect("as above");
                drop(guard);
            }
            Call::Wait(_, micros) => {
                let waited = self.condvar.wait_deadline(locked(), deadline(micros));
                drop(waited.expect("as above"));
            }
            Call::Give(true, _) => self.condvar.notify_one(),
            Call::Give(false, _) => self.condvar.notify_all(),
            Call::Clear(micros) => {
                let mut looks = 0;
                let never = |_: &mut Value| {
                    looks += 1;
                    looks < 4
                };
                let waited = self.condvar.wait_while_deadline(locked(), deadline(micros), never);
                drop(waited.expect("as above"));
            }
        }
    }
}

impl Victim for Barrier {
    type Held<'a> = ();

    fn size(&self) -> u64 {
        self.parties().into()
    }

    fn call<'a>(&'a self, _held: &mut Vec<()>, call: Call) {
        let deadline = match call {
            Call::Try(_) => Deadline::NOW,
            Call::Wait(_, micros) => deadline(micros),
            Call::Give(..) => return self.abort(),
            Call::Clear(_) => match self.reset() {
                Ok(()) | Err(BarrierError::Corrupt(_)) => return,
                Err(other) => panic!("{other}"),
            },
            Call::Look | Call::Poll(..) => {
                assert!(self.waiting() <= self.parties());
                return drop(format!("{self:?} {}", self.is_broken()));
            }
        };
        match self.wait_deadline(deadline) {
            Ok(met) => {
                assert!(met.index() < self.parties() as usize && met.is_leader() == (met.index() == 0))
            }
            Err(BarrierError::Broken | BarrierError::Timeout | BarrierError::Corrupt(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}
