//! The other end of a pipe: takes an end and follows a script.
//!
//! ```text
//! PLACE   inherit:KEY | first:PATH:CAPACITY | second:PATH:CAPACITY | open:PATH | socket:PATH
//! VERB    send:NUMBER:LEN        sends one parcel; prints "refused WHY" if it cannot
//!         sends:SENDER:COUNT:MAX sends so many parcels, an empty message after every 16th
//!         flood:SENDER:MAX       sends parcels until refused; prints why
//!         stuff:LEN              sends parcels of this length until refused; prints why
//!         recv                   receives one parcel and prints its number and length, or why not
//!         report:MAX             receives until refused, printing each number, and at last why
//!         echo                   sends back what it receives until refused; prints why
//!         fork                   makes a child that holds its copy and does nothing; prints its number
//! ```
//!
//! and those that need no ring, see the program's introduction.

use crate::{Failure, common, say, wait_of};
use process_tests::{fd, parcel};
use ringway::{Connection, End, Pipe, RecvError, SendError};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

pub(crate) fn play(place: &str, wait: &str, script: &[&str]) -> Result<(), Failure> {
    let mut handle = Some(take(place, wait)?);
    for verb in script {
        let verb: Vec<&str> = verb.split(':').collect();
        let Some(pipe) = &handle else {
            common(&verb)?;
            continue;
        };
        match verb[..] {
            ["send", number, len] => {
                if let Err(error) = pipe.send(&parcel::make(number.parse()?, len.parse()?)) {
                    say(format_args!("refused {}", unsent(&error)));
                }
            }
            ["sends", sender, count, max] => {
                let (sender, max) = (sender.parse::<u64>()? << 32, max.parse()?);
                for number in (0..count.parse()?).map(|count: u64| sender | count) {
                    pipe.send(&parcel::make(number, parcel::len_of(number, max)))?;
                    if number % 16 == 15 {
                        pipe.send(b"")?;
                    }
                }
            }
            ["flood", sender, max] => {
                let (mut number, max) = (sender.parse::<u64>()? << 32, max.parse()?);
                let error = loop {
                    match pipe.send(&parcel::make(number, parcel::len_of(number, max))) {
                        Ok(()) => number += 1,
                        Err(error) => break error,
                    }
                };
                say(unsent(&error));
            }
            ["stuff", len] => {
                let parcel = parcel::make(1, len.parse()?);
                say(unsent(&loop {
                    if let Err(error) = pipe.send(&parcel) {
                        break error;
                    }
                }));
            }
            ["recv"] => match pipe.recv() {
                Ok(message) => say(format_args!("{} {}", parcel::check(&message)?, message.len())),
                Err(error) => say(unreceived(&error)),
            },
            ["report", max] => {
                let max = max.parse()?;
                say(unreceived(&loop {
                    match pipe.recv() {
                        Ok(message) if message.is_empty() => say("empty"),
                        Ok(message) => say(parcel::check_len(&message, max)?),
                        Err(error) => break error,
                    }
                }));
            }
            ["echo"] => {
                say(loop {
                    match pipe.recv() {
                        Ok(message) => pipe.send(&message)?,
                        Err(error) => break unreceived(&error),
                    }
                });
            }
            ["fork"] => {
                // SAFETY: this process has one thread; the child does nothing at all.
                match unsafe { libc::fork() } {
                    0 => loop {
                        // SAFETY: no memory is involved.
                        unsafe { libc::pause() };
                    },
                    child => say(child),
                }
            }
            _ => {
                if common(&verb)?.is_none() {
                    handle = None;
                }
            }
        }
    }
    Ok(())
}

fn take(place: &str, wait: &str) -> Result<Connection, Failure> {
    let options = Pipe::options().wait(wait_of(wait));
    let named = |end, capacity: &str| Ok::<_, Failure>(options.clone().end(end).capacity(capacity.parse()?));
    let parts: Vec<&str> = place.split(':').collect();
    Ok(match parts[..] {
        ["inherit", key] => options.inherited(key)?,
        ["first", path, capacity] => named(End::First, capacity)?.open_or_create(path)?,
        ["second", path, capacity] => named(End::Second, capacity)?.open_or_create(path)?,
        ["open", path] => options.end(End::Second).open(path)?,
        ["socket", path] => {
            let socket = UnixStream::connect(path)?;
            let memory = fd::receive(socket.as_fd())?;
            options.from_fds(memory, fd::receive(socket.as_fd())?)?
        }
        _ => return Err(format!("no place: {place}").into()),
    })
}

fn unsent(error: &SendError) -> String {
    match error {
        SendError::Closed => "closed".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn unreceived(error: &RecvError) -> String {
    match error {
        RecvError::Closed => "closed".to_owned(),
        RecvError::Torn { .. } => "torn".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}
