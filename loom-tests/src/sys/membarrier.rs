//! The heavy barrier: to loom a sequentially consistent fence, as is its light partner.

use crate::sync::{Ordering, fence};

pub(crate) fn registered() -> bool {
    true
}

pub(crate) fn heavy() -> bool {
    fence(Ordering::SeqCst);
    true
}
