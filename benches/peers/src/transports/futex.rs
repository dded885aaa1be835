//! The floor of a round trip between two who sleep: a futex, woken and waited for.

use super::{Group, Mode, Peer, Place, cacheline};
use crate::worker;

pub(crate) static PEER: Peer = Peer {
    name: "floor-futex",
    title: "futex (floor)",
    group: Group::Floor,
    place: Place::Processes,
    modes: &[Mode::Block],
    longest: 8,
    copies: 1,
    blocks: true,
    note: "the same, asleep until it is one's turn",
    optional: false,
    run: worker::measure::<cacheline::Turns<true>>,
    open: None,
    many: None,
};
