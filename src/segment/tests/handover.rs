//! Handing a segment to a program started by us.

use super::*;
use crate::handover;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;

/// The variable that tells this test's own program which part it is to play.
const PART: &str = "RINGWAY_TEST_PART";

/// Runs a test of this file in a program of its own.
fn program(test: &str, part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("segment::tests::handover::{test}"), "--nocapture"]).env(PART, part);
    command
}

#[track_caller]
fn succeeds(mut command: Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "the other program ran no test: {said}");
}

fn taken(key: &str) -> Result<Segment, Error> {
    let [fd] = handover::take::<1>(key)?;
    Segment::from_fd(fd, &expected(), &terms())
}

fn is_close_on_exec(fd: impl AsFd) -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFD) & libc::FD_CLOEXEC != 0 }
}

#[test]
fn a_child_takes_what_it_was_given_once() {
    if std::env::var(PART).is_ok() {
        let segment = taken("ring_1").unwrap();
        assert!(is_close_on_exec(&segment));
        assert_eq!(segment.me().unwrap(), 2);
        assert!(!segment.is_dead(1), "the parent");
        assert_eq!(body(&segment).free[0].load(Ordering::Acquire), 5);
        body(&segment).free[0].store(6, Ordering::Release);
        assert!(matches!(taken("ring_1"), Err(Error::NotInherited { key }) if key == "ring_1"));
        drop(segment);
        assert!(
            matches!(taken("ring_1"), Err(Error::NotInherited { .. })),
            "nor when the number is free again"
        );
        assert!(matches!(taken("ring_2"), Err(Error::NotInherited { .. })));
        assert!(matches!(taken("no such key"), Err(Error::NotInherited { .. })));
        return;
    }
    let segment = Segment::anonymous(&expected(), &terms()).unwrap();
    body(&segment).free[0].store(5, Ordering::Release);
    let mut command = program("a_child_takes_what_it_was_given_once", "child");
    handover::give(&mut command, "ring_1", [segment.as_fd()]).unwrap();
    succeeds(command);
    assert_eq!(body(&segment).free[0].load(Ordering::Acquire), 6);
    assert!(is_close_on_exec(&segment), "the parent's stays out of other children");
    assert!(segment.is_dead(2));
}

#[test]
fn several_are_taken_together_or_not_at_all() {
    if std::env::var(PART).is_ok() {
        assert!(handover::take::<1>("both").is_err());
        assert!(handover::take::<3>("both").is_err());
        let [first, second] = handover::take::<2>("both").unwrap();
        assert_ne!(
            crate::sys::file::Stat::of(&first).unwrap().id(),
            crate::sys::file::Stat::of(&second).unwrap().id()
        );
        return;
    }
    let segments = [(); 2].map(|()| Segment::anonymous(&expected(), &terms()).unwrap());
    let mut command = program("several_are_taken_together_or_not_at_all", "child");
    handover::give(&mut command, "both", [segments[0].as_fd(), segments[1].as_fd()]).unwrap();
    succeeds(command);
}

#[test]
fn a_number_that_means_another_file_is_not_taken() {
    if std::env::var(PART).is_ok() {
        let number: i32 =
            std::env::var("RINGWAY_FD_ring").unwrap().split(':').next().unwrap().parse().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: what is given away here is the descriptor this program was handed and has not taken yet.
        assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), number) }, number);
        assert!(matches!(taken("ring"), Err(Error::NotInherited { .. })));
        // SAFETY: no memory is involved.
        assert!(unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0, "nor is it closed");
        // SAFETY: opened above, under this number.
        assert_eq!(unsafe { libc::close(number) }, 0);
        assert!(matches!(taken("ring"), Err(Error::NotInherited { .. })));
        return;
    }
    let segment = Segment::anonymous(&expected(), &terms()).unwrap();
    let mut command = program("a_number_that_means_another_file_is_not_taken", "child");
    handover::give(&mut command, "ring", [segment.as_fd()]).unwrap();
    succeeds(command);
}

#[test]
fn grandchildren_inherit_nothing() {
    match std::env::var(PART).as_deref() {
        Ok("child") => {
            let _segment = taken("ring").unwrap();
            succeeds(program("grandchildren_inherit_nothing", "grandchild"));
        }
        Ok(_) => assert!(matches!(taken("ring"), Err(Error::NotInherited { .. }))),
        Err(_) => {
            let segment = Segment::anonymous(&expected(), &terms()).unwrap();
            let mut command = program("grandchildren_inherit_nothing", "child");
            handover::give(&mut command, "ring", [segment.as_fd()]).unwrap();
            succeeds(command);
        }
    }
}

#[test]
fn what_is_closed_before_the_child_starts_cannot_be_given() {
    let segment = Segment::anonymous(&expected(), &terms()).unwrap();
    let copy: OwnedFd = segment.as_fd().try_clone_to_owned().unwrap();
    let mut command = program("what_is_closed_before_the_child_starts_cannot_be_given", "child");
    handover::give(&mut command, "ring", [copy.as_fd()]).unwrap();
    drop(copy);
    // Another test's thread may have got the number by now: then it means another file.
    assert_eq!(command.spawn().unwrap_err().raw_os_error(), Some(libc::EBADF));
}

#[test]
fn keys_are_plain() {
    let segment = Segment::anonymous(&expected(), &terms()).unwrap();
    for key in ["", "a b", "a=b", "ä", "a-b", "a\0"] {
        let mut command = Command::new("true");
        assert!(matches!(
            handover::give(&mut command, key, [segment.as_fd()]),
            Err(Error::InvalidName { .. })
        ));
    }
}

#[test]
fn nonsense_in_the_environment_is_nothing() {
    for text in
        ["", "7", "1:2", "x:y:z", "-1:2:3", "99999999999:1:1", "3:1:1:1", "2147483647:1:1", ",", "3:4:5,"]
    {
        fork(|| {
            set_variable("RINGWAY_FD_key", text);
            assert!(handover::take::<1>("key").is_err(), "{text:?}");
        })
        .join();
    }
}
