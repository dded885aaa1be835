//! Several senders and several receivers at one queue: how many messages a second it hands over, each exactly once.
//!
//! Every user is a process forked from this one, or a thread of it, with a line to this one, which takes no part itself:
//! it tells the users what comes next, and compares what they have counted. The last sender to finish sends a stop for
//! each receiver; the time is over when the last receiver has seen one.

#![expect(
    clippy::disallowed_types,
    reason = "the senders count themselves; nothing of the library, no model"
)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    crew::gather,
    payload::{self, Payload, Row, Tally},
    plan::Crew,
    sys::{self, SharedPage},
    transports::{Link, Metric, Outcome, Result, Shared},
    worker::{Control, Job, MOST, measured},
};

/// How many messages each sender sends before anything is timed. Every byte of them is compared, and their order.
const TESTED: u64 = 300;
/// The number of the message that ends a receiver's burst.
const STOP: u64 = u64::MAX - 1;
/// Messages of sender `s` have the numbers from `s << SENDER_SHIFT` on.
const SENDER_SHIFT: u32 = 40;

/// What a user is told to do: the kind of burst, and how many messages each sender sends in it.
const END: u64 = 0;
const TEST: u64 = 1;
const TIMED: u64 = 2;

/// In memory that all users share.
struct Common {
    /// The senders that have not finished this burst.
    sending: AtomicU64,
}

/// Measures how many messages a second the crew of the job hands over.
pub(crate) fn measure<S: Shared>(job: &Job) -> Result<Outcome> {
    match job.setup.len {
        8 => measure_fixed::<S, 8>(job),
        64 => measure_fixed::<S, 64>(job),
        _ => measure_fixed::<S, 0>(job),
    }
}

/// The same for messages whose length may be known when this is compiled (see [`Payload`]).
pub(crate) fn measure_fixed<S: Shared, const FIXED: usize>(job: &Job) -> Result<Outcome> {
    let crew = job.crew;
    let shared = S::make(&job.setup)?;
    let page = SharedPage::new()?;
    // SAFETY: `Common` consists of an atomic integer, of which any bytes are a value.
    let common = unsafe { page.view::<Common>() };
    let cpus = cpus(job)?;
    let be = |user: usize, control: Control| -> Result<()> {
        let end = shared.join(&job.setup)?;
        let payload = Payload::<FIXED>::new(job.setup.len);
        User { end, control, payload, common, crew, index: user as u64 }.serve()
    };
    gather(job, &cpus, be, |users| direct::<FIXED>(job, users, common))
}

/// Where each user runs: on a CPU of its own if there are enough, else all senders on one and all receivers on the other.
fn cpus(job: &Job) -> Result<Vec<usize>> {
    let [near, far] = job.cpus;
    let crew = job.crew;
    let mut others = sys::usable_cpus()?;
    others.retain(|&cpu| cpu != near && cpu != far);
    if others.len() + 2 >= crew.users() {
        let mut cpus = vec![near];
        let (senders, receivers) = others.split_at(crew.senders - 1);
        cpus.extend(senders);
        cpus.push(far);
        cpus.extend(&receivers[..crew.receivers - 1]);
        return Ok(cpus);
    }
    Ok((0..crew.users()).map(|user| if user < crew.senders { near } else { far }).collect())
}

/// The part of the process that tells the users what to do.
fn direct<const FIXED: usize>(job: &Job, users: &mut [Control], common: &Common) -> Result<Outcome> {
    let crew = job.crew;
    for user in &mut *users {
        user.get::<1>()?; // it has joined
    }
    begin(users, crew, common, [TEST, TESTED])?;
    let mut lists = Vec::new();
    for user in &mut users[crew.senders..] {
        let [count] = user.get()?;
        lists.push((0..count).map(|_| user.get().map(|[number]| number)).collect::<Result<Vec<u64>>>()?);
    }
    for user in &mut users[..crew.senders] {
        user.get::<1>()?;
    }
    compare_test(lists, crew)?;
    let payload = Payload::<FIXED>::new(job.setup.len);
    let (count, nanos) = measured(job.time, MOST, |count, _| {
        let each = count.div_ceil(crew.senders as u64);
        begin(users, crew, common, [TIMED, each])?;
        let mut found = Tally::default();
        let (mut start, mut end) = (u64::MAX, 0);
        for (index, user) in users.iter_mut().enumerate() {
            if index < crew.senders {
                let [began] = user.get()?;
                start = start.min(began);
            } else {
                let [ended, tally @ ..] = user.get::<4>()?;
                end = end.max(ended);
                found = found.and(Tally(tally));
            }
        }
        let mut expected = Tally::default();
        for sender in 0..crew.senders as u64 {
            payload.tally(sender << SENDER_SHIFT, each, &mut expected);
        }
        if found != expected {
            return Err(format!("received {found:?}, and should have {expected:?}").into());
        }
        // What was asked for and what was sent differ by a few if the senders are no divisor.
        Ok((end.saturating_sub(start).max(1) as f64 * count as f64 / (each * crew.senders as u64) as f64)
            as u64)
    })?;
    for user in users {
        user.put([END, 0])?;
    }
    let rate = count as f64 * 1e9 / nanos as f64;
    Ok(vec![(Metric::Messages, rate), (Metric::Bytes, rate * job.setup.len as f64)])
}

/// Has all users begin a burst, the receivers first.
fn begin(users: &mut [Control], crew: Crew, common: &Common, order: [u64; 2]) -> Result<()> {
    // Relaxed: the line to each user comes in between.
    common.sending.store(crew.senders as u64, Relaxed);
    let (senders, receivers) = users.split_at_mut(crew.senders);
    for user in receivers {
        user.put(order)?;
        user.get::<1>()?; // it is about to receive
    }
    for user in senders {
        user.put(order)?;
    }
    Ok(())
}

/// Whether each message of the test was received by exactly one, and those of one sender in their order.
fn compare_test(lists: Vec<Vec<u64>>, crew: Crew) -> Result<()> {
    for list in &lists {
        for sender in 0..crew.senders as u64 {
            let of = |number: &&u64| **number >> SENDER_SHIFT == sender;
            if !list.iter().filter(of).is_sorted() {
                return Err(format!("a receiver got the messages of sender {sender} in another order").into());
            }
        }
    }
    let mut all: Vec<u64> = lists.concat();
    all.sort_unstable();
    let sent = (0..crew.senders as u64)
        .flat_map(|sender| (sender << SENDER_SHIFT)..(sender << SENDER_SHIFT) + TESTED);
    if all.iter().copied().eq(sent) {
        return Ok(());
    }
    Err(format!(
        "{} messages of the test came, not the {} that were sent",
        all.len(),
        TESTED * crew.senders as u64
    )
    .into())
}

/// A sender or a receiver.
struct User<'a, L, const FIXED: usize> {
    end: L,
    control: Control,
    payload: Payload<FIXED>,
    common: &'a Common,
    crew: Crew,
    /// Senders come first.
    index: u64,
}

impl<L: Link, const FIXED: usize> User<'_, L, FIXED> {
    fn serve(&mut self) -> Result<()> {
        self.control.put([0])?;
        loop {
            let [kind, count] = self.control.get()?;
            let sends = self.index < self.crew.senders as u64;
            match (kind, sends) {
                (END, _) => return Ok(()),
                (TEST, true) => self.send_test(count)?,
                (TEST, false) => self.receive_test()?,
                (_, true) => self.send(count)?,
                (_, false) => self.receive()?,
            }
        }
    }

    fn first(&self) -> u64 {
        self.index << SENDER_SHIFT
    }

    fn send(&mut self, count: u64) -> Result<()> {
        let began = sys::now_ns();
        let first = self.first();
        if self.crew.batch == 1 {
            for number in first..first + count {
                self.end.send(self.payload.stamp(number))?;
            }
        } else {
            let mut row = Row::new(self.crew.batch, &self.payload);
            let mut number = first;
            while number < first + count {
                let batch = (first + count - number).min(self.crew.batch as u64);
                self.end.send_row(row.fill(number, batch, &mut self.payload))?;
                number += batch;
            }
        }
        self.finish()?;
        self.control.put([began])
    }

    /// Ends the burst for all receivers, if this was the last sender.
    fn finish(&mut self) -> Result<()> {
        // Relaxed: nothing but the number matters.
        if self.common.sending.fetch_sub(1, Relaxed) == 1 {
            for _ in 0..self.crew.receivers {
                self.end.send(self.payload.stamp(STOP))?;
            }
        }
        Ok(())
    }

    /// Gives back the stops of others that came in one batch with our own.
    fn give_back(&mut self, stops: usize) -> Result<()> {
        (1..stops).try_for_each(|_| self.end.send(self.payload.stamp(STOP)))
    }

    fn receive(&mut self) -> Result<()> {
        self.control.put([0])?;
        let (mut tally, mut stops) = (Tally::default(), 0);
        let stop = payload::word(STOP);
        let batch = self.crew.batch;
        while stops == 0 {
            let mut read = |message: &[u8]| {
                if payload::first_word(message) == stop { stops += 1 } else { tally.add::<FIXED>(message) }
            };
            if batch == 1 {
                self.end.receive(read)?;
            } else {
                self.end.receive_row(batch, &mut read)?;
            }
        }
        let ended = sys::now_ns();
        self.give_back(stops)?;
        let [count, sum, squares] = tally.0;
        self.control.put([ended, count, sum, squares])
    }

    fn send_test(&mut self, count: u64) -> Result<()> {
        let first = self.first();
        for number in first..first + count {
            self.end.send(self.payload.exact(number))?;
        }
        // The timed bursts start with a message as it is when new.
        self.payload = Payload::new(self.payload.exact(0).len());
        self.finish()?;
        self.control.put([0])
    }

    fn receive_test(&mut self) -> Result<()> {
        self.control.put([0])?;
        let (mut numbers, mut stops, mut wrong) = (Vec::new(), 0, None);
        while stops == 0 {
            let payload = &mut self.payload;
            let mut read = |message: &[u8]| {
                if payload::first_word(message) == payload::word(STOP) {
                    stops += 1;
                    return;
                }
                let number = payload::exact_number(message);
                if !payload.is_exact(number, message) {
                    wrong = Some(number);
                }
                numbers.push(number);
            };
            if self.crew.batch == 1 {
                self.end.receive(read)?;
            } else {
                self.end.receive_row(self.crew.batch, &mut read)?;
            }
        }
        if let Some(number) = wrong {
            return Err(format!("a message of the test arrived wrong, as number {number:#x}").into());
        }
        self.payload = Payload::new(self.payload.exact(0).len());
        self.give_back(stops)?;
        self.control.put([numbers.len() as u64])?;
        numbers.into_iter().try_for_each(|number| self.control.put([number]))
    }
}
