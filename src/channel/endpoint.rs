//! What endpoints have in common: how they come about and how they are handed on.

/// Gives `$endpoint` its constructors and the methods about the object as a whole. It must have a method
/// `segment()`. `$noun` is what the documentation calls the object, `$taking` what opening it takes.
macro_rules! endpoint {
    ([$($generics:tt)*], $endpoint:ty, $noun:literal, $taking:literal, $capacity:literal) => {
        impl<$($generics)*> $endpoint {
            #[doc = concat!("Creates the ", $noun, " `name`", $taking, ". `capacity` is ", $capacity, ".")]
            ///
            /// # Errors
            /// [`Error::AlreadyExists`](crate::Error::AlreadyExists);
            /// [`Error::BadCapacity`](crate::Error::BadCapacity) or [`Error::NoSpace`](crate::Error::NoSpace) for
            /// what cannot be made; others if the name or its directory cannot be used.
            pub fn create(name: &str, capacity: usize) -> Result<Self, $crate::Error> {
                Self::options().capacity(capacity).create(name)
            }

            #[doc = concat!("Opens the existing ", $noun, " `name`", $taking, ".")]
            ///
            /// # Errors
            /// [`Error::NotFound`](crate::Error::NotFound); [`Error::RoleTaken`](crate::Error::RoleTaken) where there
            /// are roles; and one for each way a file can be unfit.
            pub fn open(name: &str) -> Result<Self, $crate::Error> {
                Self::options().open(name)
            }

            #[doc = concat!("Opens the ", $noun, " `name`, or creates it", $taking, ".")]
            ///
            /// # Errors
            /// As [`create`](Self::create) and [`open`](Self::open);
            /// [`Error::WrongCapacity`](crate::Error::WrongCapacity) if it exists with another one.
            pub fn open_or_create(name: &str, capacity: usize) -> Result<Self, $crate::Error> {
                Self::options().capacity(capacity).open_or_create(name)
            }

            #[doc = concat!("Creates a ", $noun, " without a name, in sealed memory", $taking, ". Others get it by")]
            /// [`as_fd`](std::os::fd::AsFd::as_fd) or [`inherit`](Self::inherit).
            ///
            /// # Errors
            /// As [`create`](Self::create).
            pub fn anonymous(capacity: usize) -> Result<Self, $crate::Error> {
                Self::options().capacity(capacity).anonymous()
            }

            #[doc = concat!("Attaches to the ", $noun, " behind a descriptor", $taking, ".")]
            ///
            /// # Errors
            /// [`Error::NotSealed`](crate::Error::NotSealed); else as [`open`](Self::open).
            pub fn from_fd(fd: std::os::fd::OwnedFd) -> Result<Self, $crate::Error> {
                Self::options().from_fd(fd)
            }

            #[doc = concat!("Attaches to the ", $noun, " that our parent handed over under `key`", $taking, ".")]
            ///
            /// # Errors
            /// [`Error::NotInherited`](crate::Error::NotInherited); else as [`open`](Self::open).
            pub fn inherited(key: &str) -> Result<Self, $crate::Error> {
                Self::options().inherited(key)
            }

            #[doc = concat!("Everything that can be chosen about the ", $noun, " and this handle.")]
            pub fn options() -> $crate::Options<Self> {
                $crate::Options::new()
            }

            #[doc = concat!("Hands the ", $noun, " to the child that `command` will start, which takes it with")]
            /// [`inherited`](Self::inherited)`(key)`. This handle must live until the child is spawned.
            ///
            /// # Errors
            /// [`Error::InvalidName`](crate::Error::InvalidName) if the key has other than letters, digits and
            /// underscores.
            pub fn inherit(&self, command: &mut std::process::Command, key: &str) -> Result<(), $crate::Error> {
                $crate::handover::give(command, key, [std::os::fd::AsFd::as_fd(self)])
            }

            #[doc = concat!("Removes the name of the ", $noun, ", unless it means another object by now. Who is attached")]
            /// goes on.
            ///
            /// # Errors
            /// [`Error::NotFound`](crate::Error::NotFound) if it has none, or not any more.
            pub fn unlink(&self) -> Result<(), $crate::Error> {
                self.segment().unlink()
            }

            #[doc = concat!("Whether the name of the ", $noun, " has been removed or given to another object: nobody new will come")]
            /// by it.
            pub fn is_retired(&self) -> bool {
                self.segment().is_retired()
            }
        }

        impl<$($generics)*> std::os::fd::AsFd for $endpoint {
            /// The memory, to be sent to a peer. For waiting it is of no use.
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(self.segment())
            }
        }

        impl<$($generics)*> $crate::options::Portable for $endpoint {}
    };
}

pub(crate) use endpoint;
