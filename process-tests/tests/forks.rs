//! Processes that are copied or replaced while they hold a ring.

use process_tests::ends::{BOTH, How, Ring, Tx};
use process_tests::test;
use ringway::Wait;

fn word(ring: Ring) -> &'static str {
    if ring == Ring::Typed { "typed" } else { "numbered" }
}

#[test]
fn a_forked_child_disturbs_nobody() {
    let test = test!("fork");
    for ring in BOTH {
        let path = test.path("ring");
        // The scenarios need a process with one thread: see `forks` of the helper program.
        test.start(&format!("fork {} {path}", word(ring))).succeed();
    }
}

#[test]
fn exec_gives_the_role_up() {
    let test = test!("exec");
    for ring in BOTH {
        let path = test.path("ring");
        let mut peer = test.start(&format!("tx {} create:{path}:4096 park ready exec", word(ring)));
        peer.expect("ready");
        peer.expect("idle");
        // The process is there, the producer is not.
        let object = ringway::inspect::stat(&path).unwrap();
        let [dead] = object.participants[..] else { panic!("{object:?}") };
        assert_eq!((dead.pid, dead.alive), (Some(peer.pid()), false));
        Tx::attach(ring, How::Open(&path), Wait::Park, None).unwrap();
        peer.go();
        peer.succeed();
    }
}
