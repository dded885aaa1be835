//! What the scenarios of pipes have in common: how an end is come by, and what is done with it.

use super::bare::{Outcome, fault};
use super::{KEYS, Part, Props, RECEIVER, SENDER};
use crate::actor::{Actor, Fault, Side};
use crate::board::{COUNT, Call, Repair};
use crate::plan::Plan;
use ringway::inspect::{self, Detail};
use ringway::{Connection, End, Error, Options, Pipe, RecvError, SendError};
use std::os::fd::BorrowedFd;
use std::time::Duration;

pub(super) const NAME: &str = "pipe";

/// As many processes as a pipe of the soak has room for: a place that is not given back is missed.
const SEATS: u16 = 5;

/// Whether the pipe of this episode has a name.
pub(super) fn is_named(plan: &Plan) -> bool {
    plan.once_in(2, "named")
}

/// Whether receivers of an anonymous pipe are told the end of the stream; otherwise they leave when nothing is left,
/// and the judge gets both ends.
pub(super) fn tells_the_end(plan: &Plan) -> bool {
    !is_named(plan) && plan.once_in(2, "end")
}

/// Senders at the first end, receivers at the second.
pub(super) fn simplex_cast(plan: &Plan) -> Vec<Part> {
    let (senders, receivers) = plan.pick("cast", &[(1, 1), (2, 1), (1, 2), (2, 2), (3, 1)]);
    [vec![SENDER; senders], vec![RECEIVER; receivers]].concat()
}

pub(super) fn options(capacity: usize, simplex: bool) -> Options<Connection> {
    Pipe::options().capacity(capacity).simplex(simplex).participants(SEATS)
}

/// Both ends, if the pipe has no name.
pub(super) fn props(plan: &Plan, options: &Options<Connection>) -> Result<Props, Error> {
    if is_named(plan) {
        return Ok(Props::default());
    }
    let (first, pair) = options.pair()?;
    // Both are handed to the judge, who can take a descriptor once: so each has its own of the memory.
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned();
    let copies = own(pair.memory()).and_then(|memory| Ok((memory, pair.socket().map(own).transpose()?)));
    let refused = |source| Error::Os { action: "copy a descriptor", source };
    let (memory, Some(socket)) = copies.map_err(refused)? else { return Ok(Props::default()) };
    let second = options.clone().trusted(true).from_fds(memory, socket)?;
    Ok(Props { ends: [Some(first), Some(second)] })
}

pub(super) fn names(plan: &Plan) -> Vec<String> {
    if is_named(plan) { vec![NAME.to_owned()] } else { Vec::new() }
}

/// Takes an end.
pub(super) fn take(
    actor: &mut Actor,
    options: &Options<Connection>,
    side: Side,
) -> Result<Connection, Fault> {
    let options = options.clone().wait(actor.any_wait());
    let named = is_named(&actor.plan);
    let taken = actor.call(Call::Open, || match (named, side) {
        (true, Side::First) => options.end(End::First).open_or_create(NAME),
        (true, Side::Second) => options.end(End::Second).open_or_create(NAME),
        (false, side) => options.inherited(KEYS[side as usize]),
    });
    let connection = taken.map_err(|error| fault("take an end", error))?;
    actor.attached(true);
    actor.holds(side);
    actor.board.arrivals[side.lane()].fetch_add(1, COUNT);
    Ok(connection)
}

/// Gives an end up.
pub(super) fn close(actor: &Actor, connection: Connection) {
    actor.lets_go();
    actor.attached(false);
    actor.call(Call::Close, || drop(connection));
}

/// Sends some messages in one of the ways there are.
pub(super) fn send_some(
    actor: &mut Actor,
    connection: &Connection,
    lane: usize,
    may_block: bool,
) -> Result<Outcome, Fault> {
    let way = actor.random.weighted(&[3, if may_block { 3 } else { 0 }, 3, 3, 1]);
    let mut message = Vec::new();
    for _ in 0..actor.random.between(1, 30) {
        let Some(id) = actor.draft(lane, &mut message) else { return Ok(Outcome::Exhausted) };
        let timeout = actor.any_timeout();
        let result = match way {
            0 => actor.call(Call::Send, || connection.try_send(&message)),
            1 => actor.call(Call::Send, || connection.send(&message)),
            2 => actor.timed(Call::Send, timeout, timed_out, |deadline| {
                connection.send_deadline(&message, deadline)
            })?,
            _ => {
                let len = message.len() + actor.random.below(20) as usize;
                actor.timed(Call::Send, timeout, timed_out, |deadline| {
                    let mut loan = connection.reserve_deadline(len, deadline)?;
                    loan[..message.len()].copy_from_slice(&message);
                    if way == 4 {
                        return Err(SendError::Full);
                    }
                    loan.commit_len(message.len());
                    Ok(())
                })?
            }
        };
        if result.is_ok() {
            actor.sent(lane, id)
        } else {
            actor.not_sent(id)
        }
        match result {
            Ok(()) => {}
            Err(SendError::Full | SendError::Timeout) if way == 4 => return Ok(Outcome::Went),
            Err(SendError::Full | SendError::Timeout) => return Ok(Outcome::Not),
            // Only for messages in pieces, or a loan beyond the half of the pipe.
            Err(SendError::TooLarge { len, .. })
                if way != 1 && way != 2 && len > connection.capacity() as u64 / 2 =>
            {
                return Ok(Outcome::Went);
            }
            Err(SendError::Closed) => return Ok(Outcome::Closed),
            Err(error) => return Err(fault("send", error)),
        }
    }
    Ok(Outcome::Went)
}

fn timed_out(result: &Result<(), SendError>) -> bool {
    matches!(result, Err(SendError::Timeout))
}

/// What came of receiving.
pub(super) struct Came {
    pub(super) outcome: Outcome,
    /// The connection may be in the middle of a message.
    pub(super) midway: bool,
}

/// Receives some messages in one of the ways there are, and records what came.
pub(super) fn receive_some(
    actor: &mut Actor,
    connection: &Connection,
    lane: usize,
    may_block: bool,
) -> Result<Came, Fault> {
    let way = actor.random.weighted(&[3, if may_block { 3 } else { 0 }, 3, 2, 2]);
    let mut buffer = Vec::new();
    for _ in 0..actor.random.between(1, 30) {
        let timeout = actor.any_timeout();
        actor.may_lose(lane, 1);
        let result = match way {
            0 => actor.call(Call::Receive, || connection.try_recv()),
            1 => actor.call(Call::Receive, || connection.recv()),
            2 => actor.timed(
                Call::Receive,
                timeout,
                |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout)),
                |deadline| connection.recv_into(&mut buffer, deadline).map(|_| buffer.clone()),
            )?,
            3 => {
                let polled = actor.timed(
                    Call::Receive,
                    timeout,
                    |result: &Result<_, _>| matches!(result, Ok(false)),
                    |_| connection.poll(timeout),
                )?;
                polled.map_err(|error| fault("poll", error))?;
                actor.call(Call::Receive, || connection.try_recv())
            }
            _ => {
                let taken = actor.timed(
                    Call::Receive,
                    timeout,
                    |result: &Result<_, _>| matches!(result, Err(RecvError::Timeout)),
                    |deadline| connection.recv_ref_deadline(deadline),
                )?;
                match taken {
                    Ok(message) => {
                        // It is released by dropping it: until then it comes again if we die.
                        actor.may_repeat(lane, &message, 1);
                        actor.took(lane, &message, false)?;
                        actor.call(Call::Receive, || drop(message));
                        actor.is_safe();
                        continue;
                    }
                    Err(error) => Err(error),
                }
            }
        };
        let outcome = match result {
            Ok(message) => {
                actor.took(lane, &message, false)?;
                actor.is_safe();
                continue;
            }
            Err(RecvError::Empty | RecvError::Timeout) => {
                actor.got_nothing(connection.capacity());
                return Ok(Came { outcome: Outcome::Not, midway: true });
            }
            Err(RecvError::Closed) => Outcome::Closed,
            Err(RecvError::Torn { .. }) => {
                actor.repaired(Repair::Torn, 1);
                Outcome::Went
            }
            Err(error) => return Err(fault("receive", error)),
        };
        actor.is_safe();
        return Ok(Came { outcome, midway: false });
    }
    Ok(Came { outcome: Outcome::Went, midway: false })
}

/// A process that sends from the first end.
pub(super) fn send(actor: &mut Actor, options: &Options<Connection>) -> Result<(), Fault> {
    let lane = Side::First.lane();
    actor.wants(Some(lane), None);
    let connection = take(actor, options, Side::First)?;
    let result = keep_sending(actor, &connection, lane);
    close(actor, connection);
    result
}

fn keep_sending(actor: &mut Actor, connection: &Connection, lane: usize) -> Result<(), Fault> {
    while actor.may_send() {
        let witness = actor.witness(Side::Second);
        // While the other end can still be taken, waiting there ends.
        match send_some(actor, connection, lane, true)? {
            Outcome::Went if actor.random.one_in(40) => actor.idle(4000),
            Outcome::Went => {}
            Outcome::Not => actor.wait(200),
            Outcome::Closed => {
                actor.nobody_was_there(&witness)?;
                actor.wait(500);
            }
            Outcome::Exhausted => return Ok(()),
        }
    }
    Ok(())
}

/// A process that receives at the second end.
pub(super) fn receive(actor: &mut Actor, options: &Options<Connection>) -> Result<(), Fault> {
    let lane = Side::First.lane();
    actor.wants(None, Some(lane));
    let connection = take(actor, options, Side::Second)?;
    let mut midway = false;
    let result = keep_receiving(actor, &connection, lane, &mut midway);
    if midway {
        actor.gives_up(lane, connection.capacity());
    }
    close(actor, connection);
    result
}

fn keep_receiving(
    actor: &mut Actor,
    connection: &Connection,
    lane: usize,
    midway: &mut bool,
) -> Result<(), Fault> {
    let mut tries_to_leave = 0;
    loop {
        // Whoever leaves in the middle of a message takes it along: only if it will not end.
        tries_to_leave += u32::from(actor.must_leave());
        if tries_to_leave > 0 && (!*midway || tries_to_leave > 20) {
            return Ok(());
        }
        let all_sent = actor.nobody_sends();
        let told = is_named(&actor.plan) || tells_the_end(&actor.plan);
        let may_block = told && actor.somebody_came(lane) && !actor.must_leave();
        let witness = actor.witness(Side::First);
        let came = receive_some(actor, connection, lane, may_block)?;
        *midway = came.midway;
        match came.outcome {
            Outcome::Went | Outcome::Exhausted if actor.random.one_in(40) => actor.idle(4000),
            Outcome::Went | Outcome::Exhausted => {}
            Outcome::Not
                if all_sent && is_drained(connection, lane) && (!told || !actor.somebody_came(lane)) =>
            {
                *midway = false;
                return Ok(());
            }
            Outcome::Not => actor.wait(100),
            Outcome::Closed => {
                actor.nobody_was_there(&witness)?;
                if all_sent {
                    return Ok(());
                }
                actor.wait(500);
            }
        }
    }
}

/// Whether nothing lies in this lane.
fn is_drained(connection: &Connection, lane: usize) -> bool {
    let Ok(object) = inspect::stat_fd(connection.memory()) else { return false };
    let Detail::Pipe(pipe) = object.detail else { return false };
    let lanes = [Some(pipe.forth), pipe.back];
    lanes.get(lane).and_then(Option::as_ref).is_some_and(|lane| lane.held_bytes == 0)
}

/// Takes what is left in a lane.
fn drain(judge: &mut Actor, connection: &Connection, lane: usize) -> Result<(), Fault> {
    loop {
        match judge.call(Call::Receive, || connection.recv_timeout(Duration::from_millis(20))) {
            Ok(message) => {
                judge.took(lane, &message, false)?;
            }
            Err(RecvError::Timeout) if is_drained(connection, lane) => return Ok(()),
            Err(RecvError::Timeout) => {}
            Err(RecvError::Torn { .. }) => judge.repaired(Repair::Torn, 1),
            Err(RecvError::Closed) => return Ok(()),
            Err(error) => return Err(fault("drain", error)),
        }
    }
}

/// Fills a direction to the brim and empties it, to the byte.
fn brim(from: &Connection, to: &Connection) -> Result<(), Fault> {
    // A message of 56 bytes takes 64. One goes ahead, in case a sender died in the middle of a message: its successor
    // says so first, and that takes space too.
    let message = |at: usize| [at as u8; 56];
    from.try_send(&message(0)).map_err(|error| fault("send the first", error))?;
    to.recv_timeout(super::bare::AT_ONCE).map_err(|error| fault("receive the first", error))?;
    for _ in 0..2 {
        let mut count = 0;
        loop {
            match from.try_send(&message(count)) {
                Ok(()) => count += 1,
                Err(SendError::Full) => break,
                Err(error) => return Err(fault("fill to the brim", error)),
            }
        }
        if count != from.capacity() / 64 {
            return Err(format!("{count} records of 64 bytes fill a pipe of {}", from.capacity()));
        }
        for at in 0..count {
            match to.recv_timeout(super::bare::AT_ONCE) {
                Ok(found) if found == message(at) => {}
                other => return Err(format!("message {at} of a full pipe is {other:x?}")),
            }
        }
    }
    Ok(())
}

/// The judge of a pipe: takes what is left, fills it to the brim, closes one end and is told so at the other. If the
/// end was `told` already, there is no first end any more.
pub(super) fn judge(judge: &mut Actor, options: &Options<Connection>, told: bool) -> Result<(), Fault> {
    let second = take(judge, options, Side::Second)?;
    if told {
        drain(judge, &second, Side::First.lane())?;
        judge.repaired(Repair::Holder, second.peer_deaths());
        return expect_the_end(&second);
    }
    let first = take(judge, options, Side::First)?;
    drain(judge, &second, Side::First.lane())?;
    brim(&first, &second)?;
    if first.is_readable() {
        drain(judge, &first, Side::Second.lane())?;
        brim(&second, &first)?;
    }
    judge.repaired(Repair::Holder, first.peer_deaths() + second.peer_deaths());
    drop(first);
    expect_the_end(&second)?;
    if !is_named(&judge.plan) {
        return Ok(());
    }
    match ringway::unlink_unused(NAME) {
        Ok(false) => {}
        other => return Err(format!("unlink_unused of a pipe in use: {other:?}")),
    }
    drop(second);
    match ringway::unlink_unused(NAME) {
        Ok(true) => {}
        other => return Err(format!("unlink_unused of a pipe that nobody uses: {other:?}")),
    }
    match ringway::clean() {
        Ok(names) if names.is_empty() => Ok(()),
        other => Err(format!("clean, when nothing is left: {other:?}")),
    }
}

fn expect_the_end(second: &Connection) -> Result<(), Fault> {
    match second.recv_timeout(super::bare::AT_ONCE) {
        Err(RecvError::Closed) => Ok(()),
        other => Err(format!("{other:?} instead of Closed")),
    }
}
