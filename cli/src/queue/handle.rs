//! Queues of bytes of all kinds behind one face.

use std::{
    ops::Deref,
    os::fd::AsFd,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use ringway::{
    Deadline, Error, JoinableQueue, Kind, Options, Queue, RecvError, SendError, TallyQueue, inspect,
    queue::{Message, Task},
};

use super::{
    Making, is_of_bytes,
    tally::{Counted, Tally},
};
use crate::{error::Failure, monitor::Subject, names, rendezvous::about, report::units, sys::Caught};

/// The longest time without a look at whether a signal has come.
const SLICE: Duration = Duration::from_millis(100);

/// An open queue.
#[derive(Debug)]
pub(super) enum Handle {
    /// A message is gone when it is received.
    Plain(Queue<[u8]>),
    /// A message is gone when whoever received it is done.
    Tasks(JoinableQueue<[u8]>),
    /// A message is gone when it is received, and done when whoever received it says so.
    Tally(Tally),
}

/// A message that was received.
pub(super) enum Received<'q> {
    Message(Message<'q>),
    /// Goes back if it is dropped.
    Task(Task<'q, [u8]>),
    /// Is put once more if it is dropped.
    Counted(Counted<'q>),
}

impl Received<'_> {
    /// It will not be received again.
    pub(super) fn done(self, name: &str) -> Result<(), Failure> {
        match self {
            Received::Message(_) => Ok(()),
            Received::Task(task) => task.done().map_err(|error| Failure::Runtime(format!("{name}: {error}"))),
            Received::Counted(message) => message.done(),
        }
    }

    /// The number of the message in the queue.
    pub(super) fn id(&self) -> u64 {
        match self {
            Received::Message(message) => message.id(),
            Received::Task(task) => task.id(),
            Received::Counted(message) => message.id(),
        }
    }

    /// How often it was tried before.
    pub(super) fn deliveries(&self) -> u8 {
        match self {
            Received::Message(message) => message.deliveries(),
            Received::Task(task) => task.deliveries(),
            Received::Counted(message) => message.deliveries(),
        }
    }
}

impl Deref for Received<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Received::Message(message) => message,
            Received::Task(task) => task,
            Received::Counted(message) => message,
        }
    }
}

/// What is the same for all kinds.
macro_rules! of_any {
    ($handle:expr, $queue:ident => $result:expr) => {
        match $handle {
            Handle::Plain($queue) => $result,
            Handle::Tasks($queue) => $result,
            Handle::Tally(Tally { queue: $queue, .. }) => $result,
        }
    };
}

impl Handle {
    /// Opens what there is.
    pub(super) fn open(name: &str) -> Result<Handle, Failure> {
        Handle::find(name).map_err(|missing| match missing {
            Missing::NotFound(error) => {
                Failure::Runtime(format!("{error}; `ringway queue create {name}` makes one"))
            }
            Missing::Other(failure) => failure,
        })
    }

    /// The same, but makes it if it is not there.
    pub(super) fn open_or_create(name: &str, making: &Making) -> Result<Handle, Failure> {
        loop {
            match Handle::find(name) {
                Err(Missing::NotFound(_)) => {}
                Err(Missing::Other(failure)) => return Err(failure),
                Ok(handle) => return Ok(handle),
            }
            match Handle::try_create(name, making) {
                // Somebody was faster.
                Err(Error::AlreadyExists { .. }) => {}
                made => return made.map_err(|error| about(name, error)),
            }
        }
    }

    /// Makes one.
    pub(super) fn create(name: &str, making: &Making) -> Result<Handle, Failure> {
        loop {
            match Handle::try_create(name, making) {
                // One from before the last boot is in nobody's way.
                Err(error @ Error::AlreadyExists { .. }) => match inspect::stat(name) {
                    Ok(object) if object.stale && ringway::unlink_unused(name).is_ok() => {}
                    _ => return Err(about(name, error)),
                },
                made => return made.map_err(|error| about(name, error)),
            }
        }
    }

    fn try_create(name: &str, making: &Making) -> Result<Handle, Error> {
        // All kinds have the same options, but they are not of one type.
        macro_rules! options {
            ($queue:ty) => {{
                let mut options: Options<$queue> = <$queue>::options();
                if let Some(messages) = making.capacity {
                    options = options.capacity(messages);
                }
                if let Some(bytes) = making.message_size {
                    options = options.message_size(bytes);
                }
                if let Some(messages) = making.max_held {
                    options = options.max_held(messages);
                }
                if let Some(bytes) = making.max_bytes {
                    options = options.max_bytes(bytes as u64);
                }
                options
            }};
        }
        if making.plain {
            options!(Queue<[u8]>).create(name).map(Handle::Plain)
        } else if making.tally {
            let made = options!(TallyQueue).create(name);
            made.map(|queue| Handle::Tally(Tally { name: name.into(), queue }))
        } else {
            options!(JoinableQueue<[u8]>).create(name).map(Handle::Tasks)
        }
    }

    fn find(name: &str) -> Result<Handle, Missing> {
        loop {
            let seen = inspect::stat(name).map_err(|error| Missing::of(name, error))?;
            if seen.stale {
                // Opening says so; it is as good as nothing.
                match ringway::unlink_unused(name) {
                    Ok(_) | Err(Error::NotFound { .. }) => continue,
                    Err(error) => return Err(Missing::of(name, error)),
                }
            }
            let opened = match seen.kind {
                Kind::ByteQueue => Queue::open(name).map(Handle::Plain),
                Kind::JoinableQueue if is_of_bytes(&seen) => JoinableQueue::open(name).map(Handle::Tasks),
                Kind::TallyQueue => {
                    TallyQueue::open(name).map(|queue| Handle::Tally(Tally { name: name.into(), queue }))
                }
                Kind::Queue | Kind::JoinableQueue => {
                    return Err(Missing::Other(Failure::Runtime(format!(
                        "{name}: this queue carries values of {} bytes, not bytes of any number: it is for the \
                         programs that made it",
                        seen.element_size
                    ))));
                }
                kind => {
                    let text = format!("{name}: this is {kind}, no queue of bytes");
                    return Err(Missing::Other(Failure::Runtime(text)));
                }
            };
            match opened {
                // Another object has the name by now.
                Err(Error::WrongKind { .. } | Error::WrongElement { .. }) => {}
                opened => return opened.map_err(|error| Missing::of(name, error)),
            }
        }
    }

    /// See [`Queue::close`].
    pub(super) fn close(&self) -> bool {
        of_any!(self, queue => queue.close())
    }

    /// The longest possible message.
    pub(super) fn max_message(&self) -> usize {
        usize::try_from(of_any!(self, queue => queue.max_message())).unwrap_or(usize::MAX)
    }

    /// How many messages wait in it.
    fn len(&self) -> usize {
        of_any!(self, queue => queue.len())
    }

    /// Whether a message may still come: one waits, or somebody works on one.
    fn holds_any(&self) -> bool {
        match self {
            Handle::Plain(queue) => !queue.is_empty(),
            // What others work on does not come back.
            Handle::Tally(tally) => !tally.queue.is_empty(),
            Handle::Tasks(queue) => queue.unfinished() > 0,
        }
    }

    /// Whether nobody else is attached, and nobody can come: the name was removed, by whatever means.
    pub(super) fn is_deserted(&self) -> bool {
        names::is_deserted(of_any!(self, queue => queue.as_fd()))
    }

    /// Sends, waiting for space.
    pub(super) fn send(&self, message: &[u8], interrupt: &Interrupt) -> Result<(), Unsent> {
        match of_any!(self, queue => queue.try_send(message)) {
            Err(SendError::Full) => {}
            sent => return sent.map_err(Unsent::Failed),
        }
        loop {
            let deadline = Deadline::after(SLICE);
            match of_any!(self, queue => queue.send_deadline(message, deadline)) {
                Err(SendError::Timeout) if interrupt.is_set() => return Err(Unsent::Interrupted),
                Err(SendError::Timeout) if self.is_deserted() => return Err(Unsent::Deserted),
                Err(SendError::Timeout) => {}
                sent => return sent.map_err(Unsent::Failed),
            }
        }
    }

    /// Receives what is there.
    pub(super) fn try_recv(&self) -> Result<Received<'_>, RecvError> {
        match self {
            Handle::Plain(queue) => queue.try_recv().map(Received::Message),
            Handle::Tasks(queue) => queue.try_recv().map(Received::Task),
            Handle::Tally(tally) => tally.try_recv().map(Received::Counted),
        }
    }

    /// Receives, waiting at most so long, also for tasks that others still work on. Whoever calls this has none himself.
    /// Now and then `is_wanted` is asked whether to wait on.
    pub(super) fn recv(
        &self,
        patience: Option<Duration>,
        interrupt: &Interrupt,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Received<'_>, Unreceived> {
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let deadline = Deadline::after(left.map_or(SLICE, |left| left.min(SLICE)));
            let received = match self {
                Handle::Plain(queue) => queue.recv_deadline(deadline).map(Received::Message),
                Handle::Tasks(queue) => queue.recv_until_finished(deadline).map(Received::Task),
                Handle::Tally(tally) => tally.recv_deadline(deadline).map(Received::Counted),
            };
            match received {
                Ok(received) => return Ok(received),
                Err(RecvError::Timeout | RecvError::Empty) => {}
                Err(RecvError::Closed) => return Err(Unreceived::Closed),
                Err(error) => return Err(Unreceived::Failed(error)),
            }
            if interrupt.is_set() {
                return Err(Unreceived::Interrupted);
            }
            if !is_wanted() {
                return Err(Unreceived::Unwanted);
            }
            if left.is_some_and(|left| left <= SLICE) {
                return Err(Unreceived::Timeout);
            }
            if self.is_deserted() && !self.holds_any() {
                return Err(Unreceived::Deserted);
            }
        }
    }
}

/// Why a message was not sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// A signal came.
    Interrupted,
    /// There is no space, and nobody to make some.
    Deserted,
    Failed(SendError),
}

/// Why no message was received.
#[derive(Debug)]
pub(super) enum Unreceived {
    Timeout,
    Closed,
    /// A signal came.
    Interrupted,
    /// Nobody is there who could send.
    Deserted,
    /// There is nobody to give it to.
    Unwanted,
    Failed(RecvError),
}

/// What is said of a queue without a name that nobody else has open.
pub(super) const DESERTED: &str = "its name was removed and nobody else is attached: nobody can come now";

/// Why there is no handle.
enum Missing {
    NotFound(Error),
    Other(Failure),
}

impl Missing {
    fn of(name: &str, error: Error) -> Self {
        match error {
            Error::NotFound { .. } => Missing::NotFound(error),
            error => Missing::Other(about(name, error)),
        }
    }
}

/// Whether we are asked to end.
#[derive(Debug, Default)]
pub(super) struct Interrupt {
    asked: Mutex<Asked>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    stop: bool,
    signal: Option<libc::c_int>,
}

impl Interrupt {
    /// By a signal.
    pub(super) fn set(&self, signal: libc::c_int) {
        let mut asked = self.asked();
        asked.stop = true;
        asked.signal.get_or_insert(signal);
    }

    /// By ourselves.
    pub(super) fn stop(&self) {
        self.asked().stop = true;
    }

    /// Whether anything asks for it.
    pub(super) fn is_set(&self) -> bool {
        self.asked().stop
    }

    /// The signal that asks for it.
    pub(super) fn signal(&self) -> Option<libc::c_int> {
        self.asked().signal
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().expect("nobody panics with it")
    }
}

/// A queue that one thread puts into or gets from, for the monitor.
#[derive(Debug)]
pub(super) struct Attended<'a> {
    pub(super) handle: &'a Handle,
    pub(super) interrupt: &'a Interrupt,
    /// How long what was begun may take after a signal.
    pub(super) grace: Duration,
    /// What is said when it is empty.
    pub(super) when_empty: &'static str,
}

impl Subject for Attended<'_> {
    fn stop(&self, caught: Caught) -> Option<Duration> {
        if self.interrupt.is_set() {
            return None;
        }
        self.interrupt.set(caught.signal);
        Some(self.grace)
    }

    fn hopeless(&self) -> Option<String> {
        // Whoever waits finds that out: he alone knows that he has no message in hand.
        None
    }

    fn state(&self, _: bool) -> String {
        match self.handle.len() {
            0 => self.when_empty.into(),
            len => format!("{} in the queue", units::count(len as u64)),
        }
    }
}
