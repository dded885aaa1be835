//! A holder of the pipe that writes nonsense all over it: each call of the others ends with a value or an error.

use process_tests::test;
use ringway::{Connection, End, Error, Options, Pipe, RecvError, SendError, Wait};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const SOON: Duration = Duration::from_micros(50);
const ROWS_AT: u64 = 4096;

/// The parts of the segment, by its own header: where each begins and how long it is.
fn parts(path: &str) -> [(u64, u64); 3] {
    let file = File::open(path).unwrap();
    let word = |at| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    };
    let (body_at, body_len, data_at, data_len, areas) = (word(56), word(64), word(72), word(80), word(88));
    assert!(ROWS_AT < body_at && body_at + body_len <= data_at && data_len == 4096 && areas == 2);
    [(ROWS_AT, 64 * 4), (body_at, body_len & !7), (data_at, data_len * areas)]
}

/// What of the segment is attacked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Rows,
    /// The indices of one direction's ring.
    Indices,
    /// The words at which its receivers and senders sleep.
    Eventcounts,
    /// The word behind the descriptor that tells of readiness.
    Bell,
    /// Its locks, and the numbers of messages in pieces.
    SendLock,
    PieceIds,
    ReceiveLock,
    /// Who came to the ends and who left.
    Ends,
    Records,
    All,
}

impl Target {
    fn range(self, path: &str) -> (u64, u64) {
        let [rows, body, data] = parts(path);
        assert_eq!(body.1, 2 * LANE + 2 * 128, "the layout has changed: so must this table");
        let inside = |from, len| (body.0 + from, len);
        match self {
            Target::Rows => rows,
            Target::Indices => inside(0, 256),
            Target::Eventcounts => inside(256, 128 + 128 + 128),
            Target::Bell => inside(384, 8),
            Target::SendLock => inside(640, 32),
            Target::PieceIds => inside(640 + 32, 16),
            Target::ReceiveLock => inside(768, 32),
            Target::Ends => inside(2 * LANE, 256),
            Target::Records => data,
            Target::All => (ROWS_AT, data.0 + data.1 - ROWS_AT),
        }
    }

    /// Whether nonsense there is noticed, and stays: the others only mislead, and are written anew by honest use.
    fn is_for_good(self) -> bool {
        !matches!(self, Target::Rows | Target::Eventcounts | Target::Bell | Target::PieceIds | Target::Ends)
    }
}

const LANE: u64 = 896;

fn options(wait: Wait) -> Options<Connection> {
    Pipe::options().capacity(4096).participants(4).trusted(false).max_message(1 << 20).wait(wait)
}

#[derive(Debug, Default)]
struct Outcomes {
    done: u64,
    refused: u64,
    corrupt: u64,
}

impl Outcomes {
    fn sent<T>(&mut self, result: Result<T, SendError>) {
        match result {
            Ok(_) => self.done += 1,
            Err(SendError::Corrupt(_)) => self.corrupt += 1,
            Err(SendError::Full | SendError::Timeout | SendError::Closed | SendError::Attach(_)) => {
                self.refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn received<T>(&mut self, result: Result<T, RecvError>) {
        match result {
            Ok(_) => self.done += 1,
            Err(RecvError::Corrupt(_)) => self.corrupt += 1,
            Err(RecvError::NotReadable | RecvError::Forked) => panic!("what it never was"),
            Err(_) => self.refused += 1,
        }
    }
}

/// Every call that has a deadline, or needs none.
fn exercise(pipe: &Connection, outcomes: &mut Outcomes) {
    // From here on each receive that empties the lane deals with the bell.
    let _ = pipe.readiness();
    outcomes.sent(pipe.try_send(b"12345"));
    outcomes.sent(pipe.send_timeout(&[1; 1000], SOON));
    outcomes.sent(pipe.send_timeout(&[2; 9000], SOON)); // in pieces
    match pipe.reserve_deadline(500, SOON.into()) {
        Ok(mut loan) => {
            assert_eq!(loan.len(), 500);
            loan.fill(3);
            loan.commit_len(400);
            outcomes.done += 1;
        }
        Err(error) => outcomes.sent::<()>(Err(error)),
    }
    outcomes.received(pipe.try_recv());
    outcomes.received(pipe.recv_timeout(SOON));
    outcomes.received(pipe.recv_ref_deadline(SOON.into()).map(|message| {
        message.iter().map(|byte| u64::from(*byte)).sum::<u64>() // reads all of it
    }));
    outcomes.received(pipe.recv_into(&mut Vec::new(), SOON.into()));
    let _ = (pipe.poll(SOON), pipe.received_before(), pipe.peer_deaths(), format!("{pipe:?}"));
}

fn survive(name: &'static str, target: Target, wait: Wait) {
    let test = process_tests::support::Test::new(name, env!("CARGO_BIN_EXE_peer"));
    let mut outcomes = Outcomes::default();
    for seed in 0..SEEDS {
        let path = test.path("pipe");
        let mut a = options(wait).create(&path).unwrap();
        let mut z = options(wait).end(End::Second).open(&path).unwrap();
        let (from, len) = target.range(&path);
        let [_, (body_at, body_len), _] = parts(&path);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut honest = vec![0; body_len as usize];
        file.read_exact_at(&mut honest, body_at).unwrap();
        let mut scribbler = test.start(&format!("scribble {path} {from} {len} {seed}"));
        scribbler.expect("scribbling");
        for round in 0..ROUNDS {
            if target.is_for_good() {
                // Begin anew: else the first nonsense would be all there ever is to see.
                file.write_all_at(&honest, body_at).unwrap();
                if let (Ok(first), Ok(second)) =
                    (options(wait).open(&path), options(wait).end(End::Second).open(&path))
                {
                    (a, z) = (first, second);
                }
            }
            std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    let mut outcomes = Outcomes::default();
                    exercise(&z, &mut outcomes);
                    outcomes
                });
                exercise(&a, &mut outcomes);
                // Two threads at one end: the lock between them is nonsense as well.
                exercise(&z, &mut outcomes);
                let other = other.join().unwrap();
                outcomes.done += other.done;
                outcomes.refused += other.refused;
                outcomes.corrupt += other.corrupt;
            });
            if round % 10 == 9 {
                // Others come and go.
                for end in [End::First, End::Second] {
                    let again: Result<Connection, Error> = options(wait).end(end).open(&path);
                    if let Ok(again) = again {
                        exercise(&again, &mut outcomes);
                        if end == End::First { a = again } else { z = again }
                    }
                }
            }
        }
        scribbler.kill();
        scribbler.was_killed();
    }
    assert!(outcomes.done + outcomes.refused + outcomes.corrupt >= SEEDS * ROUNDS * 3 * 8);
    assert!(outcomes.done > 100, "nothing works any more: {outcomes:?}");
    assert_eq!(outcomes.corrupt > 0, target.is_for_good(), "{outcomes:?}");
    eprintln!("{name}: {outcomes:?}");
}

const SEEDS: u64 = 4;
const ROUNDS: u64 = 80;

#[test]
fn nonsense_in_the_rows() {
    survive("hostile-rows", Target::Rows, Wait::Adaptive);
}

#[test]
fn nonsense_in_the_indices() {
    survive("hostile-indices", Target::Indices, Wait::Park);
}

#[test]
fn nonsense_in_the_indices_while_spinning() {
    survive("hostile-indices-spin", Target::Indices, Wait::Spin);
}

#[test]
fn nonsense_in_the_eventcounts() {
    survive("hostile-eventcounts", Target::Eventcounts, Wait::Park);
}

#[test]
fn nonsense_in_the_bell() {
    survive("hostile-bell", Target::Bell, Wait::Adaptive);
}

#[test]
fn nonsense_in_the_send_lock() {
    survive("hostile-send-lock", Target::SendLock, Wait::Park);
}

#[test]
fn nonsense_in_the_numbers_of_pieces() {
    survive("hostile-pieces", Target::PieceIds, Wait::Adaptive);
}

#[test]
fn nonsense_in_the_receive_lock() {
    survive("hostile-receive-lock", Target::ReceiveLock, Wait::Adaptive);
}

#[test]
fn nonsense_in_the_comings_and_goings() {
    survive("hostile-ends", Target::Ends, Wait::Park);
}

#[test]
fn nonsense_in_the_records() {
    survive("hostile-records", Target::Records, Wait::Adaptive);
}

#[test]
fn nonsense_everywhere() {
    survive("hostile-all", Target::All, Wait::Park);
}

/// A sender that sends nothing but pieces of what nobody has seen the beginning of keeps no call beyond its
/// deadline, and is not taken for silence either.
#[test]
fn a_stream_of_pieces_of_nothing_ends_at_the_deadline() {
    let test = test!("pieces");
    let path = test.path("pipe");
    let a = options(Wait::Park).create(&path).unwrap();
    let [_, (body_at, _), (data_at, _)] = parts(&path);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    // All of the first lane's ring: records of eight bytes, each a last piece of message 5.
    let records = (0..512_u64).flat_map(|_| (5_u64 << 32 | 1 << 57).to_le_bytes()).collect::<Vec<u8>>();
    file.write_all_at(&records, data_at).unwrap();
    let z = options(Wait::Park).end(End::Second).open(&path).unwrap();
    let stop = std::sync::Mutex::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The tail stays in front of the head, whatever the receiver takes.
            while !*stop.lock().unwrap() {
                let mut head = [0; 8];
                file.read_exact_at(&mut head, body_at + 128).unwrap();
                let tail = u64::from_le_bytes(head) + 2048;
                file.write_all_at(&tail.to_le_bytes(), body_at).unwrap();
            }
        });
        let (mut calls, mut timeouts) = (0, 0);
        // On one busy processor the receiver may be through with what there is long before the sender runs again.
        while calls < 200 || timeouts == 0 || z.received_before() <= 1 << 16 {
            calls += 1;
            match z.recv_timeout(Duration::from_millis(2)) {
                Err(RecvError::Timeout) => timeouts += 1,
                Err(RecvError::Corrupt(_)) => {} // the tail may jump back over what was taken meanwhile
                other => panic!("{other:?}"),
            }
            assert!(matches!(z.try_recv(), Err(RecvError::Empty | RecvError::Corrupt(_))));
        }
        *stop.lock().unwrap() = true;
    });
    drop(a);
}
