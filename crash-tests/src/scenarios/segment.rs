//! Files and names: made, found, removed, and who is attached.

use super::ring::{Kind, Receiver, Sender, know_oneself};
use super::spsc::Typed;
use crate::process::{elsewhere, patience, place};
use crate::scenario::{Death, Scenario, operation};
use process_tests::message::Fixed;
use ringway::spsc::{Consumer, Producer};
use ringway::{Error, RecvError, inspect};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = making();
    all.extend(attaching());
    all.extend(removing());
    all
}

fn making() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "segment/create",
            || {},
            |()| drop(operation(Typed::create_tx)),
            |(), death| {
                let made = match Consumer::<Fixed>::open("ring") {
                    Ok(rx) => {
                        let mut rx = Receiver::<Typed> { rx };
                        rx.must_be_closed();
                        rx.must_be_as_good_as_new(0);
                        1
                    }
                    Err(Error::NotFound { .. }) => {
                        assert!(left().is_empty(), "left over: {:?}", left());
                        Receiver::<Typed>::of_a_ring_with(0).must_be_as_good_as_new(0);
                        0
                    }
                    Err(error) => panic!("what is there cannot be opened: {error}"),
                };
                assert!(made == 1 || !death.after);
                made
            },
        ),
        Scenario::new(
            "segment/create-anonymous",
            || {},
            |()| {
                know_oneself();
                drop(operation(|| Producer::<u64>::anonymous(4).unwrap()));
            },
            |(), _| {
                assert!(left().is_empty(), "left over: {:?}", left());
                0
            },
        ),
        Scenario::new(
            "segment/replace-stale",
            make_stale,
            |()| {
                know_oneself();
                drop(operation(open_or_create));
            },
            |(), death| {
                // Whatever the dead had come to, whoever comes to use the name gets a ring that works, and one only.
                let (stale, new) = match inspect::stat("ring") {
                    Ok(object) => (object.stale, !object.stale),
                    Err(Error::NotFound { .. }) => (false, false),
                    Err(error) => panic!("what is there cannot be looked at: {error}"),
                };
                assert!(new || !death.after);
                let rx = Consumer::options().capacity(3).participants(2).open_or_create("ring").unwrap();
                Receiver::<Typed> { rx }.must_be_as_good_as_new(0);
                u64::from(!stale) + u64::from(new)
            },
        ),
    ]
}

fn attaching() -> Vec<Scenario> {
    vec![
        // With all that a process asks the kernel but once.
        Scenario::new(
            "segment/open",
            Receiver::<Typed>::new,
            |_| drop(operation(Typed::open_tx)),
            |mut rx, death| {
                // A ring that never had a producer is not closed.
                let had_one = match rx.rx.recv_timeout(Duration::ZERO) {
                    Err(RecvError::Closed) => 1,
                    Err(RecvError::Timeout) => 0,
                    other => panic!("received {other:?}"),
                };
                rx.must_be_as_good_as_new(0);
                assert!(had_one == 1 || !death.after);
                had_one
            },
        ),
        Scenario::new(
            "segment/detach",
            || drop(Receiver::<Typed>::new()),
            |()| {
                let tx = Typed::open_tx();
                operation(|| drop(tx));
            },
            |(), _| {
                let mut rx = Receiver::<Typed> { rx: Typed::open_rx() };
                rx.must_be_closed();
                rx.must_be_as_good_as_new(0);
                0
            },
        ),
        Scenario::new(
            "segment/detach-ephemeral",
            || {},
            |()| {
                let options = Producer::<Fixed>::options().capacity(3).participants(2).ephemeral(true);
                let tx = options.create("ring").unwrap();
                operation(|| drop(tx));
            },
            |(), death| {
                let gone = name_goes_or_stays(death);
                elsewhere(|| {
                    drop(open_or_create());
                    Vec::new()
                });
                ringway::clean().unwrap();
                gone
            },
        ),
    ]
}

fn removing() -> Vec<Scenario> {
    let of_nobody = || drop(Sender::<Typed>::of_a_full_ring());
    vec![
        Scenario::new(
            "segment/unlink",
            Receiver::<Typed>::new,
            |_| {
                know_oneself();
                operation(|| ringway::unlink("ring").unwrap());
            },
            survives_unlink,
        ),
        Scenario::new(
            "segment/unlink-own",
            Receiver::<Typed>::new,
            |_| {
                let tx = Typed::open_tx();
                operation(|| tx.unlink().unwrap());
            },
            survives_unlink,
        ),
        Scenario::new(
            "segment/unlink-unused",
            of_nobody,
            |()| {
                know_oneself();
                operation(|| assert!(ringway::unlink_unused("ring").unwrap()));
            },
            |(), death| {
                let gone = name_goes_or_stays(death);
                Receiver::<Typed> { rx: consumer_of_whatever() }.take_up_again();
                gone
            },
        ),
        Scenario::new(
            "segment/clean",
            move || {
                of_nobody();
                let used = Consumer::<Fixed>::create("used", 3).unwrap();
                drop(Producer::<Fixed>::open("used").unwrap());
                used
            },
            |_| {
                know_oneself();
                operation(|| assert_eq!(ringway::clean().unwrap(), ["ring"]));
            },
            |mut used, death| {
                let gone = name_goes_or_stays(death);
                ringway::clean().unwrap();
                assert_eq!(left(), ["used"], "cleaning up again");
                elsewhere(|| {
                    Producer::<Fixed>::open("used").unwrap().push(Fixed::new(7)).unwrap();
                    Vec::new()
                });
                assert_eq!(used.recv_timeout(patience()).unwrap().check(), Ok(7));
                used.unlink().unwrap();
                gone
            },
        ),
    ]
}

/// What is in the directory, hidden or not.
fn left() -> Vec<String> {
    let entries = std::fs::read_dir(place()).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.to_string_lossy().into_owned()).collect()
}

fn open_or_create() -> Producer<Fixed> {
    Producer::options().capacity(3).participants(2).open_or_create("ring").unwrap()
}

fn consumer_of_whatever() -> Consumer<Fixed> {
    Consumer::options().capacity(3).participants(2).open_or_create("ring").unwrap()
}

/// 1 if the name is gone, 0 if it stands for an object that can be opened.
fn name_goes_or_stays(death: Death) -> u64 {
    match Producer::<Fixed>::open("ring") {
        Ok(_) => {
            assert!(!death.after, "the name is still there though the call had returned");
            0
        }
        Err(Error::NotFound { .. }) => {
            // Gone, or retired: then this opener has finished what the dead one began.
            assert!(!left().iter().any(|name| name == "ring"), "it has a name, and cannot be found");
            1
        }
        Err(error) => panic!("what is there cannot be opened: {error}"),
    }
}

/// Those who are attached go on, and know whether newcomers find them.
fn survives_unlink(mut old: Receiver<Typed>, death: Death) -> u64 {
    let gone = match elsewhere(|| match Producer::<Fixed>::open("ring") {
        Ok(mut tx) => {
            tx.push(Fixed::new(0)).unwrap();
            vec![0]
        }
        Err(Error::NotFound { .. }) => vec![1],
        Err(error) => panic!("what is there cannot be opened: {error}"),
    })[..]
    {
        [0] => {
            assert!(!death.after, "the name is still there though the call had returned");
            assert!(!old.rx.is_retired(), "it can be found, and says that it cannot");
            assert_eq!(Typed::take(&mut old.rx), Some(0));
            ringway::unlink("ring").unwrap();
            0
        }
        _ => 1,
    };
    assert!(old.rx.is_retired(), "nobody finds it any more, and it does not know");
    assert!(left().is_empty(), "left over: {:?}", left());
    // The name is free.
    Receiver::<Typed>::of_a_ring_with(0).must_be_as_good_as_new(0);
    gone
}

impl Receiver<Typed> {
    /// The ring is new, or one that was left with messages in it.
    fn take_up_again(mut self) {
        let next = super::ring::take_all::<Typed>(&mut self.rx, 0);
        assert!(next == 0 || next == Typed::BRIM, "{next} messages were left");
        self.must_be_as_good_as_new(next);
    }
}

/// A ring as it would be left by an earlier boot: with another boot's number, and the right checksum.
fn make_stale() {
    drop(Receiver::<Typed>::new());
    let file = File::options().read(true).write(true).open(place().join("ring")).unwrap();
    let mut header = [0; 192];
    file.read_exact_at(&mut header, 0).unwrap();
    header[104] ^= 1; // the first byte of the boot's number
    let (words, checksum) = header.split_at_mut(184);
    let words = words.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let sum = words.fold(0x5249_4e47_5741_5901_u64, |sum, word| {
        (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
    });
    checksum.copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&header, 0).unwrap();
    match Consumer::<Fixed>::open("ring") {
        Err(Error::StaleBoot { .. }) => {}
        other => panic!("it is not stale: {other:?}"),
    }
}
