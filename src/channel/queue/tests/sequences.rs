//! Any sequence of calls on each kind of queue, through handles that trust and that do not, says what plain lists say:
//! results, contents, order, numbers, deliveries, lengths, at each step.

mod faces;

use super::super::loan::Loan;
use super::super::{JoinError, JoinableQueue, Queue};
use crate::{Deadline, RecvError, SendError};
use faces::{Face, How, Seen, Shape, VALUE};
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy)]
enum Step {
    Send { by: usize, len: usize, how: How },
    SendMany { by: usize, len: usize, count: usize },
    Reserve { by: usize, len: usize, how: How },
    Truncate { which: usize, by: usize },
    Commit { which: usize, how: How },
    DropLoan { which: usize },
    Receive { by: usize, how: How },
    ReceiveInto { by: usize },
    ReceiveMany { by: usize, most: usize },
    Detach { which: usize },
    Drop { which: usize },
    Done { which: usize },
    ReadLetter,
    Trim { by: usize },
    Close { by: usize },
}

const LENGTHS: [usize; 10] = [0, 1, 8, 47, 48, 49, 255, 256, 257, 70_000];

fn step() -> impl Strategy<Value = Step> {
    let (by, which) = (any::<usize>(), any::<usize>());
    let len = prop::sample::select(&LENGTHS[..]);
    let how = prop::sample::select(&[How::Try, How::Timeout, How::Deadline, How::Blocking][..]);
    prop_oneof![
        8 => (by, len.clone(), how.clone()).prop_map(|(by, len, how)| Step::Send { by, len, how }),
        2 => (by, len.clone(), 0..9_usize).prop_map(|(by, len, count)| Step::SendMany { by, len, count }),
        4 => (by, len, how.clone()).prop_map(|(by, len, how)| Step::Reserve { by, len, how }),
        1 => (which, 0..60_usize).prop_map(|(which, by)| Step::Truncate { which, by }),
        3 => (which, how.clone()).prop_map(|(which, how)| Step::Commit { which, how }),
        1 => which.prop_map(|which| Step::DropLoan { which }),
        8 => (by, how).prop_map(|(by, how)| Step::Receive { by, how }),
        1 => by.prop_map(|by| Step::ReceiveInto { by }),
        1 => (by, 0..9_usize).prop_map(|(by, most)| Step::ReceiveMany { by, most }),
        1 => which.prop_map(|which| Step::Detach { which }),
        4 => which.prop_map(|which| Step::Drop { which }),
        3 => which.prop_map(|which| Step::Done { which }),
        1 => Just(Step::ReadLetter),
        1 => by.prop_map(|by| Step::Trim { by }),
    ]
}

/// Closing is in half of the sequences, somewhere: what comes after it is another life.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let close = prop::option::of((any::<prop::sample::Index>(), any::<usize>()));
    (prop::collection::vec(step(), 1..60), close).prop_map(|(mut steps, close)| {
        if let Some((at, by)) = close {
            steps.insert(at.index(steps.len()), Step::Close { by });
        }
        steps
    })
}

/// After so many deliveries the third handle drops a task, and the fourth puts it among the dead letters.
const LIMITS: (u8, u8) = (3, 2);
const LETTERS: usize = 2;

/// No more of them at once, so that there is memory for all where it is not tight.
const MOST_HELD: usize = 12;
const MOST_LOANS: usize = 6;

#[derive(Debug, Clone)]
struct Sent {
    content: Vec<u8>,
    id: u64,
    deliveries: u8,
}

struct World<'q, Q: Face> {
    handles: &'q [Q],
    letters: &'q Q::Letters,
    capacity: usize,
    /// `None` where there is always enough: how many messages of the usual size certainly find memory.
    chunks: Option<usize>,
    ring: VecDeque<Sent>,
    /// By id.
    returned: Vec<Sent>,
    /// With whether it is in a chunk.
    held: Vec<(Q::Held<'q>, Sent, bool)>,
    loans: Vec<(Loan<'q>, Vec<u8>)>,
    posted: VecDeque<Vec<u8>>,
    closed: bool,
    made: u64,
    sent: u64,
}

/// What a refusal is to be, in each form of a call.
#[derive(Debug, PartialEq)]
enum No {
    NotNow,
    Closed,
    TooLarge,
}

fn refusal(error: &SendError, how: How) -> No {
    match error {
        SendError::Full if how == How::Try => No::NotNow,
        SendError::Timeout if how != How::Try => No::NotNow,
        SendError::Closed => No::Closed,
        SendError::TooLarge { .. } => No::TooLarge,
        other => panic!("{other} for {how:?}"),
    }
}

fn nothing(error: &RecvError, how: How) -> No {
    match error {
        RecvError::Empty if how == How::Try => No::NotNow,
        RecvError::Timeout if how != How::Try => No::NotNow,
        RecvError::Closed => No::Closed,
        other => panic!("{other} for {how:?}"),
    }
}

impl<'q, Q: Face> World<'q, Q> {
    fn handle(&self, by: usize) -> usize {
        by % self.handles.len()
    }

    fn message(&mut self, len: usize) -> Vec<u8> {
        self.made += 1;
        let seed = self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let len = if Q::BYTES { len } else { VALUE };
        (0..len).map(|at| (seed >> (at % 8 * 8)) as u8 ^ (at / 8) as u8).collect()
    }

    fn is_full(&self) -> bool {
        self.ring.len() == self.capacity
    }

    fn in_chunk(len: usize) -> bool {
        Q::TASKS || Q::BYTES && len > 48
    }

    /// Whether a message of that length finds memory now: yes, never, or perhaps.
    fn memory(&self, len: usize) -> Option<bool> {
        let Some(chunks) = self.chunks else { return Some(true) };
        let in_ring = self.ring.iter().filter(|sent| Self::in_chunk(sent.content.len())).count();
        let held = self.held.iter().filter(|held| held.2).count();
        let used = in_ring + held + self.loans.len() + self.returned.len();
        match len {
            65_537.. => Some(false),
            257.. => None,
            _ => (used < chunks).then_some(true),
        }
    }

    fn came(&mut self, content: Vec<u8>) {
        self.ring.push_back(Sent { content, id: self.sent, deliveries: 0 });
        self.sent += 1;
    }

    /// Compares the outcome of a send with what it must be, and notes it. `memory` as for [`memory`](Self::memory).
    fn compare(&mut self, result: Result<(), SendError>, content: Vec<u8>, memory: Option<bool>, how: How) {
        let told = result.map_err(|error| refusal(&error, how));
        let expected = match () {
            () if memory == Some(false) => Err(No::TooLarge),
            () if self.closed => Err(No::Closed),
            () if self.is_full() => Err(No::NotNow),
            () => Ok(()),
        };
        if memory.is_none() && expected == Ok(()) && told == Err(No::NotNow) {
            return;
        }
        assert_eq!(told, expected, "{} bytes", content.len());
        if told.is_ok() {
            self.came(content);
        }
    }

    fn send(&mut self, by: usize, len: usize, how: How) {
        let content = self.message(len);
        let memory = if Self::in_chunk(content.len()) { self.memory(content.len()) } else { Some(true) };
        let waits = !self.closed && (self.is_full() || memory.is_none());
        let how = if how == How::Blocking && waits { How::Deadline } else { how };
        let result = self.handles[self.handle(by)].send(&content, how);
        self.compare(result, content, memory, how);
    }

    fn send_many(&mut self, by: usize, len: usize, count: usize) {
        let messages: Vec<_> = (0..count).map(|_| self.message(len)).collect();
        let (sent, error) = match self.handles[self.handle(by)].send_many(&messages) {
            Ok(()) => (count, None),
            Err(unsent) => (unsent.sent, Some(unsent.error)),
        };
        let mut error = error.map(|error| (error, sent));
        for (at, content) in messages.into_iter().enumerate().take(sent + 1) {
            let memory = if Self::in_chunk(content.len()) { self.memory(content.len()) } else { Some(true) };
            let result = error.take_if(|(_, sent)| *sent == at).map_or(Ok(()), |(error, _)| Err(error));
            self.compare(result, content, memory, How::Try);
        }
        assert!(error.is_none());
    }

    fn reserve(&mut self, by: usize, len: usize, how: How) {
        if self.loans.len() == MOST_LOANS {
            return;
        }
        let (memory, handles) = (self.memory(len), self.handles);
        let how = if how == How::Blocking && memory.is_none() { How::Try } else { how };
        match handles[self.handle(by)].reserve(len, how) {
            None => {}
            Some(Ok(mut loan)) => {
                assert!(memory != Some(false) && loan.len() == len);
                let content = self.message(len);
                loan.copy_from_slice(&content);
                self.loans.push((loan, content));
            }
            Some(Err(SendError::TooLarge { .. })) => assert_eq!(memory, Some(false)),
            Some(Err(SendError::Closed)) => assert!(self.closed && memory.is_none()),
            Some(Err(SendError::Full | SendError::Timeout)) => assert!(!self.closed && memory.is_none()),
            Some(Err(other)) => panic!("{other}"),
        }
    }

    fn commit(&mut self, which: usize, how: How) {
        let Some((loan, content)) = pick(&mut self.loans, which) else { return };
        assert_eq!(&*loan, content);
        if how == How::Blocking && (!self.is_full() || self.closed) {
            return self.compare(loan.commit(), content, Some(true), how);
        }
        match loan.commit_deadline(Deadline::NOW) {
            Ok(()) => self.compare(Ok(()), content, Some(true), How::Try),
            Err(kept) => {
                self.loans.push((kept.loan, content.clone()));
                self.compare(Err(kept.error), content, Some(true), How::Try);
            }
        }
    }

    /// What a receiver through that handle gets, after what it gives up on the way.
    fn next(&mut self, by: usize) -> Option<Sent> {
        loop {
            let next =
                if self.returned.is_empty() { self.ring.pop_front()? } else { self.returned.remove(0) };
            match self.handle(by) {
                2 if next.deliveries >= LIMITS.0 => {}
                3 if next.deliveries >= LIMITS.1 && self.posted.len() < LETTERS => {
                    self.posted.push_back(next.content);
                }
                _ => return Some(next),
            }
        }
    }

    fn receive(&mut self, by: usize, how: How) {
        if self.held.len() == MOST_HELD {
            return;
        }
        let (handles, expected) = (self.handles, self.next(by));
        let how = if how == How::Blocking && expected.is_none() && !self.closed { How::Timeout } else { how };
        match (handles[self.handle(by)].recv(how), expected) {
            (Ok(held), Some(sent)) => self.hold(held, sent, by),
            (Err(error), None) => {
                let expected = if self.closed { No::Closed } else { No::NotNow };
                assert_eq!(nothing(&error, how), expected);
            }
            (got, expected) => panic!("{:?} instead of {expected:?}", got.map(|held| Q::see(&held))),
        }
    }

    fn hold(&mut self, held: Q::Held<'q>, sent: Sent, by: usize) {
        same(&Q::see(&held), &sent);
        let trusts = self.handle(by) != 1;
        let in_chunk = Q::TASKS || trusts && Self::in_chunk(sent.content.len());
        self.held.push((held, sent, in_chunk));
    }

    fn receive_into(&mut self, by: usize) {
        let mut buffer = vec![1, 2, 3];
        let Some(result) = self.handles[self.handle(by)].recv_into(&mut buffer) else { return };
        match (result, self.ring.pop_front()) {
            (Ok(len), Some(sent)) => assert_eq!((len, buffer), (sent.content.len(), sent.content)),
            (Err(error), None) => {
                assert_eq!(nothing(&error, How::Try), if self.closed { No::Closed } else { No::NotNow });
                assert_eq!(buffer, [1, 2, 3]);
            }
            other => panic!("{other:?}"),
        }
    }

    fn receive_many(&mut self, by: usize, most: usize) {
        if self.held.len() + self.capacity > MOST_HELD {
            return;
        }
        let (mut received, handles) = (Vec::new(), self.handles);
        let Some(result) = handles[self.handle(by)].recv_many(&mut received, most) else { return };
        let expected = most.min(self.ring.len());
        match result {
            Ok(count) => assert_eq!((count, received.len()), (expected, expected)),
            Err(error) => {
                assert!(expected == 0 && most > 0 && received.is_empty());
                assert_eq!(nothing(&error, How::Try), if self.closed { No::Closed } else { No::NotNow });
            }
        }
        for held in received {
            let sent = self.ring.pop_front().unwrap();
            self.hold(held, sent, by);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { by, len, how } => self.send(by, len, how),
            Step::SendMany { by, len, count } => self.send_many(by, len, count),
            Step::Reserve { by, len, how } => self.reserve(by, len, how),
            Step::Truncate { which, by } => {
                if let Some((mut loan, mut content)) = pick(&mut self.loans, which) {
                    let len = content.len().saturating_sub(by);
                    loan.truncate(len);
                    loan.truncate(len + 1);
                    content.truncate(len);
                    self.loans.push((loan, content));
                }
            }
            Step::Commit { which, how } => self.commit(which, how),
            Step::DropLoan { which } => drop(pick(&mut self.loans, which)),
            Step::Receive { by, how } => self.receive(by, how),
            Step::ReceiveInto { by } => self.receive_into(by),
            Step::ReceiveMany { by, most } => self.receive_many(by, most),
            Step::Detach { which } => {
                if let Some((held, sent, in_chunk)) = pick(&mut self.held, which) {
                    self.held.push((Q::detach(held), sent, in_chunk));
                }
            }
            Step::Drop { which } => {
                let Some((held, mut sent, _)) = pick(&mut self.held, which) else { return };
                same(&Q::see(&held), &sent);
                drop(held);
                if Q::TASKS {
                    sent.deliveries += 1;
                    let at = self.returned.partition_point(|other| other.id < sent.id);
                    self.returned.insert(at, sent);
                }
            }
            Step::Done { which } => {
                let Some((held, sent, _)) = pick(&mut self.held, which) else { return };
                same(&Q::see(&held), &sent);
                Q::done(held);
            }
            Step::ReadLetter => assert_eq!(Q::next_letter(self.letters), self.posted.pop_front()),
            Step::Trim { by } => self.handles[self.handle(by)].trim(),
            Step::Close { by } => {
                assert_eq!(self.handles[self.handle(by)].close(), !self.closed);
                self.closed = true;
            }
        }
    }

    fn check(&self) {
        let len = self.ring.len() + self.returned.len();
        for queue in self.handles {
            let (capacity, found, is_empty, is_full, is_closed) = queue.look();
            assert_eq!((capacity, found, is_empty, is_closed), (self.capacity, len, len == 0, self.closed));
            // Nobody can say whether a closed queue has space; and every task needs memory, which may be tight.
            let lacks_memory = Q::TASKS && self.chunks.is_some() && is_full;
            assert!(is_full == self.is_full() || self.closed || lacks_memory);
            if let Some((unfinished, join)) = queue.unfinished() {
                assert_eq!(unfinished, len + self.held.len());
                assert_eq!(join.is_ok(), unfinished == 0);
                assert!(matches!(join, Ok(()) | Err(JoinError::Timeout)));
            }
        }
    }
}

fn same(seen: &Seen, sent: &Sent) {
    assert!(seen.content == sent.content, "message {}: {} bytes", sent.id, seen.content.len());
    assert_eq!((seen.id.unwrap_or(sent.id), seen.deliveries), (sent.id, sent.deliveries));
}

fn pick<T>(from: &mut Vec<T>, which: usize) -> Option<T> {
    if from.is_empty() { None } else { Some(from.swap_remove(which % from.len())) }
}

fn run<Q: Face>(capacity: usize, tight: bool, steps: Vec<Step>) {
    let (max_held, max_bytes) = if tight { (2, 0) } else { (MOST_HELD + MOST_LOANS + 1, 4 << 20) };
    let queue = Q::create(Shape { capacity, max_held, max_bytes });
    let letters = Q::letters(LETTERS);
    let (other, policies) = (queue.distrusting(), queue.policies(LIMITS, &letters));
    let handles: Vec<Q> = [queue, other].into_iter().chain(policies).collect();
    let mut world = World {
        handles: &handles,
        letters: &letters,
        capacity,
        chunks: tight.then_some(capacity + max_held),
        ring: VecDeque::new(),
        returned: vec![],
        held: vec![],
        loans: vec![],
        posted: VecDeque::new(),
        closed: false,
        made: 0,
        sent: 0,
    };
    for step in steps {
        world.step(step);
        world.check();
    }
}

/// Capacities that are and are not powers of two, with memory for everything or as little as can be.
fn places() -> impl Strategy<Value = (usize, bool)> {
    (prop::sample::select(&[1, 2, 3, 7][..]), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values((capacity, tight) in places(), steps in steps()) {
        run::<Queue<u64>>(capacity, tight, steps);
    }

    #[test]
    fn bytes((capacity, tight) in places(), steps in steps()) {
        run::<Queue<[u8]>>(capacity, tight, steps);
    }

    #[test]
    fn tasks_of_values((capacity, tight) in places(), steps in steps()) {
        run::<JoinableQueue<u64>>(capacity, tight, steps);
    }

    #[test]
    fn tasks_of_bytes((capacity, tight) in places(), steps in steps()) {
        run::<JoinableQueue<[u8]>>(capacity, tight, steps);
    }
}
