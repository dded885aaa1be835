//! What is shown of a queue, and what is none.

use std::fs;

use serde_json::Value;

use crate::{place_with, put, remove, support::wait_for, text, work};

#[test]
fn a_drain_counts_and_leaves_what_is_worked_on() {
    let place = place_with(&[]);
    put(&place, &["--lines"], *b"held\n1\n22\n").succeed();
    let begun = place.0.join(".begun");
    let script = format!("touch {}; cat; exec sleep 1000", begun.display());
    let worker = work(&place, &[], &script);
    wait_for("the command", || begun.exists().then_some(()));
    assert_eq!(place.start(&["queue", "drain", "jobs"]).succeed(), b"2 messages, 5 bytes\n");
    assert_eq!(place.start(&["queue", "drain", "jobs"]).succeed(), b"0 messages, 0 bytes\n");
    worker.signal(libc::SIGKILL);
    worker.end();
    // Only now: the command had the pipe until it was killed too.
    wait_for("the task", || {
        (place.start(&["queue", "drain", "jobs"]).succeed() == b"1 messages, 5 bytes\n").then_some(())
    });
    fs::remove_file(begun).unwrap();
    remove(&place);
}

#[test]
fn kinds_of_queues_are_told_apart() {
    let place = place_with(&[]);
    place.start(&["queue", "create", "plain", "--plain", "--capacity", "8"]).succeed();
    let path = |name: &str| place.0.join(name).to_str().unwrap().to_owned();
    let values = ringway::Queue::<u64>::create(&path("values"), 4).unwrap();
    let tasks = ringway::JoinableQueue::<u32>::create(&path("tasks"), 16).unwrap();
    values.send(7).unwrap();
    tasks.send(7).unwrap();
    let task = tasks.recv().unwrap();
    put(&place, &[], *b"12345").succeed();
    place.start(&["queue", "close", "plain"]).succeed();
    let pipe = place.start(&["recv", "pipe"]);
    place.await_stat("pipe", |_| true);
    fs::write(place.0.join("junk"), "junk").unwrap();

    let listed = text(&place.start(&["ls"]).succeed());
    let columns = |name: &str| -> Vec<String> {
        let line = listed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{listed}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(columns("jobs")[1..4], ["joinable queue of bytes", "1,024", "0 %"]);
    assert_eq!(columns("plain")[1..5], ["queue of bytes", "8", "0 %", "0"]);
    assert!(columns("plain").last().unwrap().contains("closed"), "{listed}");
    assert_eq!(columns("values")[1..6], ["queue", "4", "8 B", "25 %", "1"]);
    assert_eq!(columns("tasks")[1..6], ["joinable queue", "16", "4 B", "0 %", "1"]);

    let shown = text(&place.start(&["queue", "stat", "tasks"]).succeed());
    assert!(
        shown.contains("capacity    16 messages of 4 bytes, besides those that are being worked on\n"),
        "{shown}"
    );
    assert!(shown.contains(&format!("in hand     process {} works on 1\n", std::process::id())), "{shown}");
    let shown = text(&place.start(&["queue", "stat", "jobs"]).succeed());
    assert!(shown.contains("in it       1 messages, 5 bytes\n"), "{shown}");
    let seen: Value =
        serde_json::from_slice(&place.start(&["queue", "stat", "plain", "--json"]).succeed()).unwrap();
    assert_eq!((&seen["kind"], &seen["closed"]), (&"queue of bytes".into(), &true.into()));
    place.start(&["queue", "stat", "pipe"]).fail("pipe: this is a pipe, no queue");

    for command in ["put", "get", "close", "drain"] {
        place.start(&["queue", command, "pipe"]).fail("pipe: this is a pipe, no queue of bytes");
        place.start(&["queue", command, "junk"]).fail("junk: not a ringway segment");
        place.start(&["queue", command, "values"]).fail("values: this queue carries values of 8 bytes");
        place.start(&["queue", command, "tasks"]).fail("tasks: this queue carries values of 4 bytes");
    }
    place.start(&["recv", "jobs"]).fail("jobs: the segment holds a joinable queue, not a pipe");
    pipe.signal(libc::SIGKILL);
    pipe.end();

    // What is in a queue of bytes is not thrown away by tidying up.
    drop(task);
    drop((tasks, values));
    assert_eq!(place.start(&["clean"]).succeed(), b"pipe\nplain\ntasks\nvalues\n");
    assert_eq!(place.start(&["clean", "--all"]).succeed(), b"jobs\n");
    fs::remove_file(place.0.join("junk")).unwrap();
}
