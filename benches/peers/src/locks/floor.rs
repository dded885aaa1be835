//! The floors of taking turns: whose turn it is in one word, awake or asleep.

#![expect(clippy::disallowed_types, reason = "a floor is the bare machine: nothing of the library, no model")]

use std::{
    hint,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::{
    Skill, TOOL, Tool,
    turns::{self, Player, Turns},
};
use crate::{
    sys::{self, SharedPage},
    transports::{Group, Mode, Peer, Result, Setup},
};

const FLOOR: Peer = Peer { group: Group::Floor, ..TOOL };

pub(crate) static CACHE_LINE: Tool = Tool {
    peer: Peer {
        name: "turns-cacheline",
        title: "cache line (floor)",
        modes: &[Mode::Poll],
        blocks: false,
        note: "whose turn it is, in one cache line",
        run: turns::measure::<Line<false>>,
        ..FLOOR
    },
    does: &[(Skill::Turns, &[Mode::Poll])],
};

pub(crate) static FUTEX: Tool = Tool {
    peer: Peer {
        name: "turns-futex",
        title: "futex (floor)",
        modes: &[Mode::Block],
        note: "the same, asleep until it is one's turn",
        run: turns::measure::<Line<true>>,
        ..FLOOR
    },
    does: &[(Skill::Turns, &[Mode::Block])],
};

/// What lies in the shared page.
#[repr(C, align(64))]
struct Words {
    /// The player whose turn it is.
    turn: AtomicU32,
    number: AtomicU64,
}

struct Line<const SLEEPS: bool>(&'static Words);

struct Side<const SLEEPS: bool> {
    words: &'static Words,
    mine: u32,
}

impl<const SLEEPS: bool> Turns for Line<SLEEPS> {
    type Player = Side<SLEEPS>;

    fn make(_: &Setup) -> Result<Self> {
        // SAFETY: `Words` consists of two atomic integers and padding, of which any bytes are a value.
        Ok(Line(unsafe { SharedPage::new()?.view::<Words>() }))
    }

    fn join(&self, _: &Setup, side: usize) -> Result<Side<SLEEPS>> {
        Ok(Side { words: self.0, mine: side as u32 })
    }
}

impl<const SLEEPS: bool> Player for Side<SLEEPS> {
    #[inline]
    fn turn<R>(&mut self, act: impl FnOnce(&mut u64) -> R) -> Result<R> {
        let Words { turn, number } = self.words;
        loop {
            // Acquire: pairs with the Release below; the number is as the other left it.
            let seen = turn.load(Acquire);
            if seen == self.mine {
                break;
            }
            if SLEEPS {
                sys::futex_wait(turn.as_ptr(), seen)?;
            } else {
                hint::spin_loop();
            }
        }
        // Relaxed, both: ordered by `turn`.
        let mut found = number.load(Relaxed);
        let result = act(&mut found);
        number.store(found, Relaxed);
        // Release: pairs with the Acquire above.
        turn.store(1 - self.mine, Release);
        if SLEEPS {
            sys::futex_wake(turn.as_ptr())?;
        }
        Ok(result)
    }
}
