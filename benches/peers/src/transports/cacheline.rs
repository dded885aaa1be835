//! The floor of a round trip between two who are awake: one cache line, handed back and forth.

#![expect(clippy::disallowed_types, reason = "a floor is the bare machine: nothing of the library, no model")]

use std::{
    hint,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::{Group, Link, Mode, Opener, Peer, Place, Result, Setup, Transport};
use crate::{
    sys::{self, SharedPage},
    worker,
};

pub(crate) static PEER: Peer = Peer {
    name: "floor-cacheline",
    title: "cache line (floor)",
    group: Group::Floor,
    place: Place::Processes,
    modes: &[Mode::Poll],
    longest: 8,
    copies: 1,
    blocks: false,
    note: "one word and whose turn it is, in one cache line",
    optional: false,
    run: worker::measure::<Turns<false>>,
    open: None,
    many: None,
};

/// What lies in the shared page: all of it in one cache line.
#[repr(C, align(64))]
struct Line {
    /// How often the line has changed hands. The futex floor sleeps on it.
    turn: AtomicU32,
    /// What is passed: written by whose turn it is, before it gives the turn away.
    word: AtomicU64,
}

/// Two who take turns.
#[derive(Debug)]
pub(crate) struct Turns<const SLEEPS: bool>;

struct Side<const SLEEPS: bool> {
    line: &'static Line,
    /// The turn that is ours to end.
    mine: u32,
}

impl<const SLEEPS: bool> Link for Side<SLEEPS> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let word = *message.first_chunk().ok_or("not a word")?;
        // Relaxed: the store of `turn` that follows publishes it.
        self.line.word.store(u64::from_ne_bytes(word), Relaxed);
        let next = self.mine.wrapping_add(1);
        // Release: pairs with the Acquire in `receive`; hands over the word.
        self.line.turn.store(next, Release);
        if SLEEPS {
            sys::futex_wake(self.line.turn.as_ptr())?;
        }
        self.mine = next.wrapping_add(1);
        Ok(())
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        loop {
            // Acquire: pairs with the Release in `send`; the word is there.
            let turn = self.line.turn.load(Acquire);
            if turn == self.mine {
                // Relaxed: ordered after the load of `turn` above.
                return Ok(read(&self.line.word.load(Relaxed).to_ne_bytes()));
            }
            if SLEEPS {
                sys::futex_wait(self.line.turn.as_ptr(), turn)?;
            } else {
                hint::spin_loop();
            }
        }
    }
}

impl<const SLEEPS: bool> Transport for Turns<SLEEPS> {
    fn ends(_: &Setup) -> Result<(impl Opener, impl Opener)> {
        let page = SharedPage::new()?;
        // SAFETY: `Line` consists of two atomic integers and padding, of which any bytes are a value.
        let line = unsafe { page.view::<Line>() };
        let side = move |mine| move || Ok(Side::<SLEEPS> { line, mine });
        Ok((side(0), side(1)))
    }
}
