//! Queues of whatever serde can encode.

use super::core::Core;
use super::joinable::JoinableQueue;
use super::payload::{Carried, Payload};
use super::{Queue, layout};
use crate::channel::{RecvError, SendError};
use crate::error::{Error, Kind};
use crate::options::{Options, Settings};
use crate::pool::{self, Demand};
use crate::segment::layout::Plan;
use crate::wait::Deadline;
use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use core::time::Duration;

/// A value that is encoded on its way: `Queue<Serde<T>>` carries any `T` that serde can encode, in postcard's format.
///
/// To a [`Queue<[u8]>`](Queue) it is the same kind of queue: that one sees the encoded bytes. Encoder and decoder must
/// agree on the type: the format does not name it.
///
/// ```
/// use ringway::{Queue, queue::Serde};
///
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// struct Order { id: u64, symbol: String, legs: Vec<i64> }
///
/// let orders = Queue::<Serde<Order>>::anonymous(64)?;
/// orders.send(&Order { id: 7, symbol: "RWY".into(), legs: vec![100, -100] })?;
/// assert_eq!(orders.recv()?.symbol, "RWY");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Serde<T>(pub T);

impl<T: Serialize + DeserializeOwned> Payload for Serde<T> {}

impl<T: Serialize + DeserializeOwned> Carried for Serde<T> {
    /// Moved from guard to guard; none only in the one it was moved from.
    type Copy = Option<Serde<T>>;

    const ELEMENT: (u64, u64) = layout::BYTES;

    fn plan(settings: &Settings) -> Result<Plan, Error> {
        layout::plan_pooled(Kind::ByteQueue, layout::BYTES, Self::demand(settings))
    }

    fn demand(settings: &Settings) -> Demand {
        layout::demand_for_bytes(settings)
    }

    fn copy_of(core: &Core, task: &pool::Task) -> Result<Self::Copy, RecvError> {
        let mut bytes = Vec::new();
        core.copy_task(task, &mut bytes)?;
        decode(&bytes).map(|value| Some(Serde(value)))
    }

    fn move_copy(copy: &mut Self::Copy) -> Self::Copy {
        copy.take()
    }

    unsafe fn view<'a>(copy: &'a Self::Copy, _: &'a Core, _: Option<&'a pool::Task>) -> &'a Self {
        let Some(value) = copy else { unreachable!("a guard that was moved from is gone") };
        value
    }

    fn post(letters: &Core, message: &Self) -> bool {
        encoded(&message.0, |bytes| letters.send_bytes(bytes, None)).is_ok()
    }
}

/// Calls `send` with the encoded value.
fn encoded<T: Serialize>(
    value: &T,
    send: impl FnOnce(&[u8]) -> Result<(), SendError>,
) -> Result<(), SendError> {
    let mut small = [0; 512];
    match postcard::to_slice(value, &mut small) {
        Ok(bytes) => send(bytes),
        Err(postcard::Error::SerializeBufferFull) => {
            send(&postcard::to_stdvec(value).map_err(|error| SendError::Encode(Box::new(error)))?)
        }
        Err(error) => Err(SendError::Encode(Box::new(error))),
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecvError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(RecvError::Decode(format!("{} bytes are left over", rest.len()).into())),
        Err(error) => Err(RecvError::Decode(Box::new(error))),
    }
}

/// Gives a kind of queue its sending methods.
macro_rules! sends {
    ($queue:ident) => {
        /// Values that serde encodes.
        impl<T: Serialize + DeserializeOwned> $queue<Serde<T>> {
            /// Sends a value, waiting for space as long as it takes.
            ///
            /// # Errors
            /// [`SendError::Encode`]; else as for a queue of bytes.
            pub fn send(&self, value: &T) -> Result<(), SendError> {
                self.send_deadline(value, Deadline::NEVER)
            }

            /// Sends a value if there is space now.
            ///
            /// # Errors
            /// [`SendError::Full`]; else as [`send`](Self::send).
            pub fn try_send(&self, value: &T) -> Result<(), SendError> {
                encoded(value, |bytes| self.core.send_bytes(bytes, None))
            }

            /// Sends a value, waiting at most `timeout` for space.
            ///
            /// # Errors
            /// [`SendError::Timeout`]; else as [`send`](Self::send).
            pub fn send_timeout(&self, value: &T, timeout: Duration) -> Result<(), SendError> {
                self.send_deadline(value, Deadline::after(timeout))
            }

            /// Sends a value, waiting until `deadline` for space.
            ///
            /// # Errors
            /// [`SendError::Timeout`]; else as [`send`](Self::send).
            pub fn send_deadline(&self, value: &T, deadline: Deadline) -> Result<(), SendError> {
                encoded(value, |bytes| self.core.send_bytes(bytes, Some(deadline)))
            }
        }

        impl<T: Serialize + DeserializeOwned> Options<$queue<Serde<T>>> {
            /// The usual size of an encoded value in bytes (256).
            pub fn message_size(mut self, bytes: usize) -> Self {
                self.settings.message_size = Some(bytes as u64);
                self
            }

            /// How many bytes encoded values of more than 64 KiB may take together (1 GiB).
            pub fn max_bytes(mut self, bytes: u64) -> Self {
                self.settings.max_bytes = Some(bytes);
                self
            }
        }
    };
}

sends!(Queue);
sends!(JoinableQueue);

impl<T: Serialize + DeserializeOwned> Queue<Serde<T>> {
    /// Receives a value, waiting for one as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Closed`] once the queue is closed and everything was received; [`RecvError::Decode`] if a message was
    /// something else: it is gone then.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::NEVER)
    }

    /// Receives a value if one is there now.
    ///
    /// # Errors
    /// [`RecvError::Empty`]; else as [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<T, RecvError> {
        self.receive(None)
    }

    /// Receives a value, waiting at most `timeout` for one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`]; else as [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::after(timeout))
    }

    /// Receives a value, waiting until `deadline` for one.
    ///
    /// # Errors
    /// [`RecvError::Timeout`]; else as [`recv`](Self::recv).
    pub fn recv_deadline(&self, deadline: Deadline) -> Result<T, RecvError> {
        self.receive(Some(deadline))
    }

    fn receive(&self, deadline: Option<Deadline>) -> Result<T, RecvError> {
        let mut bytes = Vec::new();
        self.core.recv_bytes(&mut bytes, deadline)?;
        decode(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::os::fd::AsFd;

    type Book = BTreeMap<String, Vec<i64>>;

    fn book(size: usize) -> Book {
        (0..size).map(|page| (format!("page {page}"), vec![page as i64; page % 9])).collect()
    }

    #[test]
    fn any_value_of_any_size() {
        let queue = Queue::<Serde<Book>>::anonymous(4).unwrap();
        for size in [0, 1, 30, 10_000] {
            queue.send(&book(size)).unwrap();
            assert_eq!(queue.recv().unwrap(), book(size));
        }
        let jobs = JoinableQueue::<Serde<Book>>::anonymous(4).unwrap();
        jobs.send(&book(20)).unwrap();
        drop(jobs.recv().unwrap());
        let task = jobs.recv().unwrap().detach();
        assert_eq!((&task.0, task.deliveries()), (&book(20), 1));
        task.done().unwrap();
        jobs.join().unwrap();
    }

    #[test]
    fn what_is_no_such_value_is_an_error_and_gone() {
        let queue = Queue::<Serde<(u32, String)>>::anonymous(4).unwrap();
        let bytes = Queue::<[u8]>::from_fd(queue.as_fd().try_clone_to_owned().unwrap()).unwrap();
        queue.send(&(7, "seven".into())).unwrap();
        assert_eq!(&*bytes.recv().unwrap(), b"\x07\x05seven");
        for bad in [&b""[..], b"\x07\x05sev", b"\x07\x05seven!", &[0xff; 300]] {
            bytes.send(bad).unwrap();
            assert!(matches!(queue.try_recv(), Err(RecvError::Decode(_))), "{bad:?}");
        }
        assert!(matches!(queue.try_recv(), Err(RecvError::Empty)));
    }

    #[test]
    fn a_task_whose_decoding_panics_goes_back() {
        #[derive(Debug)]
        struct Trap;
        impl Serialize for Trap {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u8(7)
            }
        }
        impl<'de> ::serde::Deserialize<'de> for Trap {
            fn deserialize<D: ::serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                panic!("as a test wants it")
            }
        }
        let jobs = JoinableQueue::<Serde<Trap>>::anonymous(4).unwrap();
        jobs.send(&Trap).unwrap();
        for round in 1..4 {
            let panicked =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(jobs.try_recv().unwrap())));
            assert!(panicked.is_err());
            assert_eq!((jobs.len(), jobs.unfinished()), (1, 1), "round {round}");
        }
        let jobs = jobs.with_drop_after(3).unwrap();
        assert_eq!(jobs.len(), 1);
    }
}
