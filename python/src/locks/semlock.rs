//! `Lock`, `RLock` and the semaphores.

use super::{fill, not_acquired, not_released, opened};
use crate::errors::{self, Imported};
use crate::shared::made_and_opened;
use crate::shortcut::{Answer, shortcuts};
use crate::waits::{deadline, is_true, waiting};
use pyo3::exceptions::{PyAssertionError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use ringway::{AcquireError, Deadline, Semaphore, Taken, Token};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static OWNER_DIED: Imported = Imported::new("ringway.synchronize", "OwnerDied");

/// What `multiprocessing` calls a `SemLock`: one that anybody may release.
#[pyclass(subclass, frozen, weakref, module = "ringway._ringway")]
pub(crate) struct SemLock {
    inner: OnceLock<Inner>,
    /// The thread that acquired it last through this handle: `identity()`.
    last: AtomicU64,
    /// How often it is held through this handle, by that count. Written by whoever has it, and holds the interpreter's lock.
    count: AtomicU64,
    /// Whether it came from one who had died with it.
    is_recovered: AtomicBool,
    /// Whether `acquire` says so by raising.
    raises: AtomicBool,
}

enum Inner {
    Lock(Token),
    Recursive(Token),
    Semaphore { semaphore: Semaphore, most: u32 },
}

/// As the standard library numbers them.
const RECURSIVE: u32 = 0;

struct Tokens;
struct Semaphores;
made_and_opened!(Tokens, Token);
made_and_opened!(Semaphores, Semaphore);

/// This thread, of this process, of all that ever were on this machine.
fn identity() -> u64 {
    std::thread_local! {
        static MINE: core::cell::Cell<(u64, u64)> = const { core::cell::Cell::new((u64::MAX, 0)) };
    }
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let generation = crate::forks::generation();
    let (known, mine) = MINE.get();
    if known == generation {
        return mine;
    }
    let mine = generation << 40 | NEXT.fetch_add(1, Ordering::Relaxed);
    MINE.set((generation, mine));
    mine
}

impl SemLock {
    #[inline]
    fn has_this_thread(&self) -> bool {
        self.is_held_by(identity())
    }

    #[inline]
    fn is_held_by(&self, thread: u64) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && self.last.load(Ordering::Relaxed) == thread
    }

    /// How often it is held through this handle, by this process: what a parent held at a fork does not count.
    #[inline]
    fn held(&self) -> u64 {
        self.held_in(crate::forks::generation())
    }

    #[inline]
    fn held_in(&self, generation: u64) -> u64 {
        let is_of_this_process = self.last.load(Ordering::Relaxed) >> 40 == generation;
        if is_of_this_process { self.count.load(Ordering::Relaxed) } else { 0 }
    }

    /// It was acquired by this thread.
    fn note(&self, taken: Option<Taken>) {
        self.note_of(identity(), taken);
    }

    #[inline]
    fn note_of(&self, thread: u64, taken: Option<Taken>) {
        self.count.store(self.held_in(thread >> 40) + 1, Ordering::Relaxed);
        self.last.store(thread, Ordering::Relaxed);
        if let Some(taken) = taken {
            self.is_recovered.store(taken.was_recovered(), Ordering::Relaxed);
        }
    }

    /// Releases it once, whoever has it.
    pub(super) fn give_back(&self) -> PyResult<()> {
        match opened(&self.inner)? {
            Inner::Recursive(token) => {
                if !self.has_this_thread() {
                    return Err(PyAssertionError::new_err(
                        "attempt to release recursive lock not owned by thread",
                    ));
                }
                if self.count.load(Ordering::Relaxed) > 1 {
                    self.count.fetch_sub(1, Ordering::Relaxed);
                    return Ok(());
                }
                self.count.store(0, Ordering::Relaxed);
                token.release().map_err(not_released)
            }
            Inner::Lock(token) => {
                // First: afterwards another thread may have it.
                self.less();
                token.release().map_err(not_released)
            }
            Inner::Semaphore { semaphore, .. } => {
                self.less();
                semaphore.release().map_err(not_released)
            }
        }
    }

    /// Releases the whole of it, for a wait.
    pub(super) fn let_go(&self) {
        if let Ok(Inner::Recursive(_)) = opened(&self.inner) {
            self.count.store(1, Ordering::Relaxed);
        }
        // What is held can be given back.
        let _ = self.give_back();
    }

    /// As the standard library counts: down, also below what was acquired here, but not below nothing.
    fn less(&self) {
        self.count.store(self.held().saturating_sub(1), Ordering::Relaxed);
    }

    /// Takes it, if it is to be had at once and there is nothing to be said about it. `None`: nothing was done.
    #[inline]
    fn take_at_once(&self) -> Option<Answer> {
        if self.raises.load(Ordering::Relaxed) {
            return None;
        }
        let me = identity();
        let taken = match self.inner.get()? {
            Inner::Recursive(_) if self.is_held_by(me) => {
                self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                return Some(Answer::True);
            }
            Inner::Lock(token) | Inner::Recursive(token) => Some(token.try_acquire().ok()?),
            Inner::Semaphore { semaphore, .. } => semaphore.try_acquire().map(|()| None).ok()?,
        };
        self.note_of(me, taken);
        Some(Answer::True)
    }

    /// Gives it back, if there is nothing wrong with that. `None`: nothing was done.
    #[inline]
    fn give_back_at_once(&self) -> Option<Answer> {
        let before = self.count.load(Ordering::Relaxed);
        let released = match self.inner.get()? {
            Inner::Recursive(token) => {
                if !self.has_this_thread() {
                    return None;
                }
                // First: afterwards another thread may have it.
                self.count.store(before - 1, Ordering::Relaxed);
                if before == 1 { token.release() } else { Ok(()) }
            }
            Inner::Lock(token) => {
                self.less();
                token.release()
            }
            Inner::Semaphore { semaphore, .. } => {
                self.less();
                semaphore.release()
            }
        };
        if released.is_err() {
            self.count.store(before, Ordering::Relaxed);
            return None;
        }
        Some(Answer::None)
    }

    fn take(&self, py: Python<'_>, until: Deadline) -> PyResult<bool> {
        let inner = opened(&self.inner)?;
        let taken = match inner {
            Inner::Recursive(_) if self.has_this_thread() => {
                self.count.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
            Inner::Lock(token) | Inner::Recursive(token) => match token.try_acquire() {
                Err(AcquireError::WouldBlock) if until != Deadline::NOW => {
                    waiting(py, || token.acquire_deadline(until))?.map(Some)
                }
                taken => taken.map(Some),
            },
            Inner::Semaphore { semaphore, .. } => match semaphore.try_acquire() {
                Err(AcquireError::WouldBlock) if until != Deadline::NOW => {
                    waiting(py, || semaphore.acquire_deadline(until))?.map(|()| None)
                }
                taken => taken.map(|()| None),
            },
        };
        match taken {
            Ok(taken) => {
                self.note(taken);
                if self.raises.load(Ordering::Relaxed) && self.is_recovered.load(Ordering::Relaxed) {
                    self.give_back()?;
                    return Err(OWNER_DIED.raise(py));
                }
                Ok(true)
            }
            Err(AcquireError::WouldBlock | AcquireError::Timeout) => Ok(false),
            Err(error) => Err(not_acquired(error)),
        }
    }
}

#[pymethods]
impl SemLock {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> SemLock {
        SemLock {
            inner: OnceLock::new(),
            last: AtomicU64::new(0),
            count: AtomicU64::new(0),
            is_recovered: AtomicBool::new(false),
            raises: AtomicBool::new(false),
        }
    }

    /// A new one: kind 0 is a recursive lock, 1 with a maximum of 1 a lock, else a semaphore.
    #[pyo3(signature = (kind, value, maxvalue, name=None, raises=false))]
    fn _make(&self, kind: u32, value: i64, maxvalue: i64, name: Option<&str>, raises: bool) -> PyResult<()> {
        self.raises.store(raises, Ordering::Relaxed);
        let invalid = || errors::os_error(libc::EINVAL, "Invalid argument");
        let is_no_int = |number| i32::try_from(number).is_err();
        if is_no_int(value) || is_no_int(maxvalue) {
            return Err(PyOverflowError::new_err("Python int too large to convert to C int"));
        }
        let value = u32::try_from(value).map_err(|_| invalid())?;
        let maxvalue = u32::try_from(maxvalue).map_err(|_| invalid())?;
        if value > maxvalue {
            return Err(invalid());
        }
        fill(
            &self.inner,
            match (kind, maxvalue) {
                (RECURSIVE, _) => Inner::Recursive(Tokens::made(Token::options(), name)?),
                _ if maxvalue == 1 && value == 1 => Inner::Lock(Tokens::made(Token::options(), name)?),
                _ => {
                    let options = Semaphore::options().bound(maxvalue.max(1)).permits(value);
                    Inner::Semaphore { semaphore: Semaphores::made(options, name)?, most: maxvalue }
                }
            },
        )
    }

    /// Opens the one that another process told of.
    #[pyo3(signature = (kind, maxvalue, fd, place, raises=false))]
    fn _adopt(&self, kind: &str, maxvalue: u32, fd: i32, place: Option<&str>, raises: bool) -> PyResult<()> {
        self.raises.store(raises, Ordering::Relaxed);
        fill(
            &self.inner,
            match kind {
                "recursive" => Inner::Recursive(Tokens::opened(fd, place)?),
                "lock" => Inner::Lock(Tokens::opened(fd, place)?),
                _ => Inner::Semaphore { semaphore: Semaphores::opened(fd, place)?, most: maxvalue },
            },
        )
    }

    /// What another process needs to know: the kind, the maximum, a descriptor, and a place behind it.
    fn _tell(&self) -> PyResult<(&'static str, u32, i32, Option<String>)> {
        let (kind, most, (fd, place)) = match opened(&self.inner)? {
            Inner::Recursive(token) => ("recursive", 1, Tokens::whereabouts(token)),
            Inner::Lock(token) => ("lock", 1, Tokens::whereabouts(token)),
            Inner::Semaphore { semaphore, most } => ("semaphore", *most, Semaphores::whereabouts(semaphore)),
        };
        Ok((kind, most, fd, place))
    }

    /// Takes it. If others have it, waits, at most `timeout` seconds; or not at all, if `block` is false. Returns whether it was
    /// taken.
    #[pyo3(signature = (block=true, timeout=None))]
    fn acquire(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = is_true)] block: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        self.take(py, deadline(block, timeout)?)
    }

    /// Gives it back.
    fn release(&self) -> PyResult<()> {
        self.give_back()
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.take(py, Deadline::NEVER)
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, _error: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.give_back()
    }

    /// Whether the last `acquire` through this handle got it from a process that died with it.
    #[getter]
    fn recovered(&self) -> bool {
        self.is_recovered.load(Ordering::Relaxed)
    }

    /// Whether this thread has it.
    fn _is_mine(&self) -> bool {
        self.has_this_thread()
    }

    /// How often it is held through this handle.
    fn _count(&self) -> u64 {
        self.held()
    }

    /// How often it can be acquired now.
    fn _get_value(&self) -> PyResult<u32> {
        Ok(match opened(&self.inner)? {
            Inner::Lock(token) | Inner::Recursive(token) => u32::from(!token.is_held()),
            Inner::Semaphore { semaphore, .. } => semaphore.available(),
        })
    }

    fn _is_zero(&self) -> PyResult<bool> {
        Ok(self._get_value()? == 0)
    }

    /// How often it can be held at once.
    #[getter]
    fn maxvalue(&self) -> PyResult<u32> {
        Ok(match opened(&self.inner)? {
            Inner::Semaphore { most, .. } => *most,
            _ => 1,
        })
    }

    /// 0 for a recursive lock, 1 for others.
    #[getter]
    fn kind(&self) -> PyResult<u32> {
        Ok(u32::from(!matches!(opened(&self.inner)?, Inner::Recursive(_))))
    }

    /// The descriptor of its memory.
    #[getter]
    fn handle(&self) -> PyResult<i32> {
        Ok(self._tell()?.2)
    }

    /// Removes its name.
    fn unlink(&self) -> PyResult<()> {
        match opened(&self.inner)? {
            Inner::Lock(token) | Inner::Recursive(token) => token.unlink(),
            Inner::Semaphore { semaphore, .. } => semaphore.unlink(),
        }
        .map_err(errors::opening)
    }
}

shortcuts!(SemLock {
    acquire as c"acquire" (this) => this.take_at_once(),
    release as c"release" (this) => this.give_back_at_once(),
    enter as c"__enter__" (this) => this.take_at_once(),
    #[ignores]
    exit as c"__exit__" (this) => this.give_back_at_once(),
});

/// Leaves the locks that this process has held, by nobody in particular: for its end in good order.
#[pyfunction]
pub(crate) fn hand_over_all() -> usize {
    Token::hand_over_all()
}
