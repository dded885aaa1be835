//! The examples run, end by themselves, and say what their text promises.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long an example may take before a test gives up. Never a measure of speed.
const GIVE_UP: Duration = Duration::from_secs(120);

/// The program of an example. `cargo test` builds all of them; with `--test` it does not, so then it is done here.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let built = this.parent().and_then(|deps| deps.parent()).unwrap();
    let path = built.join("examples").join(name);
    if !path.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--example", name]).current_dir(env!("CARGO_MANIFEST_DIR"));
        // target/PROFILE, or target/TRIPLE/PROFILE.
        if built.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "{name} cannot be built");
    }
    path
}

/// Runs an example that must succeed; what it says.
fn run(name: &str) -> String {
    let program = program(name);
    let mut child = Command::new(&program)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > GIVE_UP {
            child.kill().unwrap();
            panic!("{name} hangs");
        }
        thread::sleep(Duration::from_millis(5));
    }
    // It says less than a pipe holds.
    let output = child.wait_with_output().unwrap();
    let (said, complaints) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{name}: {}\n{said}{complaints}", output.status);
    assert_eq!(complaints, "", "{name}");
    said
}

#[test]
fn the_worker_pool_does_every_task_though_a_worker_is_killed() {
    let said = run("worker_pool");
    assert!(said.contains("is killed (SIGKILL) in the middle of task 77\n"), "{said}");
    assert!(said.contains("task 77 was delivered again, to worker "), "{said}");
    assert!(
        said.ends_with("200 of 200 tasks done, 1 delivered twice: 33860 primes, 33860 expected\n"),
        "{said}"
    );
}

#[test]
fn the_log_collector_loses_no_line() {
    let said = run("log_collector");
    assert_eq!(said.matches(" has finished: 25000 lines\n").count(), 4, "{said}");
    assert!(said.ends_with("read back: 100000 lines, each worker's complete and in order\n"), "{said}");
}
