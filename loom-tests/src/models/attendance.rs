//! Attendance: whoever is at something is known by its index, or may be anybody.

use crate::harness::Model;
use crate::lock::Attendance;
use loom::thread;
use std::sync::Arc;

pub(crate) const MODELS: &[Model] = &[
    Model { name: "two_come_at_once", preemptions: 3, body: two_come_at_once, kills: &["attendance.enter"] },
    Model { name: "one_comes_as_one_goes", preemptions: 3, body: one_comes_as_one_goes, kills: &["attendance.enter"] },
    Model { name: "one_comes_as_a_dead_one_is_forgotten", preemptions: 3, body: one_comes_as_a_dead_one_is_forgotten, kills: &["attendance.enter"] },
];

/// Two threads of one process and one of another, for two seats; the other dies.
fn two_come_at_once() {
    let attendance = Arc::new(Attendance::new());
    let come = |index| {
        let attendance = attendance.clone();
        thread::spawn(move || attendance.enter(index))
    };
    let [first, dies] = [1, 2].map(come);
    let second = attendance.enter(1);
    let first = first.join().unwrap();
    let _ = dies.join().unwrap();
    attendance.leave(first, 1);
    attendance.leave(second, 1);
    assert!(attendance.may_have(2));
}

/// A thread comes while another of the same process goes.
fn one_comes_as_one_goes() {
    let attendance = Arc::new(Attendance::new());
    let goes = attendance.enter(1);
    let going = thread::spawn({
        let attendance = attendance.clone();
        move || attendance.leave(goes, 1)
    });
    let comes = attendance.enter(1);
    going.join().unwrap();
    assert!(attendance.may_have(1));
    attendance.leave(comes, 1);
    assert!(!attendance.may_have(1));
}

/// The seat of a dead one becomes another's.
fn one_comes_as_a_dead_one_is_forgotten() {
    let attendance = Arc::new(Attendance::new());
    let _ = [attendance.enter(1), attendance.enter(2)];
    let forgetting = thread::spawn({
        let attendance = attendance.clone();
        move || attendance.forget(1)
    });
    let _ = attendance.enter(3);
    forgetting.join().unwrap();
    assert!(attendance.may_have(3) && attendance.may_have(2));
}
