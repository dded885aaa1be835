//! The lock in front of a value, for whoever asks for it.

/// Gives `$handle`, which must have a field `holding`, the methods that take its lock, and the guard's own. `$noun` is what the
/// documentation calls it.
macro_rules! lockable {
    ($handle:ident, $guard:ident, $inherited:ident, $noun:literal) => {
        impl<T: Pod> $handle<T> {
            pub(in crate::primitives) fn site(&self) -> &Site {
                self.holding.site()
            }

            #[doc = concat!("Takes the lock of the ", $noun, ", waiting for it as long as it takes. If this thread has it")]
            /// already, it has it once more. It keeps out those who take it, and nobody else.
            ///
            /// # Errors
            /// [`LockError::OwnerDied`], which holds it; [`LockError::NotRecoverable`].
            #[inline]
            pub fn lock(&self) -> Result<$guard<'_, T>, LockError<$inherited<'_, T>>> {
                self.lock_when(Some(Deadline::NEVER))
            }

            /// Takes the lock if nobody else has it now.
            ///
            /// # Errors
            /// [`LockError::WouldBlock`]; else as [`lock`](Self::lock).
            pub fn try_lock(&self) -> Result<$guard<'_, T>, LockError<$inherited<'_, T>>> {
                self.lock_when(None)
            }

            /// Takes the lock, waiting at most `timeout` for it.
            ///
            /// # Errors
            /// [`LockError::Timeout`]; else as [`lock`](Self::lock).
            pub fn lock_timeout(
                &self,
                timeout: Duration,
            ) -> Result<$guard<'_, T>, LockError<$inherited<'_, T>>> {
                self.lock_when(Some(Deadline::after(timeout)))
            }

            /// Takes the lock, waiting until `deadline` for it.
            ///
            /// # Errors
            /// [`LockError::Timeout`]; else as [`lock`](Self::lock).
            pub fn lock_deadline(
                &self,
                deadline: Deadline,
            ) -> Result<$guard<'_, T>, LockError<$inherited<'_, T>>> {
                self.lock_when(Some(deadline))
            }

            #[inline]
            fn lock_when(
                &self,
                deadline: Option<Deadline>,
            ) -> Result<$guard<'_, T>, LockError<$inherited<'_, T>>> {
                match Reentry::lock(&self.holding, deadline) {
                    Ok(entry) => Ok($guard { cell: self, entry }),
                    Err(error) => {
                        Err(error.map(|entry| $inherited { guard: $guard { cell: self, entry } }))
                    }
                }
            }
        }

        impl<T: Pod> $guard<'_, T> {
            /// How often this thread has the lock.
            pub fn depth(&self) -> u32 {
                self.entry.depth()
            }

            /// Only the process that took the lock changes anything by it, not its child.
            fn check_ours(&self) -> Result<(), CellError> {
                if self.entry.is_ours() { Ok(()) } else { Err(CellError::NotHeld) }
            }
        }

        impl<T: Pod> fmt::Debug for $handle<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($handle))
                    .field("name", &self.site().segment().name())
                    .finish_non_exhaustive()
            }
        }

        impl<T: Pod> fmt::Debug for $guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($guard)).field("depth", &self.depth()).finish_non_exhaustive()
            }
        }

        impl<T: Pod> fmt::Debug for $inherited<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($inherited)).finish_non_exhaustive()
            }
        }

        impl<T: Pod> Options<$handle<T>> {
            /// Whether this handle writes down when it takes the lock; see
            /// [`timed`](Options::<crate::Mutex<T>>::timed).
            pub fn timed(mut self, yes: bool) -> Self {
                self.settings.timed = yes;
                self
            }

            /// How long a write waits for another one to end (10 s). None takes longer than two copies, unless its process was
            /// stopped in the middle. Matters only for what is longer than eight bytes.
            pub fn write_timeout(mut self, timeout: Duration) -> Self {
                self.settings.write_timeout = timeout;
                self
            }
        }
    };
}

pub(super) use lockable;
