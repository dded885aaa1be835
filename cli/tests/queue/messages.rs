//! What is put comes out, as it was cut.

use std::{io::Write, process::Stdio};

use crate::{
    get, place_with, put, remove,
    support::{Place, Running},
};

#[test]
fn lines_come_out_as_they_went_in() {
    for options in [&[][..], &["--plain"], &["--tally"]] {
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
