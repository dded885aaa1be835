//! One holds a lock, others want it.

use std::{fs, os::unix::process::ExitStatusExt};

use crate::{
    await_attached, await_holder, await_holder_only, await_number, code, kill, kill_stranger, lock, scratch,
    support::{Place, Running, wait_for},
};

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
