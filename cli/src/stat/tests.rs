//! What people and programs are told of rings, pipes and queues.

use super::*;

fn parsed(seen: &Seen) -> serde_json::Value {
    serde_json::from_str(&json("x", seen).finish()).unwrap()
}

#[test]
fn a_pipe_is_told_to_people_and_programs() {
    let (tx, rx) = ringway::Pipe::simplex().unwrap();
    tx.send(b"12345678").unwrap();
    tx.send(b"").unwrap();
    rx.recv().unwrap();
    let seen = inspect::stat_fd(tx.memory()).unwrap();
    let text = describe("x", &seen, seen.created);
    let pid = std::process::id();
    assert!(text.contains(&format!("process {pid} sends")), "{text}");
    assert!(
        text.contains("stream      2 messages, 24 bytes with headers and padding, were written"),
        "{text}"
    );
    assert!(text.contains("1 messages, 8 bytes with headers and padding, are in it"), "{text}");
    let value = parsed(&seen);
    assert_eq!((&value["kind"], &value["forth"]["held"]), (&"simplex pipe".into(), &1.into()));
    assert_eq!(value["first_end"]["holders"][0]["pid"], pid);
    assert!(value["back"].is_null());
}

#[test]
fn a_queue_is_told_to_people_and_programs() {
    use std::os::fd::AsFd;
    let queue = ringway::Queue::<[u64; 1024]>::anonymous(3).unwrap();
    for n in 0..3 {
        queue.send([n; 1024]).unwrap();
    }
    queue.recv().unwrap();
    queue.close();
    let seen = inspect::stat_fd(queue.as_fd()).unwrap();
    let text = describe("x", &seen, seen.created);
    assert!(text.contains("in it       2 messages") && text.contains("sent        3 messages"), "{text}");
    assert!(text.contains("closed      nobody can send any more"), "{text}");
    let value = parsed(&seen);
    assert_eq!((&value["kind"], &value["held"]), (&"queue".into(), &2.into()));
    assert_eq!((&value["closed"], &value["memory"].is_null()), (&true.into(), &true));
    assert_eq!((&value["deaths"], &value["orphans"]), (&0.into(), &0.into()));
}

#[test]
fn a_ring_is_told_to_people_and_programs() {
    let mut tx = ringway::spsc::Producer::<u64>::anonymous(10).unwrap();
    tx.push(1).unwrap();
    let seen = inspect::stat_fd(std::os::fd::AsFd::as_fd(&tx)).unwrap();
    let text = describe("x", &seen, seen.created);
    assert!(text.contains("capacity    10 messages of 8 bytes, aligned to 8"), "{text}");
    assert!(text.contains("consumer    nobody yet; taken 0 times"), "{text}");
    let value = parsed(&seen);
    assert_eq!((&value["held"], &value["producer"]["state"]), (&1.into(), &"held".into()));
}
