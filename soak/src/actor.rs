//! A process of a scenario: what it does to the library, and what it notes about it.

use crate::board::{
    BEGUN, BLOCK, Board, COUNT, Call, DONE, ENDING, IDS, LANES, NOT_SENT, Phase, READ, Recovery, Repair,
    Risk, SENT, SLOTS, Slot, WRITE, in_this_order,
};
use crate::message::{self, Sizes};
use crate::plan::Plan;
use crate::random::Random;
use crate::sys;
use ringway::{Deadline, Wait};
use std::time::Duration;

/// Something that must not be.
pub(crate) type Fault = String;

/// Which end of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Where lane 0 begins.
    First,
    /// Where lane 0 ends.
    Second,
}

pub(crate) const SIDES: [Side; 2] = [Side::First, Side::Second];

impl Side {
    pub(crate) fn bit(self) -> u32 {
        1 << self as u32
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Side::First => Side::Second,
            Side::Second => Side::First,
        }
    }

    /// The lane it sends on; it receives from the other.
    pub(crate) fn lane(self) -> usize {
        self as usize
    }
}

/// Who held an end at some moment.
pub(crate) struct Witness {
    side: Side,
    slots: [u64; SLOTS],
    by_supervisor: bool,
}

pub(crate) struct Actor {
    pub(crate) board: &'static Board,
    pub(crate) plan: Plan,
    pub(crate) random: Random,
    /// Which part of the scenario's cast it plays.
    pub(crate) part: usize,
    slot: usize,
    pub(crate) incarnation: u64,
    sizes: Sizes,
    /// The ids that are ours next, and behind the last of them, by lane.
    ids: [(usize, usize); LANES],
    /// The last message of each sender that we have received, plus one, by lane.
    order: [[u64; SLOTS + 1]; LANES],
}

impl Actor {
    pub(crate) fn new(
        board: &'static Board,
        plan: Plan,
        sizes: Sizes,
        slot: usize,
        part: usize,
        incarnation: u64,
    ) -> Self {
        let random = Random::new(plan.draw("actor") ^ (slot as u64) << 32 ^ incarnation);
        let (ids, order) = Default::default();
        Actor { board, plan, random, part, slot, incarnation, sizes, ids, order }
    }

    pub(crate) fn slot_number(&self) -> usize {
        self.slot
    }

    pub(crate) fn slot(&self) -> &'static Slot {
        &self.board.slots[self.slot]
    }

    // ---- when to do what

    /// Whether it may begin to send something.
    pub(crate) fn may_send(&self) -> bool {
        self.board.phase() == Phase::Run && !self.must_leave()
    }

    /// Whether the supervisor wants it to go, to come again.
    pub(crate) fn must_leave(&self) -> bool {
        self.slot().leave.load(READ) != 0
    }

    /// Whether all who only send are gone.
    pub(crate) fn nobody_sends(&self) -> bool {
        self.board.phase() == Phase::Drain
    }

    /// Whether somebody has ever come to send on this lane.
    pub(crate) fn somebody_came(&self, lane: usize) -> bool {
        self.board.arrivals[lane].load(READ) > 0
    }

    /// Does nothing for up to so many microseconds.
    pub(crate) fn idle(&mut self, most: u64) {
        let wants = self.slot().wants.load(READ);
        self.slot().wants.store(0, WRITE);
        self.wait(most);
        self.slot().wants.store(wants, WRITE);
    }

    /// The same, in want of something.
    pub(crate) fn wait(&mut self, most: u64) {
        let micros = self.random.below(most + 1);
        sys::nap(Duration::from_micros(micros));
    }

    /// What it wants from now on: to send on this lane, to receive from that one.
    pub(crate) fn wants(&self, send: Option<usize>, receive: Option<usize>) {
        let bit = |lane: Option<usize>, shift: usize| lane.map_or(0, |lane| 1u32 << (lane + shift));
        self.slot().wants.store(bit(send, 0) | bit(receive, 4), WRITE);
    }

    pub(crate) fn any_wait(&mut self) -> Wait {
        // Spinning for long is not what two processors for many processes are for.
        [Wait::Spin, Wait::Adaptive, Wait::Park][self.random.weighted(&[1, 5, 4])]
    }

    /// A time-out: mostly short, sometimes none at all.
    pub(crate) fn any_timeout(&mut self) -> Duration {
        match self.random.below(4) {
            0 => Duration::ZERO,
            1 => Duration::from_micros(self.random.below(2000)),
            _ => Duration::from_millis(self.random.between(1, 60)),
        }
    }

    // ---- calls

    /// Does something: sending and receiving may take as long as it takes, all else waits for nobody who lives.
    pub(crate) fn call<R>(&self, call: Call, f: impl FnOnce() -> R) -> R {
        let due = if matches!(call, Call::Send | Call::Receive) { 0 } else { sys::now() };
        self.call_until(call, due, f)
    }

    /// Does something that is done after this time, one way or the other. `is_late` tells whether it answered that
    /// the time is over.
    pub(crate) fn timed<R>(
        &self,
        call: Call,
        timeout: Duration,
        is_late: impl FnOnce(&R) -> bool,
        f: impl FnOnce(Deadline) -> R,
    ) -> Result<R, Fault> {
        let began = sys::now();
        let due = began + timeout.as_nanos() as u64;
        let result = self.call_until(call, due, || f(Deadline::after(timeout)));
        if is_late(&result) && sys::now() < due {
            return Err(format!("{call:?} with {timeout:?} says Timeout after {} ns", sys::now() - began));
        }
        Ok(result)
    }

    fn call_until<R>(&self, call: Call, due: u64, f: impl FnOnce() -> R) -> R {
        let slot = self.slot();
        slot.due.store(due, WRITE);
        slot.calls.store(slot.calls.load(READ) + 1, WRITE);
        slot.call.store(call as u32, WRITE);
        in_this_order();
        let result = f();
        in_this_order();
        slot.call.store(0, WRITE);
        result
    }

    // ---- who is there

    /// It now holds this end, and is sure of it.
    pub(crate) fn holds(&self, side: Side) {
        self.slot().holding.store(self.incarnation << 2 | u64::from(side.bit()), WRITE);
    }

    /// It is about to give up what it holds.
    pub(crate) fn lets_go(&self) {
        self.slot().holding.store(0, WRITE);
        in_this_order();
    }

    pub(crate) fn attached(&self, yes: bool) {
        self.slot().attached.store(yes.into(), WRITE);
    }

    /// Notes who holds `side`. Before the call that may say that nobody does.
    pub(crate) fn witness(&self, side: Side) -> Witness {
        let slots = std::array::from_fn(|at| self.board.slots[at].holding.load(READ));
        let by_supervisor = self.board.held_by_supervisor.load(READ) & side.bit() != 0;
        in_this_order();
        Witness { side, slots, by_supervisor }
    }

    /// A call said that nobody holds the end any more. That is a lie if somebody held it all the while.
    pub(crate) fn nobody_was_there(&self, before: &Witness) -> Result<(), Fault> {
        in_this_order();
        let side = before.side;
        if before.by_supervisor && self.board.held_by_supervisor.load(READ) & side.bit() != 0 {
            return Err(format!("Closed, although the supervisor holds the {side:?} end"));
        }
        for (at, &seen) in before.slots.iter().enumerate() {
            let slot = &self.board.slots[at];
            let held = seen & u64::from(side.bit()) != 0 && slot.holding.load(READ) == seen;
            if at != self.slot && held && slot.doomed.load(READ) != seen >> 2 {
                return Err(format!("Closed, although process {at} holds the {side:?} end"));
            }
        }
        Ok(())
    }

    // ---- what is sent

    /// A new message for this lane: its id and its bytes in `message`. `None` if there have been too many.
    pub(crate) fn draft(&mut self, lane: usize, message: &mut Vec<u8>) -> Option<u64> {
        let (next, end) = &mut self.ids[lane];
        if next == end {
            let block = self.board.next_block.fetch_add(1, COUNT) as usize;
            if block >= IDS / BLOCK {
                return None;
            }
            self.board.owners[block].store(self.slot as u8 + 1, WRITE);
            (*next, *end) = (block * BLOCK, (block + 1) * BLOCK);
        }
        let id = *next as u64;
        *next += 1;
        message.clear();
        message.resize(self.sizes.len(id), 0);
        message::fill(message, self.plan.seed, id);
        self.board.sent[id as usize].store(BEGUN, WRITE);
        in_this_order();
        Some(id)
    }

    /// From here on it uses ids that are larger than all that others have used: it was not the only sender meanwhile.
    pub(crate) fn takes_fresh_ids(&mut self) {
        self.ids = Default::default();
    }

    /// The call that sends it has returned: it must be received.
    pub(crate) fn sent(&self, lane: usize, id: u64) {
        in_this_order();
        let slot = self.slot();
        self.board.sent[id as usize].store(SENT, WRITE);
        slot.last_sent[lane].store(id + 1, WRITE);
        slot.sent[lane].store(slot.sent[lane].load(READ) + 1, WRITE);
    }

    /// The call has refused: it must not be received.
    pub(crate) fn not_sent(&self, id: u64) {
        in_this_order();
        self.board.sent[id as usize].store(NOT_SENT, WRITE);
    }

    // ---- what is received

    /// From here on, if this process dies, the next `count` messages of the lane that nobody has had may be lost.
    pub(crate) fn may_lose(&self, lane: usize, count: usize) {
        self.risks_from(lane, Risk::Lost, self.board.last[lane].load(READ), count);
    }

    /// From here on, if it dies, this message and the `count - 1` behind it may come again. They may be coming again
    /// already, so it must be told which they are.
    pub(crate) fn may_repeat(&self, lane: usize, message: &[u8], count: usize) {
        if let Some(id) = message.first_chunk::<8>() {
            self.risks_from(lane, Risk::Again, u64::from_le_bytes(*id), count);
        }
    }

    fn risks_from(&self, lane: usize, risk: Risk, from: u64, count: usize) {
        let slot = self.slot();
        in_this_order();
        // A process that dies between these stores risks what it risked before: nothing.
        slot.risk_from.store(from, WRITE);
        slot.risk_count.store(count as u64, WRITE);
        slot.risk.store((risk as u32) << 8 | lane as u32, WRITE);
        in_this_order();
    }

    /// It got nothing. If messages of this scenario travel in pieces through a pipe of this size, it may be in the
    /// middle of one, and takes that along if it dies, also between two calls.
    pub(crate) fn got_nothing(&self, capacity: usize) {
        if !self.has_pieces(capacity) {
            self.is_safe();
        }
    }

    fn has_pieces(&self, capacity: usize) -> bool {
        self.sizes.most > capacity / 2
    }

    /// What it took is recorded, or released.
    pub(crate) fn is_safe(&self) {
        in_this_order();
        self.slot().risk.store(0, WRITE);
    }

    /// Records a message. `alone`: nobody else receives from this lane, so the messages of all senders are in order.
    pub(crate) fn took(&mut self, lane: usize, message: &[u8], alone: bool) -> Result<u64, Fault> {
        let (id, owner) = self.identify(message)?;
        let (board, at) = (self.board, id as usize);
        self.expect_order(lane, id, owner)?;
        let received = &board.received[at];
        if alone {
            let before = board.last[lane].load(READ);
            if id + 1 < before && received.load(READ) == 0 {
                return Err(format!("out of order: {id:#x} comes after {:#x}", before - 1));
            }
            board.last[lane].store(before.max(id + 1), WRITE);
            received.store(received.load(READ).saturating_add(1), WRITE);
        } else {
            received.fetch_add(1, COUNT);
        }
        self.count_received(lane);
        Ok(id)
    }

    /// Records a message of a queue. It may have been delivered so often before, and then be late; if others that had it
    /// recorded it too, they are among those.
    pub(crate) fn took_delivered(
        &mut self,
        lane: usize,
        message: &[u8],
        deliveries: u8,
    ) -> Result<u64, Fault> {
        let (id, owner) = self.identify(message)?;
        if deliveries == 0 {
            self.expect_order(lane, id, owner)?;
        } else {
            self.board.redeliveries.fetch_add(1, COUNT);
        }
        if self.board.done[id as usize].load(READ) == DONE {
            return Err(format!("duplicate: {id:#x} comes again although it was done"));
        }
        let before = self.board.received[id as usize].fetch_add(1, COUNT);
        if before > deliveries {
            return Err(format!(
                "duplicate: {id:#x} was received {before} times, and delivered {deliveries} times"
            ));
        }
        self.count_received(lane);
        Ok(id)
    }

    /// The same where the call does not tell how often it was delivered: it may be late, and comes once.
    pub(crate) fn took_perhaps_late(&mut self, lane: usize, message: &[u8]) -> Result<u64, Fault> {
        let (id, _) = self.identify(message)?;
        let before = self.board.received[id as usize].fetch_add(1, COUNT);
        if before > 0 {
            return Err(format!("duplicate: {id:#x} comes a second time"));
        }
        self.count_received(lane);
        Ok(id)
    }

    /// What is in a message that this scenario has sent: its id and who sent it.
    fn identify(&self, message: &[u8]) -> Result<(u64, u8), Fault> {
        let id = message::check(message, self.plan.seed, self.sizes)?;
        let board = self.board;
        let at = id as usize;
        let owner = if at < board.ids() { board.owners[at / BLOCK].load(READ) } else { 0 };
        match (owner, board.sent.get(at).map(|state| state.load(READ))) {
            (1.., Some(BEGUN | SENT)) => Ok((id, owner)),
            (1.., Some(NOT_SENT)) => Err(format!("message {id:#x} came although its sender was refused")),
            (_, state) => Err(format!("message {id:#x} came although nobody sent it ({owner}, {state:?})")),
        }
    }

    fn expect_order(&mut self, lane: usize, id: u64, owner: u8) -> Result<(), Fault> {
        let last = &mut self.order[lane][usize::from(owner).min(SLOTS)];
        if id < *last {
            return Err(format!("out of order: {id:#x} from process {} after {:#x}", owner - 1, *last - 1));
        }
        *last = id + 1;
        Ok(())
    }

    fn count_received(&self, lane: usize) {
        let count = &self.slot().received[lane];
        count.store(count.load(READ) + 1, WRITE);
    }

    /// What is held must stay as it was received.
    pub(crate) fn still_whole(&self, id: u64, message: &[u8]) -> Result<(), Fault> {
        match message::check(message, self.plan.seed, self.sizes) {
            Ok(found) if found == id => Ok(()),
            Ok(found) => Err(format!("torn: {id:#x} became {found:#x} while it was held")),
            Err(torn) => Err(format!("{torn}, while it was held")),
        }
    }

    // ---- what is done

    /// It is about to say that this task is done.
    pub(crate) fn is_about_to_be_done(&self, id: u64) {
        self.board.done[id as usize].store(ENDING, WRITE);
        in_this_order();
    }

    /// It was told that this task is done: nobody gets it any more.
    pub(crate) fn is_done(&self, id: u64) {
        in_this_order();
        self.board.done[id as usize].store(DONE, WRITE);
    }

    /// The tasks that were sent for certain, and that nobody has said to be done yet.
    pub(crate) fn unfinished(&self) -> Vec<usize> {
        let board = self.board;
        let unfinished = |&id: &usize| board.sent[id].load(READ) == SENT && board.done[id].load(READ) == 0;
        let all = (0..board.ids()).filter(unfinished).collect();
        in_this_order();
        all
    }

    /// A join has returned: these were sent before it began.
    pub(crate) fn must_be_finished(&self, tasks: &[usize]) -> Result<(), Fault> {
        in_this_order();
        let left = tasks.iter().find(|&&id| self.board.done[id].load(READ) == 0);
        left.map_or(Ok(()), |id| Err(format!("joined, although nobody has done {id:#x}")))
    }

    /// It comes to another object: what was in order there says nothing here.
    pub(crate) fn begins_anew(&mut self) {
        self.order = Default::default();
    }

    /// It leaves although a message may have reached it in part.
    pub(crate) fn gives_up(&self, lane: usize, capacity: usize) {
        if self.has_pieces(capacity) {
            self.board.given_up[lane].fetch_add(1, COUNT);
        }
    }

    /// It has done something, where nothing is sent.
    pub(crate) fn turned(&self) {
        let turns = &self.slot().turns;
        turns.store(turns.load(READ) + 1, WRITE);
    }

    /// It was told that it took something over from the dead.
    pub(crate) fn recovered(&self, what: Recovery, count: u64) {
        self.board.recoveries[what as usize].fetch_add(count, COUNT);
    }

    /// Something was repaired.
    pub(crate) fn repaired(&self, what: Repair, count: u64) {
        self.board.repairs[what as usize].fetch_add(count, COUNT);
    }
}
