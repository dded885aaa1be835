//! `ringway lock`, `sem` and `event` as a shell runs them: real processes, some of which are killed.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::FileExt, process::ExitStatusExt},
    path::PathBuf,
};

use ringway::{
    Barrier, Condvar, Deadline, Event, JoinableQueue, LockError, Mutex, OwnedSemaphore, ReentrantMutex,
    Semaphore,
};
use serde_json::Value;
use support::{Ended, Place, Running, wait_for};

fn lock(place: &Place, arguments: &[&str]) -> Running {
    place.start(&[&["lock"], arguments].concat())
}

/// A hidden file beside the objects.
fn scratch(place: &Place, name: &str) -> PathBuf {
    place.0.join(name)
}

fn code(ended: &Ended) -> (Option<i32>, String) {
    (ended.status.code(), ended.stderr())
}

/// Waits until `running` has the lock `name`, and returns what `stat` says of it then.
fn await_holder(place: &Place, name: &str, running: &Running) -> Value {
    let is_its = |seen: &Value| seen["holder"]["pid"] == running.child.id() && !seen["command"].is_null();
    place.await_stat(name, is_its);
    place.stat(name).unwrap()
}

/// Waits until `running` has the lock `name`, whether it has said so or not.
fn await_holder_only(place: &Place, name: &str, running: &Running) {
    place.await_stat(name, |seen| seen["holder"]["pid"] == running.child.id());
}

/// Waits until so many processes are attached to `name`.
fn await_attached(place: &Place, name: &str, count: usize) {
    let alive = |seen: &Value| {
        let processes = seen["participants"].as_array().unwrap();
        processes.iter().filter(|process| process["alive"] == true).count()
    };
    place.await_stat(name, |seen| alive(seen) == count);
}

fn kill(running: Running) {
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().status.signal(), Some(libc::SIGKILL));
}

/// Waits until process `pid`, no child of ours, is gone, or dead and not yet reaped by whoever adopted it.
fn await_end(pid: u32) {
    wait_for("the end of a process", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        matches!(state, None | Some('Z' | 'X')).then_some(())
    });
}

/// The number that a command has put into a file.
fn await_number(path: &PathBuf) -> u32 {
    wait_for("a number in a file", || {
        let text = fs::read_to_string(path).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    })
}

#[test]
fn increments_under_the_lock_are_exact() {
    let place = Place::new();
    let number = scratch(&place, ".number");
    fs::write(&number, "0\n").unwrap();
    let once = r#"read n < "$0"; echo $((n + 1)) > "$0""#;
    let often = r#"for i in 1 2 3 4 5 6 7 8 9 10; do "$0" lock x -- sh -c "$1" "$2" || exit 1; done"#;
    let ringway = env!("CARGO_BIN_EXE_ringway");
    let shell = || {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", often, ringway, once]).arg(&number).env("RINGWAY_DIR", &place.0);
        Running::of(command)
    };
    let shells = [shell(), shell(), shell(), shell()];
    for shell in shells {
        assert_eq!(shell.end().status.code(), Some(0));
    }
    assert_eq!(fs::read_to_string(&number).unwrap(), "40\n");
    let seen = place.stat("x").unwrap();
    assert_eq!((&seen["state"], &seen["recoveries"]), (&"free".into(), &0.into()), "{seen}");
    fs::remove_file(number).unwrap();
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn it_ends_as_its_command_does() {
    let place = Place::new();
    let script = r#"echo "$RINGWAY_LOCK $RINGWAY_RECOVERED"; cat; exit 0"#;
    let ended = place.feed(&["lock", "x", "sh", "-c", script], b"input".to_vec());
    assert_eq!(ended.succeed(), b"x 0\ninput");
    for (script, wanted) in
        [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -2 $$", 130)]
    {
        let ended = lock(&place, &["x", "--", "sh", "-c", script]).end();
        assert_eq!(code(&ended), (Some(wanted), String::new()), "{script}");
    }
    let ended = lock(&place, &["x", "--", "/nonexistent", "-n"]).end();
    assert_eq!(ended.status.code(), Some(127));
    assert!(
        ended.stderr().starts_with("ringway: x: cannot run /nonexistent: No such file"),
        "{}",
        ended.stderr()
    );
    assert_eq!(lock(&place, &["x", "/"]).end().status.code(), Some(126));
    // What follows the command's name is the command's.
    assert_eq!(lock(&place, &["x", "echo", "-n", "--", "--timeout"]).succeed(), b"-- --timeout");
    // Whatever it has left running, who comes next gets the lock at once.
    let left = scratch(&place, ".left");
    let script = "sleep 1000 >/dev/null 2>&1 & echo $! >$0";
    lock(&place, &["x", "sh", "-c", script, left.to_str().unwrap()]).succeed();
    lock(&place, &["-n", "x", "true"]).succeed();
    kill_stranger(await_number(&left));
    fs::remove_file(left).unwrap();
    let seen = place.stat("x").unwrap();
    assert_eq!((&seen["state"], &seen["recoveries"]), (&"free".into(), &0.into()), "{seen}");
    place.start(&["rm", "x"]).succeed();

    lock(&place, &["--ephemeral", "x", "true"]).succeed();
    assert_eq!(place.names(), [""; 0]);
}

/// What cannot be said changes nothing about what is done.
#[test]
fn a_standard_error_that_takes_nothing_is_no_reason_to_fail() {
    let place = Place::new();
    let mute = |arguments: &[&str]| {
        let mut command = place.run(arguments);
        command.stderr(fs::File::options().write(true).open("/dev/full").unwrap());
        command.status().unwrap().code()
    };
    assert_eq!(mute(&["lock", "x", "/nonexistent"]), Some(127));
    let seen = place.stat("x").unwrap();
    assert_eq!((&seen["state"], &seen["recoveries"]), (&"free".into(), &0.into()), "{seen}");
    let holder = lock(&place, &["x", "sleep", "1000"]);
    await_holder_only(&place, "x", &holder);
    assert_eq!(mute(&["lock", "-n", "-E", "9", "x", "true"]), Some(9));
    assert_eq!(mute(&["event", "set", "y"]), Some(2));
    kill(holder);
    assert_eq!(mute(&["lock", "x", "true"]), Some(0));
    place.start(&["rm", "x"]).succeed();
}

/// Kills a process that is no child of ours.
fn kill_stranger(pid: u32) {
    // SAFETY: the call touches no memory. It fails if the process is gone, and it alone has that number until then.
    assert_eq!(unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) }, 0, "it was there all the time");
    await_end(pid);
}

#[test]
fn who_comes_in_vain_is_told_who_has_it() {
    let place = Place::new();
    let holder = lock(&place, &["x", "--", "sleep", "1000"]);
    let seen = await_holder(&place, "x", &holder);
    assert_eq!((&seen["state"], &seen["command"]), (&"held".into(), &"sleep 1000".into()), "{seen}");
    assert!(seen["held_seconds"].as_f64() >= Some(0.0), "{seen}");
    let program = seen["holder"]["program"].as_str().unwrap();
    assert_eq!(program, "ringway lock x -- sleep 1000");
    let pid = holder.child.id();
    let starts = format!("ringway: x: process {pid} has had it for ");
    for (options, wanted) in [
        (&["-n"][..], 1),
        (&["--nonblock", "-E", "75"], 75),
        (&["--timeout", "0"], 1),
        (&["-w", "0.15", "--conflict-exit-code", "0"], 0),
    ] {
        let ended = lock(&place, &[options, &["x", "touch", "/nonexistent/x"]].concat()).end();
        assert_eq!(ended.status.code(), Some(wanted), "{options:?}");
        let said = ended.stderr();
        assert!(said.starts_with(&starts) && said.ends_with("s: sleep 1000\n"), "{said}");
    }
    let ended = lock(&place, &["-n", "-q", "x", "true"]).end();
    assert_eq!(code(&ended), (Some(1), String::new()));
    assert_eq!(lock(&place, &["-n", "-w", "1", "x", "true"]).end().status.code(), Some(2));
    let text = String::from_utf8(place.start(&["stat", "x"]).succeed()).unwrap();
    assert!(text.contains(&format!("\nheld by     process {pid}: ")), "{text}");
    assert!(text.contains("\n            runs sleep 1000\n            since "), "{text}");
    let text = String::from_utf8(place.start(&["ls"]).succeed()).unwrap();
    assert!(text.contains(&format!(" held by {pid}\n")), "{text}");

    let waiting = lock(&place, &["x", "echo", "mine"]);
    place.await_stat("x", |seen| seen["waiters"] == 1);
    holder.signal(libc::SIGTERM);
    assert_eq!(holder.end().status.code(), Some(143));
    assert_eq!(waiting.succeed(), b"mine\n");
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn a_killed_holder_takes_its_command_along_and_the_next_one_is_told() {
    let place = Place::new();
    let holder = lock(&place, &["x", "--", "sleep", "1000"]);
    let command = holder.await_command("sleep");
    await_holder(&place, "x", &holder);
    let script = r#"readlink /proc/$0/exe && echo alive; echo "recovered $RINGWAY_RECOVERED""#;
    // Dead, and perhaps not reaped yet.
    let waiting = lock(&place, &["x", "sh", "-c", script, &command.to_string()]);
    place.await_stat("x", |seen| seen["waiters"] == 1);
    let pid = holder.child.id();
    kill(holder);
    let ended = waiting.end();
    assert_eq!((ended.status.code(), ended.stdout().as_str()), (Some(0), "recovered 1\n"));
    let said =
        format!("ringway: x: the last holder, process {pid} (sleep 1000), died with it; it had taken it ");
    assert!(ended.stderr().starts_with(&said) && ended.stderr().ends_with("s ago\n"), "{}", ended.stderr());
    let seen = place.stat("x").unwrap();
    assert_eq!(
        (&seen["state"], &seen["recoveries"], &seen["inconsistent"]),
        (&"free".into(), &1.into(), &false.into())
    );
    // Repaired: nobody else is told.
    assert_eq!(lock(&place, &["x", "sh", "-c", "echo $RINGWAY_RECOVERED"]).succeed(), b"0\n");
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn what_the_command_of_a_killed_holder_started_keeps_others_out() {
    for (options, survivor) in [
        (&[][..], "sleep 1000 >/dev/null 2>&1 & echo $! >$0; wait"),
        (&["--survive"], "echo $$ >$0; exec sleep 1000 >/dev/null 2>&1"),
    ] {
        let place = Place::new();
        let file = scratch(&place, ".pid");
        let path = file.to_str().unwrap();
        let holder = lock(&place, &[options, &["x", "sh", "-c", survivor, path]].concat());
        let survivor = await_number(&file);
        await_holder(&place, "x", &holder);
        kill(holder);
        let ended = lock(&place, &["-n", "x", "true"]).end();
        assert_eq!(ended.status.code(), Some(1));
        let said = format!("ringway: x: what it started still runs (process {survivor}: sleep 1000)\n");
        assert!(ended.stderr().ends_with(&said), "{}", ended.stderr());
        let seen = place.stat("x").unwrap();
        assert_eq!(
            (&seen["state"], &seen["inconsistent"]),
            (&"died".into(), &true.into()),
            "left as it was: {seen}"
        );
        let text = String::from_utf8(place.start(&["stat", "x"]).succeed()).unwrap();
        assert!(
            text.contains(&format!(
                "process {survivor}, which the dead one started, still runs: sleep 1000\n"
            )),
            "{text}"
        );
        // A name that stands for that is no leftover.
        assert_eq!(place.start(&["clean"]).succeed(), b"");

        let waiting = lock(&place, &["x", "echo", "mine"]);
        await_attached(&place, "x", 1);
        await_holder_only(&place, "x", &waiting);
        let text = String::from_utf8(place.start(&["stat", "x"]).succeed()).unwrap();
        assert!(text.contains("still runs: sleep 1000\n"), "{text}");
        kill_stranger(survivor);
        let ended = waiting.end();
        assert_eq!((ended.status.code(), ended.stdout().as_str()), (Some(0), "mine\n"));
        assert!(ended.stderr().contains("), died with it"), "{}", ended.stderr());
        fs::remove_file(file).unwrap();
        assert_eq!(place.start(&["clean"]).succeed(), b"x\n");
    }
}

#[test]
fn what_is_to_be_repaired_is_repaired_first() {
    let place = Place::new();
    let leave = |place: &Place| {
        let holder = lock(place, &["x", "sleep", "1000"]);
        await_holder(place, "x", &holder);
        let pid = holder.child.id();
        kill(holder);
        pid
    };
    let pid = leave(&place);
    let ended = lock(&place, &["--on-recovery", "exit 3", "x", "echo", "never"]).end();
    assert_eq!((ended.status.code(), ended.stdout().as_str()), (Some(1), ""));
    let said = ended.stderr();
    assert!(
        said.ends_with("ringway: x: exit 3 ended with exit status: 3: left to the next one to recover\n"),
        "{said}"
    );
    // One that is killed meanwhile leaves it too.
    let repairing = lock(&place, &["--on-recovery", "exec sleep 1000", "x", "echo", "never"]);
    let command = repairing.await_command("sleep");
    let second = repairing.child.id();
    kill(repairing);
    await_end(command);
    let script = r#"echo "repair $RINGWAY_LOCK $RINGWAY_RECOVERED""#;
    let ended = lock(&place, &["--on-recovery", script, "x", "sh", "-c", "echo $RINGWAY_RECOVERED"]).end();
    assert_eq!((ended.status.code(), ended.stdout().as_str()), (Some(0), "repair x 1\n1\n"));
    let said = ended.stderr();
    assert!(said.contains(&format!("process {second} (sh -c 'exec sleep 1000'), died with it")), "{said}");
    assert_ne!(pid, second);
    assert_eq!(lock(&place, &["--on-recovery", script, "x", "echo", "whole"]).succeed(), b"whole\n");
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn signals_reach_the_command() {
    let place = Place::new();
    let begun = scratch(&place, ".begun");
    for (signal, script, wanted) in [
        (libc::SIGTERM, "", 143),
        (libc::SIGINT, "trap 'exit 5' INT;", 5),
        (libc::SIGUSR1, "trap 'exit 6' USR1;", 6),
        (libc::SIGQUIT, "trap 'exit 8' QUIT;", 8),
        (libc::SIGHUP, "trap 'exit 0' HUP;", 0),
    ] {
        let script = format!("{script} touch {}; while :; do sleep 0.05; done", begun.display());
        let running = lock(&place, &["x", "sh", "-c", &script]);
        wait_for("the command", || begun.exists().then_some(()));
        fs::remove_file(&begun).unwrap();
        running.signal(signal);
        assert_eq!(code(&running.end()), (Some(wanted), String::new()), "signal {signal}");
        let seen = place.stat("x").unwrap();
        assert_eq!((&seen["state"], &seen["recoveries"]), (&"free".into(), &0.into()), "{seen}");
    }
    // Who waits ends by it.
    let holder = lock(&place, &["x", "sleep", "1000"]);
    await_holder(&place, "x", &holder);
    let waiting = lock(&place, &["x", "true"]);
    await_attached(&place, "x", 2);
    waiting.signal(libc::SIGINT);
    assert_eq!(waiting.end().status.signal(), Some(libc::SIGINT));
    await_attached(&place, "x", 1);
    holder.signal(libc::SIGTERM);
    assert_eq!(holder.end().status.code(), Some(143));
    place.start(&["rm", "x"]).succeed();
}

#[test]
fn who_waits_for_a_lock_without_a_name_waits_for_the_next_of_that_name() {
    let place = Place::new();
    let holder = lock(&place, &["x", "sleep", "1000"]);
    await_holder(&place, "x", &holder);
    let waiting = lock(&place, &["x", "sleep", "1000"]);
    place.await_stat("x", |seen| seen["waiters"] == 1);
    place.start(&["rm", "x"]).succeed();
    // It makes a new one.
    await_holder(&place, "x", &waiting);
    for running in [holder, waiting] {
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().status.code(), Some(143));
    }
    place.start(&["rm", "x"]).succeed();
}

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

#[test]
fn events_are_waited_for() {
    let place = Place::new();
    let event = |arguments: &[&str]| place.start(&[&["event"], arguments].concat());
    for command in ["wait", "set", "clear", "is-set"] {
        let ended = event(&[command, "x"]).end();
        assert_eq!(ended.status.code(), Some(2));
        assert!(ended.stderr().starts_with("ringway: there is no object named \"x\""), "{}", ended.stderr());
    }
    assert_eq!(event(&["is-set", "../x"]).end().status.code(), Some(2));
    let waiting = [event(&["wait", "x", "--create"]), event(&["wait", "x", "--create", "--timeout", "1000"])];
    await_attached(&place, "x", 2);
    assert_eq!(code(&event(&["is-set", "x"]).end()), (Some(1), String::new()));
    assert_eq!(code(&event(&["wait", "x", "-w", "0.05"]).end()), (Some(1), String::new()));
    event(&["set", "x"]).succeed();
    for running in waiting {
        running.succeed();
    }
    event(&["is-set", "x"]).succeed();
    event(&["wait", "x", "--timeout", "0"]).succeed();
    assert_eq!(place.stat("x").unwrap()["settings"], 1);
    assert_eq!(place.start(&["clean"]).succeed(), b"", "somebody may want to know that it is set");
    event(&["clear", "x"]).succeed();
    assert_eq!(event(&["is-set", "x"]).end().status.code(), Some(1));
    let waiting = event(&["wait", "x"]);
    await_attached(&place, "x", 1);
    assert_eq!(place.start(&["clean"]).succeed(), b"");
    place.start(&["rm", "x"]).succeed();
    let ended = waiting.end();
    let said = "ringway: x: its name was removed and nobody else is attached: nobody can set it\n";
    assert_eq!(code(&ended), (Some(2), said.into()));
    lock(&place, &["x", "true"]).succeed();
    assert_eq!(event(&["set", "x"]).end().status.code(), Some(2), "no event");
    assert_eq!(place.start(&["clean"]).succeed(), b"x\n");
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
