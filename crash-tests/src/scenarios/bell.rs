//! Descriptors that are readable when there is something to receive: never unreadable over a message whose sender
//! lived, nor readable for ever over none. A message whose sender died is told of with the next one.

use super::line::{Line, SIZE, await_tick, look, message, recv, send};
use crate::scenario::{Scenario, operation};
use ringway::{Deadline, End, Error, Pipe, RecvError, Wait};
use std::os::fd::AsRawFd;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = ringing("anonymous", || Watched::of(Line::new()));
    all.extend(ringing("named", || Watched::of(named())));
    all.push(Scenario::new(
        "bell/readiness-named",
        || {
            let line = named();
            send(&line.tx, 0);
            line
        },
        |line| {
            operation(|| line.rx.readiness().unwrap().as_raw_fd());
        },
        |line, _| {
            let watched = Watched { ready: line.rx.readiness().unwrap().as_raw_fd(), line };
            assert!(watched.is_readable(), "a message is there");
            assert_eq!(recv(&watched.line.rx), 0);
            watched.rings_as_ever();
            0
        },
    ));
    all.push(Scenario::new(
        "bell/unlink",
        || Watched::of(named()),
        |_| operation(|| ringway::unlink("pipe").unwrap()),
        |watched, death| {
            // Those attached have their descriptors still, and the last of them leaves nothing behind.
            let gone = watched.line.rx.is_retired();
            assert!(gone || !death.after);
            watched.rings_as_ever();
            u64::from(gone)
        },
    ));
    all
}

fn ringing(kind: &str, setup: fn() -> Watched) -> Vec<Scenario> {
    vec![
        Scenario::new(
            format!("bell/send-{kind}"),
            setup,
            |watched| {
                let Line { tx, rx } = &watched.line;
                send(tx, 0);
                assert_eq!(recv(rx), 0);
                watched.must_be_quiet();
                let message = message(1);
                await_tick();
                operation(|| tx.send(&message).unwrap());
            },
            |watched, death| {
                send(&watched.line.tx, 2);
                assert!(watched.is_readable(), "a living sender has sent");
                let numbers = watched.line.rest();
                assert!(numbers == [1, 2] || numbers == [2] && !death.after, "{numbers:?}");
                watched.rings_as_ever();
                numbers.len() as u64 - 1
            },
        ),
        Scenario::new(
            format!("bell/recv-{kind}"),
            move || {
                let watched = setup();
                send(&watched.line.tx, 0);
                assert!(watched.is_readable());
                watched
            },
            |watched| {
                let rx = &watched.line.rx;
                let mut buffer = Vec::with_capacity(1000);
                operation(|| rx.recv_into(&mut buffer, Deadline::NEVER).unwrap());
            },
            |watched, death| {
                let left = look(&watched.line.rx).held;
                assert!(left == 0 || watched.is_readable(), "a message is there");
                assert!(left == 0 || !death.after, "the message comes again though the call had returned");
                assert!(watched.line.rest().iter().eq([0].iter().take(left as usize)));
                watched.rings_as_ever();
                1 - left
            },
        ),
    ]
}

/// Both ends of a named pipe in this process.
fn named() -> Line {
    let options = Pipe::options().capacity(SIZE).participants(2).simplex(true).wait(Wait::Park);
    let tx = options.create("pipe").unwrap();
    let rx = options.clone().end(End::Second).open("pipe").unwrap();
    Line { tx, rx }
}

/// A pipe, and the descriptor that its receivers poll.
struct Watched {
    line: Line,
    ready: i32,
}

impl Watched {
    fn of(line: Line) -> Self {
        let ready = line.rx.readiness().unwrap().as_raw_fd();
        let watched = Watched { line, ready };
        watched.must_be_quiet();
        watched
    }

    fn is_readable(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.ready, events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` is one valid entry.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }

    /// Who looks at an empty pipe makes the descriptor unreadable.
    fn must_be_quiet(&self) {
        assert!(matches!(self.line.rx.try_recv(), Err(RecvError::Empty)), "it is not empty");
        assert!(!self.is_readable(), "nothing is there");
    }

    /// Everything is as before the death, and can be removed.
    fn rings_as_ever(self) {
        self.must_be_quiet();
        send(&self.line.tx, 7);
        assert!(self.is_readable(), "a message is there");
        assert_eq!(recv(&self.line.rx), 7);
        self.must_be_quiet();
        self.line.must_be_as_good_as_new();
        match ringway::unlink("pipe") {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
