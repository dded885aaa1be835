//! The short cut: a message in one piece, with nothing in its way.
//!
//! These two hold a lock without a guard. A guard that may have to be dropped on any of many ways out lives in
//! memory and is moved there in pieces, which costs as much again as all the rest (measured: 34 ns a send instead
//! of 19). So nothing here may panic between locking and unlocking, and whatever is out of the ordinary is left
//! to the long way, which begins anew.

use super::connection::Connection;
use super::receive::ReceiveState;
use super::send::{SendState, whole_max};
use super::stream::{self, Step, WHOLE, judge};
use crate::channel::bytes::append;
use crate::sync::{Ordering, mutated};
use crate::sys::clock;
use crate::wait::ALL;

/// What the short cut brought.
pub(super) enum Straight {
    /// A message of this length.
    Received(usize),
    /// A message of this length is there, but the buffer is too small.
    NeedsRoom(usize),
    /// Nothing; the reason is not its business.
    Not,
}

impl Connection {
    /// Sends a message if nothing stands in the way, and changes nothing else. What it leaves undone, the other
    /// way does, and finds the reason.
    #[inline]
    pub(super) fn send_straight(&self, message: &[u8]) -> bool {
        let (Some((lane, ring)), Some(me)) = (self.outgoing(), self.me_at_once()) else { return false };
        if message.len() > whole_max(ring) {
            return false;
        }
        let Ok(held) = lane.sending.lock.try_lock_as(me, false) else { return false };
        let Some(mut state) = self.sender.enter(self.generation(), || SendState::new(self.waiter)) else {
            return false; // not our lock; see `turn_to_send`
        };
        let is_plain = !held.inconsistent()
            && state.asked_at == clock::tick()
            && !self.somebody_left()
            // Relaxed: moved under the lock we hold.
            && lane.sending.open_id.load(Ordering::Relaxed) == 0;
        let sent = is_plain
            && state.writer.as_mut().is_some_and(|writer| {
                writer.is_unmoved() && writer.push(message, stream::tag(WHOLE, 0)).is_ok()
            });
        if sent {
            if !mutated!("channel.wake_items") {
                lane.items.wake(1, self.barrier);
            }
            self.ring(lane);
        }
        drop(state);
        lane.sending.lock.unlock(held, self.barrier);
        sent
    }

    /// Receives a message if one lies there in one piece and the buffer has room for it, and changes nothing
    /// else. What it leaves undone, the other way does, and finds the reason.
    ///
    /// It does not allocate: that could panic.
    #[inline]
    pub(super) fn receive_straight(&self, buffer: &mut Vec<u8>) -> Straight {
        let (Some((lane, _)), Some(me)) = (self.incoming(), self.me_at_once()) else { return Straight::Not };
        let Ok(held) = lane.recv_lock.try_lock_as(me, false) else { return Straight::Not };
        let Some(mut state) = self.receiver.enter(self.generation(), || ReceiveState::new(self.waiter))
        else {
            return Straight::Not; // not our lock; see `turn_to_receive`
        };
        let mut result = Straight::Not;
        if let ReceiveState { reader: Some(reader), partial: None, .. } = &mut *state
            && !held.inconsistent()
            && reader.is_unmoved()
            && let Ok(record) = reader.peek()
            && judge(record.tag(), None) == Step::Whole
            && record.len() <= self.max_message
        {
            if record.len() <= buffer.capacity() {
                buffer.clear();
                append(reader, &record, 0, buffer);
                reader.advance(&record);
                reader.release();
                if !mutated!("channel.wake_space") {
                    lane.space.wake(ALL, self.barrier);
                }
                if reader.seen() == 0 {
                    self.settle(lane);
                }
                result = Straight::Received(record.len());
            } else {
                result = Straight::NeedsRoom(record.len());
            }
        }
        drop(state);
        lane.recv_lock.unlock(held, self.barrier);
        result
    }
}
