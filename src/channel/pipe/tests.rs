//! Wake-ups: nobody here wakes by himself, so one that is lost hangs the test, and the watchdog ends it.

use super::receive::ReceiveState;
use super::send::SendState;
use super::{Connection, Pipe};
use crate::channel::{RecvError, SendError};
use crate::lock::State;
use crate::sync::Exclusive;
use crate::sys::socket::{self, Heard};
use crate::wait::{Deadline, Wait, Waiter};
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// Ends the process if it is not dropped in time.
struct Watchdog(#[expect(dead_code, reason = "its drop is what counts")] mpsc::Sender<()>);

impl Watchdog {
    fn new(name: &'static str) -> Self {
        let (alive, end) = mpsc::channel();
        thread::spawn(move || {
            if end.recv_timeout(Duration::from_secs(120)) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs: a wake-up was lost");
                std::process::abort();
            }
        });
        Watchdog(alive)
    }
}

/// Makes a connection sleep until it is woken, however long that takes.
fn unsliced(mut connection: Connection) -> Connection {
    let waiter = Waiter::unsliced(Wait::Park);
    connection.waiter = waiter;
    connection.sender = Exclusive::new(connection.generation(), SendState::new(waiter));
    connection.receiver = Exclusive::new(connection.generation(), ReceiveState::new(waiter));
    connection
}

fn pair(capacity: usize) -> (Connection, Connection) {
    let (a, z) = Pipe::options().capacity(capacity).pair().unwrap();
    (unsliced(a), unsliced(z))
}

/// One more connection of this process to the same end.
fn again(connection: &Connection) -> Connection {
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
    unsliced(Pipe::from_fds(own(connection.memory()), own(connection.socket().unwrap())).unwrap())
}

fn sleeps_for_space(connection: &Connection) -> u64 {
    connection.outgoing().unwrap().0.space.counts().1
}

fn sleeps_for_items(connection: &Connection) -> u64 {
    connection.incoming().unwrap().0.items.counts().1
}

#[test]
fn space_too_little_for_one_wakes_another() {
    let _watchdog = Watchdog::new("space_too_little_for_one_wakes_another");
    let (a, z) = pair(4096);
    while a.try_send(&[0; 120]).is_ok() {}
    thread::scope(|scope| {
        let large = scope.spawn(|| a.send(&[1; 2000]));
        while sleeps_for_space(&a) < 1 {
            thread::yield_now();
        }
        let small = scope.spawn(|| a.send(&[2; 50]));
        while sleeps_for_space(&a) < 2 {
            thread::yield_now();
        }
        // Who came first cannot use it; who came second can.
        assert_eq!(z.recv().unwrap(), [0; 120]);
        small.join().unwrap().unwrap();
        assert!(!large.is_finished());
        while z.recv().unwrap() != [1; 2000] {}
        large.join().unwrap().unwrap();
    });
}

#[test]
fn a_sender_that_gives_up_without_space_to_say_so_wakes_the_receiver() {
    let _watchdog = Watchdog::new("a_sender_that_gives_up");
    let (a, z) = pair(4096);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| z.recv().unwrap());
        // The race is narrow: the deadline passes with the ring full, and the receiver empties it at once.
        let sent =
            (0..2000).any(|round| match a.send_timeout(&[1; 30_000], Duration::from_micros(round % 40)) {
                Ok(()) => true,
                Err(SendError::Timeout) => false,
                Err(other) => panic!("{other}"),
            });
        if !sent {
            a.send(&[1; 30_000]).unwrap();
        }
        assert_eq!(receiver.join().unwrap().len(), 30_000);
    });
}

#[test]
fn a_departure_wakes_all() {
    let _watchdog = Watchdog::new("a_departure_wakes_all");
    let (a, z) = pair(4096);
    while z.try_send(&[0; 120]).is_ok() {}
    thread::scope(|scope| {
        let receivers = [(); 3].map(|()| scope.spawn(|| z.recv()));
        let senders = [(); 3].map(|()| scope.spawn(|| z.send(&[0; 120])));
        while sleeps_for_items(&z) < 3 || sleeps_for_space(&z) < 3 {
            thread::yield_now();
        }
        drop(a);
        for receiver in receivers {
            assert!(matches!(receiver.join().unwrap(), Err(RecvError::Closed)));
        }
        for sender in senders {
            assert!(matches!(sender.join().unwrap(), Err(SendError::Closed)));
        }
    });
}

#[test]
fn who_was_woken_and_takes_nothing_wakes_another() {
    let _watchdog = Watchdog::new("who_was_woken_and_takes_nothing");
    let (a, z) = pair(4096);
    thread::scope(|scope| {
        let poller = scope.spawn(|| z.poll(Duration::MAX));
        while sleeps_for_items(&z) < 1 {
            thread::yield_now();
        }
        let receiver = scope.spawn(|| z.recv());
        while sleeps_for_items(&z) < 2 {
            thread::yield_now();
        }
        a.send(b"once").unwrap();
        assert!(poller.join().unwrap().unwrap());
        assert_eq!(receiver.join().unwrap().unwrap(), b"once");
    });
}

#[test]
fn a_message_given_up_keeps_nobody_its_place() {
    let (a, z) = pair(4096);
    // Four pieces fill the ring to the last byte.
    assert!(matches!(a.send_deadline(&[1; 100_000], Deadline::NOW), Err(SendError::Timeout)));
    assert!(matches!(a.try_send(b""), Err(SendError::Full)), "there is no space to say it is given up");
    assert!(matches!(z.try_recv(), Err(RecvError::Empty)));
    let gate = &z.incoming().unwrap().0.recv_lock;
    assert_eq!(gate.word().read().state(), Some(State::Free));
    a.send(b"next").unwrap();
    assert_eq!(z.recv().unwrap(), b"next");
}

/// Which other connection of the process is in mid-message is not for the others to find out by taking its lock.
#[test]
fn connections_of_one_process_leave_a_parked_lock_alone() {
    let _watchdog = Watchdog::new("connections_of_one_process");
    let (a, z) = pair(4096);
    let (second, third) = (again(&z), again(&z));
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            a.send(&[1; 50_000]).unwrap();
            a.send(b"second").unwrap();
            a.send(b"third").unwrap();
        });
        while z.received_before() == 0 {
            assert!(matches!(z.try_recv(), Err(RecvError::Empty)));
        }
        let gate = &z.incoming().unwrap().0.recv_lock;
        let before = gate.waiting().counts().1;
        let word = gate.word().read();
        let others = [&second, &third].map(|other| scope.spawn(|| other.recv().unwrap()));
        while gate.waiting().counts().1 < before + 2 {
            thread::yield_now();
        }
        assert_eq!(gate.word().read(), word, "nobody took it, not even for a moment");
        assert_eq!(z.recv().unwrap(), [1; 50_000]);
        let mut rest = others.map(|other| other.join().unwrap());
        rest.sort();
        assert_eq!(rest, [b"second".to_vec(), b"third".to_vec()]);
        sender.join().unwrap();
    });
}

/// All at once: several connections to each end, several threads to a connection, messages in one piece and in
/// many, and both sides give up now and then.
#[test]
fn nobody_is_left_asleep() {
    let (a, z) = pair(4096);
    let (b, y) = (again(&a), again(&z));
    all_at_once([&a, &a, &b, &b], [&y, &y, &z, &z]);
}

/// The same with the one mapping of the memory that both ends of a pair share: only so ThreadSanitizer follows it.
#[test]
fn all_share_one_mapping() {
    let (a, z) = pair(4096);
    all_at_once([&a; 4], [&z; 4]);
}

fn all_at_once(senders: [&Connection; 4], receivers: [&Connection; 4]) {
    let _watchdog = Watchdog::new("nobody_is_left_asleep");
    const EACH: u64 = 1500;
    let last = senders[0];
    let got = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        let senders: Vec<_> = senders
            .into_iter()
            .zip(0_u64..)
            .map(|(end, id)| {
                scope.spawn(move || {
                    for number in (0..EACH).map(|count| id << 32 | count) {
                        let len = [8, 60, 700, 2000, 9000][(number * 7 + id) as usize % 5];
                        let mut message = vec![number as u8; len];
                        message[..8].copy_from_slice(&number.to_le_bytes());
                        loop {
                            let deadline = match number % 3 {
                                0 => Deadline::after(Duration::from_micros(number % 50)),
                                _ => Deadline::NEVER,
                            };
                            match end.send_deadline(&message, deadline) {
                                Ok(()) => break,
                                Err(SendError::Timeout) => {}
                                Err(other) => panic!("{other}"),
                            }
                        }
                    }
                })
            })
            .collect();
        let receivers: Vec<_> = receivers
            .into_iter()
            .map(|end| {
                let got = &got;
                scope.spawn(move || {
                    let mut rounds = 0_u64;
                    loop {
                        rounds += 1;
                        let deadline = match rounds % 3 {
                            0 => Deadline::after(Duration::from_micros(rounds % 50)),
                            _ => Deadline::NEVER,
                        };
                        match end.recv_deadline(deadline) {
                            Ok(message) if message.is_empty() => return,
                            Ok(message) => {
                                let number = u64::from_le_bytes(message[..8].try_into().unwrap());
                                assert!(message[8..].iter().all(|byte| *byte == number as u8));
                                assert!(got.lock().unwrap().insert(number), "{number:#x} came twice");
                            }
                            Err(RecvError::Timeout) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        for _ in &receivers {
            last.send(b"").unwrap();
        }
        for receiver in receivers {
            receiver.join().unwrap();
        }
    });
    assert_eq!(got.into_inner().unwrap().len() as u64, 4 * EACH);
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    socket::listen(fd, 0) == Heard::Readable
}

#[test]
fn what_was_received_before_anybody_polled_is_not_there_to_be_polled() {
    let (a, z) = pair(4096);
    for _ in 0..3 {
        a.send(b"early").unwrap();
        z.recv().unwrap();
    }
    let ready = z.readiness().unwrap();
    assert!(!is_readable(ready));
    a.send(b"next").unwrap();
    assert!(is_readable(z.readiness().unwrap()), "asking again takes nothing away");
    z.recv().unwrap();
    assert!(!is_readable(ready));
}

/// The byte of a message that was received before its sender had put it there.
#[test]
fn who_polls_the_ring_makes_up_for_a_byte_that_came_late() {
    let (a, z) = pair(4096);
    let ready = z.readiness().unwrap();
    assert!(socket::Line::new(a.socket().unwrap()).put());
    assert!(is_readable(ready));
    assert!(!z.poll(Duration::ZERO).unwrap());
    assert!(!is_readable(ready));
    a.send(b"on").unwrap();
    assert!(is_readable(ready) && z.poll(Duration::ZERO).unwrap());
}

/// Bytes that come too late, or not: whoever looks is told right in the end.
#[test]
fn bytes_that_come_late_go_when_somebody_looks() {
    let _watchdog = Watchdog::new("bytes_that_come_late");
    let (a, z) = pair(4096);
    let (ask, asked) = mpsc::channel();
    let ready = z.readiness().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for () in asked {
                a.send(b"x").unwrap();
            }
        });
        for _ in 0..2000 {
            ask.send(()).unwrap();
            while z.try_recv().is_err() {}
            // The system may have stopped the sender in mid-turn: then the next look does it.
            while is_readable(ready) {
                assert!(!z.poll(Duration::ZERO).unwrap());
            }
        }
        drop(ask);
    });
}

#[test]
fn a_message_may_have_its_header_elsewhere() {
    let _watchdog = Watchdog::new("a_message_may_have_its_header_elsewhere");
    let (a, z) = pair(4096);
    let bytes: Vec<u8> = (0..20_000_u32).map(|byte| byte as u8).collect();
    for (header, body) in
        [(0, 0), (1, 0), (0, 1), (3, 2000), (2000, 3), (1, 20_000), (9000, 9000), (20_000, 0)]
    {
        thread::scope(|scope| {
            let sender =
                scope.spawn(|| a.send_with_header(&bytes[..header], &bytes[..body], Deadline::NEVER));
            assert_eq!(z.recv().unwrap(), [&bytes[..header], &bytes[..body]].concat());
            sender.join().unwrap().unwrap();
        });
    }
}
