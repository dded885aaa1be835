//! Everything that is sent arrives, once, whole and in order, whatever the ring, the way to wait and the side
//! that is another process.

use process_tests::ends::{How, Refusal, Ring, Rx, Tx, WAITS};
use process_tests::message::Sizes;
use process_tests::test;
use ringway::{Deadline, Wait};

fn words(ring: Ring, wait: Wait) -> (&'static str, &'static str) {
    let ring = match ring {
        Ring::Typed => "typed",
        Ring::Bytes(Sizes::Any) => "any",
        Ring::Bytes(Sizes::Numbered) => "numbered",
    };
    let wait = match wait {
        Wait::Spin => "spin",
        Wait::Adaptive => "adaptive",
        Wait::Park => "park",
    };
    (ring, wait)
}

/// A child produces, another consumes, both wait in the same way.
fn between_two_children(test: &process_tests::support::Test, ring: Ring, capacity: usize, count: u64) {
    for wait in WAITS {
        let path = test.path("ring");
        let (ring, wait) = words(ring, wait);
        let mut tx =
            test.start(&format!("tx {ring} create:{path}:{capacity} {wait} ready send:0:{count} drop wait"));
        tx.expect("ready");
        let rx = test.start(&format!("rx {ring} open:{path} {wait} recv:0:{count}"));
        rx.succeed();
        tx.go();
        tx.succeed();
    }
}

#[test]
fn typed_messages_arrive() {
    between_two_children(&test!("typed"), Ring::Typed, 256, 100_000);
}

#[test]
fn records_of_all_sizes_arrive() {
    // Two pages, so that records up to the longest possible wrap all the time.
    between_two_children(&test!("records"), Ring::Bytes(Sizes::Any), 8192, 20_000);
}

#[test]
fn a_ring_of_one_message_passes_everything() {
    between_two_children(&test!("one"), Ring::Typed, 1, 3000);
}

#[test]
fn capacities_that_are_no_power_of_two_hold_exactly_so_many() {
    let test = test!("odd");
    between_two_children(&test, Ring::Typed, 3, 5000);
    let path = test.path("three");
    let mut tx = Tx::attach(Ring::Typed, How::Create(&path, 3), Wait::Park, None).unwrap();
    assert_eq!(tx.fill(0), (3, Refusal::Timeout));
}

#[test]
fn both_sides_may_wait_differently() {
    let test = test!("mixed");
    for (mine, theirs) in [(Wait::Spin, "park"), (Wait::Park, "adaptive"), (Wait::Adaptive, "spin")] {
        for ring in [Ring::Typed, Ring::Bytes(Sizes::Any)] {
            let path = test.path("ring");
            let mut rx = Rx::attach(ring, How::Create(&path, 4096), mine, None).unwrap();
            let peer = test.start(&format!("tx {} open:{path} {theirs} send:0:20000", words(ring, mine).0));
            for number in 0..20_000 {
                assert_eq!(rx.recv(Some(number), Deadline::NEVER), Ok(number));
            }
            assert_eq!(rx.recv(Some(20_000), Deadline::NEVER), Err(Refusal::Closed));
            peer.succeed();
        }
    }
}

#[test]
fn a_plain_name_is_found_by_other_processes() {
    let test = test!("plain");
    let name = format!("plain-{}", std::process::id());
    let directory = test.path("directory");
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .create(&directory)
        .unwrap();
    let start = |script: &str| test.spawn(test.command(script).env("RINGWAY_DIR", &directory));
    let mut tx = start(&format!("tx typed create:{name}:64 park ready send:0:1000"));
    tx.expect("ready");
    assert!(std::fs::exists(format!("{directory}/{name}")).unwrap());
    start(&format!("rx typed open:{name} park recv:0:1000")).succeed();
    tx.succeed();
    std::fs::remove_dir_all(&directory).unwrap();
}
