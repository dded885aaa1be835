//! A pipe for one direction without a name, and what its survivors must find.

use crate::process::{elsewhere, patience};
use crate::scenario::Death;
use process_tests::parcel;
use ringway::{Connection, Deadline, Pipe, RecvError, SendError, Wait, inspect};

/// Both ends, in the process of the survivor. Eight [`SHORT`] messages fill it.
pub(super) struct Line {
    pub(super) tx: Connection,
    pub(super) rx: Connection,
}

pub(super) const SIZE: usize = 4096;
/// With its header an eighth of the pipe.
pub(super) const SHORT: usize = SIZE / 8 - 8;
/// Travels in three pieces, which fit the pipe together.
pub(super) const LONG: usize = 2700;
/// Does not fit the pipe.
pub(super) const HUGE: usize = 6000;

/// Numbers that survivors send.
const SENTINEL: u64 = 1000;

pub(super) fn message(number: u64) -> Vec<u8> {
    parcel::make(number, SHORT)
}

pub(super) fn send(tx: &Connection, number: u64) {
    tx.send_timeout(&message(number), patience()).unwrap();
}

/// What an onlooker sees of the direction that `end` receives from.
pub(super) fn look(end: &Connection) -> inspect::Lane {
    match inspect::stat_fd(end.memory()).unwrap().detail {
        inspect::Detail::Pipe(pipe) => pipe.forth,
        other => panic!("no pipe: {other:?}"),
    }
}

/// The number of a message, which must be whole.
pub(super) fn check(message: &[u8]) -> u64 {
    assert!([SHORT, LONG, HUGE].contains(&message.len()), "a message of {} bytes", message.len());
    parcel::check(message).unwrap()
}

/// The number of the next message.
pub(super) fn recv(rx: &Connection) -> u64 {
    check(&rx.recv_timeout(patience()).unwrap())
}

/// Waits for the coarse clock to move, by which senders tell when to ask whether anybody is left to receive: what
/// comes at once behind this finds it where it is, and what came before does not.
pub(super) fn await_tick() {
    let before = tick();
    while tick() == before {}
}

fn tick() -> (i64, i64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec of ours for the call to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    (time.tv_sec, time.tv_nsec)
}

/// What comes before the stream ends, and how often it broke off.
pub(super) fn recv_to_end(rx: &Connection) -> (Vec<u64>, usize) {
    let (mut numbers, mut torn) = (Vec::new(), 0);
    loop {
        match rx.recv_timeout(patience()) {
            Ok(message) => numbers.push(check(&message)),
            Err(RecvError::Torn { .. }) => torn += 1,
            Err(RecvError::Closed) => return (numbers, torn),
            Err(error) => panic!("after {numbers:?}: {error}"),
        }
    }
}

/// What comes before the number `last`.
fn recv_until(rx: &Connection, last: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        match recv(rx) {
            number if number == last => return numbers,
            number => numbers.push(number),
        }
    }
}

impl Line {
    /// With places for two participants, so that the next one needs the place of the dead.
    pub(super) fn new() -> Self {
        Line::for_participants(2)
    }

    pub(super) fn for_participants(count: u16) -> Self {
        let options = Pipe::options().capacity(SIZE).participants(count).simplex(true).wait(Wait::Park);
        let (tx, rx) = options.pair().unwrap();
        Line { tx, rx }
    }

    /// With the messages from 0 on in it.
    pub(super) fn with(count: u64) -> Self {
        let line = Line::new();
        (0..count).for_each(|number| send(&line.tx, number));
        line
    }

    /// Nobody but the victim could send: all before `number` comes, that one or not, then the end. Of a message in
    /// pieces it may be told that it broke off, once.
    pub(super) fn survives_last_sender(self, number: u64, in_pieces: bool, death: Death) -> u64 {
        let Line { tx, rx } = self;
        drop(tx);
        let (numbers, torn) = recv_to_end(&rx);
        let came = came(&numbers, number, death);
        assert!(torn == 0 || in_pieces && torn == 1 && came == 0, "{torn} messages broke off");
        assert!(matches!(rx.recv_timeout(patience()), Err(RecvError::Closed)), "not closed for good");
        came
    }

    /// The victim, the last who could send, had sent all before `number` and left.
    pub(super) fn survives_closer(self, number: u64, death: Death) -> u64 {
        let Line { tx, rx } = self;
        drop(tx);
        let (numbers, torn) = recv_to_end(&rx);
        assert!(numbers.iter().copied().eq(0..number) && torn == 0, "lost or out of order: {numbers:?}");
        let closed = 1 - rx.peer_deaths();
        assert!(closed == 1 || !death.after, "it left in peace, and counts as dead");
        closed
    }

    /// We can send too, and take over what the victim held.
    pub(super) fn survives_sender(self, number: u64, death: Death) -> u64 {
        let numbers = self.rest();
        self.must_be_as_good_as_new();
        came(&numbers, number, death)
    }

    /// Another process can send too. It takes the victim's place among the participants, and cleans up there.
    pub(super) fn survives_sender_swept(self, number: u64, death: Death) -> u64 {
        let numbers = elsewhere(|| self.rest());
        self.must_be_as_good_as_new();
        came(&numbers, number, death)
    }

    /// The victim received `number`, the first of those sent before `end`. We can receive too.
    pub(super) fn survives_receiver(self, number: u64, end: u64, death: Death) -> u64 {
        let numbers = self.rest();
        self.must_be_as_good_as_new();
        gone(&numbers, number, end, death)
    }

    /// The same, if another process can receive.
    pub(super) fn survives_receiver_swept(self, number: u64, end: u64, death: Death) -> u64 {
        let numbers = elsewhere(|| self.rest());
        self.must_be_as_good_as_new();
        gone(&numbers, number, end, death)
    }

    /// All that comes, up to a message of our own that goes in behind it.
    pub(super) fn rest(&self) -> Vec<u64> {
        let (text, deadline) = (message(SENTINEL), Deadline::after(patience()));
        let mut numbers = Vec::new();
        // It may be full, also of pieces of a message that broke off.
        while let Err(error) = self.tx.try_send(&text) {
            assert!(matches!(error, SendError::Full), "{error}");
            match self.rx.try_recv() {
                Ok(message) => numbers.push(check(&message)),
                Err(RecvError::Empty) => assert!(!deadline.has_passed(), "it stays full"),
                Err(error) => panic!("{error}"),
            }
        }
        numbers.extend(recv_until(&self.rx, SENTINEL));
        numbers
    }

    /// Nobody but the victim could receive.
    pub(super) fn survives_last_receiver(self, _: Death) -> u64 {
        let Line { tx, rx } = self;
        drop(rx);
        let text = message(0);
        for _ in 0..=SIZE / SHORT {
            match tx.send_timeout(&text, patience()) {
                Ok(()) => {}
                Err(SendError::Closed) => return 0,
                Err(error) => panic!("not closed: {error}"),
            }
        }
        panic!("messages are sent to nobody");
    }

    /// It is empty, takes as much as a new one, and another process can use both ends.
    pub(super) fn must_be_as_good_as_new(&self) {
        self.is_as_large_as_ever();
        elsewhere(|| {
            send(&self.tx, SENTINEL + 1);
            assert_eq!(recv(&self.rx), SENTINEL + 1);
            Vec::new()
        });
        assert!(matches!(self.rx.try_recv(), Err(RecvError::Empty)), "it is not empty");
    }

    /// It is empty, and takes as much as a new one.
    pub(super) fn is_as_large_as_ever(&self) {
        let mut sent = 0;
        while self.tx.try_send(&message(sent)).is_ok() {
            sent += 1;
        }
        assert_eq!(sent as usize, SIZE / (SHORT + 8), "not all of the pipe can be used");
        (0..sent).for_each(|number| assert_eq!(recv(&self.rx), number));
    }
}

/// Whether `number` came behind all before it.
fn came(numbers: &[u64], number: u64, death: Death) -> u64 {
    let before = number as usize;
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "lost or out of order: {numbers:?}");
    assert!((before..=before + 1).contains(&numbers.len()), "lost or out of order: {numbers:?}");
    let came = numbers.len() - before;
    assert!(came == 1 || !death.after, "the message is lost though the call had returned");
    came as u64
}

/// Whether `number` is gone, and only that one.
fn gone(numbers: &[u64], number: u64, end: u64, death: Death) -> u64 {
    let gone = numbers.first() != Some(&number);
    let rest = number + u64::from(gone)..end;
    assert!(numbers.iter().copied().eq(rest), "lost or out of order: {numbers:?}");
    assert!(gone || !death.after, "the message comes again though the call had returned");
    u64::from(gone)
}
