//! Several processes that log, one that collects: a single file with everybody's lines, each whole, each process's in
//! its order.
//!
//! The lines go through a [`Queue`] of bytes: any number of processes send, and the collector reads each line where it
//! lies in the shared memory. Each worker's last message is a sentinel, which says how many lines it has sent; the collector
//! ends when it has all sentinels, and looks whether it has all lines.
//!
//! ```text
//! cargo run --release --example log_collector
//! ```

use ringway::Queue;
use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{self, Child, Command, ExitCode};
use std::time::{Duration, Instant};

const WORKERS: usize = 4;
const LINES: u64 = 25_000;
/// How long nothing may happen before something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tells this program, started once more, that it is a worker, and which.
const ROLE: &str = "LOG_COLLECTOR_ROLE";
/// What a sentinel begins with. No line has this byte.
const SENTINEL: u8 = 0;

fn main() -> ExitCode {
    let outcome = match env::var(ROLE) {
        Ok(worker) => work(&worker),
        Err(_) => collect(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("log_collector: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A worker: logs, and says at last how much that was.
fn work(worker: &str) -> Result<(), Box<dyn Error>> {
    let log = Queue::<[u8]>::inherited("log")?;
    for n in 0..LINES {
        log.send_timeout(
            format!("worker {worker} line {n}: {}", "·".repeat(n as usize % 20)).as_bytes(),
            PATIENCE,
        )?;
    }
    let mut sentinel = vec![SENTINEL];
    write!(sentinel, "{worker} {LINES}")?;
    log.send_timeout(&sentinel, PATIENCE)?;
    Ok(())
}

/// The collector: starts the workers and merges their lines into one file.
fn collect() -> Result<(), Box<dyn Error>> {
    // Without a name: the memory vanishes with the last of these processes, whatever happens.
    let log = Queue::<[u8]>::anonymous(1024)?;
    let mut workers = Workers(Vec::new());
    for worker in 0..WORKERS {
        let mut command = Command::new(env::current_exe()?);
        command.env(ROLE, worker.to_string());
        log.inherit(&mut command, "log")?;
        workers.0.push(command.spawn()?);
    }
    let path = env::temp_dir().join(format!("ringway-log-{}.txt", process::id()));
    println!("{WORKERS} workers log {LINES} lines each, merged into {}", path.display());
    let merged = merge(&log, &path).and_then(|said| {
        workers.join()?;
        check(&path, &said)
    });
    let _ = fs::remove_file(&path); // there is none if it could not be made
    merged
}

/// Writes out the lines until each worker has said that it has finished. How many lines each says it has sent.
fn merge(log: &Queue<[u8]>, path: &Path) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut said = vec![None; WORKERS];
    let began = Instant::now();
    let mut bytes = 0;
    while said.contains(&None) {
        let message = log.recv_timeout(PATIENCE)?;
        match message.split_first() {
            Some((&SENTINEL, text)) => {
                let text = str::from_utf8(text)?;
                let (worker, lines) = text.split_once(' ').ok_or("a sentinel that says nothing")?;
                println!("worker {worker} has finished: {lines} lines");
                said[worker.parse::<usize>()?] = Some(lines.parse()?);
            }
            _ => {
                file.write_all(&message)?;
                file.write_all(b"\n")?;
                bytes += message.len() + 1;
            }
        }
    }
    file.flush()?;
    println!("{bytes} bytes in {:.0?}", began.elapsed());
    Ok(said.into_iter().flatten().collect())
}

/// Reads the file: every line of every worker is there, whole, and in its order.
fn check(path: &Path, said: &[u64]) -> Result<(), Box<dyn Error>> {
    let mut next = [0; WORKERS];
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        let words: Vec<&str> = line.split([' ', ':']).collect();
        let ["worker", worker, "line", n, "", dots] = words[..] else {
            return Err(format!("this is no line of a worker: {line:?}").into());
        };
        let (worker, n): (usize, u64) = (worker.parse()?, n.parse()?);
        let expected = next.get_mut(worker).ok_or("a worker nobody knows")?;
        if n != *expected || dots.chars().count() as u64 != n % 20 {
            return Err(format!("line {expected} of worker {worker} was to come, not {line:?}").into());
        }
        *expected += 1;
    }
    println!("read back: {} lines, each worker's complete and in order", next.iter().sum::<u64>());
    match next[..] == *said && said.iter().sum::<u64>() == LINES * WORKERS as u64 {
        true => Ok(()),
        false => Err(format!("the books do not balance: {said:?} lines sent, {next:?} in the file").into()),
    }
}

/// Ended with this program, also if it fails.
struct Workers(Vec<Child>);

impl Workers {
    fn join(&mut self) -> Result<(), Box<dyn Error>> {
        for (number, worker) in self.0.iter_mut().enumerate() {
            let status = worker.wait()?;
            if !status.success() {
                return Err(format!("worker {number} ended with {status}").into());
            }
        }
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            let _ = worker.kill(); // most have ended
            let _ = worker.wait();
        }
    }
}
