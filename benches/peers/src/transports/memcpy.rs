//! The floor of carrying bytes: the C library's copy, from a buffer of a process to others.

use super::{Group, Metric, Mode, Outcome, Peer, Place, Result};
use crate::{payload::Payload, sys, worker::Job};

pub(crate) static PEER: Peer = Peer {
    name: "floor-memcpy",
    title: "memcpy (floor)",
    group: Group::Floor,
    place: Place::Alone,
    modes: &[Mode::Poll],
    longest: 1 << 20,
    copies: 1,
    blocks: false,
    note: "one core; into as many places in turn as the common depth has",
    optional: false,
    run: measure,
    open: None,
    many: None,
};

fn measure(job: &Job) -> Result<Outcome> {
    sys::pin_to(job.cpus[0])?;
    let len = job.setup.len;
    let mut payload = Payload::<0>::new(len);
    let mut places = vec![1; job.setup.depth_bytes()];
    let mut turn = 0;
    let goal = job.time.as_nanos() as u64;
    let (mut batch, mut count, start) = (16, 0, sys::now_ns());
    let nanos = loop {
        for number in count..count + batch {
            places[turn..turn + len].copy_from_slice(payload.stamp(number));
            turn = if turn + len == places.len() { 0 } else { turn + len };
            // The copies count, although nobody reads them.
            std::hint::black_box(&mut places);
        }
        count += batch;
        let nanos = (sys::now_ns() - start).max(1);
        if nanos >= goal {
            break nanos;
        }
        batch = (count * (goal - nanos) / nanos).clamp(1, count);
    };
    let rate = count as f64 * 1e9 / nanos as f64;
    Ok(vec![(Metric::Messages, rate), (Metric::Bytes, rate * len as f64)])
}
