//! Queues that only count, as Python's `JoinableQueue` is one.

use std::{fs, os::unix::process::ExitStatusExt};

use ringway::{Deadline, RecvError, TallyQueue, queue::DoneError};

use crate::{
    get, place_with, put, remove,
    support::{Place, wait_for},
    work,
};

/// A place with such a queue, and that of a program.
fn tally(options: &[&str]) -> (Place, TallyQueue) {
    let place = place_with(&[&["--tally"], options].concat());
    let queue = TallyQueue::open(place.0.join("jobs").to_str().unwrap()).unwrap();
    (place, queue)
}

#[test]
fn what_is_got_is_done_when_it_is_written_out() {
    let place = Place::new();
    // Made by a program, with options of its own.
    let path = place.0.join("jobs").to_str().unwrap().to_owned();
    let queue = TallyQueue::options().capacity(8).message_size(40).create(&path).unwrap();
    put(&place, &["--lines"], *b"1\n2\n3\n").succeed();
    assert_eq!((queue.len(), queue.unfinished()), (3, 3));
    // One is the program's.
    assert_eq!(&*queue.recv().unwrap(), b"1\n");
    assert_eq!(get(&place, &["--count", "2"]).succeed(), b"2\n3\n");
    assert_eq!(queue.unfinished(), 1, "what the command had got is done, and no more");
    let seen = place.stat("jobs").unwrap();
    assert_eq!((&seen["kind"], &seen["tally"]["done"]), (&"tally queue".into(), &2.into()), "{seen}");
    queue.task_done().unwrap();
    queue.join_deadline(Deadline::NOW).unwrap();
    queue.send(b"from the program").unwrap();
    place.start(&["queue", "close", "jobs"]).succeed();
    assert_eq!(get(&place, &["--lines"]).succeed(), b"from the program\n");
    assert!(matches!(queue.try_recv(), Err(RecvError::Closed)));
    assert_eq!(queue.unfinished(), 0);
    drop(queue);
    remove(&place);
}

#[test]
fn what_is_thrown_away_is_done() {
    let (place, queue) = tally(&[]);
    put(&place, &["--lines"], *b"held\n1\n22\n").succeed();
    let held = queue.recv().unwrap();
    assert_eq!(place.start(&["queue", "drain", "jobs"]).succeed(), b"2 messages, 5 bytes\n");
    assert_eq!(queue.unfinished(), 1, "the one that is held");
    drop(held);
    drop(queue);
    remove(&place);
}

#[test]
fn what_a_command_does_not_manage_is_tried_again() {
    let (place, queue) = tally(&[]);
    put(&place, &["--lines", "--close"], *b"good\nbad\n").succeed();
    let script =
        "read x; echo $x $RINGWAY_TASK_ID $RINGWAY_DELIVERIES; [ $x = good -o $RINGWAY_DELIVERIES = 2 ]";
    let ended = work(&place, &[], script).end();
    assert_eq!(
        (ended.status.code(), ended.stdout().as_str()),
        (Some(0), "good 0 0\nbad 1 0\nbad 1 1\nbad 1 2\n")
    );
    let said = "ringway: jobs: message 1: the command ended with exit status: 1; it is tried again\n";
    assert_eq!(ended.stderr(), said.repeat(2));
    assert_eq!(queue.unfinished(), 0);
    drop(queue);
    remove(&place);
}

#[test]
fn what_fails_too_often_is_given_up_and_done() {
    let (place, queue) = tally(&[]);
    put(&place, &["--lines"], *b"good\nbad\n").succeed();
    let limits = ["--timeout", "0", "--dead-letters", "failed", "--max-deliveries", "2"];
    let ended = work(&place, &limits, "read x; [ $x = good ]").end();
    assert_eq!(ended.status.code(), Some(0));
    let said = ended.stderr();
    assert!(said.contains("exit status: 1; it is tried again\n"), "{said}");
    assert!(said.ends_with("exit status: 1; after 2 times it goes to failed\n"), "{said}");
    assert_eq!(queue.unfinished(), 0);
    assert_eq!(place.start(&["queue", "get", "failed", "--timeout", "0"]).succeed(), b"bad\n");
    // As long as the letters have no room it is tried again.
    let letters = ringway::Queue::<[u8]>::open(place.0.join("failed").to_str().unwrap()).unwrap();
    letters.close();
    put(&place, &["--lines"], *b"bad\n").succeed();
    let script = "[ $RINGWAY_DELIVERIES = 3 ]";
    let ended = work(&place, &limits, script).end();
    assert_eq!((ended.status.code(), ended.stderr().lines().count()), (Some(0), 3), "{}", ended.stderr());

    put(&place, &["--lines", "--close"], *b"bad\n").succeed();
    let ended = work(&place, &["--dead-letters", "drop", "--max-deliveries", "1"], "exit 1").end();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr().ends_with("it is given up after 1 times\n"), "{}", ended.stderr());
    assert_eq!(queue.unfinished(), 0);
    drop((queue, letters));
    remove(&place);
    place.start(&["rm", "failed"]).succeed();
}

#[test]
fn who_ends_in_order_puts_back_what_he_has_not_done() {
    let (place, queue) = tally(&["--capacity", "1"]);
    let begun = place.0.join(".begun");
    let stopped = |wait: &dyn Fn()| {
        let worker = work(&place, &[], &format!("touch {}; exec sleep 1000", begun.display()));
        wait_for("the command", || begun.exists().then_some(()));
        wait();
        worker.signal(libc::SIGTERM);
        let ended = worker.end();
        assert_eq!(ended.status.signal(), Some(libc::SIGTERM));
        fs::remove_file(&begun).unwrap();
        ended.stderr()
    };
    put(&place, &["--lines"], *b"1\n").succeed();
    let said = stopped(&|| ());
    assert!(said.ends_with("signal: 15 (SIGTERM); it is tried again\n"), "{said}");
    assert_eq!((queue.len(), queue.unfinished()), (1, 1));
    // What cannot be begun, or written, goes back too.
    get(&place, &["--exec", "/nonexistent"]).fail("jobs: cannot run /nonexistent: No such file");
    get(&place, &["--out", "/dev/full"]).fail("cannot write /dev/full: ");
    assert_eq!((queue.len(), queue.unfinished()), (1, 1));
    // It is not put where nothing can be put.
    let said = stopped(&|| queue.send(b"2\n").unwrap());
    assert!(said.ends_with("it is gone, and stays unfinished\n"), "{said}");
    assert_eq!((queue.len(), queue.unfinished()), (1, 2));
    queue.task_done().unwrap();
    let said = stopped(&|| assert!(queue.close()));
    assert!(said.contains("cannot go back: "), "{said}");
    assert_eq!((queue.len(), queue.unfinished()), (0, 1));
    drop(queue);
    remove(&place);
}

#[test]
fn what_a_killed_worker_had_is_gone_and_unfinished() {
    let (place, queue) = tally(&[]);
    put(&place, &["--lines"], *b"lost\nkept\n").succeed();
    let begun = place.0.join(".begun");
    let worker = work(&place, &[], &format!("touch {}; exec sleep 1000", begun.display()));
    wait_for("the command", || begun.exists().then_some(()));
    worker.signal(libc::SIGKILL);
    assert_eq!(worker.end().status.signal(), Some(libc::SIGKILL));
    assert_eq!(work(&place, &["--timeout", "0"], "cat").succeed(), b"kept\n");
    assert_eq!(queue.unfinished(), 1);
    // Somebody who knows of it can say so.
    queue.task_done().unwrap();
    assert_eq!(queue.unfinished(), 0);
    assert!(matches!(queue.task_done(), Err(DoneError::TooMany)));
    fs::remove_file(begun).unwrap();
    drop(queue);
    remove(&place);
}

#[test]
fn who_finds_that_others_have_counted_too_much_says_so() {
    let (place, queue) = tally(&[]);
    put(&place, &["--lines"], *b"1\n").succeed();
    queue.task_done().unwrap();
    let ended = get(&place, &["--count", "1"])
        .fail("jobs: others have said already that all is done, this message included");
    assert_eq!(ended.out, b"1\n");
    drop(queue);
    remove(&place);
}

#[test]
fn what_waits_is_not_tidied_away() {
    let (place, queue) = tally(&[]);
    drop(queue);
    put(&place, &[], *b"1").succeed();
    assert_eq!(place.start(&["clean"]).succeed(), b"");
    get(&place, &["--count", "1"]).succeed();
    assert_eq!(place.start(&["clean"]).succeed(), b"jobs\n");
}

#[test]
fn what_is_not_done_is_not_cleaned_away() {
    let (place, queue) = tally(&[]);
    queue.send(b"a message").unwrap();
    queue.recv().unwrap();
    drop(queue);
    assert_eq!(place.start(&["clean"]).succeed(), b"", "nobody has said that it is done");
    let queue = TallyQueue::open(place.0.join("jobs").to_str().unwrap()).unwrap();
    assert_eq!(queue.unfinished(), 1);
    queue.task_done().unwrap();
    drop(queue);
    assert_eq!(place.start(&["clean"]).succeed(), b"jobs\n");
}
