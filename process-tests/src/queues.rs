//! `peer queue PLACE WAIT VERB...`: attaches to a queue of `Message` and follows a script.
//!
//! ```text
//! VERB    put:SENDER:COUNT     sends numbered messages; prints "sent" behind the last
//!         stream:SENDER        sends numbered messages until refused; prints each number once it was sent
//!         get:COUNT            receives so many messages and prints them
//!         drain                receives and prints until the queue is closed and empty, then prints "closed"
//!         fork:SENDER:COUNT    forks; parent and child send with the handle they share; prints "sent"
//!         close                closes it
//! ```

use crate::{Failure, common, say, wait_of};
use process_tests::books::Message;
use ringway::{Queue, RecvError};

pub(super) fn play(place: &str, wait: &str, script: &[&str]) -> Result<(), Failure> {
    let options = Queue::<Message>::options().wait(wait_of(wait));
    let parts: Vec<&str> = place.split(':').collect();
    let queue = match parts[..] {
        ["create", path, capacity] => options.capacity(capacity.parse()?).create(path)?,
        ["open", path] => options.open(path)?,
        ["inherit", key] => options.inherited(key)?,
        _ => return Err(format!("no place: {place}").into()),
    };
    for verb in script {
        let verb: Vec<&str> = verb.split(':').collect();
        match verb[..] {
            ["put", sender, count] => {
                put(&queue, sender.parse()?, count.parse()?)?;
                say("sent");
            }
            ["stream", sender] => {
                let sender = sender.parse()?;
                let mut number = 0;
                while queue.send(Message::new(sender, number)).is_ok() {
                    say(number);
                    number += 1;
                }
                say("refused");
            }
            ["get", count] => {
                for _ in 0..count.parse()? {
                    let (sender, number) = queue.recv()?.check();
                    say(format_args!("{sender} {number}"));
                }
            }
            ["drain"] => loop {
                match queue.recv() {
                    Ok(message) => {
                        let (sender, number) = message.check();
                        say(format_args!("{sender} {number}"));
                    }
                    Err(RecvError::Closed) => break say("closed"),
                    Err(other) => return Err(other.into()),
                }
            },
            ["fork", sender, count] => {
                let (sender, count) = (sender.parse::<u64>()?, count.parse()?);
                // SAFETY: this process has one thread.
                let child = unsafe { libc::fork() };
                put(&queue, sender + u64::from(child == 0), count)?;
                if child == 0 {
                    std::process::exit(0);
                }
                let mut status = 0;
                // SAFETY: a valid place for the status of our child.
                unsafe { libc::waitpid(child, &mut status, 0) };
                assert_eq!(status, 0, "the child");
                say("sent");
            }
            ["close"] => drop(queue.close()),
            _ => drop(common(&verb)?),
        }
    }
    Ok(())
}

fn put(queue: &Queue<Message>, sender: u64, count: u64) -> Result<(), Failure> {
    (0..count).try_for_each(|number| queue.send(Message::new(sender, number))).map_err(Failure::from)
}
