//! A file into which somebody has written nonsense.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::FileExt,
};

use crate::{get, place_with, put, remove, support::Place};

#[test]
fn a_damaged_file_ends_in_a_message() {
    damage(&place_with(&["--capacity", "16"]));
}

#[test]
fn a_damaged_tally_ends_in_a_message() {
    damage(&place_with(&["--capacity", "16", "--tally"]));
}

fn damage(place: &Place) {
    let path = place.0.join("jobs");
    put(place, &["--lines"], *b"1\n22\n333\n").succeed();
    place.start(&["queue", "drain", "jobs"]).succeed();
    let len = 64 << 10;
    let mut good = vec![0; len];
    File::open(&path).unwrap().read_exact_at(&mut good, 0).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let mut state = 7_u64;
    let mut codes = BTreeSet::new();
    for round in 0..60 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // In the header, in the table of processes, or in what follows.
        let within = [4096, 16 << 10, len as u64][round % 3];
        let at = (state >> 20) % within;
        file.write_all_at(&(state >> 8).to_le_bytes(), at).unwrap();
        for arguments in [
            &["queue", "put", "jobs", "--lines"][..],
            &["queue", "get", "jobs", "--timeout", "0"],
            &["queue", "get", "jobs", "--timeout", "0", "--exec", "cat"],
            &["queue", "drain", "jobs"],
            &["queue", "stat", "jobs"],
            &["ls"],
        ] {
            // Fewer than it holds, lest it be full.
            let ended = place.feed(arguments, b"a\n".to_vec()).end();
            let code = ended.status.code();
            assert!(matches!(code, Some(0 | 1)), "{at}: {arguments:?}: {} {}", ended.status, ended.stderr());
            assert_eq!(
                code == Some(1),
                ended.stderr().contains("ringway: "),
                "{at}: {arguments:?}: {}",
                ended.stderr()
            );
            codes.insert(code);
        }
        file.write_all_at(&good, 0).unwrap();
    }
    assert_eq!(codes.len(), 2, "some do harm and some do none");
    file.set_len(100).unwrap();
    get(place, &[]).fail("jobs: the file has 100 bytes of the ");
    fs::remove_file(path).unwrap();
}

#[test]
fn a_message_that_is_lost_is_told_after_those_before_it() {
    let place = place_with(&["--plain"]);
    put(&place, &["--lines", "--close"], *b"first\nsecond\nthird\n").succeed();
    let file = File::options().read(true).write(true).open(place.0.join("jobs")).unwrap();
    let mut slots = vec![0; 1 << 20];
    file.read_exact_at(&mut slots, 0).unwrap();
    let second = slots.windows(7).position(|bytes| bytes == b"second\n").unwrap();
    // The highest byte of its length, which lies before it.
    file.write_all_at(&[0xff], second as u64 - 1).unwrap();
    let ended = get(&place, &[]).fail("length of the message in slot");
    assert_eq!(ended.stdout(), "first\n");
    assert_eq!(get(&place, &[]).succeed(), b"third\n", "it was told once and is gone");
    remove(&place);
}
