//! The system as the models see it: the same functions as the product's `src/sys/`, played by loom.

pub(crate) mod clock;
pub(crate) mod cpus;
pub(crate) mod futex;
pub(crate) mod membarrier;
