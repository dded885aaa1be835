//! The native half of the Python package `ringway`: what must be fast, or must not hold the interpreter's lock.
//!
//! | file | what it holds |
//! |---|---|
//! | `codec` | objects to bytes and back |
//! | `calls` | calls of what may run Python code |
//! | `shortcut` | methods that are called without what PyO3 does before each call |
//! | `waits` | waiting without the interpreter's lock, with its signals |
//! | `errors` | what goes wrong, as Python says it |
//! | `queue`, `ring`, `backlog`, `loan` | `Queue`, its two kinds, what does not fit into it, and memory to write messages in |
//! | `locks`, `shared` | locks and their like, and where small objects lie |
//! | `memory` | bytes for `ctypes` objects |
//! | `connection` | `Pipe`, `Connection` and `SimpleQueue` |
//! | `dict` | `SharedDict` |
//! | `lease` | memory of a received message that Python objects hold on to |
//! | `forks`, `pins` | how many forks there were, and what becomes of that memory at one |

use pyo3::prelude::*;

mod backlog;
mod calls;
mod codec;
mod connection;
mod dict;
mod errors;
mod forks;
mod lease;
mod loan;
mod locks;
mod memory;
mod pins;
mod queue;
mod ring;
mod shared;
mod shortcut;
mod waits;

#[pymodule]
mod _ringway {
    #[pymodule_export]
    use crate::backlog::{drop_all, flush_all};
    #[pymodule_export]
    use crate::codec::{dumps, loads};
    #[pymodule_export]
    use crate::connection::{Connection, SimpleQueue, pipe, take_end};
    #[pymodule_export]
    use crate::dict::Dict;
    #[pymodule_export]
    use crate::lease::Lease;
    #[pymodule_export]
    use crate::loan::Loan;
    #[pymodule_export]
    use crate::locks::{Barrier, Condition, Event, SemLock, hand_over_all};
    #[pymodule_export]
    use crate::memory::Memory;
    #[pymodule_export]
    use crate::queue::Queue;

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // From here on forks are noticed.
        forks::generation();
        locks::install(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
