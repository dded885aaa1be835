//! Threads that stay, so that an input that needs some costs no starting of threads.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that does one thing after the other.
pub struct Mate {
    jobs: SyncSender<Job>,
    done: Receiver<()>,
}

impl Mate {
    pub fn new() -> Self {
        let (jobs, work) = sync_channel::<Job>(1);
        let (said, done) = sync_channel(1);
        thread::spawn(move || {
            wake_in_time();
            for job in work {
                job();
                if said.send(()).is_err() {
                    return;
                }
            }
        });
        Mate { jobs, done }
    }

    /// Does `its` in the thread while the caller does `ours`, and waits for it.
    pub fn while_doing<'a>(&self, its: impl FnOnce() + Send + 'a, ours: impl FnOnce()) {
        let its: Box<dyn FnOnce() + Send + 'a> = Box::new(its);
        // SAFETY: only the lifetime changes, and `Wait` below waits for the end of the job, whatever `ours` does.
        let its: Job = unsafe { std::mem::transmute(its) };
        self.jobs.send(its).expect("the thread has ended");
        let wait = Wait(&self.done);
        ours();
        drop(wait);
    }
}

/// Makes the calling thread's sleeps end when they should rather than some 50 µs later: an input has many short ones.
pub fn wake_in_time() {
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

impl Default for Mate {
    fn default() -> Self {
        Mate::new()
    }
}

struct Wait<'a>(&'a Receiver<()>);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        // An end without a word is a panic, which ends the process by libFuzzer's hook.
        let _ = self.0.recv();
    }
}
