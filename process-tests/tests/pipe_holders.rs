//! Who holds an end of a pipe, how he came to it, and what the other end learns when nobody does any more.

use process_tests::support::{Peer, Test, signal};
use process_tests::{fd, parcel, test};
use ringway::{Connection, End, Pipe, RecvError, SendError, Wait};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

const WAITS: [(Wait, &str); 3] = [(Wait::Spin, "spin"), (Wait::Adaptive, "adaptive"), (Wait::Park, "park")];

fn pair(wait: Wait) -> (Connection, Connection) {
    Pipe::options().capacity(16 * 1024).wait(wait).pair().unwrap()
}

/// Gives a copy of the end to a helper that follows the script.
fn share<'a>(test: &'a Test, end: &Connection, script: &str) -> Peer<'a> {
    let mut command = test.command(&format!("pipe inherit:end {script}"));
    end.inherit(&mut command, "end").unwrap();
    test.spawn(&mut command)
}

/// Gives the end away to a helper that follows the script.
fn give<'a>(test: &'a Test, end: Connection, script: &str) -> Peer<'a> {
    share(test, &end, script)
}

/// Everything comes back as it was.
fn echoes(pipe: &Connection) {
    for number in 0..60 {
        let sent = parcel::make(number, parcel::len_of(number, 100_000));
        // An echo of more than the ring holds can only come while we receive it.
        std::thread::scope(|scope| {
            scope.spawn(|| pipe.send(&sent).unwrap());
            assert!(pipe.recv().unwrap() == sent, "parcel {number}");
        });
    }
}

#[test]
fn a_child_takes_an_end_by_inheritance() {
    let test = test!("inherit");
    for (wait, word) in WAITS {
        let (a, z) = pair(wait);
        let mut child = share(&test, &z, &format!("{word} echo"));
        drop(z);
        echoes(&a);
        drop(a);
        child.expect("closed");
        child.succeed();
    }
}

#[test]
fn an_end_spawned_away_is_the_childs_alone() {
    let test = test!("spawn");
    let (a, z) = pair(Wait::Park);
    let mut command = test.command("pipe inherit:end park echo");
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let mut child = z.spawn(&mut command, "end").unwrap();
    echoes(&a);
    child.kill().unwrap();
    // Were a copy left here, this would wait for ever.
    assert!(matches!(a.recv(), Err(RecvError::Closed)));
    child.wait().unwrap();
    assert_eq!(a.peer_deaths(), 1);
    // The same command again: what it was to inherit is closed.
    assert!(command.spawn().is_err());
}

#[test]
fn an_end_travels_over_a_socket() {
    let test = test!("socket");
    let path = test.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (a, z) = pair(Wait::Adaptive);
    let mut child = test.start(&format!("pipe socket:{path} adaptive echo"));
    let (stream, _) = listener.accept().unwrap();
    fd::send(stream.as_fd(), z.memory()).unwrap();
    fd::send(stream.as_fd(), z.socket().unwrap()).unwrap();
    drop(z);
    echoes(&a);
    drop(a);
    child.expect("closed");
    child.succeed();
}

#[test]
fn a_foreign_socket_is_no_end() {
    let (a, z) = pair(Wait::Park);
    let (_other, foreign) = pair(Wait::Park);
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
    let wrong = Pipe::from_fds(own(a.memory()), own(foreign.socket().unwrap()));
    assert!(matches!(wrong, Err(ringway::Error::BadGeometry { field: "socket", .. })), "{wrong:?}");
    let again = Pipe::from_fds(own(a.memory()), own(z.socket().unwrap())).unwrap();
    assert_eq!(again.end(), End::Second);
    drop(z);
    a.send(b"one holder is left").unwrap();
    assert_eq!(again.recv().unwrap(), b"one holder is left");
}

#[test]
fn a_named_pipe_is_started_from_either_end() {
    let test = test!("named");
    for (ours, theirs) in [(End::First, "second"), (End::Second, "first")] {
        for we_come_first in [true, false] {
            let path = test.path("pipe");
            let options = Pipe::options().capacity(16 * 1024).end(ours);
            let mut early = we_come_first.then(|| options.open_or_create(&path).unwrap());
            if let Some(pipe) = &early {
                pipe.send(&parcel::make(1, 100)).unwrap(); // kept until somebody comes
            }
            let mut child = test.start(&format!("pipe {theirs}:{path}:16384 park ready recv echo"));
            child.expect("ready");
            let pipe = early.take().unwrap_or_else(|| {
                let pipe = options.open_or_create(&path).unwrap();
                pipe.send(&parcel::make(1, 100)).unwrap();
                pipe
            });
            child.expect("1 100");
            echoes(&pipe);
            drop(pipe);
            child.expect("closed");
            child.succeed();
        }
    }
}

#[test]
fn forked_children_share_what_their_parent_holds() {
    let test = test!("forks");
    let path = test.path("pipe");
    test.start(&format!("pipefork {path}")).succeed();
}

/// How the last holder of an end goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leave {
    Drop,
    Exit,
    Kill,
}

const WAYS: [Leave; 3] = [Leave::Drop, Leave::Exit, Leave::Kill];

impl Leave {
    /// The verbs after which the end is not held any more, once told to go on.
    fn verbs(self) -> &'static str {
        match self {
            Leave::Drop => "wait drop hang",
            Leave::Exit => "wait exit",
            Leave::Kill => "hang",
        }
    }

    fn happen(self, peer: &mut Peer<'_>) {
        if self == Leave::Kill { peer.kill() } else { peer.go() }
    }
}

#[test]
fn the_end_of_the_stream_reaches_who_waits_for_more() {
    let test = test!("eof");
    for (wait, _) in WAITS {
        for way in WAYS {
            let (a, z) = pair(wait);
            let script = format!("park send:1:10 send:2:100000 ready {}", way.verbs());
            let mut child = give(&test, z, &script);
            // What was sent before comes first.
            assert_eq!(parcel::check(&a.recv().unwrap()), Ok(1));
            assert_eq!(parcel::check(&a.recv().unwrap()), Ok(2));
            child.expect("ready");
            assert!(matches!(a.recv_timeout(Duration::from_millis(1)), Err(RecvError::Timeout)));
            let refusal = std::thread::scope(|scope| {
                let receiver = scope.spawn(|| a.recv());
                way.happen(&mut child);
                receiver.join().unwrap()
            });
            assert!(matches!(refusal, Err(RecvError::Closed)), "{wait:?} {way:?}: {refusal:?}");
            assert!(a.poll(Duration::ZERO).unwrap(), "the end is something to receive");
            assert_eq!(a.peer_deaths(), u64::from(way != Leave::Drop));
        }
    }
}

#[test]
fn what_was_sent_before_the_kill_is_received_before_the_end() {
    let test = test!("before");
    let (a, z) = pair(Wait::Park);
    let child = give(&test, z, "park sends:0:40:300 hang");
    child.until_asleep(); // in "hang", or waiting for space; either way nothing has been received
    while !a.poll(Duration::from_secs(1)).unwrap() {}
    child.kill();
    child.was_killed();
    let mut count = 0;
    let refusal = loop {
        match a.recv() {
            Ok(message) if message.is_empty() => {}
            Ok(message) => {
                assert_eq!(parcel::check_len(&message, 300), Ok(count));
                count += 1;
            }
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, RecvError::Closed), "{refusal:?}");
}

#[test]
fn the_named_end_of_the_stream_reaches_who_waits_for_more() {
    let test = test!("named-eof");
    for (wait, _) in WAITS {
        for way in WAYS {
            let path = test.path("pipe");
            let a = Pipe::options().wait(wait).capacity(16 * 1024).create(&path).unwrap();
            assert!(matches!(a.recv_timeout(Duration::from_millis(1)), Err(RecvError::Timeout)));
            let script = format!("pipe open:{path} park send:1:10 ready {}", way.verbs());
            let mut child = test.start(&script);
            assert_eq!(parcel::check(&a.recv().unwrap()), Ok(1));
            child.expect("ready");
            let refusal = std::thread::scope(|scope| {
                let receiver = scope.spawn(|| a.recv());
                way.happen(&mut child);
                receiver.join().unwrap()
            });
            assert!(matches!(refusal, Err(RecvError::Closed)), "{wait:?} {way:?}: {refusal:?}");
            assert_eq!(a.peer_deaths(), u64::from(way != Leave::Drop));
            // Another one comes to the same end, and it is as good as new.
            let mut next = test.start(&format!("pipe open:{path} park send:2:10 recv"));
            loop {
                match a.recv() {
                    Err(RecvError::Closed) => std::thread::yield_now(), // not there yet
                    Ok(message) => break assert_eq!(parcel::check(&message), Ok(2)),
                    Err(other) => panic!("{other}"),
                }
            }
            a.send(&parcel::make(3, 10)).unwrap();
            next.expect("3 10");
            next.succeed();
        }
    }
}

#[test]
fn a_grandchild_keeps_the_end_open() {
    let test = test!("grandchild");
    let (a, z) = pair(Wait::Park);
    let mut child = give(&test, z, "park fork ready hang");
    let grandchild: u32 = child.line().parse().unwrap();
    child.expect("ready");
    child.kill();
    child.was_killed();
    assert!(matches!(a.recv_timeout(Duration::from_millis(150)), Err(RecvError::Timeout)));
    a.send(b"there is one who could receive it").unwrap();
    let refusal = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| a.recv());
        signal(grandchild, libc::SIGKILL);
        receiver.join().unwrap()
    });
    assert!(matches!(refusal, Err(RecvError::Closed)), "{refusal:?}");
    until_closed(&a);
}

/// Sends until nobody is left to receive: at once, or at the next look after who is alive.
fn until_closed(pipe: &Connection) {
    loop {
        match pipe.try_send(b"?") {
            Err(SendError::Closed) => break,
            Ok(()) | Err(SendError::Full) => std::thread::yield_now(),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(matches!(pipe.send(b"?"), Err(SendError::Closed)), "and so it stays");
}

#[test]
fn sending_to_nobody_is_refused_though_there_is_space() {
    let test = test!("nobody");
    for way in WAYS {
        let (a, z) = pair(Wait::Park);
        let mut child = give(&test, z, &format!("park ready {}", way.verbs()));
        child.expect("ready");
        a.send(b"for somebody").unwrap();
        way.happen(&mut child);
        until_closed(&a);
    }
}

#[test]
fn sending_to_nobody_is_refused_to_who_waits_for_space() {
    let test = test!("no-space");
    for (_, wait) in WAITS {
        for way in WAYS {
            for len in [100, 5000, 200_000] {
                // We receive, a child sends: it is asleep with the ring full, or in mid-message, when we go.
                let (a, z) = pair(Wait::Park);
                let mut sender = give(&test, z, &format!("{wait} ready stuff:{len}"));
                let mut receiver = give(&test, a, &format!("park ready {}", way.verbs()));
                sender.expect("ready");
                receiver.expect("ready");
                if wait == "park" {
                    sender.until_asleep();
                }
                way.happen(&mut receiver);
                sender.expect("closed");
                sender.succeed();
            }
        }
    }
}
