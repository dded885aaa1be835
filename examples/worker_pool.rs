//! A parent that gives work to processes, one of which is killed in the middle: all the work is done all the same.
//!
//! The tasks go through a [`JoinableQueue`]. Whoever receives one says when it is done; if it dies before, another
//! worker receives the task. So a task may be done twice, never not at all.
//!
//! ```text
//! cargo run --release --example worker_pool
//! ```

use bytemuck::{Pod, Zeroable};
use ringway::{Deadline, JoinableQueue, Queue, RecvError};
use std::env;
use std::error::Error;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::Duration;

/// A task: count the primes from `from` up to `to`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Job {
    from: u64,
    to: u64,
}

/// What a worker reports.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Report {
    /// The number of the task, the same however often it is delivered.
    task: u64,
    /// How often somebody had it before.
    deliveries: u64,
    worker: u64,
    /// [`BEGUN`], or how many primes there are.
    primes: u64,
}

/// Says that work on a task has begun.
const BEGUN: u64 = u64::MAX;
const WORKERS: usize = 4;
const TASKS: u64 = 200;
/// Numbers in a task.
const EACH: u64 = 2_000;
/// Whoever gets this task first never comes to its end.
const TRAP: u64 = 77;
/// How long nothing may happen before something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tells this program, started once more, that it is a worker, and which.
const ROLE: &str = "WORKER_POOL_ROLE";

fn main() -> ExitCode {
    let outcome = match env::var(ROLE) {
        Ok(worker) => work(&worker),
        Err(_) => lead(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker_pool: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A worker: takes tasks until the queue is closed and every task is done, by whomever.
fn work(worker: &str) -> Result<(), Box<dyn Error>> {
    let jobs = JoinableQueue::<Job>::inherited("jobs")?;
    let reports = Queue::<Report>::inherited("reports")?;
    let worker = worker.parse()?;
    loop {
        let task = match jobs.recv_until_finished(Deadline::after(PATIENCE)) {
            Err(RecvError::Closed) => return Ok(()),
            task => task?,
        };
        let report =
            |primes| Report { task: task.id(), deliveries: task.deliveries().into(), worker, primes };
        reports.send(report(BEGUN))?;
        if task.id() == TRAP && task.deliveries() == 0 {
            thread::sleep(PATIENCE); // killed long before
        }
        let primes = (task.from..task.to).filter(|&n| is_prime(n)).count();
        reports.send(report(primes as u64))?;
        task.done()?; // only now is the task gone
    }
}

fn is_prime(n: u64) -> bool {
    n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

/// The parent: starts workers, gives them tasks, kills one, and looks whether the books balance.
fn lead() -> Result<(), Box<dyn Error>> {
    // Without a name: the memory vanishes with the last of these processes, whatever happens.
    let jobs = JoinableQueue::<Job>::anonymous(64)?;
    let reports = Queue::<Report>::anonymous(1024)?;
    let mut workers = Workers(Vec::new());
    for number in 0..WORKERS {
        let mut command = Command::new(env::current_exe()?);
        command.env(ROLE, number.to_string());
        jobs.inherit(&mut command, "jobs")?;
        reports.inherit(&mut command, "reports")?;
        workers.0.push(command.spawn()?);
    }
    println!("{WORKERS} workers, {TASKS} tasks: count the primes below {}", TASKS * EACH);

    let feeder = {
        let jobs = jobs.clone();
        thread::spawn(move || {
            for n in 0..TASKS {
                jobs.send(Job { from: n * EACH, to: (n + 1) * EACH }).map_err(|error| error.to_string())?;
            }
            jobs.close(); // nothing more will come; what is there will still be done
            Ok::<(), String>(())
        })
    };

    let mut books = Books::default();
    let mut killed = None;
    while books.finished() < TASKS {
        let report = reports.recv_timeout(PATIENCE)?;
        books.enter(&report);
        if report.task == TRAP && killed.is_none() {
            let worker = &mut workers.0[report.worker as usize];
            worker.kill()?;
            killed = Some(report.worker);
            println!(
                "worker {}, process {}, is killed (SIGKILL) in the middle of task {}",
                report.worker,
                worker.id(),
                report.task
            );
        }
    }
    jobs.join_timeout(PATIENCE)?;
    feeder.join().map_err(|_| "the feeder panicked")??;

    for (number, worker) in workers.0.iter_mut().enumerate() {
        let status = worker.wait()?;
        let wanted =
            if killed == Some(number as u64) { status.signal() == Some(9) } else { status.success() };
        if !wanted {
            return Err(format!("worker {number} ended with {status}").into());
        }
    }
    while let Ok(report) = reports.try_recv() {
        books.enter(&report);
    }
    books.balance(killed)
}

/// What the parent knows of each task.
struct Books {
    tasks: Vec<Entry>,
}

#[derive(Clone, Default)]
struct Entry {
    primes: Option<u64>,
    done: u64,
    last_delivery: u64,
    last_worker: u64,
}

impl Default for Books {
    fn default() -> Self {
        Books { tasks: vec![Entry::default(); TASKS as usize] }
    }
}

impl Books {
    fn enter(&mut self, report: &Report) {
        let entry = &mut self.tasks[report.task as usize];
        if report.deliveries >= entry.last_delivery {
            (entry.last_delivery, entry.last_worker) = (report.deliveries, report.worker);
        }
        if report.primes != BEGUN {
            entry.primes = Some(report.primes);
            entry.done += 1;
        }
    }

    fn finished(&self) -> u64 {
        self.tasks.iter().filter(|entry| entry.primes.is_some()).count() as u64
    }

    fn balance(&self, killed: Option<u64>) -> Result<(), Box<dyn Error>> {
        let killed = killed.ok_or("nobody was killed")?;
        let again = self.tasks.iter().enumerate().filter(|(_, entry)| entry.last_delivery > 0);
        let mut redelivered = 0;
        for (task, entry) in again {
            let times = if entry.done == 1 { "once" } else { "twice" };
            println!("task {task} was delivered again, to worker {}, and done {times}", entry.last_worker);
            redelivered += 1;
            if entry.last_worker == killed {
                return Err(format!("task {task} went to the dead").into());
            }
        }
        let primes: u64 = self.tasks.iter().filter_map(|entry| entry.primes).sum();
        // Counted by a sieve, which shares nothing with the workers.
        let expected = sieve((TASKS * EACH) as usize);
        let done = self.finished();
        println!(
            "{done} of {TASKS} tasks done, {redelivered} delivered twice: {primes} primes, {expected} expected"
        );
        match (done, redelivered, primes) == (TASKS, 1, expected) {
            true => Ok(()),
            false => Err("the books do not balance".into()),
        }
    }
}

/// How many primes there are below `end`.
fn sieve(end: usize) -> u64 {
    let mut composite = vec![false; end];
    let mut primes = 0;
    for n in 2..end {
        if !composite[n] {
            primes += 1;
            (n * n..end).step_by(n).for_each(|multiple| composite[multiple] = true);
        }
    }
    primes
}

/// Ended with this program, also if it fails.
struct Workers(Vec<Child>);

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            let _ = worker.kill(); // most have ended
            let _ = worker.wait();
        }
    }
}
