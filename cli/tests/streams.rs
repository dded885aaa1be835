//! `send`, `recv`, `ls`, `stat`, `rm` and `clean` as a shell runs them: real processes, some of which are killed.

mod support;

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{fd::AsRawFd, unix::process::ExitStatusExt},
    path::Path,
    process::{ChildStdout, Stdio},
};

use serde_json::Value;

use support::{Place, Running};

/// Bytes that repeat nowhere near.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn either_side_may_start_first() {
    let place = Place::new();
    for len in [0, 1, 65_536, 5_000_001] {
        let input = noise(len);
        let sender = place.feed(&["send", "x"], input.clone());
        place.await_stat("x", |_| true);
        let receiver = place.start(&["recv", "x"]);
        assert!(receiver.succeed() == input);
        sender.succeed();

        let receiver = place.start(&["recv", "x"]);
        place.await_stat("x", |_| true);
        let sender = place.feed(&["send", "x", "-"], input.clone());
        assert!(receiver.succeed() == input);
        sender.succeed();
        assert!(place.names().is_empty());
    }
}

#[test]
fn files_come_out_as_they_went_in_however_they_are_cut() {
    let place = Place::new();
    let input = noise(3_000_017);
    let (from, to) = (place.0.join(".from"), place.0.join(".to"));
    fs::write(&from, &input).unwrap();
    let cuts: [&[&str]; 5] =
        [&[], &["--lines"], &["--block", "1000"], &["--block", "700K"], &["--block", "8M"]];
    for cut in cuts {
        let receiver = place.start(&["recv", "x", "--out", to.to_str().unwrap()]);
        place.start(&[&["send", "x", from.to_str().unwrap()], cut].concat()).succeed();
        receiver.succeed();
        assert!(fs::read(&to).unwrap() == input, "{cut:?}");
    }
    fs::remove_file(from).unwrap();
    fs::remove_file(to).unwrap();
}

#[test]
fn messages_keep_their_boundaries() {
    let place = Place::new();
    let receiver = place.start(&["recv", "x", "--length-prefixed"]);
    place.feed(&["send", "x", "--lines"], b"one\r\n\nthree".to_vec()).succeed();
    let prefixed = receiver.succeed();
    assert_eq!(prefixed, b"\x05\0\0\0one\r\n\x01\0\0\0\n\x05\0\0\0three");
    let receiver = place.start(&["recv", "x", "--lines"]);
    place.feed(&["send", "x", "--length-prefixed"], prefixed).succeed();
    assert_eq!(receiver.succeed(), b"one\r\n\nthree\n");
}

#[test]
fn a_path_serves_as_a_name() {
    let place = Place::new();
    let elsewhere = Place::new();
    let path = elsewhere.0.join("ring");
    let receiver = place.start(&["recv", path.to_str().unwrap()]);
    place.feed(&["send", path.to_str().unwrap()], b"hello".to_vec()).succeed();
    assert_eq!(receiver.succeed(), b"hello");
}

#[test]
fn receivers_share_lines_and_senders_a_receiver() {
    let place = Place::new();
    let lines: Vec<u8> = (0..50_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    let workers: Vec<_> = (0..3).map(|_| place.start(&["recv", "x", "--lines"])).collect();
    // All of them before the stream can end.
    place.await_stat("x", |seen| seen["second_end"]["arrivals"] == 3);
    place.feed(&["send", "x", "--lines"], lines).succeed();
    let mut numbers: Vec<u32> = Vec::new();
    for worker in workers {
        let text = String::from_utf8(worker.succeed()).unwrap();
        numbers.extend(text.lines().map(|line| line.parse::<u32>().unwrap()));
    }
    numbers.sort_unstable();
    assert!(numbers == (0..50_000).collect::<Vec<_>>());

    let receiver = place.start(&["recv", "x"]);
    let senders: Vec<_> = (b'a'..=b'c')
        .map(|letter| {
            let mut command = place.run(&["send", "x", "--lines"]);
            let mut running = Running::of({
                command.stdin(Stdio::piped());
                command
            });
            let stdin = running.child.stdin.take().unwrap();
            (running, stdin, letter)
        })
        .collect();
    // The stream lasts until the last of them is done.
    place.await_stat("x", |seen| seen["first_end"]["arrivals"] == 3);
    for (running, mut stdin, letter) in senders {
        stdin.write_all(&[letter, b'\n'].repeat(1000)).unwrap();
        drop(stdin);
        running.succeed();
    }
    let got = receiver.succeed();
    assert_eq!(got, [b"a\n".repeat(1000), b"b\n".repeat(1000), b"c\n".repeat(1000)].concat());
}

#[test]
fn a_killed_sender_is_no_end_of_stream() {
    let place = Place::new();
    let receiver = place.start(&["recv", "x"]);
    let mut sender = Running::of({
        let mut command = place.run(&["send", "x"]);
        command.stdin(Stdio::piped());
        command
    });
    let input = noise(100_000);
    sender.child.stdin.as_mut().unwrap().write_all(&input).unwrap();
    place.await_stat("x", |seen| seen["forth"]["read_bytes"].as_u64() >= Some(100_000));
    sender.signal(libc::SIGKILL);
    let ended =
        receiver.fail("x: a sender died before it had finished: the stream is cut off after 100,000 bytes");
    assert!(ended.out == input, "all that was sent has arrived");
    sender.end();
}

#[test]
fn a_sender_that_fails_is_no_end_of_stream() {
    let place = Place::new();
    let receiver = place.start(&["recv", "x"]);
    let sender = place.feed(&["send", "x", "--length-prefixed"], b"\x02\0\0\0hi\x05\0\0\0bro".to_vec());
    sender.fail("the input ends inside message 2: 3 of 5 bytes");
    assert_eq!(receiver.fail("cut off after 2 bytes").out, b"hi");
    // Nothing is opened for an input that cannot be.
    place.start(&["send", "x", "/nonexistent"]).fail("cannot open /nonexistent: ");
    place.start(&["send", "x", "/"]).fail("/ is a directory");
    place.start(&["recv", "x", "--out", "/nonexistent/x"]).fail("cannot create /nonexistent/x: ");
}

/// A receiver whose output is full: it has taken some, cannot go on, and neither can its sender.
fn stuck_receiver(place: &Place) -> (Running, ChildStdout) {
    let (receiver, output) = Running::with_output(place.run(&["recv", "x"]));
    // It has begun, and not only the sender.
    let mut written = libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives as long as the call.
    assert_eq!(unsafe { libc::poll(&raw mut written, 1, 60_000) }, 1, "nothing comes");
    let full = |seen: &Value| seen["forth"]["held_bytes"].as_u64() >= Some((1 << 20) - (1 << 17));
    place.await_stat("x", full);
    (receiver, output)
}

fn read_all(mut from: ChildStdout) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_killed_receiver_fails_the_sender_which_knows_how_much_it_had() {
    let place = Place::new();
    let input = noise(8_000_000);
    let sender = place.feed(&["send", "x", "--block", "8000"], input.clone());
    let (receiver, output) = stuck_receiver(&place);
    receiver.signal(libc::SIGKILL);
    receiver.end();
    let ended = sender.fail("x: the receiver is gone; of ");
    let said = ended.stderr();
    let numbers: Vec<usize> = said
        .split(' ')
        .filter_map(|word| word.trim_end_matches([',', ';']).replace(',', "").parse().ok())
        .collect();
    let [sent, received, not_received] = numbers[..] else { panic!("{said}") };
    assert_eq!(sent, received + not_received, "{said}");
    assert!(not_received > 900_000 && not_received <= 1 << 20, "{said}");
    let got = read_all(output);
    // What it was just writing when it was killed was not given up to it.
    assert!(got == input[..got.len()] && got.len() >= received && got.len() - received <= 16_000, "{said}");
}

#[test]
fn another_receiver_can_go_on_if_the_sender_waits() {
    let place = Place::new();
    let input = noise(8_000_000);
    let sender = place.feed(&["send", "x", "--block", "8000", "--wait", "1000"], input.clone());
    let (receiver, output) = stuck_receiver(&place);
    receiver.signal(libc::SIGKILL);
    receiver.end();
    let first = read_all(output);
    let second = place.start(&["recv", "x"]).fail("x: incomplete: ");
    assert!(second.stderr().contains("its beginning went to another receiver"), "{}", second.stderr());
    // The message in the middle of which the first was killed comes again.
    let whole = first.len() / 8000 * 8000;
    assert!(input.ends_with(&second.out));
    assert!(first.len() + second.out.len() >= input.len(), "nothing is lost");
    assert!(input.len() - second.out.len() + 16_000 >= whole, "at most two messages come twice");
    assert_eq!(sender.end().status.code(), Some(0));
}

#[test]
fn a_reader_that_leaves_ends_both_and_loses_nothing_silently() {
    let place = Place::new();
    let sender = place.feed(&["send", "x"], noise(8_000_000));
    let (receiver, output) = stuck_receiver(&place);
    drop(output);
    let ended = receiver.end();
    assert_eq!((ended.status.signal(), ended.stderr().as_str()), (Some(libc::SIGPIPE), ""));
    sender.fail("the receiver is gone");
}

#[test]
fn an_output_that_cannot_be_written_fails_both() {
    let place = Place::new();
    let receiver = place.start(&["recv", "x", "--out", "/dev/full"]);
    let sender = place.feed(&["send", "x"], noise(100_000));
    receiver.fail("cannot write /dev/full: ");
    sender.fail(" bytes sent it received 0, not the last ");
}

#[test]
fn signals_end_and_leave_no_name() {
    let place = Place::new();
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        for side in ["send", "recv"] {
            let mut command = place.run(&[side, "x"]);
            // An input that does not end.
            command.stdin(Stdio::piped());
            let running = Running::of(command);
            place.await_stat("x", |_| true);
            // The name is there before the signals are waited for, but after they are held back.
            running.signal(signal);
            assert_eq!(running.end().status.signal(), Some(signal), "{side}");
            assert!(place.names().is_empty());
        }
    }
    let receiver = place.start(&["recv", "x"]);
    let sender = Running::of({
        let mut command = place.run(&["send", "x"]);
        command.stdin(Stdio::piped());
        command
    });
    place.await_stat("x", |seen| seen["first_end"]["arrivals"] == 1 && seen["second_end"]["arrivals"] == 1);
    sender.signal(libc::SIGTERM);
    receiver.fail("a sender died");
    sender.end();
}

#[test]
fn after_a_crash_of_all_a_new_stream_begins() {
    let place = Place::new();
    let leave_behind = || {
        let sender = place.feed(&["send", "x"], b"old".to_vec());
        place.await_stat("x", |seen| seen["forth"]["held"] == 1);
        sender.signal(libc::SIGKILL);
        sender.end();
    };
    leave_behind();
    let sender = place.feed(&["send", "x"], b"new".to_vec());
    // Waits for a receiver; what the dead one left is dropped.
    place.await_stat("x", |seen| {
        seen["first_end"]["holders"][0]["alive"] == true && seen["forth"]["held"] == 1
    });
    assert_eq!(place.start(&["recv", "x"]).succeed(), b"new");
    let ended = sender.end();
    assert!(ended.status.success() && ended.stderr().contains("starts anew"), "{}", ended.stderr());

    leave_behind();
    assert_eq!(place.start(&["recv", "x"]).fail("a sender died").out, b"old");
    assert!(place.names().is_empty());
}

#[test]
fn who_waits_for_somebody_who_cannot_come_is_told() {
    let place = Place::new();
    for (side, remove) in [("send", "ringway"), ("recv", "ringway"), ("recv", "rm")] {
        let waiting = place.feed(&[side, "x"], b"hello".to_vec());
        place.await_stat("x", |_| true);
        match remove {
            "rm" => fs::remove_file(place.0.join("x")).unwrap(),
            _ => drop(place.start(&["rm", "x"]).succeed()),
        }
        waiting.fail("x: the name was removed before any ");
    }
}

#[test]
fn names_are_listed_shown_removed_and_tidied_up() {
    let place = Place::new();
    assert_eq!(place.start(&["ls"]).succeed(), b"");
    let sender = place.feed(&["send", "busy"], noise(4_000_000));
    place.await_stat("busy", |seen| seen["forth"]["held_bytes"].as_u64() > Some(900_000));
    let dead = place.feed(&["send", "dead"], b"x".to_vec());
    place.await_stat("dead", |seen| seen["forth"]["held"] == 1);
    dead.signal(libc::SIGKILL);
    dead.end();
    fs::write(place.0.join("junk"), "junk").unwrap();

    let listed = String::from_utf8(place.start(&["ls"]).succeed()).unwrap();
    let words = |name: &str| -> Vec<String> {
        let line = listed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{listed}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(words("busy")[1..5], ["simplex", "pipe", "1", "MiB"]);
    assert_eq!(words("busy")[7], "1", "attached");
    assert_eq!(words("dead")[7..].join(" ").split(' ').next_back(), Some("unused"), "{listed}");
    assert_eq!(words("junk")[1..], ["not", "ours"]);

    let shown = String::from_utf8(place.start(&["stat", "busy"]).succeed()).unwrap();
    assert!(shown.contains(&format!("process {} sends\n", sender.child.id())), "{shown}");
    let seen = place.stat("busy").unwrap();
    assert_eq!(
        (&seen["participants"][0]["pid"], &seen["second_end"]["arrivals"]),
        (&sender.child.id().into(), &0.into())
    );
    assert!(seen["forth"]["space"]["sleeps"].as_u64() > Some(0), "it waits for space: {seen}");

    place.start(&["stat", "nobody"]).fail("there is no object named \"nobody\"");
    assert_eq!(place.start(&["clean"]).succeed(), b"dead\n");
    place.start(&["rm", "nobody", "busy", "junk"]).fail("ringway: junk: not a ringway segment");
    assert_eq!(place.start(&["rm", "../x"]).end().status.code(), Some(2));
    sender.fail("the name was removed");
    assert_eq!(place.names(), ["junk"]);
    fs::remove_file(place.0.join("junk")).unwrap();
}

#[test]
fn other_kinds_of_object_are_refused_by_name() {
    let place = Place::new();
    let path = place.0.join("file");
    File::create(&path).unwrap().write_all(b"something else").unwrap();
    place.start(&["send", "file"]).fail("file: not a ringway segment");
    place.start(&["recv", path.to_str().unwrap()]).fail("not a ringway segment");
    assert_eq!(fs::read(&path).unwrap(), b"something else");
    fs::remove_file(&path).unwrap();
    for bad in ["", ".x", "a/b"] {
        let ended = place.start(&["recv", bad]).end();
        assert_eq!(ended.status.code(), Some(2), "{bad:?}: {}", ended.stderr());
    }
    assert!(!Path::new("b").exists());
}
