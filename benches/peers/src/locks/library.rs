//! Mutexes for the threads of one process.

use std::sync::{Arc, Mutex};

use super::{Lock, Skill, TOOL, Tool, run_lock};
use crate::transports::{Group, Mode, Peer, Place, Result, Setup};

const LIBRARY: Peer = Peer { group: Group::Library, place: Place::Threads, modes: BLOCK, ..TOOL };
const BLOCK: &[Mode] = &[Mode::Block];

pub(crate) static STD: Tool = Tool {
    peer: Peer {
        name: "std-mutex",
        title: "std Mutex (threads)",
        note: "poisoned by a panic; dies with its process",
        run: run_lock!(Std),
        ..LIBRARY
    },
    does: &[(Skill::Alone, BLOCK), (Skill::Crowd, BLOCK)],
};

pub(crate) static PARKING_LOT: Tool = Tool {
    peer: Peer {
        name: "parking-lot",
        title: "parking_lot Mutex (threads)",
        note: "dies with its process",
        run: run_lock!(ParkingLot),
        ..LIBRARY
    },
    does: &[(Skill::Alone, BLOCK), (Skill::Crowd, BLOCK)],
};

struct Std<const N: usize>(Arc<Mutex<[u64; N]>>);

impl<const N: usize> Lock<N> for Std<N> {
    type End = Arc<Mutex<[u64; N]>>;

    fn make(_: &Setup) -> Result<Self> {
        Ok(Std(Arc::new(Mutex::new([0; N]))))
    }

    fn join(&self, _: &Setup) -> Result<Self::End> {
        Ok(Arc::clone(&self.0))
    }

    #[inline]
    fn with<R>(end: &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        let mut guard = end.lock().map_err(|_| "poisoned")?;
        Ok(inside(&mut guard))
    }
}

struct ParkingLot<const N: usize>(Arc<parking_lot::Mutex<[u64; N]>>);

impl<const N: usize> Lock<N> for ParkingLot<N> {
    type End = Arc<parking_lot::Mutex<[u64; N]>>;

    fn make(_: &Setup) -> Result<Self> {
        Ok(ParkingLot(Arc::new(parking_lot::Mutex::new([0; N]))))
    }

    fn join(&self, _: &Setup) -> Result<Self::End> {
        Ok(Arc::clone(&self.0))
    }

    #[inline]
    fn with<R>(end: &mut Self::End, inside: impl FnOnce(&mut [u64; N]) -> R) -> Result<R> {
        Ok(inside(&mut end.lock()))
    }
}
