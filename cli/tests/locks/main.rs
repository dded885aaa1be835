//! `ringway lock`, `sem` and `event` as a shell runs them: real processes, some of which are killed.

mod deaths;
mod events;
mod holders;
mod looks;
mod permits;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, os::unix::process::ExitStatusExt, path::PathBuf};

use serde_json::Value;
use support::{Ended, Place, Running, wait_for};

fn lock(place: &Place, arguments: &[&str]) -> Running {
    place.start(&[&["lock"], arguments].concat())
}

/// A hidden file beside the objects.
fn scratch(place: &Place, name: &str) -> PathBuf {
    place.0.join(name)
}

fn code(ended: &Ended) -> (Option<i32>, String) {
    (ended.status.code(), ended.stderr())
}

/// Waits until `running` has the lock `name`, and returns what `stat` says of it then.
fn await_holder(place: &Place, name: &str, running: &Running) -> Value {
    let is_its = |seen: &Value| seen["holder"]["pid"] == running.child.id() && !seen["command"].is_null();
    place.await_stat(name, is_its);
    place.stat(name).unwrap()
}

/// Waits until `running` has the lock `name`, whether it has said so or not.
fn await_holder_only(place: &Place, name: &str, running: &Running) {
    place.await_stat(name, |seen| seen["holder"]["pid"] == running.child.id());
}

/// Waits until so many processes are attached to `name`.
fn await_attached(place: &Place, name: &str, count: usize) {
    let alive = |seen: &Value| {
        let processes = seen["participants"].as_array().unwrap();
        processes.iter().filter(|process| process["alive"] == true).count()
    };
    place.await_stat(name, |seen| alive(seen) == count);
}

fn kill(running: Running) {
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().status.signal(), Some(libc::SIGKILL));
}

/// Waits until process `pid`, no child of ours, is gone, or dead and not yet reaped by whoever adopted it.
fn await_end(pid: u32) {
    wait_for("the end of a process", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        matches!(state, None | Some('Z' | 'X')).then_some(())
    });
}

/// The number that a command has put into a file.
fn await_number(path: &PathBuf) -> u32 {
    wait_for("a number in a file", || {
        let text = fs::read_to_string(path).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    })
}

/// Kills a process that is no child of ours.
fn kill_stranger(pid: u32) {
    // SAFETY: the call touches no memory. It fails if the process is gone, and it alone has that number until then.
    assert_eq!(unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) }, 0, "it was there all the time");
    await_end(pid);
}
