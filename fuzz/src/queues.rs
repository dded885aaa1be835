//! One call after the other on a queue of any kind, whose memory may hold anything at any time.
//!
//! What is received is held across calls, and read again before it goes: a copy stays as it is.

use crate::calls::{Call, read};
use bytemuck::Pod;
use ringway::queue::{DoneError, JoinError, Loan, Message, Task};
use ringway::{Deadline, JoinableQueue, Queue, RecvError, SendError, TallyQueue};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// A queue, as far as the calls are alike.
pub trait Victim: AsFd + std::fmt::Debug {
    /// What a receive gives.
    type Held<'q>
    where
        Self: 'q;

    /// `None` where there is no such call.
    fn send(&self, len: usize, fill: u8, call: Call) -> Result<(), SendError>;
    fn reserve(&self, len: usize, call: Call) -> Option<Result<Loan<'_>, SendError>>;
    fn recv(&self, call: Call) -> Result<Self::Held<'_>, RecvError>;
    fn more<'q>(&'q self, held: &mut Vec<Self::Held<'q>>, call: Call);
    fn bytes<'a>(held: &'a Self::Held<'_>) -> &'a [u8];
    fn end(held: Self::Held<'_>, done: bool);
    fn look(&self, call: Call);
    fn longest(&self) -> u64;
    fn close(&self);
}

/// No more of them at once.
const MOST: usize = 6;

/// Longer messages are no longer than the memory that there is.
const BELIEVED: u64 = 1 << 20;

/// One call; what it receives is added to `held`, or some of that goes.
pub fn call<'q, V: Victim>(queue: &'q V, held: &mut Vec<V::Held<'q>>, call: Call) {
    act(queue, held, call, |message| assert!(read(message) as u64 <= queue.longest()));
}

/// The same for a queue that does not trust its peers, whoever wrote its memory.
pub fn distrusting<'q, V: Victim>(queue: &'q V, held: &mut Vec<V::Held<'q>>, call: Call) {
    act(queue, held, call, |message| check(queue, message));
}

fn act<'q, V: Victim>(queue: &'q V, held: &mut Vec<V::Held<'q>>, call: Call, check: impl Fn(&[u8])) {
    let len = call.size() * usize::from(call.which % 4) % 200_000;
    match call.which / 4 % 12 {
        0 | 1 => sent(queue.send(len, call.which, call)),
        2 => {
            if let Some(Ok(mut loan)) = queue.reserve(len, call) {
                assert_eq!(loan.len(), len);
                loan.fill(call.which);
                // It is ours, whatever a peer does: who does not trust lends out private memory.
                (0..100).for_each(|_| std::hint::spin_loop());
                assert!(loan.iter().all(|byte| *byte == call.which));
                loan.truncate(call.size());
                match loan.commit_deadline(call.deadline()) {
                    Ok(()) => {}
                    Err(kept) => {
                        assert!(kept.loan.iter().all(|byte| *byte == call.which));
                        sent(Err(kept.error));
                    }
                }
            }
        }
        3 => drop(queue.reserve(len, call)),
        4 | 5 | 6 => {
            if held.len() < MOST {
                match queue.recv(call) {
                    Ok(message) => {
                        check(V::bytes(&message));
                        held.push(message);
                    }
                    Err(error) => received(error),
                }
            }
        }
        7 => {
            if held.len() < MOST {
                queue.more(held, call);
                held.iter().for_each(|message| check(V::bytes(message)));
            }
        }
        8 | 9 => {
            if !held.is_empty() {
                let message = held.swap_remove(call.size() % held.len());
                check(V::bytes(&message));
                V::end(message, call.which % 2 == 0);
            }
        }
        10 => queue.look(call),
        _ => {
            let _ = format!("{queue:?}");
            if call.size % 16 == 0 {
                queue.close();
            }
        }
    }
}

/// A message is no longer than one can be, and takes no more memory than the queue has.
fn check<V: Victim>(queue: &V, message: &[u8]) {
    let len = read(message) as u64;
    assert!(len <= queue.longest(), "{len} bytes");
    if len > BELIEVED {
        let file = File::from(queue.as_fd().try_clone_to_owned().expect("no descriptor left"));
        assert!(len <= file.metadata().unwrap().blocks() * 512, "{len} bytes");
    }
}

fn sent(result: Result<(), SendError>) {
    match result {
        Err(SendError::Forked | SendError::NotWritable | SendError::Attach(_)) => panic!("nobody has forked"),
        Ok(()) | Err(_) => {}
    }
}

fn received(error: RecvError) {
    let of_others = RecvError::Torn { received: 0 };
    match error {
        RecvError::Forked | RecvError::NotReadable | RecvError::Attach(_) => panic!("{error}"),
        RecvError::TooLong { .. } | RecvError::Torn { .. } => panic!("{error}, as {of_others}"),
        _ => {}
    }
}

fn joined(result: Result<(), JoinError>) {
    assert!(matches!(result, Ok(()) | Err(JoinError::Timeout)));
}

impl<T: Pod + std::fmt::Debug> Victim for Queue<T> {
    type Held<'q> = T;

    fn send(&self, len: usize, fill: u8, call: Call) -> Result<(), SendError> {
        let mut value = T::zeroed();
        bytemuck::bytes_of_mut(&mut value).fill(fill);
        match len % 3 {
            0 => self.try_send(value),
            1 => self.send_deadline(value, call.deadline()),
            _ => {
                let values = vec![value; call.size() % 7];
                self.send_many_deadline(&values, call.deadline()).map_err(|unsent| {
                    assert!(unsent.sent < values.len());
                    unsent.error
                })
            }
        }
    }

    fn reserve(&self, _: usize, _: Call) -> Option<Result<Loan<'_>, SendError>> {
        None
    }

    fn recv(&self, call: Call) -> Result<T, RecvError> {
        match call.size % 3 {
            0 => self.try_recv(),
            1 => self.recv_deadline(call.deadline()),
            _ => self.recv_with_id(call.deadline()).map(|received| received.value),
        }
    }

    fn more(&self, held: &mut Vec<T>, call: Call) {
        let before = held.len();
        match self.recv_many(held, call.size() % 5, call.deadline()) {
            Ok(count) => assert!(count <= call.size() % 5 && held.len() == before + count),
            Err(error) => received(error),
        }
    }

    fn bytes<'a>(held: &'a T) -> &'a [u8] {
        bytemuck::bytes_of(held)
    }

    fn end(_: T, _: bool) {}

    fn look(&self, _: Call) {
        assert!(self.len() <= self.capacity());
        let _ = (self.is_empty(), self.is_full(), self.is_closed(), self.is_retired());
    }

    fn longest(&self) -> u64 {
        size_of::<T>() as u64
    }

    fn close(&self) {
        self.close();
    }
}

impl Victim for Queue<[u8]> {
    type Held<'q> = Message<'q>;

    fn send(&self, len: usize, fill: u8, call: Call) -> Result<(), SendError> {
        let message = vec![fill; len];
        if call.size.is_multiple_of(2) {
            self.try_send(&message)
        } else {
            self.send_deadline(&message, call.deadline())
        }
    }

    fn reserve(&self, len: usize, call: Call) -> Option<Result<Loan<'_>, SendError>> {
        Some(self.reserve_deadline(len, call.deadline()))
    }

    fn recv(&self, call: Call) -> Result<Message<'_>, RecvError> {
        if call.size.is_multiple_of(2) { self.try_recv() } else { self.recv_deadline(call.deadline()) }
    }

    fn more<'q>(&'q self, held: &mut Vec<Message<'q>>, call: Call) {
        if call.size.is_multiple_of(2) {
            let before = held.len();
            match self.recv_many(held, call.size() % 5, call.deadline()) {
                Ok(count) => assert!(count <= call.size() % 5 && held.len() == before + count),
                Err(error) => received(error),
            }
            return;
        }
        let mut buffer = vec![1; 10];
        match self.recv_into(&mut buffer, call.deadline()) {
            Ok(len) => assert!(len == read(&buffer) && len as u64 <= self.longest()),
            Err(error) => received(error),
        }
    }

    fn bytes<'a>(held: &'a Message<'_>) -> &'a [u8] {
        let _ = (held.id(), held.deliveries());
        held
    }

    fn end(held: Message<'_>, detach: bool) {
        if detach {
            drop(held.detach());
        }
    }

    fn look(&self, call: Call) {
        assert!(self.len() <= self.capacity());
        let _ = (self.is_empty(), self.is_full(), self.is_closed(), self.large_bytes());
        if call.size.is_multiple_of(8) {
            self.trim();
        }
    }

    fn longest(&self) -> u64 {
        self.max_message()
    }

    fn close(&self) {
        self.close();
    }
}

impl Victim for TallyQueue {
    type Held<'q> = Message<'q>;

    fn send(&self, len: usize, fill: u8, call: Call) -> Result<(), SendError> {
        let message = vec![fill; len];
        match call.size % 3 {
            0 => self.try_send(&message),
            1 => self.send_deadline(&message, call.deadline()),
            _ => self.send_many(&[&message, &message], call.deadline()).map_err(|unsent| unsent.error),
        }
    }

    fn reserve(&self, len: usize, call: Call) -> Option<Result<Loan<'_>, SendError>> {
        Some(self.reserve_deadline(len, call.deadline()))
    }

    fn recv(&self, call: Call) -> Result<Message<'_>, RecvError> {
        if call.size.is_multiple_of(2) { self.try_recv() } else { self.recv_deadline(call.deadline()) }
    }

    fn more<'q>(&'q self, _: &mut Vec<Message<'q>>, call: Call) {
        let mut buffer = vec![1; 10];
        match self.recv_into(&mut buffer, call.deadline()) {
            Ok(len) => assert!(len == read(&buffer) && len as u64 <= self.longest()),
            Err(error) => received(error),
        }
    }

    fn bytes<'a>(held: &'a Message<'_>) -> &'a [u8] {
        let _ = (held.id(), held.deliveries());
        held
    }

    fn end(held: Message<'_>, detach: bool) {
        if detach {
            drop(held.detach());
        }
    }

    fn look(&self, call: Call) {
        assert!(self.len() <= self.capacity());
        let _ = (self.is_empty(), self.is_full(), self.is_closed(), self.large_bytes());
        match call.size % 6 {
            0 | 1 => match self.task_done() {
                Ok(()) | Err(DoneError::TooMany | DoneError::Overtaken) => {}
                Err(other) => panic!("{other}"),
            },
            2 => joined(self.join_deadline(call.deadline())),
            3 => drop(self.promise().expect("nobody has forked")),
            4 => self.redeem().expect("nobody has forked"),
            _ => drop((self.unfinished(), self.trim())),
        }
    }

    fn longest(&self) -> u64 {
        self.max_message()
    }

    fn close(&self) {
        self.close();
    }
}

/// What queues of tasks have alike.
macro_rules! tasks {
    ($message:ty) => {
        type Held<'q> = Task<'q, $message>;

        fn recv(&self, call: Call) -> Result<Self::Held<'_>, RecvError> {
            match call.size % 3 {
                0 => self.try_recv(),
                1 => self.recv_deadline(call.deadline()),
                _ => self.recv_until_finished(call.deadline()),
            }
        }

        fn more<'q>(&'q self, _: &mut Vec<Self::Held<'q>>, call: Call) {
            // A handle that gives up, perhaps with dead letters; those are an honest queue.
            let limit = call.size as u8 % 4;
            let letters = Queue::<$message>::anonymous(2).unwrap();
            let policy = if call.size.is_multiple_of(2) {
                self.with_drop_after(limit)
            } else {
                self.with_dead_letters(limit, &letters)
            };
            match policy.unwrap().recv_deadline(call.deadline()) {
                Ok(task) => drop(task),
                Err(error) => received(error),
            }
        }

        fn end(held: Self::Held<'_>, done: bool) {
            let held = held.detach();
            if done {
                let _ = held.done();
            }
        }

        fn look(&self, call: Call) {
            let _ = (self.is_empty(), self.is_full(), self.is_closed(), self.len(), self.unfinished());
            joined(self.join_deadline(call.deadline()));
        }

        fn close(&self) {
            self.close();
        }
    };
}

impl Victim for JoinableQueue<u64> {
    tasks!(u64);

    fn send(&self, len: usize, fill: u8, call: Call) -> Result<(), SendError> {
        let value = u64::from(fill);
        match len % 3 {
            0 => self.try_send(value),
            1 => self.send_deadline(value, call.deadline()),
            _ => self.send_many(&[value; 3], call.deadline()).map_err(|unsent| unsent.error),
        }
    }

    fn reserve(&self, _: usize, _: Call) -> Option<Result<Loan<'_>, SendError>> {
        None
    }

    fn bytes<'a>(held: &'a Task<'_, u64>) -> &'a [u8] {
        let _ = (held.id(), held.deliveries());
        bytemuck::bytes_of(&**held)
    }

    fn longest(&self) -> u64 {
        8
    }
}

impl Victim for JoinableQueue<[u8]> {
    tasks!([u8]);

    fn send(&self, len: usize, fill: u8, call: Call) -> Result<(), SendError> {
        let message = vec![fill; len];
        if call.size.is_multiple_of(2) {
            self.try_send(&message)
        } else {
            self.send_deadline(&message, call.deadline())
        }
    }

    fn reserve(&self, len: usize, call: Call) -> Option<Result<Loan<'_>, SendError>> {
        let deadline = if call.size.is_multiple_of(2) { Deadline::NOW } else { call.deadline() };
        Some(self.reserve(len, deadline))
    }

    fn bytes<'a>(held: &'a Task<'_, [u8]>) -> &'a [u8] {
        let _ = (held.id(), held.deliveries());
        held
    }

    fn longest(&self) -> u64 {
        self.max_message()
    }
}
