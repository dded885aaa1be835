//! `ringway queue` as a shell runs it: real processes, some of which are killed.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{Read, Write},
    os::unix::{fs::FileExt, process::ExitStatusExt},
    process::{ChildStdout, Stdio},
};

use serde_json::Value;
use support::{Place, Running, wait_for};

/// A place with a queue `jobs`, which is removed in the end.
fn place_with(options: &[&str]) -> Place {
    let place = Place::new();
    place.start(&[&["queue", "create", "jobs"], options].concat()).succeed();
    place
}

fn remove(place: &Place) {
    place.start(&["rm", "jobs"]).succeed();
}

fn put(place: &Place, options: &[&str], input: impl Into<Vec<u8>>) -> Running {
    place.feed(&[&["queue", "put", "jobs"], options].concat(), input.into())
}

fn get(place: &Place, options: &[&str]) -> Running {
    place.start(&[&["queue", "get", "jobs"], options].concat())
}

/// One whose output is left alone until the test reads it.
fn get_unread(place: &Place, options: &[&str]) -> (Running, ChildStdout) {
    Running::with_output(place.run(&[&["queue", "get", "jobs"], options].concat()))
}

/// A worker that runs a script of the shell for each message.
fn work(place: &Place, options: &[&str], script: &str) -> Running {
    get(place, &[options, &["--exec", "sh", "-c", script]].concat())
}

/// How many tasks `worker` holds, as `stat` sees it.
fn held_by(seen: &Value, worker: &Running) -> u64 {
    let hands = seen["in_hand"].as_array().unwrap();
    let its = hands.iter().filter(|hand| hand["pid"] == worker.child.id());
    its.map(|hand| hand["tasks"].as_u64().unwrap()).sum()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn lines_come_out_as_they_went_in() {
    for options in [&[][..], &["--plain"]] {
        let place = place_with(options);
        let input = b"one\r\n\nthree\nfour";
        put(&place, &["--lines", "--close"], *input).succeed();
        let seen = place.stat("jobs").unwrap();
        assert_eq!((&seen["held"], &seen["closed"]), (&4.into(), &true.into()), "{seen}");
        assert_eq!(seen["memory"]["queued_bytes"], input.len());
        assert_eq!(get(&place, &[]).succeed(), input);
        // Closed and done: nothing more to come.
        assert_eq!(get(&place, &["--lines"]).succeed(), b"");
        put(&place, &["--lines"], *b"late\n")
            .fail("jobs: the queue is closed; 0 messages before that were put");
        place.start(&["queue", "close", "jobs"]).succeed();
        remove(&place);
    }
}

#[test]
fn messages_of_any_length_keep_their_boundaries() {
    let place = place_with(&["--max-bytes", "4M"]);
    let input: Vec<u8> = (0..2_500_000_u32).flat_map(|n| n.to_le_bytes()[..1].to_vec()).collect();
    for (cut, len) in
        [(&[][..], input.len()), (&["--block", "300K"], 300 << 10), (&["--block", "1000"], 1000)]
    {
        let putter = put(&place, cut, input.clone());
        let out =
            get(&place, &["--length-prefixed", "--count", &input.len().div_ceil(len).to_string()]).succeed();
        putter.succeed();
        let mut rest = &out[..];
        for message in input.chunks(len) {
            let (head, tail) = rest.split_at(4);
            assert_eq!(head, (message.len() as u32).to_le_bytes());
            assert!(tail[..message.len()] == *message);
            rest = &tail[message.len()..];
        }
        assert!(rest.is_empty());
    }
    put(&place, &["--length-prefixed"], *b"\x02\0\0\0hi\0\0\0\0").succeed();
    assert_eq!(get(&place, &["--count", "2", "--lines"]).succeed(), b"hi\n\n");
    put(&place, &[], *b"").succeed();
    assert_eq!(get(&place, &["--count", "1", "--lines"]).succeed(), b"\n", "the whole input, however short");
    put(&place, &[], vec![0; (4 << 20) + 1])
        .fail("the input is longer than the 4194304 bytes a message may have");
    put(&place, &["--block", "5M"], *b"x").fail("jobs: a message has at most 4,194,304 bytes there");
    let cut_off = put(&place, &["--length-prefixed"], *b"\x01\0\0\0a\x02\0\0\0b");
    cut_off.fail("the input ends inside message 2: 1 of 2 bytes; 1 messages before that were put");
    assert_eq!(get(&place, &["--timeout", "0"]).succeed(), b"a");
    remove(&place);
}

#[test]
fn a_queue_is_made_by_whoever_is_told_to() {
    let place = Place::new();
    put(&place, &[], *b"x").fail("`ringway queue create jobs` makes one");
    for command in ["get", "close", "stat", "drain"] {
        place.start(&["queue", command, "jobs"]).fail("there is no object named \"jobs\"");
    }
    let getter = get(&place, &["--create", "--lines"]);
    place.await_stat("jobs", |_| true);
    put(&place, &["--create", "--lines", "--close"], *b"a\nb\n").succeed();
    assert_eq!(getter.succeed(), b"a\nb\n");
    place.start(&["queue", "create", "jobs"]).fail("an object named \"jobs\" exists already");
    remove(&place);
    place.start(&["queue", "create", "jobs", "--capacity", "0"]).fail("a capacity of 0 is not possible");
    for bad in [
        &["create", "../x"][..],
        &["get", ".x"],
        &["put", "a/b"],
        &["get", "jobs", "--jobs", "2"],
        &["fetch"],
    ] {
        assert_eq!(place.start(&[&["queue"], bad].concat()).end().status.code(), Some(2), "{bad:?}");
    }
}

#[test]
fn how_many_and_how_long_can_be_limited() {
    let place = place_with(&[]);
    get(&place, &["--count", "1", "--timeout", "0"]).fail("jobs: nothing came for 0 s after 0 of 1 messages");
    assert_eq!(get(&place, &["--timeout", "0.01"]).succeed(), b"");
    put(&place, &["--lines"], *b"1\n2\n3\n").succeed();
    assert_eq!(get(&place, &["--count", "2"]).succeed(), b"1\n2\n");
    let ended = get(&place, &["--count", "2", "--timeout", "0.01"]).fail("after 1 of 2 messages");
    assert_eq!(ended.out, b"3\n");
    place.start(&["queue", "close", "jobs"]).succeed();
    get(&place, &["--count", "1"])
        .fail("jobs: the queue is closed, and all in it is done after 0 of 1 messages");
    remove(&place);
}

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

#[test]
fn a_damaged_file_ends_in_a_message() {
    let place = place_with(&["--capacity", "16"]);
    let path = place.0.join("jobs");
    put(&place, &["--lines"], *b"1\n22\n333\n").succeed();
    place.start(&["queue", "drain", "jobs"]).succeed();
    let len = 64 << 10;
    let mut good = vec![0; len];
    File::open(&path).unwrap().read_exact_at(&mut good, 0).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let mut state = 7_u64;
    let mut codes = BTreeSet::new();
    for round in 0..60 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // In the header, in the table of processes, or in what follows.
        let within = [4096, 16 << 10, len as u64][round % 3];
        let at = (state >> 20) % within;
        file.write_all_at(&(state >> 8).to_le_bytes(), at).unwrap();
        for arguments in [
            &["queue", "put", "jobs", "--lines"][..],
            &["queue", "get", "jobs", "--timeout", "0"],
            &["queue", "get", "jobs", "--timeout", "0", "--exec", "cat"],
            &["queue", "drain", "jobs"],
            &["queue", "stat", "jobs"],
            &["ls"],
        ] {
            // Fewer than it holds, lest it be full.
            let ended = place.feed(arguments, b"a\n".to_vec()).end();
            let code = ended.status.code();
            assert!(matches!(code, Some(0 | 1)), "{at}: {arguments:?}: {} {}", ended.status, ended.stderr());
            assert_eq!(
                code == Some(1),
                ended.stderr().contains("ringway: "),
                "{at}: {arguments:?}: {}",
                ended.stderr()
            );
            codes.insert(code);
        }
        file.write_all_at(&good, 0).unwrap();
    }
    assert_eq!(codes.len(), 2, "some do harm and some do none");
    file.set_len(100).unwrap();
    get(&place, &[]).fail("jobs: the file has 100 bytes of the ");
    fs::remove_file(path).unwrap();
}

#[test]
fn a_message_that_is_lost_is_told_after_those_before_it() {
    let place = place_with(&["--plain"]);
    put(&place, &["--lines", "--close"], *b"first\nsecond\nthird\n").succeed();
    let file = File::options().read(true).write(true).open(place.0.join("jobs")).unwrap();
    let mut slots = vec![0; 1 << 20];
    file.read_exact_at(&mut slots, 0).unwrap();
    let second = slots.windows(7).position(|bytes| bytes == b"second\n").unwrap();
    // The highest byte of its length, which lies before it.
    file.write_all_at(&[0xff], second as u64 - 1).unwrap();
    let ended = get(&place, &[]).fail("length of the message in slot");
    assert_eq!(ended.stdout(), "first\n");
    assert_eq!(get(&place, &[]).succeed(), b"third\n", "it was told once and is gone");
    remove(&place);
}

#[test]
fn put_waits_for_space_and_get_for_messages() {
    let place = place_with(&["--capacity", "2"]);
    let mut command = place.run(&["queue", "put", "jobs", "--lines", "--close"]);
    command.stdin(Stdio::piped());
    let mut putter = Running::of(command);
    let mut input = putter.child.stdin.take().unwrap();
    input.write_all(b"1\n2\n3\n4\n").unwrap();
    place.await_stat("jobs", |seen| seen["held"] == 2);
    let getter = get(&place, &[]);
    place.await_stat("jobs", |seen| seen["sent"] == 4 && seen["held"] == 0);
    drop(input);
    putter.succeed();
    assert_eq!(getter.succeed(), b"1\n2\n3\n4\n");
    remove(&place);
}
