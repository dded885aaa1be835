//! Boost.Interprocess's `message_queue`, through a thin layer of C++ (`boost_queue.cpp`, compiled by `build.rs`).

use super::{Group, Many, Mode, Peer, Place};

pub(crate) static PEER: Peer = Peer {
    name: "boost",
    title: "Boost message_queue",
    group: Group::Library,
    place: Place::Processes,
    modes: &[Mode::Block],
    longest: 1 << 20,
    copies: 2,
    blocks: true,
    note: "bytes; many to many; C++ called from here",
    optional: true,
    run: queue::RUN,
    open: Some(queue::OPEN),
    many: Some(Many { longest: 1 << 20, batches: false, hogs: false, run: queue::RUN_MANY }),
};

/// Where there was no compiler or no Boost when this program was built.
#[cfg(not(boost))]
mod queue {
    use crate::{
        transports::{Outcome, Result, Unavailable},
        worker::Job,
    };

    fn missing(_: &Job) -> Result<Outcome> {
        let reason = option_env!("BOOST_MISSING").unwrap_or("it was not there when this was built");
        Err(Unavailable(format!("{reason} (apt-get install g++ libboost-dev, then build again)")).into())
    }

    pub(super) const RUN: fn(&Job) -> Result<Outcome> = missing;
    pub(super) const OPEN: fn(&Job) -> Result<Outcome> = missing;
    pub(super) const RUN_MANY: fn(&Job) -> Result<Outcome> = missing;
}

#[cfg(boost)]
mod queue {
    use std::{
        ffi::{CString, c_char, c_void},
        ptr::NonNull,
    };

    use crate::{
        many,
        transports::{self, Link, Named, Opener, Outcome, Result, Setup, Transport},
        worker::{self, Job},
    };

    pub(super) const RUN: fn(&Job) -> Result<Outcome> = worker::measure::<Boost>;
    pub(super) const OPEN: fn(&Job) -> Result<Outcome> = worker::measure_opening::<Boost>;
    pub(super) const RUN_MANY: fn(&Job) -> Result<Outcome> = many::measure::<Shared>;

    // What boost_queue.cpp offers. No C++ exception leaves it.
    unsafe extern "C" {
        /// A queue of `depth` messages of up to `len` bytes, made anew, or null.
        fn boost_queue_create(name: *const c_char, depth: usize, len: usize) -> *mut c_void;
        /// A queue that is there, or null.
        fn boost_queue_open(name: *const c_char) -> *mut c_void;
        fn boost_queue_close(queue: *mut c_void);
        fn boost_queue_remove(name: *const c_char) -> bool;
        fn boost_queue_send(queue: *mut c_void, message: *const u8, len: usize) -> bool;
        /// The length of the message, or `usize::MAX`.
        fn boost_queue_receive(queue: *mut c_void, place: *mut u8, len: usize) -> usize;
    }

    pub(super) struct Boost;

    pub(super) struct Queue(NonNull<c_void>);

    // SAFETY: a queue is an address and a mapping of the process; any thread may use it.
    unsafe impl Send for Queue {}

    impl Queue {
        fn create(name: &str, depth: usize, len: usize) -> Result<Queue> {
            let name = CString::new(name)?;
            // SAFETY: the name ends with NUL.
            let queue = unsafe { boost_queue_create(name.as_ptr(), depth, len) };
            NonNull::new(queue).map(Queue).ok_or_else(|| "Boost could not create a queue".into())
        }

        fn open(name: &str) -> Result<Queue> {
            let name = CString::new(name)?;
            // SAFETY: the name ends with NUL.
            let queue = unsafe { boost_queue_open(name.as_ptr()) };
            NonNull::new(queue).map(Queue).ok_or_else(|| "Boost could not open a queue".into())
        }

        fn remove(name: &str) -> Result<()> {
            let name = CString::new(name)?;
            // SAFETY: the name ends with NUL.
            let done = unsafe { boost_queue_remove(name.as_ptr()) };
            if done { Ok(()) } else { Err("Boost could not remove a queue".into()) }
        }
    }

    impl Drop for Queue {
        fn drop(&mut self) {
            // SAFETY: the queue is ours and is not used again.
            unsafe { boost_queue_close(self.0.as_ptr()) }
        }
    }

    pub(super) struct Queues {
        tx: Queue,
        rx: Queue,
        buffer: Box<[u8]>,
    }

    impl Link for Queues {
        #[inline]
        fn send(&mut self, message: &[u8]) -> Result<()> {
            // SAFETY: the queue is open, and the message as long as is said.
            let done = unsafe { boost_queue_send(self.tx.0.as_ptr(), message.as_ptr(), message.len()) };
            if done { Ok(()) } else { Err("Boost could not send".into()) }
        }

        #[inline]
        fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
            let (at, len) = (self.buffer.as_mut_ptr(), self.buffer.len());
            // SAFETY: the queue is open, and the buffer as long as is said.
            let len = unsafe { boost_queue_receive(self.rx.0.as_ptr(), at, len) };
            let message = self.buffer.get(..len).ok_or("Boost could not receive")?;
            Ok(read(message))
        }
    }

    /// One for all processes; its name, and what keeps it.
    pub(super) struct Shared(String);

    impl transports::Shared for Shared {
        type End = Queues;

        fn make(setup: &Setup) -> Result<Self> {
            Queue::create(&setup.name, setup.depth(), setup.len)?;
            Ok(Shared(setup.name.clone()))
        }

        fn join(&self, setup: &Setup) -> Result<Queues> {
            let (tx, rx) = (Queue::open(&self.0)?, Queue::open(&self.0)?);
            Ok(Queues { tx, rx, buffer: vec![1; setup.len].into() })
        }
    }

    impl Transport for Boost {
        fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
            let [to, fro] = setup.names();
            let len = setup.len;
            let tx = Queue::create(&to, setup.depth(), len)?;
            let rx = Queue::create(&fro, setup.depth(), len)?;
            let far = move || {
                let (rx, tx) = (Queue::open(&to)?, Queue::open(&fro)?);
                // Whoever has it keeps it.
                Queue::remove(&to)?;
                Queue::remove(&fro)?;
                Ok(Queues { tx, rx, buffer: vec![1; len].into() })
            };
            Ok((move || Ok(Queues { tx, rx, buffer: vec![1; len].into() }), far))
        }
    }

    impl Named for Boost {
        type Context = ();
        type Made = Queue;
        type Attached = Queue;

        fn prepare(_: &Setup) -> Result<()> {
            Ok(())
        }

        fn create((): &(), name: &str) -> Result<Queue> {
            Queue::create(name, 256, 256)
        }

        fn attach((): &(), name: &str) -> Result<Queue> {
            Queue::open(name)
        }

        fn remove((): &(), name: &str) -> Result<()> {
            Queue::remove(name)
        }
    }
}
