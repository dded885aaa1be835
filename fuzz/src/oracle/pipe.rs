//! The pipe and its queues, one for each direction: of records rather than messages, because a message in pieces that
//! its sender gave up takes space until somebody has received past it.

use super::{footprint, message};
use crate::raw::{Raw, held_lock, pipe};
use arbitrary::Arbitrary;
use ringway::{Connection, Deadline, End, Error, Pipe, RecvError, SendError};
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};

const SIZE: usize = 4096;
/// The longest message in one piece, and the longest piece of a longer one.
const WHOLE_MAX: usize = SIZE / 2;
const PIECE_MAX: usize = SIZE / 4 - 8;
/// The length of the whole in front of the first piece.
const PREFIX: usize = 8;

/// One of the connections, if it is open: two for each end.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Who {
    second_end: bool,
    other_handle: bool,
}

/// A call, or what happens to a connection.
#[derive(Arbitrary, Debug)]
pub enum Step {
    Send(Who, u16),
    TrySend(Who, u16),
    Loan {
        who: Who,
        reserved: u16,
        used: u16,
        commit: bool,
    },
    Receive(Who, Way),
    Poll(Who),
    /// From here on `who` watches its descriptor.
    Watch(Who),
    Open(Who),
    Close(Who),
    /// The process that is about to send to this end is killed.
    DieSending(Who),
    /// The process that is about to receive at this end is killed.
    DieReceiving(Who),
}

/// How to receive.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Way {
    Try,
    Into,
    Ref,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Whole,
    First,
    Middle,
    Last,
    Abort,
}

/// What stands in the ring.
#[derive(Debug)]
struct Record {
    part: Part,
    id: u64,
    payload: Vec<u8>,
    /// What it takes of the ring.
    taken: usize,
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    records: VecDeque<Record>,
    used: usize,
    place: usize,
    /// The message in pieces that nobody has ended yet.
    open: Option<u64>,
    sent: u64,
}

#[derive(Debug, PartialEq)]
enum Sent {
    Yes,
    NoSpace,
    Closed,
}

#[derive(Debug, PartialEq)]
enum Received {
    Message(Vec<u8>),
    Nothing,
    Closed,
    Torn(u64),
}

impl Lane {
    fn push(&mut self, part: Part, id: u64, payload: &[u8]) -> bool {
        let prefix = if part == Part::First { PREFIX } else { 0 };
        let taken = footprint(prefix + payload.len());
        if self.used + taken > SIZE {
            return false;
        }
        self.records.push_back(Record { part, id, payload: payload.to_vec(), taken });
        (self.used, self.place) = (self.used + taken, (self.place + taken) % SIZE);
        true
    }

    fn pop(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.used -= record.taken;
        Some(record)
    }

    /// Ends what somebody left unfinished.
    fn prepare(&mut self) -> bool {
        if let Some(id) = self.open
            && self.push(Part::Abort, id, &[])
        {
            self.open = None;
        }
        self.open.is_none()
    }

    fn send(&mut self, message: &[u8], receivers_are_gone: bool) -> Sent {
        if receivers_are_gone {
            return Sent::Closed;
        }
        if !self.prepare() {
            return Sent::NoSpace;
        }
        self.sent += 1;
        let id = self.sent;
        if message.len() <= WHOLE_MAX {
            return if self.push(Part::Whole, id, message) { Sent::Yes } else { Sent::NoSpace };
        }
        self.open = Some(id);
        let (first, rest) = message.split_at(PIECE_MAX - PREFIX);
        let last = rest.len().div_ceil(PIECE_MAX) - 1;
        let mut rest = rest.chunks(PIECE_MAX).enumerate();
        let part = |at| if at == last { Part::Last } else { Part::Middle };
        let complete =
            self.push(Part::First, id, first) && rest.all(|(at, piece)| self.push(part(at), id, piece));
        if complete {
            self.open = None;
            return Sent::Yes;
        }
        self.prepare();
        Sent::NoSpace
    }

    fn receive(&mut self, senders_are_gone: bool) -> Received {
        let mut partial: Option<(u64, Vec<u8>)> = None;
        loop {
            if self.records.front().is_some_and(|record| record.part == Part::Whole) {
                return self.pop().map_or(Received::Nothing, |record| Received::Message(record.payload));
            }
            let Some(record) = self.pop() else {
                // What has come so far goes on no more: its sender gave up.
                return match partial {
                    Some((_, bytes)) if senders_are_gone => Received::Torn(bytes.len() as u64),
                    _ if senders_are_gone => Received::Closed,
                    _ => Received::Nothing,
                };
            };
            let current = partial.as_ref().is_some_and(|(id, _)| *id == record.id);
            match (record.part, &mut partial) {
                (Part::First, _) => partial = Some((record.id, record.payload)),
                (Part::Middle | Part::Last, Some((_, bytes))) if current => {
                    bytes.extend(record.payload);
                    if record.part == Part::Last {
                        return partial.map_or(Received::Nothing, |(_, bytes)| Received::Message(bytes));
                    }
                }
                (Part::Abort, _) if current => partial = None,
                _ => {}
            }
        }
    }
}

/// A connection, and the descriptor that it watches.
struct Handle {
    connection: Connection,
    watched: Option<RawFd>,
}

/// A named pipe, its connections as far as they are there, and what must be in it.
pub struct World {
    name: String,
    raw: Raw,
    trusted: bool,
    handles: [[Option<Handle>; 2]; 2],
    /// Whether anybody ever had these ends.
    had: [bool; 2],
    /// By the end that sends.
    lanes: [Lane; 2],
    sent: u64,
}

impl World {
    /// A pipe whose handles lend out what lies in it if they are `trusted`, and copies if not.
    pub fn new(trusted: bool) -> Self {
        let name = crate::place::name(if trusted { "pipe-trusted" } else { "pipe" });
        let (raw, handle) = World::make(&name, trusted);
        World {
            name,
            raw,
            trusted,
            handles: [[Some(handle), None], [None, None]],
            had: [true, false],
            lanes: Default::default(),
            sent: 0,
        }
    }

    fn make(name: &str, trusted: bool) -> (Raw, Handle) {
        let options = Pipe::options().capacity(SIZE).participants(4).trusted(trusted);
        let connection = options.create(name).expect("cannot make a pipe");
        (Raw::map(connection.memory(), pipe::LEN), Handle { connection, watched: None })
    }

    /// Begins with a connection at each end, or `fresh`, with only the first of a new pipe.
    pub fn run(&mut self, fresh: bool, steps: &[Step]) {
        if fresh {
            self.handles = Default::default();
            ringway::unlink(&self.name).unwrap();
            let (raw, handle) = World::make(&self.name, self.trusted);
            (self.raw, self.handles[0][0]) = (raw, Some(handle));
            self.had = [true, false];
            self.lanes = Default::default();
        } else {
            self.make_whole();
        }
        for step in steps {
            self.take(step);
            self.look_at_descriptors();
        }
    }

    /// One connection at each end, nothing in the rings, and their next records at the beginning.
    fn make_whole(&mut self) {
        for second_end in [false, true] {
            self.take(&Step::Close(Who { second_end, other_handle: true }));
            let who = Who { second_end, other_handle: false };
            if self.handle(who).is_none_or(|handle| handle.watched.is_some()) {
                self.take(&Step::Close(who));
                self.take(&Step::Open(who));
            }
        }
        for second_end in [false, true] {
            let sender = Who { second_end, other_handle: false };
            let receiver = Who { second_end: !second_end, other_handle: false };
            let lane = usize::from(second_end);
            while !self.lanes[lane].records.is_empty()
                || self.lanes[lane].place != 0
                || self.lanes[lane].open.is_some()
            {
                if self.lanes[lane].records.is_empty() {
                    let rest = SIZE - self.lanes[lane].place;
                    let whole = if self.lanes[lane].open.is_some() { 0 } else { (rest - 8).min(WHOLE_MAX) };
                    self.take(&Step::Send(sender, whole as u16));
                }
                self.take(&Step::Receive(receiver, Way::Into));
            }
        }
        self.sent = 0;
    }

    fn handle(&self, who: Who) -> Option<&Handle> {
        self.handles[usize::from(who.second_end)][usize::from(who.other_handle)].as_ref()
    }

    /// Whether somebody was at this end and nobody is.
    fn is_over(&self, end: usize) -> bool {
        self.had[end] && self.handles[end].iter().all(Option::is_none)
    }

    /// There may be a byte too many in a descriptor, but never one too few.
    fn look_at_descriptors(&self) {
        for end in [0, 1] {
            let sender = 1 - end;
            if self.lanes[sender].records.is_empty() && !self.is_over(sender) {
                continue;
            }
            for fd in self.handles[end].iter().flatten().filter_map(|handle| handle.watched) {
                assert!(is_readable(fd), "nobody was told: {:?}", self.lanes[sender]);
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Send(who, _) | Step::TrySend(who, _) | Step::Loan { who, .. } => self.send(*who, step),
            Step::Receive(who, way) => self.receive(*who, *way),
            Step::Poll(who) => {
                let sender = usize::from(!who.second_end);
                let expected = !self.lanes[sender].records.is_empty() || self.is_over(sender);
                if let Some(handle) = self.handle(*who) {
                    let timeout = std::time::Duration::ZERO;
                    assert_eq!(handle.connection.poll(timeout).unwrap(), expected);
                }
            }
            Step::Watch(who) => {
                let place = &mut self.handles[usize::from(who.second_end)][usize::from(who.other_handle)];
                if let Some(handle) = place {
                    handle.watched = Some(handle.connection.readiness().unwrap().as_raw_fd());
                }
            }
            Step::Open(who) => self.open(*who),
            Step::Close(who) => {
                self.handles[usize::from(who.second_end)][usize::from(who.other_handle)] = None;
            }
            Step::DieSending(who) => self.die_with(usize::from(who.second_end), pipe::SEND_LOCK),
            Step::DieReceiving(who) => self.die_with(usize::from(!who.second_end), pipe::RECV_LOCK),
        }
    }

    /// A participant dies as soon as it has this lock.
    fn die_with(&self, lane: usize, lock: usize) {
        self.raw.set(self.raw.body + lane * pipe::LANE + lock, held_lock(super::DEAD));
    }

    fn open(&mut self, who: Who) {
        let end = usize::from(who.second_end);
        let place = &mut self.handles[end][usize::from(who.other_handle)];
        if place.is_none() {
            let end = if who.second_end { End::Second } else { End::First };
            let opened: Result<Connection, Error> =
                Pipe::options().trusted(self.trusted).end(end).open(&self.name);
            *place = Some(Handle { connection: opened.unwrap(), watched: None });
            self.had[usize::from(who.second_end)] = true;
        }
    }

    fn send(&mut self, who: Who, step: &Step) {
        let end = usize::from(who.second_end);
        let gone = self.is_over(1 - end);
        let Some(Handle { connection, .. }) = &self.handles[end][usize::from(who.other_handle)] else {
            return;
        };
        let lane = &mut self.lanes[end];
        self.sent += 1;
        let said = |result: Result<(), SendError>, len: usize| match result {
            Ok(()) => Some(Sent::Yes),
            Err(SendError::Closed) => Some(Sent::Closed),
            Err(SendError::Timeout | SendError::Full) => Some(Sent::NoSpace),
            Err(SendError::TooLarge { max, .. }) => {
                assert!(len > WHOLE_MAX && max == WHOLE_MAX as u64);
                None
            }
            Err(other) => panic!("{other:?}"),
        };
        match step {
            Step::Send(_, len) => {
                let message = message(self.sent, (*len).into());
                let found = said(connection.send_deadline(&message, Deadline::NOW), 0);
                assert_eq!(found, Some(lane.send(&message, gone)));
            }
            Step::TrySend(_, len) => {
                let message = message(self.sent, (*len).into());
                if let Some(found) = said(connection.try_send(&message), message.len()) {
                    assert_eq!(found, lane.send(&message, gone));
                }
            }
            Step::Loan { reserved, used, commit, .. } => {
                let reserved = usize::from(*reserved);
                match connection.reserve_deadline(reserved, Deadline::NOW) {
                    Ok(mut loan) => {
                        assert!(!gone && lane.prepare() && lane.used + footprint(reserved) <= SIZE);
                        assert_eq!(loan.len(), reserved);
                        // Nobody else sends meanwhile.
                        assert!(matches!(connection.try_send(b""), Err(SendError::Full)));
                        let message = message(self.sent, reserved.min((*used).into()));
                        loan[..message.len()].copy_from_slice(&message);
                        if *commit {
                            loan.commit_len((*used).into());
                            lane.sent += 1;
                            assert!(lane.push(Part::Whole, lane.sent, &message));
                        }
                    }
                    Err(error) => match said(Err(error), reserved) {
                        Some(Sent::Closed) => assert!(gone),
                        Some(_) => {
                            let ended = !gone && lane.prepare();
                            assert!(!gone && (!ended || lane.used + footprint(reserved) > SIZE));
                        }
                        None => {}
                    },
                }
            }
            _ => {}
        }
    }

    fn receive(&mut self, who: Who, way: Way) {
        let (end, sender) = (usize::from(who.second_end), usize::from(!who.second_end));
        let gone = self.is_over(sender);
        let Some(Handle { connection, .. }) = &self.handles[end][usize::from(who.other_handle)] else {
            return;
        };
        let lane = &mut self.lanes[sender];
        let whole = lane.records.front().is_some_and(|record| record.part == Part::Whole);
        let result = match way {
            Way::Try => connection.try_recv(),
            Way::Into => {
                let mut buffer = vec![7; 300];
                let result = connection.recv_into(&mut buffer, Deadline::NOW);
                match &result {
                    Ok(len) => assert_eq!(*len, buffer.len()),
                    Err(_) => assert_eq!(buffer, [7; 300]),
                }
                result.map(|_| buffer)
            }
            Way::Ref => connection.recv_ref_deadline(Deadline::NOW).map(|message| {
                if whole && self.trusted {
                    // Nobody else receives while it is lent out.
                    assert!(matches!(connection.try_recv(), Err(RecvError::Empty)));
                }
                message.to_vec()
            }),
        };
        let found = match result {
            Ok(message) => Received::Message(message),
            Err(RecvError::Empty | RecvError::Timeout) => Received::Nothing,
            Err(RecvError::Closed) => Received::Closed,
            Err(RecvError::Torn { received }) => Received::Torn(received),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(found, lane.receive(gone));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = ringway::unlink(&self.name);
    }
}

fn is_readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor to look at, and a place for the answer.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}
