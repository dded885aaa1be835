//! What the guard of a received message holds on to: the handle it came through, or a share in it.

use super::core::Core;
use core::ops::Deref;
use std::sync::Arc;

/// The core of a handle, in the process that received through it.
pub(super) struct Holder<'q> {
    core: Hold<'q>,
    generation: u64,
}

enum Hold<'q> {
    Borrowed(&'q Arc<Core>),
    Owned(Arc<Core>),
}

impl<'q> Holder<'q> {
    #[inline(always)]
    pub(super) fn new(core: &'q Arc<Core>) -> Self {
        Holder { core: Hold::Borrowed(core), generation: core.segment.generation().current() }
    }

    /// The same, whatever becomes of the handle.
    pub(super) fn detach(&self) -> Holder<'static> {
        Holder { core: Hold::Owned(Arc::clone(self)), generation: self.generation }
    }

    /// Whether this process is the one that received: `false` in a child forked meanwhile.
    #[inline(always)]
    pub(super) fn is_ours(&self) -> bool {
        self.segment.generation().is(self.generation)
    }
}

impl Deref for Holder<'_> {
    type Target = Arc<Core>;

    #[inline(always)]
    fn deref(&self) -> &Arc<Core> {
        match &self.core {
            Hold::Borrowed(core) => core,
            Hold::Owned(core) => core,
        }
    }
}
