//! The loom models of Ringway, over the very source files that ship.
//!
//! This crate compiles the pure parts of the product (`sync`, `wait`, `lock`, `ring`, `pool`, `map`, `arena/tenure`) with `cfg(loom)`, above a
//! [`sys`] of its own in which the kernel's part of waiting is played by loom. It has no code to run, only
//! tests: `ci/loom.sh`.
//!
//! - `models/` holds the models, one file per subject, 15 to 40 lines each, named by the race.
//! - `models::Model` pairs each model with the mutants it kills: the sites `order!(.., "site")` and
//!   `mutated!("site")` of the sources. A model that kills nothing, a site that nothing kills and a mutant
//!   without a site all fail the tests.

#![allow(dead_code, unused_imports, unused_macros, reason = "half of each product file is not modelled here")]

#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/lock/mod.rs"]
mod lock;
#[path = "../../src/map/mod.rs"]
mod map;
#[path = "../../src/pool/mod.rs"]
mod pool;
#[path = "../../src/ring/mod.rs"]
mod ring;
#[path = "../../src/sync.rs"]
mod sync;
mod sys;
#[path = "../../src/arena/tenure.rs"]
mod tenure;
#[path = "../../src/wait/mod.rs"]
mod wait;

#[cfg(test)]
mod harness;
#[cfg(test)]
mod models;
