//! Several processes at each end of a pipe, alive and killed: each message whole, to one receiver, in order.

use process_tests::message::scramble;
use process_tests::support::{Peer, Test, rounds};
use process_tests::test;
use ringway::{Connection, Pipe};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const MAX: usize = 100_000;

/// Gives a copy of the end to a helper that follows the script.
fn share<'a>(test: &'a Test, end: &Connection, script: &str) -> Peer<'a> {
    let mut command = test.command(&format!("pipe inherit:end {script}"));
    end.inherit(&mut command, "end").unwrap();
    test.spawn(&mut command)
}

/// What one receiver reported: the numbers in the order it got them, how many empty messages, and how it ended
/// (`None`: by a kill; then the last line may be cut off).
#[derive(Debug, Default)]
struct Report {
    numbers: Vec<u64>,
    empty: u64,
    end: Option<String>,
}

fn read(peer: &mut Peer<'_>) -> Report {
    let mut report = Report::default();
    while let Some(line) = peer.line_or_end() {
        match line.as_str() {
            "empty" => report.empty += 1,
            "closed" | "torn" => report.end = Some(line),
            number => report.numbers.push(number.parse().expect("a garbled parcel")),
        }
    }
    report
}

fn assert_in_order(numbers: &[u64]) {
    let mut last = BTreeMap::new();
    for number in numbers {
        let before = last.insert(number >> 32, *number);
        assert!(before.is_none_or(|before| before < *number), "{number:#x} after {before:#x?}");
    }
}

#[test]
fn four_senders_and_four_receivers_share_a_small_ring() {
    let test = test!("shared");
    const EACH: u64 = 400;
    for wait in ["adaptive", "park"] {
        let (a, z) = Pipe::options().capacity(16 * 1024).pair().unwrap();
        let senders = [0_u64, 1, 2, 3].map(|id| share(&test, &a, &format!("{wait} sends:{id}:{EACH}:{MAX}")));
        let mut receivers = [(); 4].map(|()| share(&test, &z, &format!("{wait} report:{MAX}")));
        drop((a, z));
        let reports = std::thread::scope(|scope| {
            let readers: Vec<_> =
                receivers.iter_mut().map(|receiver| scope.spawn(|| read(receiver))).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
        });
        senders.into_iter().for_each(Peer::succeed);
        receivers.into_iter().for_each(Peer::succeed);
        let mut all = BTreeSet::new();
        for report in &reports {
            assert_eq!(report.end.as_deref(), Some("closed"));
            assert_in_order(&report.numbers);
            for number in &report.numbers {
                assert!(all.insert(*number), "{number:#x} came twice");
            }
        }
        let sent: BTreeSet<u64> = (0..4).flat_map(|id| (0..EACH).map(move |n| id << 32 | n)).collect();
        assert!(all == sent, "{} of {} came", all.len(), sent.len());
        assert_eq!(reports.iter().map(|report| report.empty).sum::<u64>(), 4 * EACH / 16);
    }
}

/// Senders and receivers are killed at random and others take their places. What a killed sender had sent whole
/// arrives; what it had not does not; each killed receiver takes at most one message along.
#[test]
fn survivors_of_kills_at_both_ends_go_on() {
    let test = test!("shared-kills");
    let (a, z) = Pipe::options().capacity(16 * 1024).pair().unwrap();
    let mut random = 7;
    let mut next_id = 0;
    let mut kills = 0;
    let mut reports = Vec::new();
    std::thread::scope(|scope| {
        let sender = |id: u64| {
            let wait = ["spin", "adaptive", "park"][id as usize % 3];
            share(&test, &a, &format!("{wait} ready flood:{id}:{MAX}"))
        };
        let mut senders: Vec<Peer<'_>> = (0..4).map(sender).collect();
        next_id += 4;
        let receiver = |id: u64| {
            let wait = ["park", "adaptive", "spin"][id as usize % 3];
            let mut peer = share(&test, &z, &format!("{wait} ready report:{MAX}"));
            peer.expect("ready");
            let pid = peer.pid();
            let reader = scope.spawn(move || {
                let report = read(&mut peer);
                drop(peer);
                report
            });
            (pid, reader)
        };
        let mut receivers: Vec<_> = (0..4).map(receiver).collect();
        for _ in 0..rounds() * 2 {
            // Kills come at any moment, whatever it is that the victims are doing then.
            std::thread::sleep(Duration::from_micros(scramble(&mut random) % 4000));
            let victim = scramble(&mut random) as usize % 8;
            if victim < 4 {
                let mut old = std::mem::replace(&mut senders[victim], sender(next_id));
                old.expect("ready");
                old.kill();
                old.was_killed();
            } else {
                let old = std::mem::replace(&mut receivers[victim - 4], receiver(next_id));
                process_tests::support::signal(old.0, libc::SIGKILL);
                kills += 1;
                reports.push(old.1.join().unwrap());
            }
            next_id += 1;
        }
        // All senders die, in the middle of what they are sending; then the receivers come to an end.
        for mut old in senders {
            old.expect("ready");
            old.kill();
            old.was_killed();
        }
        drop(a);
        drop(z);
        for (_, reader) in receivers {
            let report = reader.join().unwrap();
            assert!(report.end.is_some(), "a survivor ended without a word");
            reports.push(report);
        }
    });
    let mut all = BTreeSet::new();
    let mut torn = 0;
    for report in &reports {
        assert_in_order(&report.numbers);
        torn += u64::from(report.end.as_deref() == Some("torn"));
        for number in &report.numbers {
            assert!(all.insert(*number), "{number:#x} came twice");
        }
    }
    assert!(torn <= 1, "{torn} receivers were told of one torn message");
    // Of each sender all parcels up to its last one came, but for those that killed receivers took along.
    let mut last = BTreeMap::new();
    for number in &all {
        last.insert(number >> 32, *number as u32);
    }
    let expected: u64 = last.values().map(|last| u64::from(*last) + 1).sum();
    let lost = expected - all.len() as u64;
    assert!(lost <= kills, "{lost} parcels lost with {kills} receivers");
    assert!(all.len() as u64 > rounds(), "hardly anything came: {}", all.len());
    eprintln!("{} parcels of {next_id} processes came, {lost} were lost with {kills} receivers", all.len());
}
