//! The measuring process: it forks, or starts a thread, and has the two sides send to each other.
//!
//! A job runs in a process of its own, so that whatever a peer does to it (leaks, aborts, threads, signal handlers)
//! ends with it. Between the two sides goes, besides the transport, a pair of sockets, over which the near side says
//! what comes next and the far side answers.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use crate::{
    locks::Task,
    payload::{Payload, Sum},
    plan::Crew,
    sys::{self, Forked},
    transports::{
        Failure, Link, Metric, Named, Opener, Outcome, Place, Result, Setup, Transport, Unavailable,
    },
};

/// What a measuring process is asked to do.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) setup: Setup,
    pub(crate) place: Place,
    /// Where the two sides run.
    pub(crate) cpus: [usize; 2],
    /// How many send and receive, where that can be more than one each.
    pub(crate) crew: Crew,
    /// How long each figure is measured.
    pub(crate) time: Duration,
    /// What is done with it, if it is a tool that users agree by.
    pub(crate) task: Option<Task>,
    /// Whether it is a floor that carries nothing.
    pub(crate) only_trips: bool,
}

/// How many messages go each way before anything is timed. Every byte of them is compared.
const TESTED: u64 = 40;
/// No burst is longer than this.
pub(crate) const MOST: u64 = 1 << 33;
/// No more round trips than this are kept.
pub(crate) const MOST_TRIPS: u64 = 1 << 20;

/// What the near side asks for, and how many messages.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ask {
    Test(u64),
    OneWay(u64),
    Echo(u64),
    /// Attach to so many objects, one at a time.
    Attach(u64),
}

/// One side's line to another.
pub(crate) struct Control(pub(crate) UnixStream);

impl Control {
    pub(crate) fn put<const N: usize>(&mut self, words: [u64; N]) -> Result<()> {
        let bytes = bytemuck::cast_slice(&words);
        self.0.write_all(bytes).map_err(|error| format!("the other side is gone: {error}").into())
    }

    pub(crate) fn get<const N: usize>(&mut self) -> Result<[u64; N]> {
        let mut words = [0; N];
        let bytes = bytemuck::cast_slice_mut(&mut words);
        self.0.read_exact(bytes).map_err(|error| format!("the other side is gone: {error}"))?;
        Ok(words)
    }

    fn ask(&mut self, ask: Ask) -> Result<()> {
        self.put(match ask {
            Ask::Test(count) => [0, count],
            Ask::OneWay(count) => [1, count],
            Ask::Echo(count) => [2, count],
            Ask::Attach(count) => [3, count],
        })?;
        // The far side is about to receive.
        self.get::<2>().map(drop)
    }

    /// What is asked for, or `None` when the near side has had enough.
    fn hear(&mut self) -> Result<Option<Ask>> {
        let mut bytes = [0; 16];
        match self.0.read(&mut bytes)? {
            0 => return Ok(None),
            16 => {}
            short => return Err(format!("an order of {short} bytes").into()),
        }
        let ask = match bytemuck::cast::<_, [u64; 2]>(bytes) {
            [0, count] => Ask::Test(count),
            [1, count] => Ask::OneWay(count),
            [2, count] => Ask::Echo(count),
            [3, count] => Ask::Attach(count),
            other => return Err(format!("an unknown order: {other:?}").into()),
        };
        self.put([0, 0])?;
        Ok(Some(ask))
    }
}

/// Measures a transport: throughput one way, and round trips.
pub(crate) fn measure<T: Transport>(job: &Job) -> Result<Outcome> {
    match job.setup.len {
        8 => measure_fixed::<T, 8>(job),
        64 => measure_fixed::<T, 64>(job),
        _ => measure_fixed::<T, 0>(job),
    }
}

/// The same for messages whose length may be known when this is compiled (see [`Payload`]).
pub(crate) fn measure_fixed<T: Transport, const FIXED: usize>(job: &Job) -> Result<Outcome> {
    let (near, far) = T::ends(&job.setup)?;
    let len = job.setup.len;
    part(
        job,
        near,
        far,
        |near, control| {
            let mut near = Near::<_, FIXED> { link: near.open()?, control, payload: Payload::new(len) };
            near.control.get::<2>()?; // the far side has opened its end
            near.measure(job)
        },
        |far, control| {
            let mut far = Far::<_, FIXED> { link: far.open()?, control, payload: Payload::new(len) };
            far.control.put([0, 0])?;
            far.serve()
        },
    )
}

/// Runs the two sides, each on its CPU: in this process and one forked from it, or in two threads. If one fails, this
/// process says so and ends: the other side may be waiting in memory, where nobody can tell it.
pub(crate) fn part<N: Send, F: Send>(
    job: &Job,
    near: N,
    far: F,
    run_near: impl FnOnce(N, Control) -> Result<Outcome> + Send,
    run_far: impl FnOnce(F, Control) -> Result<()> + Send,
) -> Result<Outcome> {
    let [near_cpu, far_cpu] = job.cpus;
    let (near_control, far_control) = UnixStream::pair()?;
    let (near_control, far_control) = (Control(near_control), Control(far_control));
    let run_near =
        |near| sys::pin_to(near_cpu).map_err(Into::into).and_then(|()| run_near(near, near_control));
    let run_far =
        |far, control| sys::pin_to(far_cpu).map_err(Into::into).and_then(|()| run_far(far, control));
    if job.place == Place::Threads {
        return thread::scope(|scope| {
            scope.spawn(move || run_far(far, far_control).unwrap_or_else(|error| fail(&error)));
            Ok(run_near(near).unwrap_or_else(|error| fail(&error)))
        });
    }
    sys::end_with_child()?;
    // SAFETY: this process was started for this job and has not started a thread (see `Peer::run`).
    match unsafe { sys::fork() }? {
        Forked::Child => {
            // The near side's end is a copy here: dropping it could undo what the parent's stands for. Its line to
            // us must be closed, or we would never see the end.
            std::mem::forget(near);
            drop(run_near);
            run_far(far, far_control).unwrap_or_else(|error| fail(&error));
            sys::leave(0)
        }
        Forked::Parent(pid) => {
            drop((far, far_control));
            let outcome = run_near(near)?;
            sys::reap(pid)?;
            Ok(outcome)
        }
    }
}

/// How a measuring process says that it could not.
pub(crate) const FAILED: &str = "failed";
/// How it says that it could not, and that this is nobody's fault.
pub(crate) const UNAVAILABLE: &str = "unavailable";

/// Says what went wrong, to whoever started this process, and ends.
pub(crate) fn fail(error: &Failure) -> ! {
    let word = if error.is::<Unavailable>() { UNAVAILABLE } else { FAILED };
    // One line, written at once, for two processes may write.
    let line = format!("{word} {}\n", error.to_string().replace('\n', " "));
    let _ = std::io::stdout().write_all(line.as_bytes());
    let _ = std::io::stdout().flush();
    sys::leave(1)
}

/// The side that sends one way, and that counts the time of round trips.
struct Near<L, const FIXED: usize> {
    link: L,
    control: Control,
    payload: Payload<FIXED>,
}

impl<L: Link, const FIXED: usize> Near<L, FIXED> {
    fn measure(&mut self, job: &Job) -> Result<Outcome> {
        let mut outcome = Outcome::new();
        self.test(job.only_trips)?;
        if !job.only_trips {
            let (count, nanos) = measured(job.time, MOST, |count, _| self.one_way(count))?;
            let rate = count as f64 * 1e9 / nanos as f64;
            outcome.push((Metric::Messages, rate));
            outcome.push((Metric::Bytes, rate * job.setup.len as f64));
        }
        let mut trips = vec![1; MOST_TRIPS as usize]; // not zeroes, whose pages would not be there yet
        measured(job.time, MOST_TRIPS, |count, begins| {
            if begins {
                trips.clear();
            }
            self.echo(count, &mut trips)
        })?;
        trips.sort_unstable();
        let tick = clock_tick();
        for (metric, fraction) in Metric::TRIPS {
            outcome.push((metric, percentile(&trips, fraction, tick)));
        }
        Ok(outcome)
    }

    /// A few messages each way, of which every byte is compared.
    fn test(&mut self, only_trips: bool) -> Result<()> {
        if only_trips {
            return Ok(()); // a floor's payload is one word, which the sums of the round trips compare
        }
        self.control.ask(Ask::Test(TESTED))?;
        for number in 0..TESTED {
            self.link.send(self.payload.exact(number))?;
        }
        for number in 0..TESTED {
            let payload = &mut self.payload;
            if !self.link.receive(|message| payload.is_exact(number, message))? {
                return Err(format!("message {number} of the test came back wrong").into());
            }
        }
        self.control.get::<2>()?;
        // The timed bursts start with a message as it is when new.
        self.payload = Payload::new(self.payload.exact(0).len());
        Ok(())
    }

    /// Sends `count` messages; how long it took until the last was read, in nanoseconds.
    fn one_way(&mut self, count: u64) -> Result<u64> {
        self.control.ask(Ask::OneWay(count))?;
        let start = sys::now_ns();
        for number in 0..count {
            self.link.send(self.payload.stamp(number))?;
        }
        let [end, sum] = self.control.get()?;
        self.compare(sum, count)?;
        Ok(end.saturating_sub(start).max(1))
    }

    /// `count` messages there and back, one after the other; how long all took, and to `trips` how long each took.
    fn echo(&mut self, count: u64, trips: &mut Vec<u32>) -> Result<u64> {
        self.control.ask(Ask::Echo(count))?;
        let mut sum = Sum::default();
        let start = sys::now_ns();
        let mut last = start;
        for number in 0..count {
            self.link.send(self.payload.stamp(number))?;
            self.link.receive(|message| sum.add::<FIXED>(message))?;
            let now = sys::now_ns();
            trips.push(u32::try_from(now - last).unwrap_or(u32::MAX));
            last = now;
        }
        let [_, far_sum] = self.control.get()?;
        self.compare(far_sum, count)?;
        self.compare(sum.value(), count)?;
        Ok((last - start).max(1))
    }

    fn compare(&self, sum: u64, count: u64) -> Result<()> {
        let expected = self.payload.expected(count);
        if sum == expected {
            return Ok(());
        }
        Err(format!("the checksum of {count} messages is {sum:#x} and should be {expected:#x}").into())
    }
}

/// Into how many bursts a measurement is cut, so that a guess of the rate which a neighbour has spoilt costs little.
const BURSTS: f64 = 8.0;

/// Has ever longer bursts sent to warm up and to learn the rate, then bursts until they come to `time`, or to `most`
/// messages; how many these were, and how long they took in nanoseconds. `burst` is told how many to send and whether
/// what was before does not count, and says how long that took.
pub(crate) fn measured(
    time: Duration,
    most: u64,
    mut burst: impl FnMut(u64, bool) -> Result<u64>,
) -> Result<(u64, u64)> {
    let goal = time.as_nanos() as f64;
    let part = goal / BURSTS;
    let mut count = 8;
    let mut nanos = burst(count, true)?;
    let next = |count: u64, nanos: u64| (count as f64 * part / nanos as f64) as u64;
    while (nanos as f64) < part / 2.0 && count < most / 8 {
        count = next(count, nanos).clamp(count * 2, count * 32).min(most / 8);
        nanos = burst(count, true)?;
    }
    let (mut all, mut took) = (0, 0);
    while (took as f64) < goal && all < most {
        count = next(count, nanos).clamp(8, count * 4).min(most - all);
        nanos = burst(count, all == 0)?;
        (all, took) = (all + count, took + nanos);
    }
    Ok((all, took))
}

/// The steps in which the clock moves, in nanoseconds: ten on some machines, of the 120 that a round trip takes.
pub(crate) fn clock_tick() -> f64 {
    let step = |_| {
        let (before, mut after) = (sys::now_ns(), sys::now_ns());
        while after == before {
            after = sys::now_ns();
        }
        after - before
    };
    (0..1000).map(step).min().map_or(1.0, |nanos| nanos as f64)
}

/// A percentile of sorted times that a clock with such a `tick` has taken: those that it could not tell apart count as
/// spread evenly over the tick. The largest is as it is.
pub(crate) fn percentile(sorted: &[u32], fraction: f64, tick: f64) -> f64 {
    let rank = ((sorted.len() as f64 * fraction).ceil() as usize).clamp(1, sorted.len());
    let value = sorted[rank - 1];
    if fraction >= 1.0 {
        return f64::from(value);
    }
    let below = sorted.partition_point(|&other| other < value);
    let alike = sorted.partition_point(|&other| other <= value) - below;
    let part = (rank - below) as f64 - 0.5;
    (f64::from(value) + tick * (part / alike as f64 - 0.5)).max(0.0)
}

/// The side that receives, and that answers.
struct Far<L, const FIXED: usize> {
    link: L,
    control: Control,
    payload: Payload<FIXED>,
}

impl<L: Link, const FIXED: usize> Far<L, FIXED> {
    fn serve(&mut self) -> Result<()> {
        while let Some(ask) = self.control.hear()? {
            let mut sum = Sum::default();
            match ask {
                Ask::Test(count) => {
                    for number in 0..count {
                        let payload = &mut self.payload;
                        if !self.link.receive(|message| payload.is_exact(number, message))? {
                            return Err(format!("message {number} of the test arrived wrong").into());
                        }
                    }
                    for number in 0..count {
                        self.link.send(self.payload.exact(number))?;
                    }
                    self.payload = Payload::new(self.payload.exact(0).len());
                }
                Ask::OneWay(count) => {
                    for _ in 0..count {
                        self.link.receive(|message| sum.add::<FIXED>(message))?;
                    }
                }
                Ask::Echo(count) => {
                    for number in 0..count {
                        self.link.receive(|message| sum.add::<FIXED>(message))?;
                        self.link.send(self.payload.stamp(number))?;
                    }
                }
                Ask::Attach(_) => return Err("a transport attaches to nothing".into()),
            }
            self.control.put([sys::now_ns(), sum.value()])?;
        }
        Ok(())
    }
}

/// Measures how long it takes to make an object, and to attach to one, in microseconds: the median of many.
pub(crate) fn measure_opening<T: Named>(job: &Job) -> Result<Outcome> {
    let name = |number: u64| format!("{}-o{number}", job.setup.name);
    part(
        job,
        (),
        (),
        |(), mut control| {
            let context = T::prepare(&job.setup)?;
            let (mut creations, mut attachments) = (Vec::new(), Vec::new());
            let deadline = sys::now_ns() + job.time.as_nanos() as u64 * 2;
            while sys::now_ns() < deadline || creations.len() < 11 {
                let name = name(creations.len() as u64);
                let start = sys::now_ns();
                let made = T::create(&context, &name)?;
                creations.push(sys::now_ns() - start);
                control.ask(Ask::Attach(creations.len() as u64 - 1))?;
                let [nanos, _] = control.get()?;
                attachments.push(nanos);
                drop(made);
                T::remove(&context, &name)?;
            }
            let median = |mut list: Vec<u64>| {
                list.sort_unstable();
                list[list.len() / 2] as f64 / 1000.0
            };
            Ok(vec![(Metric::Create, median(creations)), (Metric::Attach, median(attachments))])
        },
        |(), mut control| {
            let context = T::prepare(&job.setup)?;
            while let Some(ask) = control.hear()? {
                let Ask::Attach(number) = ask else { return Err("not to be measured".into()) };
                let name = name(number);
                let start = sys::now_ns();
                let attached = T::attach(&context, &name)?;
                let nanos = sys::now_ns() - start;
                drop(attached);
                control.put([nanos, 0])?;
            }
            Ok(())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_see_between_the_ticks_of_the_clock() {
        // 115 to 145 ns as a clock tells them that only knows tens.
        let exact: Vec<u32> = (1150..1450).collect();
        let coarse: Vec<u32> = exact.iter().map(|tenths| (tenths + 50) / 100 * 10).collect();
        for fraction in [0.1, 0.5, 0.9] {
            let (is, should) = (percentile(&coarse, fraction, 10.0), 115.0 + 30.0 * fraction);
            assert!((is - should).abs() < 0.5, "{fraction}: {is}, not {should}");
        }
        assert_eq!(percentile(&[7], 0.5, 10.0), 7.0);
        assert_eq!(percentile(&[1, 2, 900], 1.0, 10.0), 900.0);
        assert_eq!(percentile(&[1, 2, 900], 0.5, 1.0), 2.0);
    }

    /// Measures what takes so many nanoseconds a message; the messages and bursts that count.
    fn simulate(item_ns: u64, most: u64) -> (u64, u64, u64) {
        let (mut bursts, mut sent) = (0, 0);
        let (all, took) = measured(Duration::from_millis(100), most, |count, begins| {
            if begins {
                (bursts, sent) = (0, 0);
            }
            (bursts, sent) = (bursts + 1, sent + count);
            Ok(count * item_ns)
        })
        .unwrap();
        assert_eq!(all, sent, "what counts is what was sent since the beginning");
        (all, took, bursts)
    }

    #[test]
    fn measurements_take_the_time_they_are_given() {
        for item_ns in [1, 5, 300, 20_000, 1_000_000] {
            let (_, took, bursts) = simulate(item_ns, MOST);
            assert!((100_000_000..130_000_000).contains(&took), "{item_ns} ns a message: {took}");
            assert!((5..=13).contains(&bursts), "{item_ns} ns a message: {bursts} bursts");
        }
        assert!(simulate(1_000_000_000, MOST).0 <= 8, "no more of the slowest than need be");
        let (all, _, _) = simulate(1, 1000);
        assert_eq!(all, 1000, "no more than allowed");
    }
}
