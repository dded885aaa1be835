//! Values and arrays between real processes, which are killed, stopped and forked in the middle of their writes.

use process_tests::support::rounds;
use process_tests::test;
use ringway::inspect::{self, Detail, Lock};
use ringway::{Array, CellError, LockError, Value};
use std::os::unix::fs::FileExt;
use std::time::Duration;

fn look(path: &str) -> inspect::Cell {
    match inspect::stat(path).unwrap().detail {
        Detail::Cell(cell) => *cell,
        other => panic!("no cell: {other:?}"),
    }
}

fn writer_of(path: &str) -> Option<u32> {
    match look(path).journal.unwrap().writer {
        Lock::Held(writer) => writer.pid,
        _ => None,
    }
}

/// All elements of one moment are equal here; which number, the caller wants to know.
fn level(words: &[u64]) -> u64 {
    assert!(words.iter().all(|&word| word == words[0]), "not of one moment");
    words[0]
}

/// Writers are killed in the middle: everybody sees each write as a whole or not at all, and none that existed goes back.
#[test]
fn killed_writers_leave_whole_values() {
    let test = test!("cell-kills");
    let (path, large) = (test.path("value"), test.path("array"));
    let value = Value::create(&path, [0_u64; 16]).unwrap();
    let array = Array::<u64>::create(&large, 1 << 15).unwrap();
    let (mut last, mut highest, mut cut, mut round) = (0, 0, 0, 0);
    // So long that a writer is killed between his commit and the end at least once: it is half of his time.
    while round < rounds() / 6 || cut == 0 {
        round += 1;
        let racers = [format!("value {path} race"), format!("array {large} race")].map(|it| test.start(&it));
        let goal = (level(&value.read().unwrap()) + 20, level(&array.snapshot().unwrap()) + 2);
        while last < goal.0 || highest < goal.1 {
            let now = (level(&value.read().unwrap()), level(&array.snapshot().unwrap()));
            assert!(now.0 >= last && now.1 >= highest, "time goes back");
            (last, highest) = now;
        }
        racers.iter().for_each(|racer| racer.kill());
        racers.into_iter().for_each(|racer| racer.was_killed());
        cut += u64::from(look(&large).journal.unwrap().open);
        let now = (level(&value.read().unwrap()), level(&array.snapshot().unwrap()));
        assert!(now.0 >= last && now.1 >= highest, "time goes back");
        // A lone operation ends what the dead one began; a write does too.
        if round % 2 == 0 {
            let old = array.fetch_add(7, 1).unwrap();
            assert_eq!((old, array.load(7).unwrap()), (now.1, now.1 + 1));
            assert!(!look(&large).journal.unwrap().open);
            array.fetch_sub(7, 1).unwrap();
        } else {
            array.update(.., |all| assert_eq!(level(all), now.1)).unwrap();
        }
        value.update(|words| words.map(|word| word + 1)).unwrap();
        (last, highest) = (level(&value.read().unwrap()), level(&array.snapshot().unwrap()));
        assert_eq!((last, highest), (now.0 + 1, now.1));
    }
}

/// A writer who is stopped in the middle keeps nobody from reading; other writers are told.
#[test]
fn readers_do_not_wait_for_a_stopped_writer() {
    let test = test!("cell-stops");
    let path = test.path("array");
    let array = Array::<u64>::options()
        .capacity(1 << 15)
        .write_timeout(Duration::from_millis(5))
        .create(&path)
        .unwrap();
    let racer = test.start(&format!("array {path} race"));
    let (mut caught, mut open) = (0, 0);
    while caught < 3 || open == 0 {
        racer.stop();
        if writer_of(&path) == Some(racer.pid()) {
            caught += 1;
            let before = level(&array.snapshot().unwrap());
            assert!(matches!(array.set(3, 0), Err(CellError::Timeout)));
            assert!(matches!(array.update(.., |_| ()), Err(CellError::Timeout)));
            open += u64::from(look(&path).journal.unwrap().open);
            assert_eq!((array.get(5).unwrap(), array.load(5).unwrap()), (before, before));
            assert_eq!(level(&array.snapshot().unwrap()), before);
        }
        racer.signal(libc::SIGCONT);
    }
    racer.kill();
    racer.was_killed();
    let all = level(&array.snapshot().unwrap());
    array.update(.., |elements| assert_eq!(level(elements), all)).unwrap();
}

#[test]
fn four_processes_count() {
    let test = test!("cell-crowd");
    let paths = ["number", "float", "value", "array"].map(|kind| (kind, test.path(kind)));
    let number = Value::create(&paths[0].1, 0_u64).unwrap();
    let float = Value::create(&paths[1].1, 0_f64).unwrap();
    let value = Value::create(&paths[2].1, [0_u64; 16]).unwrap();
    let array = Array::<u64>::create(&paths[3].1, 3).unwrap();
    for (kind, path) in &paths {
        let mut counters = [(); 4].map(|()| test.start(&format!("{kind} {path} count:5000")));
        counters.iter_mut().for_each(|counter| counter.expect("counted"));
        counters.into_iter().for_each(|counter| counter.succeed());
    }
    assert_eq!((number.load(), float.load()), (20_000, 10_000.0));
    assert_eq!(value.read().unwrap(), [20_000; 16]);
    assert_eq!(array.snapshot().unwrap(), [20_000; 3]);
}

#[test]
fn a_killed_holder_leaves_its_lock_to_the_next() {
    let test = test!("cell-holder");
    let path = test.path("value");
    let value = Value::create(&path, [0_u64; 16]).unwrap();
    for _ in 0..rounds() / 12 {
        let mut holder = test.start(&format!("value {path} lock lock count:2 hang"));
        holder.expect("locked");
        holder.expect("locked");
        holder.expect("counted");
        assert!(matches!(value.try_lock(), Err(LockError::WouldBlock)));
        value.update(|words| words.map(|word| word + 1)).unwrap();
        let seen = look(&path).lock;
        assert!(matches!(seen.state, Lock::Held(who) if who.pid == Some(holder.pid())) && seen.depth == 2);
        holder.kill();
        let mut heir = test.start(&format!("value {path} lock"));
        heir.expect("inherited");
        heir.succeed();
        holder.was_killed();
        assert!(value.lock().is_ok());
    }
}

#[test]
fn a_child_does_not_hold_what_its_parent_holds() {
    test!("cell-fork").start("cellfork").succeed();
}

/// A peer writes nonsense over the books and the elements: every call ends.
#[test]
fn a_scribbling_peer_ends_nothing_but_the_agreement() {
    let test = test!("cell-hostile");
    let path = test.path("array");
    let array = Array::<u64>::options()
        .capacity(100)
        .trusted(false)
        .write_timeout(Duration::from_micros(300))
        .create(&path)
        .unwrap();
    // Behind the header and the rows of 254 participants: the lock and the books.
    let mut scribbler = test.start(&format!("scribble {path} {} 112 11", 4096 + 4 * 4096));
    scribbler.expect("scribbling");
    let mut ends = std::collections::BTreeSet::new();
    for round in 0..4000_usize {
        let result = match round % 6 {
            0 => array.snapshot().map(drop),
            1 => array.get(round % 100).map(drop),
            2 => array.load(round % 100).map(drop),
            3 => array.fetch_add(round % 100, 1).map(drop),
            4 => array.write_slice(round % 50, &[7; 50]),
            _ => array.set(round % 100, 1),
        };
        ends.insert(match result {
            Ok(()) => "done",
            Err(CellError::Corrupt(_)) => "corrupt",
            Err(CellError::Timeout) => "timed out",
            Err(other) => panic!("{other}"),
        });
        inspect::stat(&path).unwrap();
    }
    scribbler.kill();
    scribbler.was_killed();
    assert!(ends.len() > 1, "{ends:?}");
    // Put in order again, it is as good as new.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0; 112], 4096 + 4 * 4096).unwrap();
    array.write_slice(0, &[5; 100]).unwrap();
    assert_eq!(level(&array.snapshot().unwrap()), 5);
}
