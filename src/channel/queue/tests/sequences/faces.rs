//! The four kinds of queues under one face.

use super::super::super::{JoinError, JoinableQueue, Loan, Message, Task, Unsent};
use crate::{Deadline, Queue, RecvError, SendError};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// In which of its forms a call is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum How {
    Try,
    Timeout,
    Deadline,
    /// Only where it does not have to wait.
    Blocking,
}

/// How much memory there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) capacity: usize,
    pub(super) max_held: usize,
    pub(super) max_bytes: u64,
}

/// What is known of a message that was received.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) content: Vec<u8>,
    /// Not every call tells it.
    pub(super) id: Option<u64>,
    pub(super) deliveries: u8,
}

/// The size of a message in a queue of values.
pub(super) const VALUE: usize = 8;

fn value(message: &[u8]) -> u64 {
    u64::from_ne_bytes(message.try_into().unwrap())
}

pub(super) trait Face: Sized {
    /// Whether messages are of any length, or all are values.
    const BYTES: bool;
    /// Whether receivers hold tasks.
    const TASKS: bool;
    type Held<'q>
    where
        Self: 'q;
    type Letters;

    fn create(shape: Shape) -> Self;
    /// The same queue, for somebody who does not trust its peers.
    fn distrusting(&self) -> Self;
    /// Handles that give up after so many deliveries, the second with dead letters.
    fn policies(&self, _limits: (u8, u8), _letters: &Self::Letters) -> Vec<Self> {
        vec![]
    }
    fn letters(capacity: usize) -> Self::Letters;
    fn next_letter(letters: &Self::Letters) -> Option<Vec<u8>>;

    fn send(&self, message: &[u8], how: How) -> Result<(), SendError>;
    fn send_many(&self, messages: &[Vec<u8>]) -> Result<(), Unsent>;
    fn reserve(&self, _len: usize, _how: How) -> Option<Result<Loan<'_>, SendError>> {
        None
    }
    fn recv(&self, how: How) -> Result<Self::Held<'_>, RecvError>;
    fn recv_into(&self, _buffer: &mut Vec<u8>) -> Option<Result<usize, RecvError>> {
        None
    }
    fn recv_many<'q>(
        &'q self,
        _into: &mut Vec<Self::Held<'q>>,
        _most: usize,
    ) -> Option<Result<usize, RecvError>> {
        None
    }
    fn see(held: &Self::Held<'_>) -> Seen;
    fn detach<'q>(held: Self::Held<'q>) -> Self::Held<'q> {
        held
    }
    fn done(_held: Self::Held<'_>) {}
    /// Capacity, length, emptiness, fullness, whether it is closed.
    fn look(&self) -> (usize, usize, bool, bool, bool);
    fn unfinished(&self) -> Option<(usize, Result<(), JoinError>)> {
        None
    }
    fn close(&self) -> bool;
    fn trim(&self) {}
}

/// What all four have alike.
macro_rules! alike {
    ($queue:ty) => {
        fn distrusting(&self) -> Self {
            let fd: OwnedFd = self.as_fd().try_clone_to_owned().unwrap();
            Self::options().trusted(false).from_fd(fd).unwrap()
        }

        fn look(&self) -> (usize, usize, bool, bool, bool) {
            (self.capacity(), self.len(), self.is_empty(), self.is_full(), self.is_closed())
        }

        fn close(&self) -> bool {
            <$queue>::close(self)
        }
    };
}

/// What queues of values have alike.
macro_rules! of_values {
    () => {
        const BYTES: bool = false;
        type Letters = Queue<u64>;

        fn letters(capacity: usize) -> Queue<u64> {
            Queue::anonymous(capacity).unwrap()
        }

        fn next_letter(letters: &Queue<u64>) -> Option<Vec<u8>> {
            letters.try_recv().ok().map(|letter| letter.to_ne_bytes().to_vec())
        }

        fn send(&self, message: &[u8], how: How) -> Result<(), SendError> {
            match how {
                How::Try => self.try_send(value(message)),
                How::Timeout => self.send_timeout(value(message), Duration::ZERO),
                How::Deadline => self.send_deadline(value(message), Deadline::NOW),
                How::Blocking => self.send(value(message)),
            }
        }
    };
}

/// What queues of bytes have alike.
macro_rules! of_bytes {
    () => {
        const BYTES: bool = true;
        type Letters = Queue<[u8]>;

        fn letters(capacity: usize) -> Queue<[u8]> {
            Queue::anonymous(capacity).unwrap()
        }

        fn next_letter(letters: &Queue<[u8]>) -> Option<Vec<u8>> {
            letters.try_recv().ok().map(|letter| letter.to_vec())
        }

        fn send(&self, message: &[u8], how: How) -> Result<(), SendError> {
            match how {
                How::Try => self.try_send(message),
                How::Timeout => self.send_timeout(message, Duration::ZERO),
                How::Deadline => self.send_deadline(message, Deadline::NOW),
                How::Blocking => self.send(message),
            }
        }

        fn trim(&self) {
            self.trim();
        }
    };
}

/// The four ways of receiving.
macro_rules! receive {
    ($queue:expr, $how:expr) => {
        match $how {
            How::Try => $queue.try_recv(),
            How::Timeout => $queue.recv_timeout(Duration::ZERO),
            How::Deadline => $queue.recv_deadline(Deadline::NOW),
            How::Blocking => $queue.recv(),
        }
    };
}

/// What queues of tasks have alike.
macro_rules! of_tasks {
    ($message:ty) => {
        const TASKS: bool = true;
        type Held<'q> = Task<'q, $message>;

        fn policies(&self, limits: (u8, u8), letters: &Self::Letters) -> Vec<Self> {
            vec![self.with_drop_after(limits.0).unwrap(), self.with_dead_letters(limits.1, letters).unwrap()]
        }

        fn recv(&self, how: How) -> Result<Self::Held<'_>, RecvError> {
            receive!(self, how)
        }

        fn detach<'q>(held: Self::Held<'q>) -> Self::Held<'q> {
            held.detach()
        }

        fn done(held: Self::Held<'_>) {
            held.done().unwrap();
        }

        fn unfinished(&self) -> Option<(usize, Result<(), JoinError>)> {
            Some((self.unfinished(), self.join_timeout(Duration::ZERO)))
        }
    };
}

impl Face for Queue<u64> {
    alike!(Queue<u64>);
    of_values!();
    const TASKS: bool = false;
    type Held<'q> = Seen;

    fn create(shape: Shape) -> Self {
        Queue::anonymous(shape.capacity).unwrap()
    }

    fn send_many(&self, messages: &[Vec<u8>]) -> Result<(), Unsent> {
        let values: Vec<u64> = messages.iter().map(|message| value(message)).collect();
        self.send_many_deadline(&values, Deadline::NOW)
    }

    fn recv(&self, how: How) -> Result<Seen, RecvError> {
        if how == How::Deadline {
            let received = self.recv_with_id(Deadline::NOW)?;
            let content = received.value.to_ne_bytes().to_vec();
            return Ok(Seen { content, id: Some(received.id), deliveries: received.deliveries });
        }
        receive!(self, how).map(of_value)
    }

    fn recv_many(&self, into: &mut Vec<Seen>, most: usize) -> Option<Result<usize, RecvError>> {
        let mut values = vec![7];
        let received = self.recv_many(&mut values, most, Deadline::NOW);
        assert_eq!((values[0], values.len() - 1), (7, *received.as_ref().unwrap_or(&0)));
        into.extend(values.drain(1..).map(of_value));
        Some(received)
    }

    fn see(held: &Seen) -> Seen {
        Seen { content: held.content.clone(), ..*held }
    }
}

fn of_value(value: u64) -> Seen {
    Seen { content: value.to_ne_bytes().to_vec(), id: None, deliveries: 0 }
}

impl Face for Queue<[u8]> {
    alike!(Queue<[u8]>);
    of_bytes!();
    const TASKS: bool = false;
    type Held<'q> = Message<'q>;

    fn create(shape: Shape) -> Self {
        let Shape { capacity, max_held, max_bytes } = shape;
        Self::options().capacity(capacity).max_held(max_held).max_bytes(max_bytes).anonymous().unwrap()
    }

    fn send_many(&self, messages: &[Vec<u8>]) -> Result<(), Unsent> {
        self.send_many(messages, Deadline::NOW)
    }

    fn reserve(&self, len: usize, how: How) -> Option<Result<Loan<'_>, SendError>> {
        Some(match how {
            How::Try => self.try_reserve(len),
            How::Timeout | How::Deadline => self.reserve_deadline(len, Deadline::NOW),
            How::Blocking => self.reserve(len),
        })
    }

    fn recv(&self, how: How) -> Result<Message<'_>, RecvError> {
        receive!(self, how)
    }

    fn recv_into(&self, buffer: &mut Vec<u8>) -> Option<Result<usize, RecvError>> {
        Some(self.recv_into(buffer, Deadline::NOW))
    }

    fn recv_many<'q>(&'q self, into: &mut Vec<Message<'q>>, most: usize) -> Option<Result<usize, RecvError>> {
        Some(self.recv_many(into, most, Deadline::NOW))
    }

    fn see(held: &Message<'_>) -> Seen {
        Seen { content: held.to_vec(), id: Some(held.id()), deliveries: held.deliveries() }
    }

    fn detach<'q>(held: Self::Held<'q>) -> Self::Held<'q> {
        held.detach()
    }
}

impl Face for JoinableQueue<u64> {
    alike!(JoinableQueue<u64>);
    of_values!();
    of_tasks!(u64);

    fn create(shape: Shape) -> Self {
        Self::options().capacity(shape.capacity).max_held(shape.max_held).anonymous().unwrap()
    }

    fn send_many(&self, messages: &[Vec<u8>]) -> Result<(), Unsent> {
        let values: Vec<u64> = messages.iter().map(|message| value(message)).collect();
        self.send_many(&values, Deadline::NOW)
    }

    fn see(held: &Task<'_, u64>) -> Seen {
        let content = held.to_ne_bytes().to_vec();
        Seen { content, id: Some(held.id()), deliveries: held.deliveries() }
    }
}

impl Face for JoinableQueue<[u8]> {
    alike!(JoinableQueue<[u8]>);
    of_bytes!();
    of_tasks!([u8]);

    fn create(shape: Shape) -> Self {
        let Shape { capacity, max_held, max_bytes } = shape;
        Self::options().capacity(capacity).max_held(max_held).max_bytes(max_bytes).anonymous().unwrap()
    }

    fn send_many(&self, messages: &[Vec<u8>]) -> Result<(), Unsent> {
        for (sent, message) in messages.iter().enumerate() {
            self.try_send(message).map_err(|error| Unsent { sent, error })?;
        }
        Ok(())
    }

    fn reserve(&self, len: usize, how: How) -> Option<Result<Loan<'_>, SendError>> {
        Some(self.reserve(len, if how == How::Blocking { Deadline::NEVER } else { Deadline::NOW }))
    }

    fn see(held: &Task<'_, [u8]>) -> Seen {
        Seen { content: held.to_vec(), id: Some(held.id()), deliveries: held.deliveries() }
    }
}
