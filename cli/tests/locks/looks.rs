//! What is shown of locks and their like, and what is none of the command's.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
    os::unix::process::ExitStatusExt,
};

use ringway::{
    Barrier, Condvar, Deadline, Event, JoinableQueue, LockError, Mutex, OwnedSemaphore, ReentrantMutex,
    Semaphore,
};
use serde_json::Value;

use crate::{
    await_holder, code, kill, lock,
    support::{Place, Running},
};

#[test]
fn locks_of_programs_and_other_things_are_left_alone() {
    let place = Place::new();
    let path = |name: &str| place.0.join(name).to_str().unwrap().to_owned();
    let small = Mutex::create(&path("small"), 7_u64).unwrap();
    // As large as what `ringway lock` has in its own.
    let large = Mutex::create(&path("large"), [[7_u64; 4]; 9]).unwrap();
    let event = Event::create(&path("event")).unwrap();
    for name in ["small", "large"] {
        let ended = lock(&place, &[name, "echo", "never"]).end();
        let said = format!(
            "ringway: {name}: this mutex belongs to a program that keeps a value of its own in it, not to `ringway lock`\n"
        );
        assert_eq!((code(&ended), ended.out), ((Some(1), said), vec![]));
    }
    assert_eq!((*small.lock().unwrap(), *large.lock().unwrap()), (7, [[7; 4]; 9]));
    lock(&place, &["event", "true"]).fail("event: the segment holds an event, not a mutex");
    fs::write(place.0.join("text"), "x".repeat(10_000)).unwrap();
    lock(&place, &["text", "true"]).fail("text: ");
    for bad in ["../x", "", ".x", "a/b"] {
        assert_eq!(lock(&place, &[bad, "true"]).end().status.code(), Some(2), "{bad}");
    }
    for bad in [&["x"][..], &["x", "--"], &["-E", "256", "x", "true"], &["-w", "soon", "x", "true"]] {
        assert_eq!(lock(&place, bad).end().status.code(), Some(2), "{bad:?}");
    }
    fs::remove_file(place.0.join("text")).unwrap();
    drop((small, large, event));
    assert_eq!(place.start(&["clean"]).succeed(), b"event\nlarge\nsmall\n");
}

#[test]
fn whatever_is_written_into_a_lock_is_no_more_than_nonsense() {
    let place = Place::new();
    lock(&place, &["x", "true"]).succeed();
    let file = fs::File::options().read(true).write(true).open(place.0.join("x")).unwrap();
    let bytes = fs::read(place.0.join("x")).unwrap();
    let at = bytes.windows(8).position(|eight| eight == b"rw-lock1").unwrap() as u64;
    // While somebody has it: he is not believed to be another.
    let holder = lock(&place, &["x", "sleep", "1000"]);
    await_holder(&place, "x", &holder);
    for fill in [0_u8, 0xff, 0x1b] {
        file.write_all_at(&[fill; 280], at + 8).unwrap();
        let seen = place.stat("x").unwrap();
        assert_eq!((&seen["state"], seen["command"].is_null()), (&"held".into(), true), "{seen}");
        let text = place.start(&["stat", "x"]).succeed();
        assert!(!text.contains(&0x1b) && !text.contains(&0xff));
    }
    let ended = lock(&place, &["-n", "x", "true"]).end();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr().contains(" has had it for "), "{}", ended.stderr());
    kill(holder);
    let ended = lock(&place, &["x", "echo", "mine"]).end();
    assert_eq!((ended.status.code(), ended.stdout().as_str()), (Some(0), "mine\n"));
    assert_eq!(ended.stderr(), "ringway: x: the last holder died with it, who that was cannot be read\n");
    lock(&place, &["-n", "x", "true"]).succeed();
    // What is not marked as ours is not overwritten, not even if its owner is dead.
    let holder = lock(&place, &["x", "sleep", "1000"]);
    await_holder(&place, "x", &holder);
    kill(holder);
    file.write_all_at(&[9; 288], at).unwrap();
    lock(&place, &["x", "echo", "never"]).fail("x: this mutex belongs to a program");
    let foreign = Mutex::<[[u64; 4]; 9]>::open(place.0.join("x").to_str().unwrap()).unwrap();
    match foreign.lock() {
        Err(LockError::OwnerDied(inherited)) => {
            assert_eq!(*inherited.recover(|_| {}), [[0x0909_0909_0909_0909; 4]; 9])
        }
        other => panic!("it is still to be repaired: {other:?}"),
    }
    // The lock's own words, all of them.
    for fill in [0x55_u8, 0xff] {
        file.write_all_at(&bytes[at as usize..][..288], at).unwrap();
        file.write_all_at(&[fill; 56], at - 56).unwrap();
        let ended = lock(&place, &["-w", "0.2", "x", "echo", "never"]).end();
        assert_eq!((ended.status.code(), ended.stdout().as_str()), (Some(1), ""), "{}", ended.stderr());
        assert_eq!(place.stat("x").unwrap()["state"], "corrupt");
        place.start(&["stat", "x"]).succeed();
        place.start(&["ls"]).succeed();
    }
    drop(foreign);
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn all_kinds_are_shown_and_removed() {
    let place = Place::new();
    let path = |name: &str| place.0.join(name).to_str().unwrap().to_owned();
    let mutex = Mutex::<u64>::options().timed(true).create(&path("mutex")).unwrap();
    let reentrant = ReentrantMutex::create(&path("reentrant"), 0_u64).unwrap();
    let semaphore = Semaphore::create(&path("semaphore"), 3).unwrap();
    let owned = OwnedSemaphore::create(&path("owned"), 4).unwrap();
    let event = Event::create(&path("event")).unwrap();
    let condvar = Condvar::create(&path("condvar")).unwrap();
    let barrier = Barrier::create(&path("barrier"), 5).unwrap();
    let queue = JoinableQueue::<[u8]>::create(&path("queue"), 6).unwrap();
    let guards = (
        mutex.lock().unwrap(),
        reentrant.lock().unwrap(),
        reentrant.lock().unwrap(),
        owned.acquire().unwrap(),
    );
    event.set();
    // Somebody waits, and is told.
    assert!(condvar.wait_after(|| condvar.notify_all(), Deadline::NOW).unwrap());
    barrier.abort();

    let pid = std::process::id();
    let seen = |name: &str| place.stat(name).unwrap();
    let lock = seen("mutex");
    assert_eq!(
        (&lock["kind"], &lock["state"], &lock["holder"]["pid"]),
        (&"mutex".into(), &"held".into(), &pid.into())
    );
    assert!(lock["held_seconds"].is_number() && lock["command"].is_null(), "{lock}");
    let lock = seen("reentrant");
    assert_eq!((&lock["kind"], &lock["depth"]), (&"reentrant mutex".into(), &2.into()), "{lock}");
    assert!(lock["held_seconds"].is_null(), "{lock}");
    assert_eq!(
        (&seen("semaphore")["kind"], &seen("semaphore")["available"]),
        (&"semaphore".into(), &3.into())
    );
    let permits = seen("owned");
    assert_eq!(
        (&permits["available"], &permits["holders"][0]["permits"]),
        (&3.into(), &1.into()),
        "{permits}"
    );
    assert_eq!((&seen("event")["kind"], &seen("event")["set"]), (&"event".into(), &true.into()));
    assert_eq!(
        (&seen("condvar")["kind"], &seen("condvar")["notifications"]),
        (&"condition variable".into(), &1.into())
    );
    let meeting = seen("barrier");
    assert_eq!((&meeting["parties"], &meeting["broken"]), (&5.into(), &true.into()), "{meeting}");

    let text = String::from_utf8(place.start(&["ls"]).succeed()).unwrap();
    let rows: Vec<String> =
        text.lines().map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for wanted in [
        "barrier barrier 5 0 % 1 ",
        "condvar condition variable 1 ",
        "event event 1 ",
        &format!("mutex mutex 8 B 1 0s held by {pid}"),
        "owned owned semaphore 4 25 % 1 ",
        "reentrant reentrant mutex 8 B 1 ",
        "semaphore semaphore 1 ",
    ] {
        // The age may be a second by now.
        let wanted = wanted.split(" 0s ").next().unwrap();
        assert!(rows.iter().any(|row| row.starts_with(wanted)), "{wanted:?} in {text}");
    }
    for note in ["broken", "set", "3 available"] {
        assert!(rows.iter().any(|row| row.ends_with(note)), "{note:?} in {text}");
    }
    for (name, part) in [
        ("mutex", format!("held by     process {pid}")),
        ("reentrant", "2 times\n".into()),
        ("semaphore", "available   3 permits\n".into()),
        ("owned", format!("available   3 of 4 permits\nheld by     process {pid}")),
        ("event", "event       set; was set once\n".into()),
        ("condvar", "notified    once\n".into()),
        ("barrier", "barrier     broken; ".into()),
    ] {
        let text = String::from_utf8(place.start(&["stat", name]).succeed()).unwrap();
        assert!(text.contains(&part), "{part:?} in {text}");
        assert!(text.contains("\nwaiting     "), "{text}");
    }
    drop(guards);
    drop((mutex, reentrant, semaphore, owned, event, condvar, barrier, queue));
    assert_eq!(place.start(&["clean"]).succeed(), b"barrier\ncondvar\nmutex\nowned\nqueue\nreentrant\n");
    assert_eq!(place.start(&["clean", "--all"]).succeed(), b"event\nsemaphore\n");
}

#[test]
fn watching_shows_it_again_and_again_until_it_is_gone() {
    let place = Place::new();
    place.start(&["event", "set", "x", "--create"]).succeed();
    let (watching, output) = Running::with_output(place.run(&["stat", "x", "--json", "--watch=0.01"]));
    let mut lines = BufReader::new(output).lines();
    let mut await_set = |wanted: bool| {
        let is_it = |line: &str| serde_json::from_str::<Value>(line).unwrap()["set"] == wanted;
        assert!(lines.any(|line| is_it(&line.unwrap())), "it ended before that");
    };
    await_set(true);
    place.start(&["event", "clear", "x"]).succeed();
    await_set(false);
    place.start(&["event", "set", "x"]).succeed();
    await_set(true);
    let (listing, output) = Running::with_output(place.run(&["ls", "--watch"]));
    let mut rows = BufReader::new(output).lines().map(Result::unwrap).filter(|row| row.starts_with("x "));
    assert!(rows.by_ref().take(2).filter(|row| row.ends_with("unused, set")).count() == 2);
    listing.signal(libc::SIGINT);
    assert_eq!(listing.end().status.signal(), Some(libc::SIGINT));
    place.start(&["rm", "x"]).succeed();
    watching.fail("there is no object named \"x\"");
}
