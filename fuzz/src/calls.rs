//! One call after the other on an endpoint whose memory may hold anything: each must end, with a value or an error,
//! and the value must be one that there can be.

use crate::locks::{self, Victim};
use arbitrary::Arbitrary;
use bytemuck::Pod;
use ringway::{CellError, Connection, Deadline, Memory, RecvError, SendError, bytes, spsc};
use std::time::Duration;

/// One call: which one, with how much, and how long it may wait.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Call {
    pub(crate) which: u8,
    pub(crate) size: u16,
    patience: u8,
}

impl Call {
    /// Mostly none: waiting takes longer than all the rest.
    pub(crate) fn timeout(self) -> Duration {
        match self.patience {
            0..200 => Duration::ZERO,
            200..240 => Duration::from_micros(5),
            _ => Duration::from_micros(60),
        }
    }

    pub(crate) fn deadline(self) -> Deadline {
        Deadline::after(self.timeout())
    }

    pub(crate) fn size(self) -> usize {
        self.size.into()
    }
}

pub use crate::queues::call as queue;

/// Three calls on a lock, a cell or their like, as what one takes another gives back.
pub fn lock<V: Victim>(victim: &V, call: Call) {
    let (word, micros) = (call.size as u8, call.timeout().as_micros() as u8);
    let (size, mut held) = (victim.size(), Vec::new());
    victim.call(&mut held, if call.which < 128 { locks::Call::Try(word) } else { locks::Call::Look });
    let next = match call.which % 8 {
        0 | 1 => locks::Call::Try(word),
        2 => locks::Call::Wait(word, micros),
        3 | 4 => locks::Call::Give(true, word),
        5 => locks::Call::Clear(word),
        6 => locks::Call::Look,
        // Seldom: it makes a thread.
        _ => locks::Call::Poll(call.which / 8, word),
    };
    victim.call(&mut held, next);
    victim.call(&mut held, locks::Call::Give(call.size >= 256, word));
    assert_eq!(victim.size(), size, "that is settled when it is opened");
}

/// Bytes that anybody writes: those that are there can be read and written, and no others.
pub fn memory(memory: &Memory, call: Call) {
    let at = call.size() * if call.which < 128 { 1 } else { memory.len() / 1000 + 1 };
    let mut bytes = vec![call.which; usize::from(call.which) * 5];
    let result = match call.which % 3 {
        0 => memory.load_slice(at, &mut bytes),
        1 => memory.store_slice(at, &bytes),
        _ => {
            assert!(memory.as_ptr().addr().get().is_multiple_of(64));
            return drop(format!("{memory:?}"));
        }
    };
    let is_inside = at.checked_add(bytes.len()).is_some_and(|end| end <= memory.len());
    match result {
        Ok(()) => assert!(is_inside),
        Err(CellError::OutOfRange { len, .. }) => assert!(!is_inside && len == memory.len()),
        Err(other) => panic!("{other}"),
    }
}

/// Reads all of it, so that a view of what is not there is found out.
pub(crate) fn read(bytes: &[u8]) -> usize {
    std::hint::black_box(bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
    bytes.len()
}

pub fn typed_producer<T: Pod>(producer: &mut spsc::Producer<T>, call: Call) {
    match call.which % 6 {
        0 => {
            if let Err(spsc::PushError::Forked(_)) = producer.push(T::zeroed()) {
                panic!("nobody has forked");
            }
        }
        1 => {
            let values = vec![T::zeroed(); call.size() % 100];
            if let Ok(count) = producer.push_slice(&values) {
                assert!(count <= values.len() && count <= producer.capacity());
            }
        }
        2 => {
            if let Some(mut slot) = producer.reserve() {
                bytemuck::bytes_of_mut(&mut *slot).fill(call.size as u8);
                slot.commit();
            }
        }
        3 => drop(producer.reserve()),
        4 => {
            if let Err(spsc::SendError::Forked(_)) = producer.send_deadline(T::zeroed(), call.deadline()) {
                panic!("nobody has forked");
            }
        }
        _ => {
            assert!(producer.len() <= producer.capacity());
            let _ = (producer.is_empty(), producer.is_full(), producer.is_retired(), format!("{producer:?}"));
        }
    }
}

pub fn typed_consumer<T: Pod>(consumer: &mut spsc::Consumer<T>, call: Call) {
    match call.which % 7 {
        0 => {
            let _ = consumer.pop();
        }
        1 => {
            let mut values = vec![T::zeroed(); call.size() % 100];
            if let Ok(count) = consumer.pop_slice(&mut values) {
                assert!(count <= values.len() && count <= consumer.capacity());
            }
        }
        2 => {
            if let Some(message) = consumer.peek() {
                read(bytemuck::bytes_of(&*message));
            }
        }
        3 => {
            if let Some(message) = consumer.peek() {
                message.keep();
            }
        }
        4 => {
            // As many at most: the peer can make more of them than there is room for, all the while.
            let mut taken = 0;
            for value in consumer.drain().take(call.size()) {
                read(bytemuck::bytes_of(&value));
                taken += 1;
            }
            assert!(taken <= call.size() && taken <= consumer.capacity());
        }
        5 => {
            let result = consumer.recv_deadline(call.deadline());
            if let Err(RecvError::Forked | RecvError::Torn { .. } | RecvError::NotReadable) = result {
                panic!("of a pipe only");
            }
        }
        _ => {
            assert!(consumer.len() <= consumer.capacity());
            let _ = (consumer.is_empty(), consumer.is_full(), consumer.is_retired(), format!("{consumer:?}"));
        }
    }
}

pub fn byte_producer(producer: &mut bytes::Producer, call: Call) {
    let record = vec![call.which; call.size()];
    let max = producer.capacity() - 8;
    let sent = |result: Result<(), SendError>| match result {
        Ok(()) => assert!(record.len() <= max),
        Err(SendError::TooLarge { .. }) => assert!(record.len() > max),
        Err(SendError::Forked | SendError::NotWritable | SendError::Attach(_)) => panic!("of others only"),
        Err(_) => {}
    };
    match call.which % 6 {
        0 => sent(producer.push(&record)),
        1 => {
            if let Some(mut loan) = producer.reserve(call.size()) {
                assert_eq!(loan.len(), call.size());
                loan.fill(call.which);
                loan.commit_len(call.size() / 2);
            }
        }
        2 => match producer.reserve_deadline(call.size(), call.deadline()) {
            Ok(loan) => assert_eq!(read(&loan), call.size()),
            Err(error) => sent(Err(error)),
        },
        3 => {
            let mut batch = producer.batch();
            for part in record.chunks(100).take(50) {
                let _ = batch.push(part);
            }
            if call.size.is_multiple_of(2) {
                batch.commit();
            }
        }
        4 => sent(producer.send_deadline(&record, call.deadline())),
        _ => {
            assert!(producer.len() <= producer.capacity() / 8);
            let _ = (producer.is_empty(), producer.is_retired(), format!("{producer:?}"));
        }
    }
}

pub fn byte_consumer(consumer: &mut bytes::Consumer, call: Call) {
    let max = consumer.capacity() - 8;
    match call.which % 7 {
        0 => {
            if let Ok(record) = consumer.pop() {
                assert!(record.len() <= max);
            }
        }
        1 => {
            if let Some(record) = consumer.peek() {
                assert!(read(&record) <= max);
            }
        }
        2 => {
            if let Some(record) = consumer.peek() {
                record.keep();
            }
        }
        3 => {
            let mut drain = consumer.drain();
            let mut together = 0;
            for _ in 0..call.size {
                match drain.next() {
                    Some(record) => together += 8 + read(record),
                    None => break,
                }
            }
            assert!(together <= max + 8, "more than a ring full before anything was given back");
        }
        4 => match consumer.recv_into(&mut vec![1; 10], call.deadline()) {
            Ok(len) => assert!(len <= max),
            Err(RecvError::Forked | RecvError::Torn { .. } | RecvError::NotReadable) => {
                panic!("of a pipe only")
            }
            Err(_) => {}
        },
        5 => {
            if let Ok(record) = consumer.peek_deadline(call.deadline()) {
                assert!(read(&record) <= max);
            }
        }
        _ => {
            assert!(consumer.len() <= consumer.capacity() / 8);
            let _ = (consumer.is_empty(), consumer.is_retired(), format!("{consumer:?}"));
        }
    }
}

/// `max` is the longest message that the connection was told to accept.
pub fn connection(connection: &Connection, max: usize, call: Call) {
    let sent = |result: Result<(), SendError>| match result {
        Err(SendError::NotWritable) => assert!(!connection.is_writable()),
        Err(SendError::Forked) => panic!("nobody has forked"),
        Ok(()) => assert!(connection.is_writable()),
        Err(_) => {}
    };
    let received = |result: Result<usize, RecvError>| match result {
        Ok(len) => assert!(len <= max && connection.is_readable()),
        Err(RecvError::NotReadable) => assert!(!connection.is_readable()),
        Err(RecvError::Forked) => panic!("nobody has forked"),
        Err(RecvError::TooLong { max: told }) => assert_eq!(told, max as u64),
        Err(_) => {}
    };
    match call.which % 11 {
        0 => sent(connection.try_send(&vec![call.which; call.size() % 3000])),
        1 => sent(connection.send_timeout(&vec![call.which; call.size()], call.timeout())),
        2 => match connection.reserve_deadline(call.size() % 3000, call.deadline()) {
            Ok(mut loan) => {
                assert_eq!(loan.len(), call.size() % 3000);
                loan.fill(call.which);
                // It is ours, whatever a peer does: an end that does not trust lends out private memory, and to one
                // thread at a time.
                (0..100).for_each(|_| std::hint::spin_loop());
                assert!(loan.iter().all(|byte| *byte == call.which));
                loan.commit_len(call.size() % 2000);
            }
            Err(error) => sent(Err(error)),
        },
        3 => drop(connection.reserve_deadline(call.size() % 3000, call.deadline())),
        4 => received(connection.try_recv().map(|message| message.len())),
        5 => received(connection.recv_timeout(call.timeout()).map(|message| message.len())),
        6 => received(connection.recv_into(&mut Vec::with_capacity(call.size()), call.deadline())),
        7 => received(connection.recv_ref_deadline(call.deadline()).map(|message| read(&message))),
        8 => {
            let _ = connection.poll(call.timeout());
        }
        9 => {
            // From the first time on each receive that empties the lane deals with the bell.
            let _ = connection.readiness();
        }
        _ => {
            let _ = (connection.received_before(), connection.peer_deaths(), connection.is_retired());
            let _ = format!("{connection:?}");
        }
    }
}
