//! A worker that dies or stops answering ends the command with a reason, never with a hang.

use std::{
    fs,
    io::Read,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up. Never a measure of speed.
const GIVE_UP: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer.
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < GIVE_UP, "no {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A benchmark that would take an hour.
fn endless(transport: &str, patience: &str, time: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["bench", "--json", "--sizes", "64", "--transports", transport])
        .args(["--time", time, "--patience", patience])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The worker of `parent`, once it has become this program. It may not have said that it is ready yet: what is
/// tested holds from its first instruction.
fn worker_of(parent: &Child) -> i32 {
    let path = format!("/proc/{0}/task/{0}/children", parent.id());
    wait_for("worker", || {
        let children = fs::read_to_string(&path).ok()?;
        let pid: i32 = children.split_whitespace().next()?.parse().ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let is_worker = command.split(|&byte| byte == 0).any(|word| word == b"__worker");
        is_worker.then_some(pid)
    })
}

/// The same, once it is in the midst of its work: it has slept and been woken more often than starting takes, or
/// run for longer.
fn busy_worker_of(parent: &Child) -> i32 {
    let pid = worker_of(parent);
    wait_for("work", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        let sleeps: u64 = line.trim().parse().unwrap();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // Behind the name: the state is field 3, the time in user mode, in hundredths of a second, field 14.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let run: u64 = fields.split_whitespace().nth(11).unwrap().parse().unwrap();
        (sleeps > 100 || run > 20).then_some(pid)
    })
}

fn signal(pid: i32, signal: libc::c_int) {
    // SAFETY: kill touches no memory.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Waits for the end; the exit code and what was said.
fn end(mut child: Child) -> (Option<i32>, String) {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > GIVE_UP {
            child.kill().unwrap();
            panic!("the command hangs");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn a_killed_worker_is_named_with_its_signal() {
    for transport in ["pipe", "unix", "tcp", "spsc", "bytes", "ringway-pipe"] {
        let parent = endless(transport, "3600", "3600");
        signal(busy_worker_of(&parent), libc::SIGKILL);
        let (code, said) = end(parent);
        assert_eq!(code, Some(1), "{transport}: {said}");
        assert!(said.starts_with(&format!("ringway: the {transport} worker (")), "{said}");
        assert!(said.ends_with(" was killed by signal 9\n"), "{said}");
    }
}

/// Who sleeps or spins on bare memory hears of nothing: that is what the watchdog is for.
#[test]
fn a_killed_worker_is_noticed_where_no_transport_tells() {
    let parent = endless("floor-futex", "3600", "3600");
    signal(busy_worker_of(&parent), libc::SIGKILL);
    let (code, said) = end(parent);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with(" died without a report; its peer did not notice\n"), "{said}");
}

#[test]
fn a_worker_that_is_stopped_is_given_up() {
    let parent = endless("pipe", "0.5", "0.5");
    signal(worker_of(&parent), libc::SIGSTOP);
    let (code, said) = end(parent);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with(" gave no answer for 1.0s and was killed\n"), "{said}");
}

#[test]
fn a_worker_does_not_outlive_its_parent() {
    // On a transport that would tell it, the end of the parent is nothing new.
    let mut parent = endless("floor-futex", "3600", "3600");
    let worker = busy_worker_of(&parent);
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("end of the worker", || {
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        // Gone, or dead and not yet reaped by whoever adopted it.
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        matches!(state, None | Some('Z' | 'X')).then_some(())
    });
}
