//! Workers: a command for each message.

use std::{fs, os::unix::process::ExitStatusExt};

use crate::{get, place_with, put, remove, support::wait_for, work};

#[test]
fn commands_get_the_message_and_its_number() {
    let place = place_with(&[]);
    put(&place, &["--lines"], *b"a b\n*\n").succeed();
    let out = work(
        &place,
        &["--timeout", "0"],
        "read -r line; echo \"$line:$RINGWAY_TASK_ID:$RINGWAY_DELIVERIES\"",
    );
    assert_eq!(out.succeed(), b"a b:0:0\n*:1:0\n");
    put(&place, &["--lines"], *b"-n \"x\n").succeed();
    let out = get(&place, &["--count", "1", "--exec", "printf", "%s.%s", "<{}>", "--lines"]);
    assert_eq!(out.succeed(), b"<-n \"x>.--lines", "all that follows belongs to the command");
    // One that does not want its input need not read it.
    put(&place, &[], vec![0; 1 << 20]).succeed();
    get(&place, &["--count", "1", "--exec", "true"]).succeed();
    // Several at once: each waits until the other has begun.
    put(&place, &["--lines", "--close"], *b"1\n2\n").succeed();
    let scratch = place.0.join(".begun");
    let script = "touch $0.$1; until [ -e $0.1 ] && [ -e $0.2 ]; do sleep 0.01; done";
    let command = ["--jobs", "2", "--exec", "sh", "-c", script, scratch.to_str().unwrap(), "{}"];
    get(&place, &command).succeed();
    for n in 1..=2 {
        fs::remove_file(place.0.join(format!(".begun.{n}"))).unwrap();
    }
    remove(&place);
}

#[test]
fn what_a_command_leaves_behind_need_not_read_the_rest() {
    let place = place_with(&[]);
    put(&place, &[], vec![0; 300_000]).succeed();
    let left = place.0.join(".left");
    let script = "exec 3<&0; sleep 1000 <&3 >/dev/null 2>&1 & echo $! >$0";
    // Not even the pipes of the test are left to it.
    let worker = get(&place, &["--count", "1", "--exec", "sh", "-c", script, left.to_str().unwrap()]);
    worker.succeed();
    let pid: libc::pid_t = fs::read_to_string(&left).unwrap().trim().parse().unwrap();
    // SAFETY: the call touches no memory. It fails if the process is gone, and it alone has that number until then.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0, "it was there all the time");
    fs::remove_file(left).unwrap();
    remove(&place);
}

#[test]
fn what_a_command_does_not_manage_goes_back() {
    let place = place_with(&[]);
    put(&place, &["--lines", "--close"], *b"good\nbad\n").succeed();
    // The second attempt succeeds.
    let ended =
        work(&place, &[], "read x; echo $x $RINGWAY_DELIVERIES; [ $x = good -o $RINGWAY_DELIVERIES = 1 ]")
            .end();
    assert_eq!((ended.status.code(), ended.stdout().as_str()), (Some(0), "good 0\nbad 0\nbad 1\n"));
    assert_eq!(
        ended.stderr(),
        "ringway: jobs: message 1: the command ended with exit status: 1; it goes back\n"
    );
    assert_eq!(place.stat("jobs").unwrap()["redelivered"], 1);
    remove(&place);
}

#[test]
fn what_fails_too_often_goes_to_the_dead_letters() {
    let place = place_with(&[]);
    put(&place, &["--lines"], *b"good\nbad\n").succeed();
    let script = "read x; [ $x = good ]";
    let limits = ["--timeout", "0", "--dead-letters", "failed", "--max-deliveries", "2"];
    let ended = work(&place, &limits, script).end();
    assert_eq!(ended.status.code(), Some(0));
    let said = ended.stderr();
    assert!(said.contains("message 1: the command ended with exit status: 1; it goes back\n"), "{said}");
    assert!(said.ends_with("exit status: 1; after 2 times it goes to failed\n"), "{said}");
    assert_eq!(place.stat("failed").unwrap()["kind"], "queue of bytes");
    assert_eq!(place.start(&["queue", "get", "failed", "--timeout", "0"]).succeed(), b"bad\n");

    put(&place, &["--lines", "--close"], *b"bad\n").succeed();
    let ended = work(&place, &["--dead-letters", "drop", "--max-deliveries", "1"], script).end();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr().ends_with("it is given up after 1 times\n"), "{}", ended.stderr());
    assert_eq!(place.stat("jobs").unwrap()["given_up"], 2);
    // Letters are not to be acknowledged.
    get(&place, &["--dead-letters", "jobs", "--exec", "true"]).fail("dead letters go to a plain queue");
    remove(&place);
    place.start(&["rm", "failed"]).succeed();
}

#[test]
fn a_command_that_cannot_be_run_costs_no_message() {
    let place = place_with(&[]);
    put(&place, &["--lines"], *b"a\nb\n").succeed();
    get(&place, &["--jobs", "3", "--exec", "/nonexistent"])
        .fail("jobs: cannot run /nonexistent: No such file");
    assert_eq!(place.stat("jobs").unwrap()["held"], 2);
    place.start(&["queue", "drain", "jobs"]).succeed();
    // What cannot be an argument is no reason to end if there is a place for it.
    put(&place, &["--block", "2"], *b"a\0b\n").succeed();
    get(&place, &["--jobs", "2", "--exec", "sh", "-c", "exec sleep 0.01", "{}"])
        .fail("jobs: message 2 cannot be an argument: ");
    let seen = place.stat("jobs").unwrap();
    assert!(seen["held"].as_u64() >= Some(1), "{seen}");
    place.start(&["queue", "drain", "jobs"]).succeed();
    put(&place, &["--block", "2"], *b"a\0b\n").succeed();
    let ended = get(
        &place,
        &["--dead-letters", "drop", "--max-deliveries", "1", "--timeout", "0", "--exec", "echo", "{}"],
    );
    let ended = ended.end();
    assert_eq!((ended.status.code(), ended.stdout().as_str()), (Some(0), "b\n"));
    assert!(ended.stderr().contains("message 4: it cannot be an argument: "), "{}", ended.stderr());
    remove(&place);
    place.start(&["queue", "create", "jobs", "--plain"]).succeed();
    put(&place, &[], *b"a").succeed();
    get(&place, &["--exec", "true"])
        .fail("jobs: a message of a plain queue cannot go back if its command fails");
    assert_eq!(place.stat("jobs").unwrap()["held"], 1);
    remove(&place);
}

#[test]
fn signals_reach_the_command_first() {
    let place = place_with(&[]);
    let begun = place.0.join(".begun");
    let worker = |script: &str| {
        put(&place, &[], *b"x").succeed();
        let worker =
            work(&place, &[], &format!("{script} touch {}; while :; do sleep 0.05; done", begun.display()));
        wait_for("the command", || begun.exists().then_some(()));
        fs::remove_file(&begun).unwrap();
        worker
    };
    // One that dies of it: the message goes back.
    for signal in [libc::SIGTERM, libc::SIGHUP] {
        let running = worker("");
        running.signal(signal);
        let ended = running.end();
        assert_eq!(ended.status.signal(), Some(signal));
        assert!(
            ended.stderr().contains(&format!("the command ended with signal: {signal} ")),
            "{}",
            ended.stderr()
        );
        let seen = place.stat("jobs").unwrap();
        assert_eq!((&seen["held"], &seen["deaths"]), (&1.into(), &0.into()), "it has left in order: {seen}");
        assert_eq!(seen["participants"].as_array().unwrap().len(), 0, "{seen}");
        place.start(&["queue", "drain", "jobs"]).succeed();
    }
    // Shells take back what their parent holds back; other programs do not.
    put(&place, &["--lines"], *b"1000\n").succeed();
    let running = get(&place, &["--exec", "sleep", "{}"]);
    running.await_command("sleep");
    running.signal(libc::SIGTERM);
    assert!(running.end().stderr().contains("the command ended with signal: 15 "));
    assert_eq!(place.start(&["queue", "drain", "jobs"]).succeed(), b"1 messages, 5 bytes\n");
    // One that ends its work in order has done it.
    let running = worker("trap 'exit 0' TERM;");
    running.signal(libc::SIGTERM);
    let ended = running.end();
    assert_eq!((ended.status.signal(), ended.stderr().as_str()), (Some(libc::SIGTERM), ""));
    assert_eq!(place.stat("jobs").unwrap()["held"], 0);
    // One that does not want to end is killed by the second.
    let running = worker("trap '' TERM;");
    running.signal(libc::SIGTERM);
    running.await_taken(libc::SIGTERM);
    running.signal(libc::SIGTERM);
    let ended = running.end();
    assert_eq!(ended.status.signal(), Some(libc::SIGTERM));
    assert_eq!(get(&place, &["--count", "1"]).succeed(), b"x");
    remove(&place);
}
