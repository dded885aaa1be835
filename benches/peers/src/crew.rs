//! Several users of one thing, each in a process or a thread of its own, and one who tells them what to do.

use std::{os::unix::net::UnixStream, thread};

use crate::{
    sys::{self, Forked},
    transports::{Place, Result},
    worker::{Control, Job, fail},
};

/// Starts a user for each of `cpus`, pinned to it, and has `direct` tell them what to do over a line to each; what that
/// came to. `be` is a user: it is told which one.
///
/// If one of them fails, this process says so and ends: the others may be waiting in memory, where nobody can tell them.
pub(crate) fn gather<R>(
    job: &Job,
    cpus: &[usize],
    be: impl Fn(usize, Control) -> Result<()> + Sync,
    direct: impl FnOnce(&mut [Control]) -> Result<R>,
) -> Result<R> {
    let be = |user: usize, control: Control| -> Result<()> {
        sys::pin_to(cpus[user])?;
        be(user, control)
    };
    let mut lines = Vec::new();
    for _ in cpus {
        let (near, far) = UnixStream::pair()?;
        lines.push((Control(near), Some(Control(far))));
    }
    if job.place == Place::Threads {
        return thread::scope(|scope| {
            let far: Vec<_> = lines.iter_mut().map(|(_, far)| far.take()).collect();
            for (user, control) in far.into_iter().enumerate() {
                let be = &be;
                scope.spawn(move || {
                    control.map_or(Ok(()), |control| be(user, control)).unwrap_or_else(|e| fail(&e))
                });
            }
            let mut near: Vec<_> = lines.drain(..).map(|(near, _)| near).collect();
            Ok(direct(&mut near).unwrap_or_else(|error| fail(&error)))
        });
    }
    sys::end_with_child()?;
    let mut children = Vec::new();
    for user in 0..cpus.len() {
        // SAFETY: this process was started for this job and has not started a thread (see `Peer::run`).
        match unsafe { sys::fork() }? {
            Forked::Child => {
                let control = lines[user].1.take();
                // The other users' lines must not be held open here.
                drop(lines);
                let done = control.map_or(Ok(()), |control| be(user, control));
                done.unwrap_or_else(|error| fail(&error));
                // What the parent shares is a copy here: dropping it could undo what the parent's stands for.
                sys::leave(0)
            }
            Forked::Parent(pid) => {
                drop(lines[user].1.take());
                children.push(pid);
            }
        }
    }
    let mut near: Vec<_> = lines.drain(..).map(|(near, _)| near).collect();
    let outcome = direct(&mut near)?;
    drop(near);
    for pid in children {
        sys::reap(pid)?;
    }
    Ok(outcome)
}
