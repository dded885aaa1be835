//! What all endpoints of bare rings have in common: how they come about and how they are handed on.

/// Gives `$endpoint` (with a `claim` on its role and a `waiter`) its constructors and the methods about the object
/// as a whole.
macro_rules! endpoint {
    ([$($generics:tt)*], $endpoint:ty, $capacity:literal) => {
        impl<$($generics)*> $endpoint {
            #[doc = concat!("Creates the ring `name` and takes this role. `capacity` is ", $capacity, ".")]
            ///
            /// # Errors
            /// [`Error::AlreadyExists`](crate::Error::AlreadyExists);
            /// [`Error::BadCapacity`](crate::Error::BadCapacity) or [`Error::NoSpace`](crate::Error::NoSpace) for
            /// what cannot be made; others if the name or its directory cannot be used.
            pub fn create(name: &str, capacity: usize) -> Result<Self, $crate::Error> {
                Self::options().capacity(capacity).create(name)
            }

            /// Opens the existing ring `name` and takes this role.
            ///
            /// # Errors
            /// [`Error::NotFound`](crate::Error::NotFound); [`Error::RoleTaken`](crate::Error::RoleTaken); and one
            /// for each way a file can be unfit.
            pub fn open(name: &str) -> Result<Self, $crate::Error> {
                Self::options().open(name)
            }

            /// Opens the ring `name`, or creates it, and takes this role.
            ///
            /// # Errors
            /// As [`create`](Self::create) and [`open`](Self::open);
            /// [`Error::WrongCapacity`](crate::Error::WrongCapacity) if it exists with another one.
            pub fn open_or_create(name: &str, capacity: usize) -> Result<Self, $crate::Error> {
                Self::options().capacity(capacity).open_or_create(name)
            }

            /// Creates a ring without a name, in sealed memory, and takes this role. The peer gets it by
            /// [`as_fd`](std::os::fd::AsFd::as_fd) or [`inherit`](Self::inherit).
            ///
            /// # Errors
            /// As [`create`](Self::create).
            pub fn anonymous(capacity: usize) -> Result<Self, $crate::Error> {
                Self::options().capacity(capacity).anonymous()
            }

            /// Takes this role in the ring behind a descriptor.
            ///
            /// # Errors
            /// [`Error::NotSealed`](crate::Error::NotSealed); else as [`open`](Self::open).
            pub fn from_fd(fd: std::os::fd::OwnedFd) -> Result<Self, $crate::Error> {
                Self::options().from_fd(fd)
            }

            /// Takes this role in the ring that our parent handed over under `key`.
            ///
            /// # Errors
            /// [`Error::NotInherited`](crate::Error::NotInherited); else as [`open`](Self::open).
            pub fn inherited(key: &str) -> Result<Self, $crate::Error> {
                Self::options().inherited(key)
            }

            /// Everything that can be chosen about the ring and this handle.
            pub fn options() -> $crate::Options<Self> {
                $crate::Options::new()
            }

            /// Hands the ring to the child that `command` will start; there,
            /// [`inherited`](Self::inherited)`(key)` takes a role that is free. This handle must live until the
            /// child is spawned.
            ///
            /// # Errors
            /// [`Error::InvalidName`](crate::Error::InvalidName) if the key has other than letters, digits and
            /// underscores.
            pub fn inherit(&self, command: &mut std::process::Command, key: &str) -> Result<(), $crate::Error> {
                $crate::handover::give(command, key, [std::os::fd::AsFd::as_fd(self)])
            }

            /// Removes the ring's name, unless it means another object by now. Both sides go on.
            ///
            /// # Errors
            /// [`Error::NotFound`](crate::Error::NotFound) if it has none, or not any more.
            pub fn unlink(&self) -> Result<(), $crate::Error> {
                self.claim.segment().unlink()
            }

            /// Whether the ring's name has been removed or given to another ring: nobody new will come by it.
            pub fn is_retired(&self) -> bool {
                self.claim.segment().is_retired()
            }

            /// Changes how the blocking calls wait.
            pub fn set_wait(&mut self, wait: $crate::Wait) {
                self.waiter = $crate::wait::Waiter::new(wait);
            }
        }

        impl<$($generics)*> std::os::fd::AsFd for $endpoint {
            /// The memory, to be sent to a peer. For waiting it is of no use.
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.claim.segment().as_fd()
            }
        }

        impl<$($generics)*> $crate::options::Portable for $endpoint {}
    };
}

pub(super) use endpoint;
