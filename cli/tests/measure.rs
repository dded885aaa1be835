//! `ringway bench` and `ringway demo` as a user runs them: real processes, real transports, small amounts.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take before a test gives up. Never a measure of speed.
const GIVE_UP: Duration = Duration::from_secs(120);

fn ringway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(arguments).stdin(Stdio::null()).env_remove("NO_COLOR").env("COLUMNS", "100");
    command
}

/// Runs to the end, or fails the test if that does not come.
fn run(arguments: &[&str]) -> Output {
    let mut child = ringway(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let drain = |pipe: &mut dyn Read| {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    };
    thread::scope(|scope| {
        let out = scope.spawn(|| drain(&mut stdout));
        let err = scope.spawn(|| drain(&mut stderr));
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > GIVE_UP {
                child.kill().unwrap();
                panic!("{arguments:?} came to no end");
            }
            thread::sleep(Duration::from_millis(5));
        };
        Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
    })
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs a benchmark with JSON and returns metric → value for each (transport, mode, payload).
fn bench(transports: &str, sizes: &str) -> BTreeMap<(String, String, u64), BTreeMap<String, f64>> {
    let output = run(&["bench", "--json", "--transports", transports, "--sizes", sizes, "--time", "0.02"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut cases: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for line in text(&output.stdout).lines() {
        let object: Value = serde_json::from_str(line).expect(line);
        let members: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert_eq!(members, ["metric", "mode", "payload_bytes", "transport", "value"]);
        let string = |name: &str| object[name].as_str().expect(line).to_owned();
        let case = (string("transport"), string("mode"), object["payload_bytes"].as_u64().expect(line));
        let value = object["value"].as_f64().expect(line);
        let former = cases.entry(case).or_default().insert(string("metric"), value);
        assert!(former.is_none(), "twice: {line}");
    }
    cases
}

const RTT: [&str; 4] = ["rtt_p50_ns", "rtt_p99_ns", "rtt_p999_ns", "rtt_max_ns"];

fn check_round_trips(metrics: &BTreeMap<String, f64>) {
    let rtt = RTT.map(|name| metrics[name]);
    assert!(rtt[0] > 0.0 && rtt.is_sorted(), "{rtt:?}");
}

fn check_rival(name: &str) {
    let cases = bench(name, "8,64,4K,256K");
    assert_eq!(cases.len(), 4, "{cases:?}");
    for ((transport, mode, payload), metrics) in &cases {
        assert_eq!((transport.as_str(), mode.as_str()), (name, "park"));
        let (messages, bytes) = (metrics["throughput_msgs"], metrics["throughput_bytes"]);
        assert!(messages > 0.0);
        assert!((bytes / (messages * *payload as f64) - 1.0).abs() < 1e-9);
        check_round_trips(metrics);
        assert_eq!(metrics.len(), 2 + RTT.len());
    }
}

#[test]
fn pipes_are_measured() {
    check_rival("pipe");
}

#[test]
fn unix_sockets_are_measured() {
    check_rival("unix");
}

#[test]
fn tcp_is_measured() {
    check_rival("tcp");
}

/// One of ours, in each way of waiting, for the lengths it carries.
fn check_ours(name: &str, lens: &[u64]) {
    let cases = bench(name, "8,1K,64K");
    let two_cpus = thread::available_parallelism().unwrap().get() > 1;
    let modes: &[&str] = if two_cpus { &["adaptive", "park", "spin"] } else { &["adaptive", "park"] };
    let mut expected = Vec::new();
    for mode in modes {
        expected.extend(lens.iter().map(|len| (name.to_owned(), (*mode).to_owned(), *len)));
    }
    assert_eq!(cases.keys().cloned().collect::<Vec<_>>(), expected);
    for metrics in cases.values() {
        assert!(metrics["throughput_msgs"] > 0.0 && metrics["throughput_bytes"] > 0.0);
        check_round_trips(metrics);
    }
}

#[test]
fn typed_rings_are_measured() {
    check_ours("spsc", &[8, 1024]);
}

#[test]
fn byte_rings_are_measured() {
    check_ours("bytes", &[8, 1024, 65_536]);
}

#[test]
fn our_pipes_are_measured() {
    check_ours("ringway-pipe", &[8, 1024, 65_536]);
}

#[test]
fn the_floors_are_measured() {
    let cases = bench("floor-cacheline,floor-futex", "64");
    let names: Vec<_> = cases.keys().map(|(name, mode, len)| (name.as_str(), mode.as_str(), *len)).collect();
    let two_cpus = thread::available_parallelism().unwrap().get() > 1;
    match two_cpus {
        true => assert_eq!(names, [("floor-cacheline", "spin", 8), ("floor-futex", "park", 8)]),
        false => assert_eq!(names, [("floor-futex", "park", 8)]),
    }
    for metrics in cases.values() {
        check_round_trips(metrics);
        assert_eq!(metrics.len(), RTT.len(), "floors carry nothing");
    }
}

/// The words of the first line that begins with `start`, after it.
fn row<'a>(part: &'a str, start: &str) -> Vec<&'a str> {
    let line = part.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {part}"));
    line[start.len()..].split_whitespace().collect()
}

#[test]
fn the_demo_moves_and_checks_everything() {
    let path = std::env::temp_dir().join(format!("ringway-demo-{}", std::process::id()));
    fs::write(&path, (0..100_003u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    let output = run(&["demo", "--input", path.to_str().unwrap(), "--size", "2000", "--time", "0.5"]);
    fs::remove_file(&path).unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress bar without a terminal: {}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(!shown.contains('\x1b'), "no colour without a terminal");
    let parts: Vec<&str> = shown.split("\n\n").collect();
    assert_eq!(parts.len(), 5, "{shown}");
    assert!(parts[1].starts_with("2,000 market ticks of 32 bytes"));
    let mut sums = BTreeMap::new();
    let ours = ["Ringway typed ring", "Ringway byte ring", "Ringway pipe"];
    for transport in ours.into_iter().chain(["OS pipe", "Unix socket", "TCP loopback"]) {
        let [count, "✓", sum, ..] = row(parts[1], transport)[..] else { panic!("{shown}") };
        let moved: u64 = count.replace(',', "").parse().unwrap();
        assert!((1..=2000).contains(&moved), "{count}");
        assert!(moved == 2000 || transport != ours[0], "the typed ring carries all of them: {shown}");
        // A machine that is busy enough lets one of them run out of time; equal counts have equal checksums.
        assert_eq!(*sums.entry(moved).or_insert(sum), sum, "{shown}");
        assert_eq!(row(parts[2], transport).len(), 9, "four durations with units, and a bar");
        if transport == ours[0] {
            continue;
        }
        let [_, _, passes, "✓", ..] = row(parts[3], transport)[..] else { panic!("{shown}") };
        let least = if transport == ours[1] { 1.0 } else { 0.0 };
        assert!(passes.parse::<f64>().unwrap() >= least, "the byte ring carries the whole file: {shown}");
    }
}

#[test]
fn a_bad_command_line_is_told_from_a_failure() {
    for bad in [
        &["bench", "--sizes", "12"][..],
        &["bench", "--transports", "pigeon"],
        &["demo", "--input", "/dev/null"],
        &["nonsense"],
        &[
            "__worker",
            "--transport",
            "pipe",
            "--mode",
            "park",
            "--work",
            "ticks",
            "--cpu",
            "0",
            "--fds",
            "0,1",
        ],
        &[
            "__worker",
            "--transport",
            "unix",
            "--mode",
            "park",
            "--work",
            "ticks",
            "--cpu",
            "0",
            "--fds",
            "999",
        ],
    ] {
        let output = run(bad);
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    let output = run(&["demo", "--input", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("ringway: cannot open /nonexistent: "));
    for good in [&["--help"][..], &["demo", "--help"], &["bench", "--help"]] {
        let output = run(good);
        assert_eq!(output.status.code(), Some(0));
        assert!(!text(&output.stdout).contains("__worker"));
    }
    assert!(text(&run(&["bench", "--help"]).stdout).contains("Examples:"));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child =
        ringway(&["bench", "--json", "--transports", "pipe", "--sizes", "8,64", "--time", "0.02"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}
