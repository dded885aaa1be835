//! `ringway sem`.

use std::fs;

use serde_json::Value;

use crate::{await_attached, await_number, code, kill, kill_stranger, scratch, support::Place};

#[test]
fn so_many_at_once_and_no_more() {
    let place = Place::new();
    let run = |arguments: &[&str]| place.start(&[&["sem", "run"], arguments].concat());
    run(&["x", "true"]).fail("there is no object named \"x\"; --permits N makes one");
    let two = [(); 2].map(|()| run(&["x", "--permits", "2", "sleep", "1000"]));
    for running in &two {
        running.await_command("sleep");
    }
    let seen = place.stat("x").unwrap();
    assert_eq!((&seen["kind"], &seen["available"]), (&"owned semaphore".into(), &0.into()), "{seen}");
    let holders: Vec<_> = seen["holders"].as_array().unwrap().iter().map(|holder| &holder["pid"]).collect();
    assert!(two.iter().all(|running| holders.contains(&&Value::from(running.child.id()))), "{seen}");
    assert!(seen["holders"][0]["program"].as_str().unwrap().contains("ringway"), "{seen}");
    let ended = run(&["-n", "-E", "9", "x", "true"]).end();
    assert_eq!(code(&ended), (Some(9), "ringway: x: 2 run already\n".into()));
    run(&["x", "-p", "3", "true"]).fail("x: it lets 2 run at once, not 3, and is in use");
    let text = String::from_utf8(place.start(&["ls"]).succeed()).unwrap();
    assert!(text.contains(" 100 % "), "{text}");

    let waiting = run(&["x", "sh", "-c", "echo $RINGWAY_SEM $RINGWAY_RECOVERED; exit 4"]);
    await_attached(&place, "x", 3);
    let [first, second] = two;
    kill(first);
    let ended = waiting.end();
    assert_eq!((ended.status.code(), ended.stdout().as_str()), (Some(4), "x 1\n"));
    assert_eq!(ended.stderr(), "ringway: x: the last holder of this permit died with it\n");
    assert_eq!(place.stat("x").unwrap()["recovered"], 1);
    second.signal(libc::SIGTERM);
    assert_eq!(second.end().status.code(), Some(143));
    // Nobody uses it: another number is no contradiction.
    run(&["x", "-p", "3", "true"]).succeed();
    assert_eq!(place.stat("x").unwrap()["permits"], 3);
    assert_eq!(run(&["x", "-p", "0", "true"]).end().status.code(), Some(2));
    assert_eq!(place.start(&["clean"]).succeed(), b"x\n");
}

#[test]
fn what_a_killed_one_started_counts_among_those_that_run() {
    let place = Place::new();
    let file = scratch(&place, ".pid");
    let run = |arguments: &[&str]| place.start(&[&["sem", "run", "x"], arguments].concat());
    let script = "sleep 1000 >/dev/null 2>&1 & echo $! >$0; wait";
    let killed = run(&["-p", "2", "sh", "-c", script, file.to_str().unwrap()]);
    let survivor = await_number(&file);
    kill(killed);
    let other = run(&["sleep", "1000"]);
    other.await_command("sleep");
    // One place is taken by a living one, the other by what the dead one started.
    let ended = run(&["-w", "0.2", "true"]).end();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr().contains("of a killed holder, what it started still runs (process "));
    run(&["-p", "1", "true"]).fail("it lets 2 run at once, not 1, and is in use");
    other.signal(libc::SIGTERM);
    other.end();
    run(&["-p", "1", "true"]).fail("it lets 2 run at once, not 1, and is in use");
    assert_eq!(place.start(&["clean"]).succeed(), b"", "something still runs");
    kill_stranger(survivor);
    fs::remove_file(file).unwrap();
    run(&["-p", "1", "true"]).succeed();
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn who_gives_up_on_the_permit_of_a_killed_one_leaves_it_to_the_next_to_know() {
    let place = Place::new();
    let file = scratch(&place, ".pid");
    let run = |arguments: &[&str]| place.start(&[&["sem", "run", "x"], arguments].concat());
    let script = "sleep 1000 >/dev/null 2>&1 & echo $! >$0; wait";
    let killed = run(&["-p", "1", "sh", "-c", script, file.to_str().unwrap()]);
    let survivor = await_number(&file);
    kill(killed);
    for _ in 0..2 {
        let ended = run(&["-w", "0.1", "true"]).end();
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr().contains("the last holder of this permit died with it"), "{}", ended.stderr());
    }
    kill_stranger(survivor);
    fs::remove_file(file).unwrap();
    assert_eq!(run(&["-q", "sh", "-c", "echo $RINGWAY_RECOVERED"]).succeed(), b"1\n");
    assert_eq!(run(&["sh", "-c", "echo $RINGWAY_RECOVERED"]).succeed(), b"0\n");
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn scripts_count_for_themselves() {
    let place = Place::new();
    let sem = |arguments: &[&str]| place.start(&[&["sem"], arguments].concat());
    sem(&["acquire", "x"]).fail("there is no object named \"x\"; `ringway sem create x` makes one");
    sem(&["create", "x", "--permits", "2", "--bound", "3"]).succeed();
    sem(&["create", "x", "--permits", "2"]).fail("an object named \"x\" exists already");
    sem(&["acquire", "x", "2"]).succeed();
    let ended = sem(&["acquire", "x", "-n", "-E", "8"]).end();
    assert_eq!(code(&ended), (Some(8), String::new()));
    let waiting = sem(&["wait", "x", "2"]);
    place.await_stat("x", |seen| seen["waiters"] == 1);
    sem(&["post", "x"]).succeed();
    sem(&["release", "x", "2"]).succeed();
    waiting.succeed();
    assert_eq!(place.stat("x").unwrap()["available"], 1);
    sem(&["release", "x", "3"])
        .fail("x: the semaphore was released too many times, it has 3 permits at most");
    sem(&["acquire", "x", "4"]).fail("x: 4 permits there can never be, at most 3");
    assert_eq!(sem(&["acquire", "x", "0"]).end().status.code(), Some(2));
    sem(&["run", "x", "true"]).fail("x: the segment holds a semaphore, not a semaphore of owned permits");
    // Its number is in it and nowhere else.
    assert_eq!(place.start(&["clean"]).succeed(), b"");
    let text = String::from_utf8(place.start(&["ls"]).succeed()).unwrap();
    assert!(text.contains("semaphore") && text.contains("unused, 1 available"), "{text}");
    let waiting = sem(&["acquire", "x", "2"]);
    await_attached(&place, "x", 1);
    place.start(&["rm", "x"]).succeed();
    waiting.fail("x: its name was removed and nobody else is attached: nobody can release any");
}
