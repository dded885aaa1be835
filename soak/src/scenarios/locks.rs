//! What the scenarios of locks have in common: processes that come, work for a while, and go; nothing is sent.

use super::Part;
use super::bare::fault;
use crate::actor::{Actor, Fault};
use crate::board::{Call, READ, WRITE};
use crate::plan::Plan;
use crate::widen;
use ringway::Error;

/// The lane on which all want to do what they do: whoever stands still is noticed there.
const LANE: usize = 0;

/// As many processes can be attached as take part at once: a place that is not given back is missed.
pub(super) const SEATS: u16 = 6;

/// One who takes a lock, or waits with others.
pub(super) const PARTY: Part =
    Part { name: "party", only_sends: false, drains: false, ends: 0, is_spared: false, is_free: false };

/// Two to four of them.
pub(super) fn cast(plan: &Plan) -> Vec<Part> {
    vec![PARTY; plan.pick("cast", &[2, 3, 4, 4])]
}

/// Where sleeps can be without slices, every third episode is without a kill.
pub(super) fn is_gentle(plan: &Plan) -> bool {
    widen::AVAILABLE && plan.once_in(3, "gentle")
}

/// Attaches.
pub(super) fn come<H>(actor: &Actor, open: impl FnOnce() -> Result<H, Error>) -> Result<H, Fault> {
    let handles = actor.call(Call::Open, open).map_err(|error| fault("open", error))?;
    actor.attached(true);
    actor.wants(Some(LANE), Some(LANE));
    Ok(handles)
}

pub(super) fn go<H>(actor: &Actor, handles: H) {
    actor.wants(None, None);
    actor.attached(false);
    actor.call(Call::Close, || drop(handles));
}

/// Does `act` until it is time to go.
pub(super) fn keep_on(
    actor: &mut Actor,
    mut act: impl FnMut(&mut Actor) -> Result<(), Fault>,
) -> Result<(), Fault> {
    while actor.may_send() {
        act(actor)?;
        if actor.random.one_in(60) {
            actor.idle(4000);
        }
    }
    Ok(())
}

/// Removes what nobody uses any more.
pub(super) fn remove(names: &[&str]) -> Result<(), Fault> {
    for name in names {
        match ringway::unlink_unused(name) {
            Ok(true) => {}
            other => return Err(format!("unlink_unused of {name}, which nobody uses: {other:?}")),
        }
    }
    match ringway::clean() {
        Ok(names) if names.is_empty() => Ok(()),
        other => Err(format!("clean, when nothing is left: {other:?}")),
    }
}

/// A word of the board that is this scenario's.
pub(super) fn cell(actor: &Actor, at: usize) -> u64 {
    actor.board.cells[at].load(READ)
}

pub(super) fn set_cell(actor: &Actor, at: usize, to: u64) {
    actor.board.cells[at].store(to, WRITE);
}
