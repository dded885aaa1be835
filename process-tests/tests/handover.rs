//! Rings without a name: inherited by a child, or sent over a socket; and whom to trust then.

use process_tests::ends::{BOTH, How, Refusal, Ring, Rx, Tx};
use process_tests::{fd, test};
use ringway::{Deadline, Error, Wait, bytes, spsc};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;

fn word(ring: Ring) -> &'static str {
    if ring == Ring::Typed { "typed" } else { "numbered" }
}

#[test]
fn a_child_inherits_a_ring() {
    let test = test!("inherit");
    for ring in BOTH {
        let mut rx = None;
        let mut tx = Tx::attach(ring, How::Anonymous(4096), Wait::Park, None).unwrap();
        let mut command =
            test.command(&format!("rx {} inherit:jobs park recv:0:2000 ready wait exit", word(ring)));
        tx.inherit(&mut command, "jobs").unwrap();
        let mut peer = test.spawn(&mut command);
        for number in 0..2000 {
            tx.send(number, Deadline::NEVER).unwrap();
        }
        peer.expect("ready");
        // A second child gets the same ring, where the role is taken.
        let mut second = test.spawn(command.stderr(std::process::Stdio::null()));
        assert!(!second.end().success());
        // The ring is ours as well, once the child is gone.
        peer.go();
        peer.succeed();
        let fd = tx.as_fd().try_clone_to_owned().unwrap();
        rx.replace(Rx::attach(ring, How::Fd(fd), Wait::Park, None).unwrap());
        tx.send(2000, Deadline::NOW).unwrap();
        assert_eq!(rx.unwrap().recv(Some(2000), Deadline::NEVER), Ok(2000));
    }
}

#[test]
fn a_child_that_was_given_nothing_finds_nothing() {
    let test = test!("nothing");
    let tx = Tx::attach(Ring::Typed, How::Anonymous(16), Wait::Park, None).unwrap();
    let mut command = test.command("rx typed inherit:other park ready");
    tx.inherit(&mut command, "jobs").unwrap();
    let mut peer = test.spawn(command.stderr(std::process::Stdio::null()));
    assert!(!peer.end().success());
    // The number may lie: it must be that very file, and open.
    let mut command = test.command("rx typed inherit:jobs park ready");
    command.env("RINGWAY_FD_jobs", "0:1:2").stderr(std::process::Stdio::null());
    assert!(!test.spawn(&mut command).end().success());
    let refused = tx.inherit(&mut command, "no-such-key");
    assert!(matches!(refused, Err(Error::InvalidName { .. })), "{refused:?}");
}

#[test]
fn a_stranger_gets_a_ring_over_a_socket() {
    let test = test!("socket");
    for ring in BOTH {
        let path = test.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut rx = Rx::attach(ring, How::Anonymous(4096), Wait::Adaptive, Some(false)).unwrap();
        let peer = test.start(&format!("tx {} socket:{path} adaptive send:0:2000", word(ring)));
        let (socket, _) = listener.accept().unwrap();
        fd::send(socket.as_fd(), rx.as_fd()).unwrap();
        for number in 0..2000 {
            assert_eq!(rx.recv(Some(number), Deadline::NEVER), Ok(number));
        }
        assert_eq!(rx.recv(Some(2000), Deadline::NEVER), Err(Refusal::Closed));
        peer.succeed();
    }
}

#[test]
fn memory_that_can_be_truncated_is_refused() {
    let test = test!("sealed");
    for ring in BOTH {
        let path = test.path("file");
        let tx = Tx::attach(ring, How::Create(&path, 4096), Wait::Park, None).unwrap();
        let fd = || tx.as_fd().try_clone_to_owned().unwrap();
        for trusted in [None, Some(false)] {
            let refused = Rx::attach(ring, How::Fd(fd()), Wait::Park, trusted).map(drop);
            assert!(matches!(refused, Err(Error::NotSealed { missing }) if missing != 0), "{refused:?}");
        }
        Rx::attach(ring, How::Fd(fd()), Wait::Park, Some(true)).unwrap();
    }
    let nothing: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    assert!(matches!(bytes::Consumer::from_fd(nothing), Err(Error::NotRegular { .. })));
}

/// What a peer writes into a message that we look at does not change what we see, unless we trust it.
#[test]
fn guards_of_untrusted_rings_are_private_copies() {
    let _test = test!("private");
    let (mut tx, rx) = spsc::pair::<u64>(4).unwrap();
    drop(rx);
    let shared = std::fs::File::from(tx.as_fd().try_clone_to_owned().unwrap());
    let slots = shared.metadata().unwrap().len() - 4096;
    let mut rx = spsc::Consumer::<u64>::from_fd(tx.as_fd().try_clone_to_owned().unwrap()).unwrap();
    tx.push(7).unwrap();
    let peek = rx.peek().unwrap();
    shared.write_all_at(&8_u64.to_ne_bytes(), slots).unwrap();
    assert_eq!(*peek, 7);
    peek.keep();
    assert_eq!(*rx.peek().unwrap(), 8, "it did write where the message was");
    drop(tx);
    let options = spsc::Producer::<u64>::options();
    let mut tx = options.from_fd(rx.as_fd().try_clone_to_owned().unwrap()).unwrap();
    let mut slot = tx.reserve().unwrap();
    assert_eq!(*slot, 0, "no older message shows through");
    *slot = 9;
    let mut found = [0; 8];
    shared.read_exact_at(&mut found, slots + 8).unwrap();
    assert_eq!(u64::from_ne_bytes(found), 0, "nothing is written before the commit");
    slot.commit();
    assert_eq!(rx.pop().unwrap(), 9);

    let (mut tx, rx) = bytes::pair(4096).unwrap();
    drop(rx);
    let shared = std::fs::File::from(tx.as_fd().try_clone_to_owned().unwrap());
    let area = shared.metadata().unwrap().len() - 4096;
    let mut rx = bytes::Consumer::from_fd(tx.as_fd().try_clone_to_owned().unwrap()).unwrap();
    tx.push(b"honest").unwrap();
    let view = rx.peek().unwrap();
    shared.write_all_at(b"twisted", area + 8).unwrap();
    assert_eq!(&*view, b"honest");
    view.keep();
    assert_eq!(rx.drain().next().unwrap(), b"twiste");
    drop(tx);
    let mut tx = bytes::Producer::from_fd(rx.as_fd().try_clone_to_owned().unwrap()).unwrap();
    let mut loan = tx.reserve(6).unwrap();
    assert_eq!(&*loan, &[0; 6], "no older record shows through");
    loan.copy_from_slice(b"secret");
    let mut found = [0; 6];
    shared.read_exact_at(&mut found, area + 24).unwrap();
    assert_eq!(found, [0; 6], "nothing is written before the commit");
    loan.commit();
    assert_eq!(rx.pop().unwrap(), b"secret");
}
