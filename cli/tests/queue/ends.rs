//! Whoever ends, or is ended, loses nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    os::unix::process::ExitStatusExt,
    process::ChildStdout,
};

use serde_json::Value;

use crate::{get, get_unread, held_by, place_with, put, remove, support::wait_for, text, work};

#[test]
fn a_killed_worker_takes_its_command_along_and_another_gets_the_task() {
    let place = place_with(&[]);
    let begun = place.0.join(".begun");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", begun.display());
    let first = work(&place, &[], &script);
    put(&place, &[], *b"precious").succeed();
    let command = wait_for("the command", || fs::read_to_string(&begun).ok());
    place.await_stat("jobs", |seen| held_by(seen, &first) == 1);
    // Closed while it is being worked on: another worker waits for it all the same.
    place.start(&["queue", "close", "jobs"]).succeed();
    let second = work(&place, &[], "cat; echo \" $RINGWAY_DELIVERIES\"");
    place.await_stat("jobs", |seen| seen["participants"].as_array().unwrap().len() == 2);
    first.signal(libc::SIGKILL);
    assert_eq!(first.end().status.signal(), Some(libc::SIGKILL));
    assert_eq!(second.succeed(), b"precious 1\n");
    wait_for("the end of the command", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", command.trim())).unwrap_or_default();
        // Gone, or dead and not yet reaped by whoever adopted it.
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        matches!(state, None | Some('Z' | 'X')).then_some(())
    });
    fs::remove_file(begun).unwrap();
    remove(&place);
}

#[test]
fn ten_thousand_lines_survive_the_death_of_two_of_four_workers() {
    let place = place_with(&[]);
    let line = |n: u32| format!("{n} {}\n", "x".repeat(200));
    let input: String = (0..10_000).map(line).collect();
    // The output of two is not read: they get stuck with tasks in hand.
    let (first, first_output) = get_unread(&place, &["--lines"]);
    let (second, second_output) = get_unread(&place, &["--lines"]);
    let putter = put(&place, &["--lines", "--close"], input);
    place.await_stat("jobs", |seen| {
        held_by(seen, &first) > 0 && held_by(seen, &second) > 0 && seen["space"]["sleeps"].as_u64() > Some(0)
    });
    let others = [get(&place, &["--lines"]), get(&place, &["--lines"])];
    let read = |mut output: ChildStdout| {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).unwrap();
        text(&bytes)
    };
    let mut cut_off = BTreeMap::new();
    for (worker, output) in [(first, first_output), (second, second_output)] {
        worker.signal(libc::SIGKILL);
        assert_eq!(worker.end().status.signal(), Some(libc::SIGKILL));
        let got = read(output);
        // It was killed in the middle of a write.
        let (whole, _) = got.rsplit_once('\n').unwrap_or_default();
        whole.lines().for_each(|line| *cut_off.entry(line.to_owned()).or_insert(0) += 1);
    }
    putter.succeed();
    let mut got = BTreeSet::new();
    for worker in others {
        for line in text(&worker.succeed()).lines() {
            assert!(got.insert(line.to_owned()), "{line} came twice to those who live");
        }
    }
    let twice = cut_off.keys().filter(|line| got.contains(*line)).count();
    assert!(twice <= 2 * 128, "only what the killed had not acknowledged comes again");
    got.extend(cut_off.into_keys());
    assert_eq!(got.len(), 10_000);
    assert!((0..10_000).all(|n| got.contains(line(n).trim_end())));
    let seen = place.stat("jobs").unwrap();
    assert_eq!((&seen["held"], &seen["memory"]["used"]), (&0.into(), &0.into()), "{seen}");
    assert!(seen["redelivered"].as_u64() >= Some(2), "{seen}");
    remove(&place);
}

#[test]
fn who_waits_ends_by_a_signal() {
    let place = place_with(&["--capacity", "1"]);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let waiting = [get(&place, &["--lines"]), work(&place, &["--jobs", "2"], "cat")];
        place.await_stat("jobs", |seen| seen["participants"].as_array().unwrap().len() == 2);
        for running in waiting {
            running.signal(signal);
            assert_eq!(running.end().status.signal(), Some(signal));
        }
        assert_eq!(
            place.stat("jobs").unwrap()["participants"],
            Value::Array(vec![]),
            "they have left in order"
        );
    }
    let putter = put(&place, &["--lines"], *b"1\n2\n");
    place.await_stat("jobs", |seen| seen["space"]["sleeps"].as_u64() > Some(0));
    putter.signal(libc::SIGTERM);
    assert_eq!(putter.end().status.signal(), Some(libc::SIGTERM));
    assert_eq!(get(&place, &["--timeout", "0"]).succeed(), b"1\n");
    remove(&place);
}

#[test]
fn an_output_that_fails_loses_nothing() {
    let place = place_with(&[]);
    let lines: String = (0..1000).map(|n| format!("{n}\n")).collect();
    put(&place, &["--lines"], lines.clone()).succeed();
    get(&place, &["--out", "/dev/full"]).fail("cannot write /dev/full: ");
    assert_eq!(place.stat("jobs").unwrap()["held"], 1000);
    get(&place, &["--out", "/nonexistent/x"]).fail("cannot create /nonexistent/x: ");
    let (reader, output) = get_unread(&place, &[]);
    drop(output);
    put(&place, &["--lines"], *b"1000\n").succeed();
    let ended = reader.end();
    assert_eq!((ended.status.signal(), ended.stderr().as_str()), (Some(libc::SIGPIPE), ""));
    let seen = place.stat("jobs").unwrap();
    assert!(seen["held"].as_u64() >= Some(1), "{seen}");
    remove(&place);
}

#[test]
fn who_waits_ends_with_the_reader_of_his_output() {
    for kind in [&[][..], &["--plain"]] {
        let place = place_with(kind);
        let (getter, mut output) = get_unread(&place, &["--lines"]);
        put(&place, &["--lines"], *b"1\n").succeed();
        let mut line = [0; 2];
        output.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"1\n");
        // Nothing more comes, and nobody would see it.
        drop(output);
        let ended = getter.end();
        assert_eq!((ended.status.signal(), ended.stderr().as_str()), (Some(libc::SIGPIPE), ""));
        put(&place, &["--lines"], *b"2\n").succeed();
        assert_eq!(get(&place, &["--timeout", "0"]).succeed(), b"2\n");
        remove(&place);
    }
}

#[test]
fn who_waits_for_nobody_is_told() {
    let place = place_with(&["--capacity", "1"]);
    for options in [&["--lines"][..], &["--exec", "cat"]] {
        let waiting = get(&place, options);
        place.await_stat("jobs", |seen| seen["participants"].as_array().unwrap().len() == 1);
        remove(&place);
        waiting.fail("jobs: its name was removed and nobody else is attached: nobody can come now");
        place.start(&["queue", "create", "jobs", "--capacity", "1"]).succeed();
    }
    let putter = put(&place, &["--lines"], *b"1\n2\n");
    place.await_stat("jobs", |seen| seen["space"]["sleeps"].as_u64() > Some(0));
    fs::remove_file(place.0.join("jobs")).unwrap();
    putter.fail("nobody can come now; 1 messages before that were put");
}
