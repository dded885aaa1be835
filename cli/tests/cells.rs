//! Values and arrays as a shell sees them, in the hands of real processes, some of which are stopped and killed.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::FileExt, process::ExitStatusExt},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use ringway::{Array, LockError, Value, Wait};
use serde_json::Value as Json;
use support::{Place, Running, wait_for};

/// What a process of ours is to do, and with which file.
const PLAY: &str = "RINGWAY_TEST_PLAY";

/// As many elements as take long enough to copy that a process is caught in the middle.
const MANY: usize = 1 << 16;

/// Another process, which plays a part of [`plays_its_part`].
fn player(place: &Place, part: &str, name: &str) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "plays_its_part"]);
    command.env(PLAY, format!("{part} {}", path(place, name)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::of(command)
}

#[test]
#[ignore = "the other tests start it, as a process of its own"]
fn plays_its_part() {
    let play = std::env::var(PLAY).expect("started by another test");
    let (part, path) = play.split_once(' ').unwrap();
    match part {
        "lock" => {
            let value = Value::<u64>::options().timed(true).wait(Wait::Park).open(path).unwrap();
            let guard = value.lock().unwrap();
            guard.set(guard.get().unwrap() + 1).unwrap();
            thread::sleep(Duration::MAX);
        }
        "race" => {
            let array = Array::<u64>::open(path).unwrap();
            loop {
                array.update(.., |all| all.iter_mut().for_each(|word| *word += 1)).unwrap();
            }
        }
        "stay" => {
            let _array = Array::<u64>::open(path).unwrap();
            thread::sleep(Duration::MAX);
        }
        other => panic!("there is no part {other}"),
    }
}

fn path(place: &Place, name: &str) -> String {
    place.0.join(name).to_str().unwrap().to_owned()
}

fn kill(running: Running) {
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().status.signal(), Some(libc::SIGKILL));
}

/// Stops a process, and waits until each of its threads stands still.
fn stop(running: &Running) {
    running.signal(libc::SIGSTOP);
    let mut status = 0;
    // SAFETY: the status is ours to be written.
    let stopped = unsafe { libc::waitpid(running.child.id() as libc::pid_t, &mut status, libc::WUNTRACED) };
    assert!(stopped > 0 && libc::WIFSTOPPED(status), "it has ended instead: {status:x}");
}

/// What `stat` tells people of `name`.
fn told(place: &Place, name: &str) -> String {
    String::from_utf8(place.start(&["stat", name]).succeed()).unwrap()
}

/// The line of `ls` that begins with `name`, its columns one space apart.
fn row(place: &Place, name: &str) -> String {
    let text = String::from_utf8(place.start(&["ls"]).succeed()).unwrap();
    let row = text.lines().find(|row| row.split_whitespace().next() == Some(name)).expect("it is listed");
    row.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn a_small_value_is_shown_with_its_number_and_who_has_its_lock() {
    let place = Place::new();
    let value = Value::create(&path(&place, "x"), 41_u64).unwrap();
    let holder = player(&place, "lock", "x");
    let pid = holder.child.id();
    place.await_stat("x", |seen| seen["value"] == 42);
    let seen = place.stat("x").unwrap();
    assert_eq!(
        (&seen["kind"], &seen["capacity"], &seen["element_size"]),
        (&"value".into(), &1.into(), &8.into())
    );
    assert_eq!((&seen["value_hex"], &seen["journal"]), (&"0x2a".into(), &Json::Null));
    assert_eq!((&seen["state"], &seen["holder"]["pid"]), (&"held".into(), &pid.into()));
    assert!(seen["holder"]["program"].as_str().unwrap().contains("plays_its_part"), "{seen}");
    assert!(seen["held_seconds"].is_number(), "{seen}");
    assert_eq!((&seen["recoveries"], &seen["waiters"]), (&0.into(), &0.into()));
    let text = told(&place, "x");
    has(&text, &["kind        value\n", "capacity    a value of 8 bytes\n", "value       42 (0x2a)\n"]);
    has(&text, &[&format!("held by     process {pid}: "), "since ", "waiting     nobody now"]);
    let line = row(&place, "x");
    assert!(
        line.starts_with("x value 8 B 2 ") && line.ends_with(&format!("42 (0x2a), held by {pid}")),
        "{line}"
    );

    let next = player(&place, "lock", "x");
    place.await_stat("x", |seen| seen["waiters"] == 2);
    has(&told(&place, "x"), &["waiting     perhaps 2 processes"]);
    kill(next);
    kill(holder);
    let line = row(&place, "x");
    assert!(line.ends_with(&format!("died, 42 (0x2a), left by {pid}")), "{line}");
    has(&told(&place, "x"), &[&format!("held by     process {pid} (dead): the next one recovers")]);
    match value.lock() {
        Err(LockError::OwnerDied(inherited)) => drop(inherited.recover(|number| number - 2).unwrap()),
        other => panic!("somebody died with it: {other:?}"),
    }
    let seen = place.stat("x").unwrap();
    assert_eq!((&seen["state"], &seen["holder"], &seen["value"]), (&"free".into(), &Json::Null, &40.into()));
    assert_eq!((&seen["recoveries"], &seen["inconsistent"]), (&1.into(), &false.into()));
    has(&told(&place, "x"), &["lock        nobody has it now\n", "taken from a dead holder once\n"]);
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn a_writer_in_the_middle_is_shown_and_so_is_what_it_leaves() {
    let place = Place::new();
    let array = Array::<u64>::create(&path(&place, "x"), MANY).unwrap();
    has(&told(&place, "x"), &["written     0 times\n", "writer      nobody now\n"]);
    let line = row(&place, "x");
    assert!(line.starts_with("x array 65,536 8 B 1 "), "{line}");
    // Until it is caught between the moment at which its write exists and the end of the copying.
    let writer = player(&place, "race", "x");
    let pid = writer.child.id();
    let seen = wait_for("a write cut in half", || {
        stop(&writer);
        let seen = place.stat("x").unwrap();
        if seen["journal"]["open"] == true {
            return Some(seen);
        }
        writer.signal(libc::SIGCONT);
        None
    });
    assert_eq!((&seen["kind"], &seen["capacity"]), (&"array".into(), &MANY.into()));
    assert_eq!((&seen["value"], &seen["value_hex"]), (&Json::Null, &Json::Null));
    let journal = &seen["journal"];
    assert_eq!((&journal["state"], &journal["writer"]["pid"]), (&"held".into(), &pid.into()));
    assert!(journal["writer"]["program"].as_str().unwrap().contains("plays_its_part"), "{journal}");
    assert_eq!(&seen["state"], "free", "nobody asked for the lock");
    let writes = journal["writes"].as_u64().unwrap();
    assert_eq!(array.snapshot().unwrap(), vec![writes; MANY], "each write adds one");
    let text = told(&place, "x");
    has(&text, &["capacity    65,536 elements of 8 bytes\n", &format!("writer      process {pid}: ")]);
    has(&text, &["the last write is there as a whole, and is just being copied to its place\n"]);
    let line = row(&place, "x");
    assert!(line.ends_with(&format!("{pid} writes")), "{line}");

    kill(writer);
    let text = told(&place, "x");
    has(
        &text,
        &[&format!("writer      process {pid} (dead): its last write is there as a whole, and the next")],
    );
    let line = row(&place, "x");
    assert!(line.ends_with(&format!("died, {pid} died writing")), "{line}");
    let seen = place.stat("x").unwrap();
    assert_eq!((&seen["journal"]["writes"], &seen["journal"]["open"]), (&writes.into(), &true.into()));
    // Who comes next gets the dead one's place in the table, and writes down that it died.
    array.write_slice(0, &[0]).unwrap();
    let seen = place.stat("x").unwrap();
    let journal = &seen["journal"];
    assert_eq!((&journal["writes"], &journal["open"]), (&(writes + 1).into(), &false.into()));
    assert_eq!((&journal["state"], &journal["writer"]), (&"free".into(), &Json::Null));
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn a_writer_whose_place_somebody_else_has_taken_is_dead_still() {
    let place = Place::new();
    let array = Array::<u64>::options().capacity(MANY).participants(2).create(&path(&place, "x")).unwrap();
    let writer = player(&place, "race", "x");
    wait_for("a writer in the middle", || {
        stop(&writer);
        if place.stat("x").unwrap()["journal"]["state"] == "held" {
            return Some(());
        }
        writer.signal(libc::SIGCONT);
        None
    });
    kill(writer);
    let guest = player(&place, "stay", "x");
    place.await_stat("x", |seen| seen["journal"]["state"] == "died");
    assert_eq!(place.stat("x").unwrap()["journal"]["writer"], Json::Null);
    has(
        &told(&place, "x"),
        &["writer      the last one died in the middle: its last write is there as a whole"],
    );
    assert!(row(&place, "x").ends_with(" writer died"));
    kill(guest);
    array.write_slice(0, &[0]).unwrap();
    assert_eq!(place.stat("x").unwrap()["journal"]["state"], "free");
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn values_and_arrays_stay_until_somebody_says_otherwise() {
    let place = Place::new();
    drop(Value::create(&path(&place, "number"), -1_i32).unwrap());
    drop(Value::create(&path(&place, "large"), [7_u64; 128]).unwrap());
    drop(Array::<[u16; 3]>::create(&path(&place, "array"), 5).unwrap());
    drop(ringway::Mutex::create(&path(&place, "mutex"), 0_u8).unwrap());
    assert_eq!(place.start(&["clean"]).succeed(), b"mutex\n");
    assert_eq!(row(&place, "number").split_once("s ").unwrap().1, "unused, 4294967295 (0xffffffff)");
    assert!(row(&place, "number").starts_with("number value 4 B 0 "));
    assert!(
        row(&place, "large").starts_with("large value 1024 B 0 ")
            && row(&place, "large").ends_with(" unused")
    );
    assert!(row(&place, "array").starts_with("array array 5 6 B 0 "));
    has(&told(&place, "number"), &["value       4,294,967,295 (0xffffffff)\n"]);
    let seen = place.stat("large").unwrap();
    assert_eq!((&seen["value"], &seen["journal"]["writes"]), (&Json::Null, &0.into()));
    has(&told(&place, "array"), &["capacity    5 elements of 6 bytes\n", "writers     slept 0 times"]);
    // What is in them is still there.
    let large = Value::<[u64; 128]>::open(&path(&place, "large")).unwrap();
    assert_eq!(large.read().unwrap(), [7; 128]);
    assert_eq!(place.start(&["clean", "--all"]).succeed(), b"array\nnumber\n", "what is in use stays anyway");
    place.start(&["rm", "large"]).succeed();
    large.write([8; 128]).unwrap();
    assert_eq!(large.read().unwrap(), [8; 128], "whoever is attached goes on without the name");
}

#[test]
fn what_nobody_can_open_any_more_is_no_treasure() {
    let place = Place::new();
    drop(Value::create(&path(&place, "x"), 1_u64).unwrap());
    let file = fs::File::options().read(true).write(true).open(place.0.join("x")).unwrap();
    // A remover was killed after it had written the word that says so, and before the name went.
    file.write_all_at(&1_u32.to_ne_bytes(), 192).unwrap();
    assert_eq!(place.stat("x").unwrap()["retired"], true);
    assert_eq!(place.start(&["clean"]).succeed(), b"x\n");
}

#[test]
fn watching_a_value_shows_it_change() {
    let place = Place::new();
    let value = Value::create(&path(&place, "x"), 1_u16).unwrap();
    let (watching, output) = Running::with_output(place.run(&["stat", "x", "--json", "--watch=0.01"]));
    let mut lines = BufReader::new(output).lines();
    for number in [1, 0xffff, 7] {
        value.store(number);
        let is_it = |line: &str| serde_json::from_str::<Json>(line).unwrap()["value"] == number;
        assert!(lines.any(|line| is_it(&line.unwrap())), "it ended before that");
    }
    let (listing, output) = Running::with_output(place.run(&["ls", "--watch=0.01"]));
    let mut rows = BufReader::new(output).lines().map(Result::unwrap).filter(|row| row.starts_with("x "));
    assert!(rows.any(|row| row.ends_with(" 7 (0x7)")));
    value.store(8);
    assert!(rows.any(|row| row.ends_with(" 8 (0x8)")));
    listing.signal(libc::SIGINT);
    assert_eq!(listing.end().status.signal(), Some(libc::SIGINT));
    place.start(&["rm", "x"]).succeed();
    watching.fail("there is no object named \"x\"");
}

#[test]
fn whatever_is_written_into_a_cell_is_shown_as_nonsense() {
    let place = Place::new();
    drop(Value::create(&path(&place, "small"), u64::from_le_bytes(*b"rw-cell1")).unwrap());
    drop(Value::create(&path(&place, "large"), [u64::from_le_bytes(*b"rw-cell2"); 8]).unwrap());
    for (name, mark, words) in [("small", b"rw-cell1", 56), ("large", b"rw-cell2", 112)] {
        let file = fs::File::options().read(true).write(true).open(place.0.join(name)).unwrap();
        let bytes = fs::read(place.0.join(name)).unwrap();
        let at = bytes.windows(8).position(|eight| eight == mark).unwrap() as u64;
        // All the object's own words, and one by one.
        let scribbles =
            [(at - words, words as usize)].into_iter().chain((0..words / 8).map(|n| (at - words + 8 * n, 8)));
        for (from, len) in scribbles {
            for fill in [0x55_u8, 0xff, 1] {
                file.write_all_at(&vec![fill; len], from).unwrap();
                let seen = place.stat(name).unwrap();
                let text = told(&place, name);
                let line = row(&place, name);
                if len > 8 && fill == 0xff {
                    assert_eq!(seen["state"], "corrupt", "{seen}");
                    has(&text, &["nonsense: the shared memory is corrupt"]);
                    assert!(line.ends_with("corrupt"), "{line}");
                }
                file.write_all_at(&bytes[from as usize..][..len], from).unwrap();
            }
        }
        assert_eq!(place.stat(name).unwrap()["state"], "free");
    }
    assert_eq!(place.start(&["clean", "--all"]).succeed(), b"large\nsmall\n");
}
