//! How the objects come about and how they are handed on: the same for all.

/// Gives `$handle`, which must have a method `site()`, its constructors. `$noun` is what the documentation calls the
/// object; the arguments are what a new one needs, and `$apply` puts them into the options.
macro_rules! handle {
    (
        [$($generics:tt)*], $handle:ty, $noun:literal,
        ($($arg:ident: $type:ty),*), |$options:ident| $apply:expr, $meaning:literal
    ) => {
        impl<$($generics)*> $crate::options::Object for $handle {
            const SWEEP: $crate::segment::Sweep = |segment, index| {
                <Self as $crate::primitives::site::Primitive>::sweep($crate::primitives::site::Block::whole(segment), index);
            };

            fn plan(settings: &$crate::options::Settings) -> Result<$crate::segment::layout::Plan, $crate::Error> {
                let needs = <Self as $crate::primitives::site::Primitive>::needs(settings)?;
                Ok(needs.plan(<Self as $crate::primitives::site::Primitive>::KIND))
            }

            fn initialise(
                segment: &$crate::segment::Segment,
                settings: &$crate::options::Settings,
            ) -> Result<(), $crate::Error> {
                let block = $crate::primitives::site::Block::whole(segment);
                <Self as $crate::primitives::site::Primitive>::initialise(block, settings)
            }

            fn attach(
                segment: std::sync::Arc<$crate::segment::Segment>,
                settings: &$crate::options::Settings,
            ) -> Result<Self, $crate::Error> {
                let site = $crate::primitives::site::Site::whole(segment);
                <Self as $crate::primitives::site::Primitive>::attach(site, settings)
            }
        }

        impl<$($generics)*> $crate::options::Portable for $handle {}

        impl<$($generics)*> $handle {
            #[doc = concat!("Creates the ", $noun, " `name`.", $meaning)]
            ///
            /// # Errors
            /// [`Error::AlreadyExists`](crate::Error::AlreadyExists);
            /// [`Error::BadCapacity`](crate::Error::BadCapacity) or [`Error::NoSpace`](crate::Error::NoSpace) for
            /// what cannot be made; others if the name or its directory cannot be used.
            pub fn create(name: &str $(, $arg: $type)*) -> Result<Self, $crate::Error> {
                let $options = Self::options();
                $apply.create(name)
            }

            #[doc = concat!("Opens the existing ", $noun, " `name`.")]
            ///
            /// # Errors
            /// [`Error::NotFound`](crate::Error::NotFound), and one for each way a file can be unfit.
            pub fn open(name: &str) -> Result<Self, $crate::Error> {
                Self::options().open(name)
            }

            #[doc = concat!("Opens the ", $noun, " `name`, or creates it.", $meaning)]
            ///
            /// # Errors
            /// As [`create`](Self::create) and [`open`](Self::open).
            pub fn open_or_create(name: &str $(, $arg: $type)*) -> Result<Self, $crate::Error> {
                let $options = Self::options();
                $apply.open_or_create(name)
            }

            #[doc = concat!("Creates a ", $noun, " without a name, in sealed memory. Others get it by")]
            #[doc = concat!("[`as_fd`](std::os::fd::AsFd::as_fd) or [`inherit`](Self::inherit).", $meaning)]
            ///
            /// # Errors
            /// As [`create`](Self::create).
            pub fn anonymous($($arg: $type),*) -> Result<Self, $crate::Error> {
                let $options = Self::options();
                $apply.anonymous()
            }

            #[doc = concat!("Attaches to the ", $noun, " behind a descriptor.")]
            ///
            /// # Errors
            /// [`Error::NotSealed`](crate::Error::NotSealed); else as [`open`](Self::open).
            pub fn from_fd(fd: std::os::fd::OwnedFd) -> Result<Self, $crate::Error> {
                Self::options().from_fd(fd)
            }

            #[doc = concat!("Attaches to the ", $noun, " that our parent handed over under `key`.")]
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

            #[doc = concat!("Where the ", $noun, " lies in its [`Arena`](crate::Arena), if it lies in one.")]
            pub fn place(&self) -> Option<$crate::Place> {
                self.site().share().map($crate::arena::Share::place)
            }

            #[doc = concat!("Hands the ", $noun, " to the child that `command` will start, which takes it with")]
            /// [`inherited`](Self::inherited)`(key)`. This handle must live until the child is spawned.
            ///
            /// # Errors
            /// [`Error::InvalidName`](crate::Error::InvalidName) if the key has other than letters, digits and
            /// underscores; [`Error::Unsupported`](crate::Error::Unsupported) if it lies in an arena: hand that over, and
            /// tell the child its [`place`](Self::place).
            pub fn inherit(&self, command: &mut std::process::Command, key: &str) -> Result<(), $crate::Error> {
                if self.site().share().is_some() {
                    let what = "handing over an object of an arena by itself; hand over the arena, and tell its place";
                    return Err($crate::Error::Unsupported { what });
                }
                $crate::handover::give(command, key, [std::os::fd::AsFd::as_fd(self)])
            }

            #[doc = concat!("Removes the name of the ", $noun, ", unless it means another object by now. Who is attached")]
            /// goes on.
            ///
            /// # Errors
            /// [`Error::NotFound`](crate::Error::NotFound) if it has none, or not any more.
            pub fn unlink(&self) -> Result<(), $crate::Error> {
                self.site().segment().unlink()
            }

            #[doc = concat!("Whether the name of the ", $noun, " has been removed or given to another object: nobody new will come")]
            /// by it.
            pub fn is_retired(&self) -> bool {
                self.site().segment().is_retired()
            }
        }

        impl<$($generics)*> std::os::fd::AsFd for $handle {
            /// The memory, to be sent to a peer. For waiting it is of no use.
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(self.site().segment())
            }
        }
    };
}

/// What handles that share an [`Attachment`](super::waiting::Attachment) have in common.
macro_rules! attached {
    ($handle:ident, $noun:literal) => {
        impl $handle {
            #[inline]
            pub(super) fn site(&self) -> &$crate::primitives::site::Site {
                &self.attachment.site
            }

            #[doc = concat!("Another handle to the same ", $noun, " with another way of waiting.")]
            #[must_use]
            pub fn with_wait(&self, wait: $crate::Wait) -> Self {
                let mut other = self.clone();
                other.attachment = self.attachment.with_wait(wait);
                other
            }
        }

        impl core::fmt::Debug for $handle {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($handle))
                    .field("name", &self.site().segment().name())
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(super) use {attached, handle};
