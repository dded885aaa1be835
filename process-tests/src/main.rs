//! The other process of the tests in `tests/`.
//!
//! ```text
//! peer tx|rx RING PLACE WAIT VERB...     takes a role and follows a script
//! peer fork RING PATH                    plays the fork scenarios, see `forks`
//! peer pipe PLACE WAIT VERB...           takes an end of a pipe and follows a script, see `pipes`
//! peer pipefork PATH                     plays the fork scenarios of pipes, see `pipe_forks`
//! peer queue PLACE WAIT VERB...          attaches to a queue and follows a script, see `queues`
//! peer bytes|jobs PLACE WAIT VERB...     the same with bytes, or tasks of bytes, see `byte_queues`
//! peer tally PATH VERB...               the same with one that counts what is done, see `tallies`
//! peer queuefork|queuefull PATH          plays scenes with queues, see `queue_scenes`
//! peer mutex|owned|semaphore|event|barrier|condvar PATH VERB...   plays with a lock, see `locks`
//! peer mutexfork|lockfork|watchfork|lockfull                      plays scenes with locks, see `lock_scenes`
//! peer value|array|number|float PATH VERB...   changes a cell, see `cells`
//! peer token PATH VERB...                plays with a token, see `tokens`
//! peer tokenfork|tokenarena|tokenthreads plays scenes with tokens, see `tokens`
//! peer map PATH VERB...                  changes a map, see `maps`
//! peer scribble PATH FROM LEN SEED [PAUSE]   writes nonsense into a file through a mapping, until killed, with pauses of
//!                                        up to so many turns of a spin between the words
//! peer idle                              says so, and waits for the end of its input
//!
//! RING    typed | any | numbered         see `ends::Ring`
//! PLACE   create:PATH:CAPACITY | open:PATH | inherit:KEY | socket:PATH
//! WAIT    spin | adaptive | park
//! VERB    ready                          prints "ready"
//!         wait                           waits for a line of input
//!         send:FROM:COUNT                sends messages with these numbers
//!         stream:EPOCH                   sends the messages of an epoch until refused; prints why
//!         recv:FROM:COUNT                receives messages with these numbers
//!         drain                          receives until refused; prints the last number and why
//!         report:STEP                    the same, printing every STEPth number on the way
//!         look                           prints the next number without taking it
//!         drop | exit | exec | hang      gives the role up | ends without | becomes `peer idle` | does nothing
//! ```

mod byte_queues;
mod cells;
mod forks;
mod lock_scenes;
mod locks;
mod maps;
mod pipe_forks;
mod pipes;
mod queue_scenes;
mod queues;
mod tallies;
mod tokens;

use process_tests::ends::{How, Refusal, Ring, Rx, Tx};
use process_tests::{fd, message};
use ringway::{Deadline, Wait};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match &words[..] {
        ["tx", ring, place, wait, script @ ..] => {
            produce(attach(place, |how| Tx::attach(ring_of(ring), how, wait_of(wait), None))?, script)
        }
        ["rx", ring, place, wait, script @ ..] => {
            consume(attach(place, |how| Rx::attach(ring_of(ring), how, wait_of(wait), None))?, script)
        }
        ["fork", ring, path] => forks::play(ring_of(ring), path),
        ["pipe", place, wait, script @ ..] => pipes::play(place, wait, script),
        ["pipefork", path] => pipe_forks::play(path),
        ["queue", place, wait, script @ ..] => queues::play(place, wait, script),
        [kind @ ("bytes" | "jobs"), place, wait, script @ ..] => byte_queues::play(kind, place, wait, script),
        ["tally", path, script @ ..] => tallies::play(path, script),
        ["queuefork", path] => queue_scenes::forks(path),
        ["queuefull", directory] => queue_scenes::full(directory),
        [kind @ ("mutex" | "owned" | "semaphore" | "event" | "barrier" | "condvar"), path, script @ ..] => {
            locks::play(kind, path, script)
        }
        ["mutexfork"] => lock_scenes::with_guards().and_then(|()| lock_scenes::with_the_end_of_a_handle()),
        ["lockfork"] => lock_scenes::among_threads(),
        ["watchfork"] => lock_scenes::with_watches(),
        ["lockfull"] => lock_scenes::full(),
        ["scribble", path, from, len, seed] => scribble(path, from.parse()?, len.parse()?, seed.parse()?, 0),
        ["scribble", path, from, len, seed, pause] => {
            scribble(path, from.parse()?, len.parse()?, seed.parse()?, pause.parse()?)
        }
        [kind @ ("value" | "array" | "number" | "float"), path, script @ ..] => {
            cells::play(kind, path, script)
        }
        ["token", path, script @ ..] => tokens::play(path, script),
        ["tokenfork"] => tokens::forks(),
        ["tokenarena"] => tokens::arena(),
        ["tokenthreads"] => tokens::threads(),
        ["cellfork"] => cells::fork_with_guard(),
        ["map", path, script @ ..] => maps::play(path, script),
        ["mapfork"] => maps::fork_with_guard(),
        ["idle"] => {
            say("idle");
            std::io::stdin().read_line(&mut String::new())?;
            Ok(())
        }
        other => Err(format!("unknown command: {other:?}").into()),
    }
}

fn ring_of(word: &str) -> Ring {
    match word {
        "typed" => Ring::Typed,
        "any" => Ring::Bytes(message::Sizes::Any),
        "numbered" => Ring::Bytes(message::Sizes::Numbered),
        other => panic!("no ring: {other}"),
    }
}

fn wait_of(word: &str) -> Wait {
    match word {
        "spin" => Wait::Spin,
        "adaptive" => Wait::Adaptive,
        "park" => Wait::Park,
        other => panic!("no way to wait: {other}"),
    }
}

fn attach<E>(place: &str, attach: impl FnOnce(How<'_>) -> Result<E, ringway::Error>) -> Result<E, Failure> {
    let parts: Vec<&str> = place.split(':').collect();
    Ok(match parts[..] {
        ["create", path, capacity] => attach(How::Create(path, capacity.parse()?))?,
        ["open", path] => attach(How::Open(path))?,
        ["inherit", key] => attach(How::Inherited(key))?,
        ["socket", path] => attach(How::Fd(fd::receive(UnixStream::connect(path)?.as_fd())?))?,
        _ => return Err(format!("no place: {place}").into()),
    })
}

/// Prints a line at once.
fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").expect("the test is gone");
    out.flush().expect("the test is gone");
}

/// The verbs that need no ring. `None`: the handle is to be dropped.
fn common(verb: &[&str]) -> Result<Option<()>, Failure> {
    match *verb {
        ["ready"] => say("ready"),
        ["wait"] => {
            if std::io::stdin().read_line(&mut String::new())? == 0 {
                return Err("the test is gone".into());
            }
        }
        ["drop"] => return Ok(None),
        ["exit"] => std::process::exit(0),
        ["exec"] => {
            return Err(std::process::Command::new(std::env::current_exe()?).arg("idle").exec().into());
        }
        ["hang"] => loop {
            // SAFETY: no memory is involved.
            unsafe { libc::pause() };
        },
        _ => return Err(format!("no verb: {verb:?}").into()),
    }
    Ok(Some(()))
}

fn produce(tx: Tx, script: &[&str]) -> Result<(), Failure> {
    let mut handle = Some(tx);
    for verb in script {
        let verb: Vec<&str> = verb.split(':').collect();
        match (&mut handle, &verb[..]) {
            (Some(tx), ["send", from, count]) => {
                let from: u64 = from.parse()?;
                for number in from..from + count.parse::<u64>()? {
                    tx.send(number, Deadline::NEVER).map_err(|refusal| format!("{number}: {refusal:?}"))?;
                }
            }
            (Some(tx), ["stream", epoch]) => {
                let mut number = epoch.parse::<u64>()? << 32;
                let refusal = loop {
                    match tx.send(number, Deadline::NEVER) {
                        Ok(()) => number += 1,
                        Err(refusal) => break refusal,
                    }
                };
                say(word(&refusal));
            }
            (_, verb) => {
                if common(verb)?.is_none() {
                    handle = None;
                }
            }
        }
    }
    Ok(())
}

fn consume(rx: Rx, script: &[&str]) -> Result<(), Failure> {
    let mut handle = Some(rx);
    for verb in script {
        let verb: Vec<&str> = verb.split(':').collect();
        match (&mut handle, &verb[..]) {
            (Some(rx), ["recv", from, count]) => {
                let from: u64 = from.parse()?;
                for number in from..from + count.parse::<u64>()? {
                    rx.recv(Some(number), Deadline::NEVER)
                        .map_err(|refusal| format!("{number}: {refusal:?}"))?;
                }
            }
            (Some(rx), ["drain"]) => {
                let (last, refusal) = rx.drain(None, Deadline::NEVER);
                say(format_args!("{} {}", last.map_or(-1, |last| last as i64), word(&refusal)));
            }
            (Some(rx), ["report", step]) => {
                let step: u64 = step.parse()?;
                let mut last = None;
                let refusal = loop {
                    match rx.recv(None, Deadline::NEVER) {
                        Ok(number) if message::follows(last, number) => {
                            last = Some(number);
                            if number.is_multiple_of(step) {
                                say(number);
                            }
                        }
                        Ok(number) => return Err(format!("{number:#x} after {last:#x?}").into()),
                        Err(refusal) => break refusal,
                    }
                };
                say(word(&refusal));
            }
            (Some(rx), ["look"]) => say(rx.look().map_err(|refusal| format!("{refusal:?}"))?),
            (_, verb) => {
                if common(verb)?.is_none() {
                    handle = None;
                }
            }
        }
    }
    Ok(())
}

fn word(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Wrong(why) => why.clone(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Writes words that look almost right, and words that do not, over a stretch of a file.
fn scribble(path: &str, from: u64, len: u64, seed: u64, pause: u64) -> Result<(), Failure> {
    let file = std::fs::File::options().read(true).write(true).open(path)?;
    let all = usize::try_from(file.metadata()?.len())?;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let map = unsafe {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        libc::mmap(std::ptr::null_mut(), all, rights, libc::MAP_SHARED, fd, 0)
    };
    assert!(map != libc::MAP_FAILED && from + len <= all as u64 && from.is_multiple_of(8));
    let mut state = seed;
    say("scribbling");
    loop {
        let draw = message::scramble(&mut state);
        let at = (from + draw % len) as usize & !7;
        // SAFETY: inside the mapping, which has `all` bytes.
        let word = unsafe { map.cast::<u8>().add(at) }.cast::<u64>();
        // SAFETY: mapped and aligned; whoever else uses it is another process.
        let old = unsafe { word.read_volatile() };
        let random = message::scramble(&mut state);
        let new = match draw >> 32 & 7 {
            0 => random,
            1 => old.wrapping_add(random % 64 * 8),
            2 => old.wrapping_sub(random % 64 * 8),
            3 => old ^ 1 << (random % 64),
            4 => (random % 4) << 16 | random >> 8 & 7, // a role
            5 => 0,
            6 => random as u32 as u64, // a length
            _ => old.wrapping_add(random % 3),
        };
        // SAFETY: as above.
        unsafe { word.write_volatile(new) };
        if pause > 0 {
            (0..message::scramble(&mut state) % pause).for_each(|_| std::hint::spin_loop());
        }
    }
}
