//! What several kinds of queues do alike: written once, and documented at each of them.
//!
//! Macros, because each kind shall have these as methods of its own: a trait would have to be imported, and whoever could see
//! one kind of queue as another would receive past its counts.

/// Gives a queue of bytes the methods that send copies, and those about its memory. It must have a `core`.
macro_rules! sends_bytes {
    ($queue:ty) => {
        impl $queue {
            /// Sends a copy of `message`, waiting for space as long as it takes.
            ///
            /// # Errors
            /// [`SendError::Closed`](crate::SendError::Closed); [`SendError::TooLarge`](crate::SendError::TooLarge) at once if
            /// it can never fit; [`SendError::NoSpace`](crate::SendError::NoSpace) if the file system has no room for it.
            #[inline]
            pub fn send(&self, message: &[u8]) -> Result<(), $crate::SendError> {
                self.send_deadline(message, $crate::Deadline::NEVER)
            }

            /// Sends a copy of `message` if there is space now.
            ///
            /// # Errors
            /// [`SendError::Full`](crate::SendError::Full); else as [`send`](Self::send).
            #[inline]
            pub fn try_send(&self, message: &[u8]) -> Result<(), $crate::SendError> {
                self.core.send_bytes(message, None)
            }

            /// Sends a copy of `message`, waiting at most `timeout` for space.
            ///
            /// # Errors
            /// [`SendError::Timeout`](crate::SendError::Timeout); else as [`send`](Self::send).
            pub fn send_timeout(
                &self,
                message: &[u8],
                timeout: core::time::Duration,
            ) -> Result<(), $crate::SendError> {
                self.send_deadline(message, $crate::Deadline::after(timeout))
            }

            /// Sends a copy of `message`, waiting until `deadline` for space.
            ///
            /// # Errors
            /// [`SendError::Timeout`](crate::SendError::Timeout); else as [`send`](Self::send).
            #[inline]
            pub fn send_deadline(
                &self,
                message: &[u8],
                deadline: $crate::Deadline,
            ) -> Result<(), $crate::SendError> {
                self.core.send_bytes(message, Some(deadline))
            }

            /// Sends all of `messages`, each of its own, waiting for space until `deadline`. With
            /// [`Deadline::NOW`](crate::Deadline::NOW) it sends as many as there is space for.
            ///
            /// # Errors
            /// [`Unsent`](crate::queue::Unsent) says how many were sent, and why the next one was not.
            pub fn send_many<B: AsRef<[u8]>>(
                &self,
                messages: &[B],
                deadline: $crate::Deadline,
            ) -> Result<(), $crate::queue::Unsent> {
                let patience = (deadline != $crate::Deadline::NOW).then_some(deadline);
                for (sent, message) in messages.iter().enumerate() {
                    let outcome = self.core.send_bytes(message.as_ref(), patience);
                    outcome.map_err(|error| $crate::queue::Unsent { sent, error })?;
                }
                Ok(())
            }

            /// The longest possible message, in bytes.
            pub fn max_message(&self) -> u64 {
                self.core.store().pool.layout().max_len()
            }

            /// The bytes that large messages, those above 64 KiB, take now. They stay reserved for the next ones, until
            /// [`trim`](Self::trim).
            pub fn large_bytes(&self) -> u64 {
                self.core.store().pool.extent_bytes()
            }

            /// Gives the memory that large messages took, and none uses now, back to the system. Returns how many bytes.
            pub fn trim(&self) -> u64 {
                self.core.trim()
            }
        }
    };
}

/// Gives a queue that [sends bytes](sends_bytes) the methods that lend memory for them.
macro_rules! lends_bytes {
    ($queue:ty) => {
        impl $queue {
            /// Reserves shared memory for a message of `len` bytes, to be written in place and then
            /// [committed](crate::queue::Loan::commit); waits for some as long as it takes. Its content is whatever was there before.
            ///
            /// # Errors
            /// As [`send`](Self::send).
            #[inline]
            pub fn reserve(&self, len: usize) -> Result<$crate::queue::Loan<'_>, $crate::SendError> {
                $crate::queue::Loan::reserve(&self.core, len, Some($crate::Deadline::NEVER))
            }

            /// The same if there is some now.
            ///
            /// # Errors
            /// As [`try_send`](Self::try_send).
            pub fn try_reserve(&self, len: usize) -> Result<$crate::queue::Loan<'_>, $crate::SendError> {
                $crate::queue::Loan::reserve(&self.core, len, None)
            }

            /// The same, waiting until `deadline`.
            ///
            /// # Errors
            /// As [`send_deadline`](Self::send_deadline).
            pub fn reserve_deadline(
                &self,
                len: usize,
                deadline: $crate::Deadline,
            ) -> Result<$crate::queue::Loan<'_>, $crate::SendError> {
                $crate::queue::Loan::reserve(&self.core, len, Some(deadline))
            }
        }
    };
}

/// Gives a queue whose messages are done some time the methods that wait for that, and those that tell how it stands. It must
/// have a `core`, and a method `is_finished()`.
macro_rules! is_joined {
    ([$($generics:tt)*], $queue:ty) => {
        impl<$($generics)*> $queue {
            /// Waits until every message that was sent is done: until there was an instant at which that was so.
            ///
            /// # Errors
            /// [`JoinError::Attach`](crate::queue::JoinError::Attach).
            pub fn join(&self) -> Result<(), $crate::queue::JoinError> {
                self.join_deadline($crate::Deadline::NEVER)
            }

            /// The same, for at most `timeout`.
            ///
            /// # Errors
            /// [`JoinError::Timeout`](crate::queue::JoinError::Timeout).
            pub fn join_timeout(&self, timeout: core::time::Duration) -> Result<(), $crate::queue::JoinError> {
                self.join_deadline($crate::Deadline::after(timeout))
            }

            /// The same, until `deadline`.
            ///
            /// # Errors
            /// [`JoinError::Timeout`](crate::queue::JoinError::Timeout).
            pub fn join_deadline(&self, deadline: $crate::Deadline) -> Result<(), $crate::queue::JoinError> {
                self.core.me().map_err($crate::queue::JoinError::Attach)?;
                let finished = self.core.wait_for_the_end(deadline, || self.is_finished().then_some(()));
                finished.ok_or($crate::queue::JoinError::Timeout)
            }

            /// How many messages the queue holds before it is full, besides those that were received and are not done.
            pub fn capacity(&self) -> usize {
                self.core.slots.geometry().capacity() as usize
            }

            /// How many messages were waiting in the queue a moment ago, those that came back included; as
            /// [`Queue::len`](crate::Queue::len).
            pub fn len(&self) -> usize {
                self.core.len()
            }

            /// Whether nothing was waiting a moment ago; as [`Queue::is_empty`](crate::Queue::is_empty).
            pub fn is_empty(&self) -> bool {
                !self.core.holds_any()
            }

            /// Whether the queue was full a moment ago: a `try_send` would have found no place, or, as more messages are held
            /// than it was made for, no memory even for the smallest one.
            pub fn is_full(&self) -> bool {
                self.core.slots.look_for_space().is_err() || !self.core.has_room(0)
            }

            /// Closes the queue for all: nobody can send any more. Messages go on being received until none waits. Returns
            /// whether it was open.
            pub fn close(&self) -> bool {
                self.core.close()
            }

            /// Whether the queue was closed. It cannot be opened again.
            pub fn is_closed(&self) -> bool {
                !self.core.is_open()
            }
        }
    };
}

pub(super) use {is_joined, lends_bytes, sends_bytes};
