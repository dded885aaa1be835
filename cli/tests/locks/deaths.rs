//! Holders that are killed, and who comes after them.

use std::fs;

use crate::{
    await_attached, await_end, await_holder, await_holder_only, await_number, kill, kill_stranger, lock,
    scratch, support::Place,
};

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
