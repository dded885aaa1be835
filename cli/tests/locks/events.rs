//! `ringway event`.

use crate::{await_attached, code, lock, support::Place};

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
