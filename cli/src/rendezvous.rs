//! How `send` and `recv` meet: one named pipe, opened or made by whoever comes first.
//!
//! A stream begins with its first sender and ends with its last one. The name lives as long as anybody is attached.
//! What a crash of everybody leaves behind is judged by who comes next:
//!
//! | found | a sender | a receiver |
//! |---|---|---|
//! | nothing | makes the pipe | makes the pipe |
//! | somebody attached | joins | joins |
//! | all senders gone, receivers still at it | waits a moment for them to leave, then joins | joins |
//! | nobody attached, nothing unread | starts anew | starts anew |
//! | nobody attached, something unread | starts anew, and says so | takes what is left |

use std::{thread, time::Duration};

use ringway::{
    Connection, End, Error, Options, Pipe,
    inspect::{self, Detail, Object},
};

use crate::{error::Failure, names, report::units};

/// Bytes of a pipe that we make.
pub(crate) const CAPACITY: usize = 1 << 20;
/// The longest message we send or receive.
pub(crate) const MOST_MESSAGE: usize = 1 << 30;

/// How long receivers of a stream that has ended may take to notice and leave.
const LEAVING: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(2);

/// A failure that names the object it is about.
pub(crate) fn about(name: &str, error: Error) -> Failure {
    match error {
        Error::InvalidName { .. } => Failure::Usage(error.to_string()),
        // These say the name themselves.
        Error::NotFound { .. } | Error::AlreadyExists { .. } | Error::NotRegular { .. } => {
            Failure::Runtime(error.to_string())
        }
        error => Failure::Runtime(format!("{name}: {error}")),
    }
}

/// What to do about what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Join,
    /// The stream has ended and its receivers are about to leave.
    Linger,
    /// Nobody is attached. `unread` bytes go with it.
    StartAnew {
        unread: u64,
    },
}

fn judge(object: &Object, end: End) -> Verdict {
    // What else it is, opening it will tell.
    let Detail::Pipe(pipe) = &object.detail else { return Verdict::Join };
    let unread = pipe.forth.held_bytes;
    let attached = object.participants.iter().any(|process| process.alive);
    match end {
        _ if object.stale => Verdict::StartAnew { unread },
        End::First if !attached => Verdict::StartAnew { unread },
        End::Second if !attached && unread == 0 => Verdict::StartAnew { unread },
        End::First if pipe.first.arrivals > 0 && pipe.first.living() == 0 => Verdict::Linger,
        _ => Verdict::Join,
    }
}

fn options(end: End) -> Options<Connection> {
    Pipe::options().simplex(true).ephemeral(true).end(end).max_message(MOST_MESSAGE)
}

/// Takes `end` of the pipe `name`, which is made if it is not there; `capacity` is for that case. `note` is told
/// what the user should know.
pub(crate) fn meet(
    name: &str,
    end: End,
    capacity: usize,
    mut note: impl FnMut(String),
) -> Result<Connection, Failure> {
    let mut lingering = Duration::ZERO;
    loop {
        match inspect::stat(name) {
            Ok(object) => match judge(&object, end) {
                Verdict::Linger if lingering < LEAVING => {
                    thread::sleep(PAUSE);
                    lingering += PAUSE;
                    continue;
                }
                Verdict::Join | Verdict::Linger => {}
                Verdict::StartAnew { unread } => {
                    match ringway::unlink_unused(name) {
                        Ok(true) if unread > 0 => note(format!(
                            "starts anew: all processes of an earlier stream were killed, and {} of it were never \
                             received",
                            units::bytes(unread)
                        )),
                        Ok(_) | Err(Error::NotFound { .. }) => {}
                        Err(error) => return Err(about(name, error)),
                    }
                    continue;
                }
            },
            Err(Error::NotFound { .. }) => match options(end).capacity(capacity).create(name) {
                // Somebody was faster.
                Err(Error::AlreadyExists { .. }) => continue,
                made => return made.map_err(|error| about(name, error)),
            },
            Err(error) => return Err(about(name, error)),
        }
        match options(end).open(name) {
            // It went away meanwhile, or has just been found to be of an earlier boot.
            Err(Error::NotFound { .. } | Error::StaleBoot { .. }) => {}
            opened => return opened.map_err(|error| about(name, error)),
        }
    }
}

/// What the pipe looks like just now.
pub(crate) fn look(connection: &Connection) -> Result<(Object, inspect::Pipe), Error> {
    let object = inspect::stat_fd(connection.memory())?;
    match &object.detail {
        Detail::Pipe(pipe) => {
            let pipe = (**pipe).clone();
            Ok((object, pipe))
        }
        _ => Err(Error::Unsupported { what: "looking at this kind of pipe" }),
    }
}

/// Whether nobody new can come: the name was removed, by whatever means.
pub(crate) fn is_nameless(connection: &Connection) -> bool {
    connection.is_retired() || names::is_nameless(connection.memory())
}

/// Prepares for ending without closing the connection, which the other side takes for what it is: a stream cut
/// off. Removes the name if nobody else is there to do so.
pub(crate) fn abandon(connection: &Connection) {
    let alone = || {
        let mut lingering = Duration::ZERO;
        while let Ok((object, pipe)) = look(connection) {
            // We are one of them.
            let attached = object.participants.iter().filter(|process| process.alive).count();
            // Who holds no end any more is about to go, and counts on those who are still there.
            let held = pipe.first.living() + pipe.second.living();
            if attached <= 1 || held > 1 || lingering >= LEAVING {
                return attached <= 1;
            }
            thread::sleep(PAUSE);
            lingering += PAUSE;
        }
        false
    };
    if !is_nameless(connection) && alone() {
        // A name that stays is removed by who comes next.
        let _ = connection.unlink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A name of its own for each test, outside the directory for plain names.
    fn name(test: &str) -> String {
        format!("/dev/shm/ringway-cli-{}-{test}", std::process::id())
    }

    fn silent(text: String) {
        panic!("{text}");
    }

    #[test]
    fn either_side_may_come_first() {
        for order in [[End::First, End::Second], [End::Second, End::First]] {
            let name = name("order");
            let mut ends = order.map(|end| meet(&name, end, CAPACITY, silent).unwrap());
            ends.sort_by_key(|connection| connection.is_readable());
            ends[0].send(b"hello").unwrap();
            assert_eq!(ends[1].recv().unwrap(), b"hello");
            drop(ends);
            assert!(!std::fs::exists(&name).unwrap(), "the last one removes the name");
        }
    }

    #[test]
    fn senders_and_receivers_judge_what_they_find() {
        let name = name("judge");
        let tx = meet(&name, End::First, CAPACITY, silent).unwrap();
        let judged = |end| judge(&inspect::stat(&name).unwrap(), end);
        assert_eq!((judged(End::First), judged(End::Second)), (Verdict::Join, Verdict::Join));
        tx.send(b"12345678").unwrap();
        let rx = meet(&name, End::Second, CAPACITY, silent).unwrap();
        drop(tx);
        assert_eq!((judged(End::First), judged(End::Second)), (Verdict::Linger, Verdict::Join));
        // Receivers that do not leave are sent to all the same.
        let tx = meet(&name, End::First, CAPACITY, silent).unwrap();
        tx.send(b"more").unwrap();
        drop((tx, rx));
        assert!(!std::fs::exists(&name).unwrap());
    }

    #[test]
    fn what_a_crash_left_is_taken_by_a_receiver_and_dropped_by_a_sender() {
        let name = name("crash");
        let leave_behind = || {
            // Not ephemeral: as if its processes had been killed.
            let tx = Pipe::options().simplex(true).create(&name).unwrap();
            tx.send(b"12345678").unwrap();
        };
        leave_behind();
        let rx = meet(&name, End::Second, CAPACITY, silent).unwrap();
        assert_eq!(rx.recv().unwrap(), b"12345678");
        drop(rx);
        let rx = meet(&name, End::Second, CAPACITY, silent).unwrap();
        assert!(matches!(rx.try_recv(), Err(ringway::RecvError::Empty)), "a new stream, nobody has sent yet");
        drop(rx);
        leave_behind();
        let notes = RefCell::new(Vec::new());
        let tx = meet(&name, End::First, CAPACITY, |text| notes.borrow_mut().push(text)).unwrap();
        assert_eq!(look(&tx).unwrap().1.forth.held_bytes, 0);
        assert!(notes.borrow()[0].contains("16 B of it were never received"), "{notes:?}");
    }

    #[test]
    fn who_gives_up_alone_takes_the_name_along() {
        let name = name("abandon");
        let tx = meet(&name, End::First, CAPACITY, silent).unwrap();
        let rx = meet(&name, End::Second, CAPACITY, silent).unwrap();
        // Two connections of one process count once.
        abandon(&tx);
        assert!(!std::fs::exists(&name).unwrap());
        assert!(is_nameless(&rx));
        let other = meet(&name, End::Second, CAPACITY, silent).unwrap();
        assert!(!is_nameless(&other));
        std::fs::remove_file(&name).unwrap();
        assert!(is_nameless(&other) && !other.is_retired());
    }

    #[test]
    fn errors_name_what_they_are_about() {
        let name = name("kind");
        let _ring =
            ringway::spsc::Producer::<u64>::options().ephemeral(true).capacity(4).create(&name).unwrap();
        let error = meet(&name, End::First, CAPACITY, silent).unwrap_err();
        assert_eq!(error.to_string(), format!("{name}: the segment holds a typed ring, not a pipe"));
        assert_eq!(meet(".hidden", End::First, CAPACITY, silent).unwrap_err().exit_code(), 2);
        assert_eq!(meet("/nonexistent/x", End::First, CAPACITY, silent).unwrap_err().exit_code(), 1);
    }
}
