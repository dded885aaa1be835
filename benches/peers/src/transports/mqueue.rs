//! POSIX message queues.

use std::{
    ffi::CString,
    fs::File,
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use super::{
    Group, Link, Many, Mode, Named, Opener, Peer, Place, Result, Setup, Shared, Transport, Unavailable,
};
use crate::{many, sys::checked, worker};

pub(crate) static PEER: Peer = Peer {
    name: "mqueue",
    title: "POSIX message queue",
    group: Group::System,
    place: Place::Processes,
    modes: &[Mode::Block],
    longest: 4096,
    copies: 2,
    blocks: true,
    note: "the common depth, if this process may; else 10 messages. Longer ones than 8 KiB take rights, too",
    optional: true,
    run: worker::measure::<Mqueue>,
    open: Some(worker::measure_opening::<Mqueue>),
    many: Some(Many { longest: 4096, batches: false, hogs: false, run: many::measure::<Queue> }),
};

struct Mqueue;

/// Opens a queue; creates it if it is to have a depth.
fn open(name: &str, depth: Option<usize>, len: usize) -> Result<OwnedFd> {
    let name = CString::new(format!("/{name}"))?;
    // SAFETY: mq_attr is plain integers.
    let mut attributes: libc::mq_attr = unsafe { mem::zeroed() };
    attributes.mq_maxmsg = depth.unwrap_or(0) as libc::c_long;
    attributes.mq_msgsize = len as libc::c_long;
    let (flags, attributes) = match depth {
        Some(_) => (libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, &raw const attributes),
        None => (libc::O_RDWR, ptr::null()),
    };
    // SAFETY: the name ends with NUL, and the attributes are live or not there.
    let raw = checked(unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, attributes) })?;
    // SAFETY: on Linux a queue is a descriptor, which has just been returned to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn unlink(name: &str) -> Result<()> {
    let name = CString::new(format!("/{name}"))?;
    // SAFETY: the name ends with NUL.
    checked(unsafe { libc::mq_unlink(name.as_ptr()) })?;
    Ok(())
}

/// Lets this process have queues of any size, if it may.
fn lift_limit() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the kernel only reads the limit. Without the right to do this the old limit stays.
    unsafe { libc::setrlimit(libc::RLIMIT_MSGQUEUE, &limit) };
}

/// A queue whose name is gone already: it goes with its last descriptor.
fn unnamed(name: &str, setup: &Setup) -> Result<OwnedFd> {
    lift_limit();
    let queue = open(name, Some(setup.depth()), setup.len).or_else(|_| open(name, Some(10), setup.len));
    let queue = queue.map_err(|error| {
        Unavailable(format!(
            "no queue for messages of {} bytes (who has CAP_SYS_RESOURCE may have one): {error}",
            setup.len
        ))
    })?;
    unlink(name)?;
    Ok(queue)
}

struct Queues {
    source: OwnedFd,
    sink: OwnedFd,
    buffer: Box<[u8]>,
}

impl Link for Queues {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        // SAFETY: the message is as long as is said.
        let answer =
            unsafe { libc::mq_send(self.sink.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        checked(answer).map(drop).map_err(Into::into)
    }

    #[inline]
    fn receive<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let (at, len) = (self.buffer.as_mut_ptr(), self.buffer.len());
        // SAFETY: the buffer is as long as is said; no priority is asked for.
        let n = unsafe { libc::mq_receive(self.source.as_raw_fd(), at.cast(), len, ptr::null_mut()) };
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        Ok(read(&self.buffer[..n]))
    }
}

/// One for all processes.
struct Queue(OwnedFd);

impl Shared for Queue {
    type End = Queues;

    fn make(setup: &Setup) -> Result<Self> {
        Ok(Queue(unnamed(&setup.name, setup)?))
    }

    fn join(&self, setup: &Setup) -> Result<Queues> {
        let (source, sink) = (self.0.try_clone()?, self.0.try_clone()?);
        Ok(Queues { source, sink, buffer: vec![1; setup.len].into() })
    }
}

impl Transport for Mqueue {
    fn ends(setup: &Setup) -> Result<(impl Opener, impl Opener)> {
        let [to, fro] = setup.names();
        let (to, fro) = (unnamed(&to, setup)?, unnamed(&fro, setup)?);
        let (far_source, far_sink) = (to.try_clone()?, fro.try_clone()?);
        let len = setup.len;
        let end = move |source, sink| move || Ok(Queues { source, sink, buffer: vec![1; len].into() });
        Ok((end(fro, to), end(far_source, far_sink)))
    }
}

impl Named for Mqueue {
    type Context = ();
    type Made = File;
    type Attached = File;

    fn prepare(_: &Setup) -> Result<()> {
        Ok(())
    }

    fn create((): &(), name: &str) -> Result<File> {
        Ok(open(name, Some(10), 1024)?.into())
    }

    fn attach((): &(), name: &str) -> Result<File> {
        Ok(open(name, None, 0)?.into())
    }

    fn remove((): &(), name: &str) -> Result<()> {
        unlink(name)
    }
}
