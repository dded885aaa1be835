//! Kills a process after each instruction of an operation, and sees what its peers are left with.
//!
//! A [`Scenario`] is four small functions: `setup` makes fresh objects, `victim` gets ready in a child process and
//! then runs one [`operation`], `partner` (if the operation sleeps) does the other side of it, and `survivor` says
//! what must hold once the victim is dead. The harness runs the operation once, instruction by instruction, and
//! writes its addresses down; then, for each instruction, it begins anew, kills the victim just before that
//! instruction, and asks the survivor. See [`scenarios`] for examples.
//!
//! # Who is who
//!
//! ```text
//! crash ──fork──> worker        one for each scenario, as many at a time as there are processors, on one each
//!                   └──fork──> stage        one for each kill: setup, traces the victim, then is the survivor
//!                                ├──fork──> victim      stopped at each instruction, then killed
//!                                └──fork──> others      who wait beside it, or take its place
//! ```
//!
//! Nobody calls `exec`, so all of them see the code at the same addresses. A stage that hangs is ended by its
//! alarm, and takes its children along.
//!
//! In an operation of more than a thousand instructions (those that make, open and remove objects, mostly in private
//! memory and the kernel), it kills at each instruction behind which others see something else than before it, because
//! the kernel was called or shared memory changed, and at one in sixteen of the rest. `--every` kills at all of them.
//!
//! # What it costs
//! The victim is not stepped to the instruction from the beginning. The trace tells an earlier one that was met only
//! a few times until then: a breakpoint there, and a few steps from it on. So a kill costs about as much as the
//! processes that play in it.
//!
//! Runs differ a little: the clock has moved, a lock's address hashes otherwise. A kill at another address than the
//! trace says is tried again, then counted as it is; and every address of the trace must have been killed at.
//!
//! | module | what it holds |
//! |---|---|
//! | [`scenario`] | what a scenario is |
//! | [`scenarios`] | all of them, by subject |
//! | [`planted`] | bugs that must be found |
//! | [`process`] | the other processes of a scenario, and how long to wait for something |
//! | `stepper` | one traced process |
//! | `shared` | what others can see of it |
//! | `trace` | what was recorded, and the shortest way to each instruction |
//! | `stage` | one kill |
//! | [`worker`] | all kills of a scenario |
//! | [`crew`] | the workers of many scenarios, side by side |
//! | `arena` | memory that is the same in every run |
//! | `log` | how the processes of a stage tell what happened |
//! | `symbols` | what an address means, to people |

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod arena;
pub mod crew;
mod log;
pub mod planted;
pub mod process;
pub mod scenario;
pub mod scenarios;
mod shared;
mod stage;
mod stepper;
mod symbols;
mod trace;
pub mod worker;

pub use scenario::{Death, Scenario, operation};
