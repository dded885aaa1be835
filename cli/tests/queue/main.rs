//! `ringway queue` as a shell runs it: real processes, some of which are killed.

mod commands;
mod damage;
mod ends;
mod kinds;
mod messages;
#[path = "../support/mod.rs"]
mod support;
mod tally;

use std::process::ChildStdout;

use serde_json::Value;
use support::{Place, Running};

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
