//! What becomes of messages that fail again and again.

use ringway::{JoinableQueue, Queue};

use super::{
    Making,
    get::GetArgs,
    handle::{Handle, Received},
};
use crate::{error::Failure, rendezvous::about};

/// What [`GetArgs::dead_letters`] says for nowhere.
const DROP: &str = "drop";

/// Where messages go that failed too often.
#[derive(Debug)]
enum To {
    Nowhere,
    Queue(String, Queue<[u8]>),
}

/// How often a message may fail, and where it goes then.
#[derive(Debug)]
pub(super) struct Letters {
    /// `None`: it is tried again and again.
    to: Option<To>,
    max_deliveries: u8,
}

impl Letters {
    /// What the command line says.
    pub(super) fn open(args: &GetArgs) -> Result<Self, Failure> {
        let to = match args.dead_letters.as_deref() {
            None => None,
            Some(DROP) => Some(To::Nowhere),
            Some(name) => Some(To::Queue(name.into(), open_plain(name)?)),
        };
        Ok(Letters { to, max_deliveries: args.max_deliveries })
    }

    /// Whether a message ends at all that never succeeds.
    pub(super) fn are_kept(&self) -> bool {
        self.to.is_some()
    }

    /// A queue that takes messages back does all this itself.
    pub(super) fn instruct(
        &self,
        queue: JoinableQueue<[u8]>,
        name: &str,
    ) -> Result<JoinableQueue<[u8]>, Failure> {
        let instructed = match &self.to {
            None => return Ok(queue),
            Some(To::Nowhere) => queue.with_drop_after(self.max_deliveries),
            Some(To::Queue(_, letters)) => queue.with_dead_letters(self.max_deliveries, letters),
        };
        instructed.map_err(|error| about(name, error))
    }

    /// After one more failure: what this process is to try again, if anything.
    pub(super) fn put_off<'q>(&self, message: Received<'q>) -> Result<Option<Received<'q>>, Failure> {
        let mut message = match message {
            Received::Counted(message) => message,
            // Dropped, it goes back, and at the next delivery the queue knows what to do.
            Received::Message(_) | Received::Task(_) => return Ok(None),
        };
        message.count_failure();
        let is_given_up = message.deliveries() >= self.max_deliveries
            && match &self.to {
                None => false,
                Some(To::Nowhere) => true,
                // If they have no room it is tried once more.
                Some(To::Queue(_, letters)) => letters.try_send(&message).is_ok(),
            };
        match is_given_up {
            true => message.done().map(|()| None),
            false => Ok(Some(Received::Counted(message))),
        }
    }

    /// What becomes of a message that is about to be put off, in words.
    pub(super) fn fate(&self, message: &Received<'_>) -> String {
        let times = message.deliveries().saturating_add(1);
        match &self.to {
            Some(to) if times >= self.max_deliveries => match to {
                To::Nowhere => format!("it is given up after {times} times"),
                To::Queue(letters, _) => format!("after {times} times it goes to {letters}"),
            },
            _ => match message {
                Received::Counted(_) => "it is tried again".into(),
                Received::Message(_) | Received::Task(_) => "it goes back".into(),
            },
        }
    }
}

fn open_plain(name: &str) -> Result<Queue<[u8]>, Failure> {
    let making = Making { plain: true, ..Making::default() };
    match Handle::open_or_create(name, &making)? {
        Handle::Plain(queue) => Ok(queue),
        Handle::Tasks(_) | Handle::Tally(_) => {
            Err(Failure::Runtime(format!("{name}: dead letters go to a plain queue; make it with --plain")))
        }
    }
}
