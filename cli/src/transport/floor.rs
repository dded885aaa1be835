//! The floors: what the machine itself takes to pass a word between two processes.
//!
//! Both keep one word of state, `turn`, and pass a payload of eight bytes beside it. They are written against
//! bare atomics on purpose, with nothing of the library in between: they are what it is measured against.

#![expect(clippy::disallowed_types, reason = "a floor is the bare machine: no part of the library, no model")]

use std::{
    hint, io,
    os::fd::OwnedFd,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use super::{Link, Mode, Transport, Work, wrong_descriptors};
use crate::sys::{self, SharedPage};

/// What lies at the start of the shared page: all of it in one cache line.
#[repr(C, align(64))]
#[derive(Debug)]
struct Line {
    /// How often the line has changed hands: even is the near side's turn, odd the far side's. [`OVER`] ends
    /// the game. The futex floor sleeps on it.
    turn: AtomicU32,
    /// What is passed. Written by whose turn it is, before it gives the turn away.
    payload: AtomicU64,
}

/// The turn that says the other side has finished. Turns that count stay below it.
const OVER: u32 = u32::MAX;
/// Turns wrap here: an even number, so that the sides keep their parity.
const WRAP: u32 = 1 << 31;

/// One end of the game.
#[derive(Debug)]
pub(crate) struct Turns<const SLEEPS: bool> {
    page: SharedPage,
    /// The turn that is ours to end.
    mine: u32,
}

impl<const SLEEPS: bool> Turns<SLEEPS> {
    fn line(&self) -> &Line {
        // SAFETY: `Line` consists of two atomic integers and padding, of which any bytes are a value.
        unsafe { self.page.view::<Line>() }
    }

    fn give(&self, turn: u32) -> io::Result<()> {
        let line = self.line();
        // Release: pairs with the Acquire in `recv_with`; hands over the payload.
        line.turn.store(turn, Release);
        if SLEEPS { sys::futex_wake(line.turn.as_ptr()) } else { Ok(()) }
    }
}

impl<const SLEEPS: bool> Link for Turns<SLEEPS> {
    #[inline]
    fn send_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> io::Result<()> {
        let mut word = [0; 8];
        fill(word.get_mut(..len).ok_or(io::ErrorKind::InvalidInput)?);
        // Relaxed: the store of `turn` that follows publishes it.
        self.line().payload.store(u64::from_ne_bytes(word), Relaxed);
        let next = (self.mine + 1) % WRAP;
        self.give(next)?;
        self.mine = (next + 1) % WRAP;
        Ok(())
    }

    #[inline]
    fn recv_with<R>(&mut self, len: usize, read: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        let line = self.line();
        loop {
            // Acquire: pairs with the Release in `give`; the payload is there.
            let turn = line.turn.load(Acquire);
            if turn == self.mine {
                // Relaxed: ordered after the load of `turn` above.
                let word = line.payload.load(Relaxed).to_ne_bytes();
                let message = word.get(..len).ok_or(io::ErrorKind::InvalidInput)?;
                return Ok(Some(read(message)));
            }
            if turn == OVER {
                return Ok(None);
            }
            if SLEEPS {
                sys::futex_wait(line.turn.as_ptr(), turn)?;
            } else {
                hint::spin_loop();
            }
        }
    }

    fn send_chunk(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn recv_chunk<R>(&mut self, _: impl FnOnce(&[u8]) -> R) -> io::Result<Option<R>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.give(OVER)
    }
}

fn pair<const SLEEPS: bool>(work: Work) -> io::Result<(Turns<SLEEPS>, Vec<OwnedFd>)> {
    if work != Work::Echo(8) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let page = SharedPage::create()?;
    let fd = page.fd().try_clone()?;
    Ok((Turns { page, mine: 0 }, vec![fd]))
}

fn accept<const SLEEPS: bool>(fds: Vec<OwnedFd>) -> io::Result<Turns<SLEEPS>> {
    let [fd] = <[OwnedFd; 1]>::try_from(fds).map_err(|fds| wrong_descriptors(fds.len(), 1))?;
    Ok(Turns { page: SharedPage::map(fd)?, mine: 1 })
}

macro_rules! floor {
    ($(#[$doc:meta])* $name:ident, $sleeps:literal) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name;

        impl Transport for $name {
            type Link = Turns<$sleeps>;
            type TickLink = Turns<$sleeps>;

            fn pair(_: Mode, work: Work) -> io::Result<(Self::Link, Vec<OwnedFd>)> {
                pair(work)
            }

            fn accept(fds: Vec<OwnedFd>, _: Mode, _: Work) -> io::Result<Self::Link> {
                accept(fds)
            }

            fn tick_pair(_: Mode) -> io::Result<(Self::TickLink, Vec<OwnedFd>)> {
                pair(Work::Ticks)
            }

            fn tick_accept(fds: Vec<OwnedFd>, _: Mode) -> io::Result<Self::TickLink> {
                accept(fds)
            }
        }
    };
}

floor! {
    /// A cache line handed back and forth by two sides that spin.
    CacheLine, false
}
floor! {
    /// A futex handed back and forth by two sides that sleep.
    Futex, true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread, time::Duration};

    /// Runs the game between two threads, which are given up if they come to no end.
    fn goes_back_and_forth<T: Transport>(rounds: u64) {
        let (done, end) = mpsc::channel();
        thread::spawn(move || done.send(play::<T>(rounds)));
        assert_eq!(end.recv_timeout(Duration::from_secs(60)), Ok(rounds));
    }

    fn play<T: Transport>(rounds: u64) -> u64 {
        let (mut near, fds) = T::pair(Mode::Spin, Work::Echo(8)).unwrap();
        let echo = thread::spawn(move || {
            let mut far = T::accept(fds, Mode::Spin, Work::Echo(8)).unwrap();
            let mut count = 0;
            while let Some(word) = far.recv_with(8, |m| u64::from_ne_bytes(m.try_into().unwrap())).unwrap() {
                count += 1;
                far.send_with(8, |m| m.copy_from_slice(&(!word).to_ne_bytes())).unwrap();
            }
            count
        });
        for round in 0..rounds {
            near.send_with(8, |m| m.copy_from_slice(&round.to_ne_bytes())).unwrap();
            let answer = near.recv_with(8, |m| u64::from_ne_bytes(m.try_into().unwrap())).unwrap();
            assert_eq!(answer, Some(!round));
        }
        near.finish().unwrap();
        echo.join().unwrap()
    }

    #[test]
    fn the_cache_line_goes_back_and_forth() {
        goes_back_and_forth::<CacheLine>(100);
    }

    #[test]
    fn the_futex_goes_back_and_forth() {
        goes_back_and_forth::<Futex>(1000);
    }

    #[test]
    fn the_turn_and_its_payload_share_a_cache_line() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
    }

    #[test]
    fn floors_carry_nothing_but_a_word() {
        assert!(CacheLine::pair(Mode::Spin, Work::Messages(64)).is_err());
        assert!(Futex::tick_pair(Mode::Park).is_err());
    }
}
