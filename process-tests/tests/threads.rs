//! Both ends in one process, and how long the calls wait.

use process_tests::ends::{BOTH, How, Refusal, Rx, Tx, WAITS};
use process_tests::test;
use ringway::{Deadline, RecvError, SendError, bytes, spsc};
use std::time::{Duration, Instant};

const COUNT: u64 = 50_000;

#[test]
fn numbers_pass_between_threads() {
    let _test = test!("numbers");
    for wait in WAITS {
        let (mut tx, mut rx) = spsc::pair::<u64>(64).unwrap();
        tx.set_wait(wait);
        rx.set_wait(wait);
        let reader = std::thread::spawn(move || {
            for number in 0..COUNT {
                assert_eq!(rx.recv().unwrap(), number);
            }
            assert!(matches!(rx.recv(), Err(RecvError::Closed)));
        });
        for number in 0..COUNT {
            tx.send(number).unwrap();
        }
        drop(tx);
        reader.join().unwrap();
    }
}

#[test]
fn batches_pass_between_threads() {
    let _test = test!("batches");
    let (mut tx, mut rx) = spsc::pair::<u64>(100).unwrap();
    let reader = std::thread::spawn(move || {
        let mut next = 0;
        let mut place = [0; 33];
        while next < COUNT {
            let got = if next % 2 == 0 {
                rx.drain().inspect(|&number| assert!((next..next + 100).contains(&number))).count()
            } else {
                let got = rx.pop_slice(&mut place).unwrap();
                assert!(place[..got].iter().copied().eq(next..next + got as u64));
                got
            };
            next += got as u64;
            if got == 0 {
                assert_eq!(rx.recv().unwrap(), next);
                next += 1;
            }
        }
    });
    let numbers: Vec<u64> = (0..COUNT).collect();
    let mut rest = &numbers[..];
    while let [first, others @ ..] = rest {
        let sent = tx.push_slice(&rest[..rest.len().min(77)]).unwrap();
        if sent == 0 {
            tx.send(*first).unwrap();
            rest = others;
        } else {
            rest = &rest[sent..];
        }
    }
    reader.join().unwrap();
}

#[test]
fn records_pass_between_threads() {
    let _test = test!("records");
    for wait in WAITS {
        let (mut tx, mut rx) = bytes::pair(4096).unwrap();
        tx.set_wait(wait);
        rx.set_wait(wait);
        let record = |number: u64| vec![number as u8; (number * 7 % 900) as usize];
        let reader = std::thread::spawn(move || {
            let mut next = 0;
            while next < COUNT {
                let seen = next;
                let mut drain = rx.drain();
                while next < COUNT
                    && let Some(found) = drain.next()
                {
                    assert!(found == record(next), "record {next}");
                    next += 1;
                }
                drop(drain);
                if next == seen {
                    assert!(rx.recv().unwrap() == record(next), "record {next}");
                    next += 1;
                }
            }
            assert!(matches!(rx.recv(), Err(RecvError::Closed)));
        });
        for number in 0..COUNT {
            if number % 3 == 0 {
                let bytes = record(number);
                let mut loan = tx.reserve_deadline(bytes.len() + 5, Deadline::NEVER).unwrap();
                loan[..bytes.len()].copy_from_slice(&bytes);
                loan.commit_len(bytes.len());
            } else {
                tx.send(&record(number)).unwrap();
            }
        }
        drop(tx);
        reader.join().unwrap();
    }
}

/// Who sends and leaves at once is heard before it counts as gone, however the two race with a look for messages.
#[test]
fn the_last_message_comes_before_the_end() {
    let test = test!("last");
    let (ask, asked) = std::sync::mpsc::sync_channel::<(u64, Tx)>(1);
    let writer = std::thread::spawn(move || {
        for (number, mut tx) in asked {
            // A little later each time, to meet the reader at every point of its way into sleep.
            for _ in 0..number % 1000 * 2 {
                std::hint::spin_loop();
            }
            tx.send(number, Deadline::NOW).unwrap();
        }
    });
    for number in 0..2500 {
        for ring in BOTH {
            let wait = WAITS[number as usize % 3];
            let path = test.path("ring");
            let tx = Tx::attach(ring, How::Create(&path, 1), wait, None).unwrap();
            let mut rx = Rx::attach(ring, How::Open(&path), wait, None).unwrap();
            std::fs::remove_file(&path).unwrap();
            ask.send((number, tx)).unwrap();
            assert_eq!(rx.recv(Some(number), Deadline::NEVER), Ok(number));
            assert_eq!(rx.recv(None, Deadline::NEVER), Err(Refusal::Closed));
        }
    }
    drop(ask);
    writer.join().unwrap();
}

/// `Timeout`, and not before its time.
fn times_out(after: Duration, call: impl FnOnce() -> Option<Refusal>) {
    let began = Instant::now();
    assert_eq!(call(), Some(Refusal::Timeout));
    assert!(began.elapsed() >= after, "{:?} of {after:?}", began.elapsed());
}

#[test]
fn deadlines_pass_at_their_time() {
    let test = test!("deadlines");
    for ring in BOTH {
        for wait in WAITS {
            let path = test.path("ring");
            let mut tx = Tx::attach(ring, How::Create(&path, 4096), wait, None).unwrap();
            let mut rx = Rx::attach(ring, How::Open(&path), wait, None).unwrap();
            for millis in [0, 1, 30] {
                let after = Duration::from_millis(millis);
                times_out(after, || rx.recv(None, Deadline::after(after)).err());
                times_out(after, || rx.recv(None, Deadline::at(Instant::now() + after)).err());
            }
            times_out(Duration::ZERO, || rx.recv(None, Deadline::NOW).err());
            times_out(Duration::ZERO, || rx.recv(None, Deadline::at(Instant::now())).err());
            let (next, _) = tx.fill(0);
            for millis in [0, 1, 30] {
                let after = Duration::from_millis(millis);
                times_out(after, || tx.send(next, Deadline::after(after)).err());
            }
            // There is something to do: a deadline in the past is no reason not to.
            assert_eq!(rx.recv(Some(0), Deadline::NOW), Ok(0));
            while tx.held() > 0 {
                rx.recv(None, Deadline::NOW).unwrap();
            }
            assert_eq!(tx.send(next, Deadline::NOW), Ok(()));
        }
    }
}

#[test]
fn time_outs_of_the_plain_calls() {
    let _test = test!("plain");
    let tick = Duration::from_millis(2);
    let (mut tx, mut rx) = spsc::pair::<u32>(1).unwrap();
    assert!(matches!(rx.recv_timeout(Duration::ZERO), Err(RecvError::Timeout)));
    assert!(matches!(rx.recv_timeout(tick), Err(RecvError::Timeout)));
    tx.send_timeout(1, Duration::ZERO).unwrap();
    assert_eq!(tx.send_timeout(2, Duration::ZERO), Err(spsc::SendError::Timeout(2)));
    assert_eq!(tx.send_timeout(2, tick), Err(spsc::SendError::Timeout(2)));
    assert_eq!(rx.recv_timeout(Duration::MAX).unwrap(), 1);
    drop(rx);
    tx.send_timeout(3, Duration::ZERO).unwrap();
    assert_eq!(tx.send_timeout(4, Duration::MAX), Err(spsc::SendError::Closed(4)));
    assert_eq!(tx.send_timeout(4, Duration::ZERO), Err(spsc::SendError::Closed(4)));

    let (mut tx, mut rx) = bytes::pair(4096).unwrap();
    let max = vec![7; tx.max_len()];
    assert!(matches!(rx.recv_timeout(Duration::ZERO), Err(RecvError::Timeout)));
    assert!(matches!(rx.recv_timeout(tick), Err(RecvError::Timeout)));
    tx.send_timeout(&max, Duration::ZERO).unwrap();
    assert!(matches!(tx.send_timeout(b"", Duration::ZERO), Err(SendError::Timeout)));
    assert!(matches!(tx.send_timeout(b"", tick), Err(SendError::Timeout)));
    assert_eq!(rx.recv_timeout(Duration::MAX).unwrap(), max);
    let longer = vec![7; max.len() + 1];
    let refused = tx.send_timeout(&longer, Duration::MAX);
    assert!(matches!(refused, Err(SendError::TooLarge { len: 4089, max: 4088 })), "{refused:?}");
    drop(tx);
    assert!(matches!(rx.recv_timeout(Duration::MAX), Err(RecvError::Closed)));
    assert!(matches!(rx.recv_timeout(Duration::ZERO), Err(RecvError::Closed)));
}

/// "For ever" in each of its spellings: only the message ends it.
#[test]
fn a_deadline_beyond_the_clock_never_passes() {
    let test = test!("never");
    let far = Instant::now() + Duration::from_secs(1 << 40);
    for deadline in [Deadline::NEVER, Deadline::after(Duration::MAX), Deadline::at(far)] {
        let path = test.path("ring");
        let mut rx = Rx::attach(BOTH[0], How::Create(&path, 4), ringway::Wait::Park, None).unwrap();
        let waiting = std::thread::spawn(move || rx.recv(Some(0), deadline));
        process_tests::support::until_asleep(&path, 0);
        let mut tx = Tx::attach(BOTH[0], How::Open(&path), ringway::Wait::Park, None).unwrap();
        assert_eq!(tx.send(0, Deadline::NOW), Ok(()));
        assert_eq!(waiting.join().unwrap(), Ok(0));
    }
}
