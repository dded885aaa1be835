//! Measurements between two real processes: this one sends, a child of the same program receives.

pub(crate) mod control;
mod far;
pub(crate) mod pace;
pub(crate) mod pin;
pub(crate) mod worker;

use std::{io, time::Duration};

use far::Far;
use pace::{Limits, Pace};
use pin::Pins;

use crate::{
    error::{Context, Failure},
    report::{histogram::Histogram, progress::Progress},
    sys,
    transport::{
        CHUNK, Kind, Link, Mode, TickLink, Transport, Work, with_transport,
        work::{
            PassSum, TICK_LEN, TickSum, Ticks, expected_messages, fill_message, message_base, read_message,
        },
    },
};

/// What all measurements of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Where the processes run.
    pub(crate) pins: Pins,
    /// How much longer than planned a measurement may take before its worker is killed.
    pub(crate) patience: Duration,
}

impl Setup {
    /// Chooses the CPUs and pins this process to its own.
    pub(crate) fn new(patience: Duration) -> Result<Setup, Failure> {
        let pins = Pins::choose().context(|| "cannot choose the CPUs to run on".into())?;
        sys::pin_to(pins.near()).context(|| format!("cannot run on CPU {}", pins.near()))?;
        Ok(Setup { pins, patience })
    }
}

/// What went one way, checked by the receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    /// Messages, or bytes of a stream.
    pub(crate) count: u64,
    /// From before the first was sent until the last had been read, on the other side.
    pub(crate) seconds: f64,
    /// The checksum both sides came to.
    pub(crate) sum: u64,
}

impl Carried {
    /// How many a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.seconds
    }
}

/// Sends ticks one way.
pub(crate) fn ticks(
    setup: &Setup,
    kind: Kind,
    mode: Mode,
    limits: Limits,
    progress: &mut Progress,
) -> Result<Carried, Failure> {
    fn over<T: Transport>(
        setup: &Setup,
        (kind, mode): (Kind, Mode),
        limits: Limits,
        progress: &mut Progress,
    ) -> Result<Carried, Failure> {
        let (near, fds) = T::tick_pair(mode).context(|| format!("cannot set up {kind}"))?;
        let far = Far::start(setup, (kind, mode, Work::Ticks), fds, limits.time)?;
        one_way(far, near, TickSum::expected, |near| {
            let mut ticks = Ticks::new();
            let mut pace = Pace::start(limits, 16, progress);
            let mut sent = 0;
            loop {
                let batch = pace.next(sent);
                if batch == 0 {
                    break;
                }
                for _ in 0..batch {
                    near.send_tick(ticks.next())?;
                }
                sent += batch;
            }
            near.finish_ticks()?;
            Ok((sent, pace.start_ns()))
        })
    }
    with_transport!(kind, TICK_LEN, over(setup, (kind, mode), limits, progress))
}

/// Sends messages of `len` bytes one way.
pub(crate) fn messages(
    setup: &Setup,
    (kind, mode): (Kind, Mode),
    len: usize,
    limits: Limits,
    progress: &mut Progress,
) -> Result<Carried, Failure> {
    fn over<T: Transport>(
        setup: &Setup,
        (kind, mode): (Kind, Mode),
        len: usize,
        limits: Limits,
        progress: &mut Progress,
    ) -> Result<Carried, Failure> {
        let work = Work::Messages(len);
        let (near, fds) = T::pair(mode, work).context(|| format!("cannot set up {kind}"))?;
        let far = Far::start(setup, (kind, mode, work), fds, limits.time)?;
        one_way(
            far,
            near,
            |count| expected_messages(count, len),
            |near| {
                let mut pace = Pace::start(limits, 1, progress);
                let mut sent = 0;
                loop {
                    let batch = pace.next(sent);
                    if batch == 0 {
                        break;
                    }
                    for number in sent..sent + batch {
                        near.send_with(len, |message| fill_message(message, message_base(number)))?;
                    }
                    sent += batch;
                }
                near.finish()?;
                Ok((sent, pace.start_ns()))
            },
        )
    }
    with_transport!(kind, len, over(setup, (kind, mode), len, limits, progress))
}

/// Sends the bytes of `file` one way, over and over, in chunks of [`CHUNK`]. Limits are in bytes; the last
/// chunk may exceed them.
pub(crate) fn bytes(
    setup: &Setup,
    (kind, mode): (Kind, Mode),
    file: &[u8],
    limits: Limits,
    progress: &mut Progress,
) -> Result<Carried, Failure> {
    fn over<T: Transport>(
        setup: &Setup,
        (kind, mode): (Kind, Mode),
        file: &[u8],
        limits: Limits,
        progress: &mut Progress,
    ) -> Result<Carried, Failure> {
        let work = Work::Bytes(file.len() as u64);
        let (near, fds) = T::pair(mode, work).context(|| format!("cannot set up {kind}"))?;
        let far = Far::start(setup, (kind, mode, work), fds, limits.time)?;
        one_way(
            far,
            near,
            |sent| PassSum::expected(file, sent),
            |near| {
                let mut chunks = file.chunks(CHUNK).cycle();
                let mut pace = Pace::start(limits, CHUNK as u64, progress);
                let mut sent = 0;
                loop {
                    let goal = sent + pace.next(sent);
                    if goal == sent {
                        break;
                    }
                    while sent < goal {
                        let Some(chunk) = chunks.next() else {
                            return Err(io::Error::new(
                                io::ErrorKind::InvalidInput,
                                "there is nothing to send",
                            ));
                        };
                        near.send_chunk(chunk)?;
                        sent += chunk.len() as u64;
                    }
                }
                near.finish()?;
                Ok((sent, pace.start_ns()))
            },
        )
    }
    with_transport!(kind, CHUNK, over(setup, (kind, mode), file, limits, progress))
}

/// Lets the far side begin, sends, and compares what was sent with what the far side reports.
fn one_way<N>(
    mut far: Far,
    mut near: N,
    expected: impl FnOnce(u64) -> u64,
    send: impl FnOnce(&mut N) -> io::Result<(u64, u64)>,
) -> Result<Carried, Failure> {
    match far.go().and_then(|()| send(&mut near)) {
        Ok((sent, start_ns)) => {
            let report = far.report()?;
            let sum = expected(sent);
            if report.count != sent {
                return Err(Failure::Runtime(format!("{sent} were sent but {} received", report.count)));
            }
            if report.sum != sum {
                let text = format!("checksum {:#018x} was received, not {sum:#018x}", report.sum);
                return Err(Failure::Runtime(text));
            }
            let seconds = report.end_ns.saturating_sub(start_ns).max(1) as f64 / 1e9;
            Ok(Carried { count: sent, seconds, sum })
        }
        Err(error) => {
            drop(near);
            Err(far.explain(error))
        }
    }
}

/// Sends messages of `len` bytes there and back, one at a time, for as long as `time`; the durations of the
/// round trips in nanoseconds. Each contains one look at the clock.
pub(crate) fn round_trips(
    setup: &Setup,
    (kind, mode): (Kind, Mode),
    len: usize,
    time: Duration,
    progress: &mut Progress,
) -> Result<Histogram, Failure> {
    fn over<T: Transport>(
        setup: &Setup,
        (kind, mode): (Kind, Mode),
        len: usize,
        time: Duration,
        progress: &mut Progress,
    ) -> Result<Histogram, Failure> {
        let work = Work::Echo(len);
        let (mut near, fds) = T::pair(mode, work).context(|| format!("cannot set up {kind}"))?;
        let mut far = Far::start(setup, (kind, mode, work), fds, time)?;
        match far.go().and_then(|()| ping(&mut near, len, time, progress)) {
            Ok((histogram, count)) => {
                let report = far.report()?;
                if (report.count, report.sum) == (count, expected_messages(count, len)) {
                    return Ok(histogram);
                }
                Err(Failure::Runtime(format!("{count} went there and {} came back", report.count)))
            }
            Err(error) => {
                drop(near);
                Err(far.explain(error))
            }
        }
    }
    with_transport!(kind, len, over(setup, (kind, mode), len, time, progress))
}

fn ping(
    near: &mut impl Link,
    len: usize,
    time: Duration,
    progress: &mut Progress,
) -> io::Result<(Histogram, u64)> {
    let time = time.as_nanos() as u64;
    let mut histogram = Histogram::new();
    let start = sys::now_ns();
    // The first tenth warms caches and branch predictors and is not counted.
    let warm = start.saturating_add(time / 10);
    let end = start.saturating_add(time);
    let (mut count, mut last) = (0u64, start);
    loop {
        let base = message_base(count);
        near.send_with(len, |message| fill_message(message, base))?;
        let answer = near.recv_with(len, read_message)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if answer.0 != !base {
            return Err(io::Error::other(format!("the answer to message {count} is not the one due")));
        }
        count += 1;
        let mut now = sys::now_ns();
        if last >= warm {
            histogram.record(now - last);
        }
        if now >= end && histogram.len() > 0 {
            break;
        }
        if progress.advance(now, || (now - start) as f64 / time as f64) {
            // Drawing is no part of a round trip.
            now = sys::now_ns();
        }
        last = now;
    }
    near.finish()?;
    Ok((histogram, count))
}

/// How the figures were obtained, in words for the foot of a table.
pub(crate) fn method(setup: &Setup) -> String {
    let shared = match setup.pins {
        Pins::Two(..) => "",
        Pins::One(_) => "\nWith one CPU for both processes, all figures include switching between them.",
    };
    format!(
        "Rings are written and read in place. Elsewhere one message is one write, and who reads does so through a\n\
         buffer of 64 KiB. Files go in chunks of 64 KiB. The buffers of pipes and sockets are the system's defaults.\n\
         A round trip includes one look at the clock ({} ns).{shared}",
        clock_cost_ns()
    )
}

/// What one look at the clock takes, in nanoseconds.
fn clock_cost_ns() -> u64 {
    const LOOKS: u64 = 10_000;
    let start = sys::now_ns();
    let mut last = start;
    for _ in 0..LOOKS {
        last = sys::now_ns();
    }
    (last - start).div_ceil(LOOKS)
}
