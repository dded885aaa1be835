//! The program as it is run: small runs, whose figures mean nothing and whose checks mean everything.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

/// A directory of one test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let dir = std::env::temp_dir().join(format!("peers-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ringway-peers"))
            .args(arguments)
            .args(["--rounds", "1", "--time", "1", "--plots"])
            .arg(&self.0)
            .arg("--json")
            .arg(self.0.join("figures"))
            .output()
            .unwrap()
    }

    fn figures(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.0.join("figures")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether something that one of these names belongs to is left in shared memory.
fn left_over(pid_tag: &str) -> bool {
    fs::read_dir("/dev/shm")
        .unwrap()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().contains(pid_tag))
}

#[test]
fn every_transport_carries_and_is_reported() {
    let scratch = Scratch::new("all");
    let output = scratch.run(&["--sizes", "8,1K,64K"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let figures = scratch.figures();
    let list = Command::new(env!("CARGO_BIN_EXE_ringway-peers")).arg("--list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let peers: Vec<_> = list.lines().skip(1).collect();
    assert!(peers.len() > 20, "{list}");
    for line in peers.iter().filter(|line| !line.ends_with("(optional)")) {
        let name = line.split_whitespace().next().unwrap();
        let of = |figure: &&Value| figure["transport"] == name;
        let found: Vec<_> = figures.iter().filter(of).collect();
        assert!(!found.is_empty(), "{name}");
        for figure in found {
            let (value, low) = (figure["value"].as_f64().unwrap(), figure["low"].as_f64().unwrap());
            assert!(value > 0.0 && low > 0.0 && low <= value, "{figure}");
        }
    }
    for (senders, receivers) in [(1, 1), (2, 2), (4, 4), (8, 1), (1, 8)] {
        for (name, batch) in [
            ("ringway-queue", 1),
            ("ringway-queue", 32),
            ("ringway-queue-threads", 32),
            ("crossbeam-queue", 1),
            ("crossbeam-channel", 1),
            ("cloudtoid", 32),
            ("pipe", 1),
            ("seqpacket", 1),
        ] {
            let found = figures.iter().any(|figure| {
                figure["work"] == "many to many"
                    && figure["transport"] == name
                    && (&figure["senders"], &figure["receivers"]) == (&senders.into(), &receivers.into())
                    && figure["batch"] == batch
                    && figure["metric"] == "throughput_msgs"
            });
            assert!(found, "{name}, {senders}x{receivers} by {batch}");
        }
    }
    assert!(said.contains("targets reached in this run"), "{said}");
    for plot in ["throughput", "bandwidth", "latency-8", "latency-1024", "latency-65536"] {
        let drawing = fs::read_to_string(scratch.0.join(plot).with_extension("svg")).unwrap();
        assert!(drawing.ends_with("</svg>\n") && !drawing.contains("NaN"), "{plot}");
    }
}

#[test]
fn every_lock_is_measured_in_all_it_is_for() {
    let scratch = Scratch::new("locks");
    let output = scratch.run(&["--works", "locks"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let figures = scratch.figures();
    let has = |work: &str, name: &str, metric: &str| {
        figures
            .iter()
            .any(|figure| figure["work"] == work && figure["transport"] == name && figure["metric"] == metric)
    };
    for name in ["ringway-mutex", "ringway-semaphore", "pthread-robust", "pthread-plain", "std-mutex"] {
        assert!(has("alone", name, "pass_ns"), "{name}");
        for users in [2, 4, 8] {
            for section in ["short", "long"] {
                let work = format!("crowd-{users}-{section}");
                assert!(has(&work, name, "takes") && has(&work, name, "least_share"), "{name}, {work}");
            }
        }
    }
    for name in ["ringway-condvar", "ringway-event", "ringway-semaphore", "pthread-cond", "turns-futex"] {
        assert!(has("turns", name, "rtt_p50_ns"), "{name}");
    }
    for name in ["ringway-barrier", "pthread-barrier"] {
        assert!(has("meet-2", name, "round_ns") && has("meet-4", name, "round_ns"), "{name}");
    }
    assert!(said.contains("Mutex, alone, take and give back") && said.contains("targets reached"), "{said}");
}

#[test]
fn nothing_is_left_over() {
    let scratch = Scratch::new("left");
    let child = Command::new(env!("CARGO_BIN_EXE_ringway-peers"))
        .args(["--transports", "iceoryx2,shaq,cloudtoid,boost,ringway-spsc", "--sizes", "64"])
        .args(["--rounds", "1", "--time", "1", "--plots"])
        .arg(&scratch.0)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let tag = format!("ringway-peers-{}", child.id());
    assert!(child.wait_with_output().unwrap().status.success());
    assert!(!left_over(&tag));
}

#[test]
fn a_run_that_measures_nothing_fails() {
    let scratch = Scratch::new("none");
    let output = scratch.run(&["--transports", "pipe", "--modes", "spin"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was measured"));
    let output = scratch.run(&["--transports", "nobody"]);
    assert!(!output.status.success());
    // Longer than a typed ring's messages may be, and nothing else asked for.
    let output = scratch.run(&["--transports", "rtrb", "--sizes", "1M"]);
    assert!(!output.status.success());
}
