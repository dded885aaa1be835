//! `peer bytes|jobs PLACE WAIT VERB...`: attaches to a queue of bytes, or of tasks of bytes, and follows a script.
//!
//! ```text
//! VERB    put:SENDER:COUNT:MAX sends numbered parcels of up to MAX bytes, copied and in place; prints "sent"
//!         stream:SENDER        sends numbered parcels until refused; prints each number once it was sent
//!         drain                receives and prints until the queue is closed, holding on to the last few; then "closed"
//!         work                 the same until all tasks are done, giving every seventh back once
//!         hold:COUNT           receives so many, prints and keeps them
//!         loan:LEN             reserves so much and keeps it; prints "loaned" or why not
//!         commit               sends what is reserved, as parcels of no sender; prints "sent"
//!         finish | drop        is done with what it keeps | drops it; prints "finished" or "dropped"
//!         forget               forgets all that it keeps
//!         fsize:LEN            may make no file longer than that from now on
//!         close                closes it
//! ```

use crate::{Failure, common, say, wait_of};
use process_tests::parcel;
use ringway::queue::{Loan, Message, Task};
use ringway::{Deadline, JoinableQueue, Queue, RecvError, SendError, Wait};
use std::collections::VecDeque;
use std::ops::Deref;

/// What is alike in both kinds.
trait Bytes: Sized {
    type Held<'q>: Deref<Target = [u8]>
    where
        Self: 'q;

    fn attach(place: &[&str], wait: Wait) -> Result<Self, Failure>;
    fn send(&self, message: &[u8]) -> Result<(), SendError>;
    fn reserve(&self, len: usize, deadline: Deadline) -> Result<Loan<'_>, SendError>;
    fn recv(&self, until_finished: bool) -> Result<Self::Held<'_>, RecvError>;
    fn finish(held: Self::Held<'_>);
    fn deliveries(held: &Self::Held<'_>) -> u8;
    fn close(&self);
}

macro_rules! attach {
    ($queue:ty) => {
        fn attach(place: &[&str], wait: Wait) -> Result<Self, Failure> {
            let options = <$queue>::options().wait(wait);
            Ok(match place {
                ["create", path, capacity] => options.capacity(capacity.parse()?).create(path)?,
                ["open", path] => options.open(path)?,
                ["inherit", key] => options.inherited(key)?,
                _ => return Err(format!("no place: {place:?}").into()),
            })
        }

        fn send(&self, message: &[u8]) -> Result<(), SendError> {
            self.send(message)
        }

        fn close(&self) {
            self.close();
        }
    };
}

impl Bytes for Queue<[u8]> {
    type Held<'q> = Message<'q>;
    attach!(Queue<[u8]>);

    fn reserve(&self, len: usize, deadline: Deadline) -> Result<Loan<'_>, SendError> {
        self.reserve_deadline(len, deadline)
    }

    fn recv(&self, _: bool) -> Result<Message<'_>, RecvError> {
        self.recv()
    }

    fn finish(held: Message<'_>) {
        drop(held);
    }

    fn deliveries(held: &Message<'_>) -> u8 {
        held.deliveries()
    }
}

impl Bytes for JoinableQueue<[u8]> {
    type Held<'q> = Task<'q, [u8]>;
    attach!(JoinableQueue<[u8]>);

    fn reserve(&self, len: usize, deadline: Deadline) -> Result<Loan<'_>, SendError> {
        self.reserve(len, deadline)
    }

    fn recv(&self, until_finished: bool) -> Result<Task<'_, [u8]>, RecvError> {
        if until_finished { self.recv_until_finished(Deadline::NEVER) } else { self.recv() }
    }

    fn finish(held: Task<'_, [u8]>) {
        held.done().expect("it was ours");
    }

    fn deliveries(held: &Task<'_, [u8]>) -> u8 {
        held.deliveries()
    }
}

pub(super) fn play(kind: &str, place: &str, wait: &str, script: &[&str]) -> Result<(), Failure> {
    match kind {
        "bytes" => follow::<Queue<[u8]>>(place, wait, script),
        _ => follow::<JoinableQueue<[u8]>>(place, wait, script),
    }
}

fn follow<Q: Bytes>(place: &str, wait: &str, script: &[&str]) -> Result<(), Failure> {
    let queue = Q::attach(&place.split(':').collect::<Vec<_>>(), wait_of(wait))?;
    let (mut held, mut loans) = (VecDeque::new(), Vec::new());
    for verb in script {
        let verb: Vec<&str> = verb.split(':').collect();
        match verb[..] {
            ["put", sender, count, max] => {
                put(&queue, sender.parse()?, count.parse()?, max.parse()?)?;
                say("sent");
            }
            ["stream", sender] => {
                let sender: u64 = sender.parse()?;
                for count in 0.. {
                    let number = sender << 32 | count;
                    if queue.send(&parcel::make(number, parcel::len_of(number, 5000))).is_err() {
                        say("refused");
                        break;
                    }
                    say(count);
                }
            }
            ["drain"] => drain(&queue)?,
            ["work"] => work(&queue)?,
            ["hold", count] => {
                for _ in 0..count.parse()? {
                    let message = queue.recv(false)?;
                    tell(&message)?;
                    held.push_back(message);
                }
            }
            ["loan", len] => match queue.reserve(len.parse()?, Deadline::NOW) {
                Ok(loan) => {
                    loans.push(loan);
                    say("loaned");
                }
                Err(SendError::NoSpace { .. }) => say("no space"),
                Err(SendError::Full | SendError::Timeout) => say("full"),
                Err(other) => return Err(other.into()),
            },
            ["commit"] => {
                for (number, mut loan) in loans.drain(..).enumerate() {
                    let len = loan.len();
                    loan.copy_from_slice(&parcel::make(number as u64, len));
                    loan.commit()?;
                }
                say("sent");
            }
            ["finish"] => {
                held.drain(..).for_each(Q::finish);
                say("finished");
            }
            ["drop"] => {
                held.clear();
                loans.clear();
                say("dropped");
            }
            ["forget"] => {
                held.drain(..).for_each(std::mem::forget);
                loans.drain(..).for_each(std::mem::forget);
            }
            ["fsize", len] => {
                let len = len.parse()?;
                let limit = libc::rlimit { rlim_cur: len, rlim_max: len };
                // SAFETY: a valid limit, read only.
                assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
            }
            ["close"] => queue.close(),
            _ => drop(common(&verb)?),
        }
    }
    Ok(())
}

fn put<Q: Bytes>(queue: &Q, sender: u64, count: u64, max: usize) -> Result<(), Failure> {
    for number in (0..count).map(|count| sender << 32 | count) {
        let parcel = parcel::make(number, parcel::len_of(number, max));
        if number % 3 == 0 {
            let mut loan = queue.reserve(parcel.len() + 9, Deadline::NEVER)?;
            loan[..parcel.len()].copy_from_slice(&parcel);
            loan.truncate(parcel.len());
            loan.commit()?;
        } else {
            queue.send(&parcel)?;
        }
    }
    Ok(())
}

/// Prints sender and number of a parcel, which must be whole.
fn tell(message: &[u8]) -> Result<(), Failure> {
    let number = parcel::check(message)?;
    say(format_args!("{} {}", number >> 32, number as u32));
    Ok(())
}

fn drain<Q: Bytes>(queue: &Q) -> Result<(), Failure> {
    let mut held = VecDeque::new();
    loop {
        match queue.recv(false) {
            Ok(message) => {
                tell(&message)?;
                held.push_back(message);
            }
            Err(RecvError::Closed) => break,
            Err(other) => return Err(other.into()),
        }
        if held.len() > 3
            && let Some(message) = held.pop_front()
        {
            // It stayed as it was.
            parcel::check(&message)?;
            Q::finish(message);
        }
    }
    held.into_iter().for_each(Q::finish);
    say("closed");
    Ok(())
}

fn work<Q: Bytes>(queue: &Q) -> Result<(), Failure> {
    for turn in 1.. {
        match queue.recv(true) {
            Ok(task) if turn % 7 == 0 && Q::deliveries(&task) == 0 => drop(task),
            Ok(task) => {
                tell(&task)?;
                Q::finish(task);
            }
            Err(RecvError::Closed) => break,
            Err(other) => return Err(other.into()),
        }
    }
    say("closed");
    Ok(())
}
