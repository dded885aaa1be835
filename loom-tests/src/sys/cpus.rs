//! Models have no processors to count: two, so that no strategy degenerates.

pub(crate) fn usable() -> usize {
    2
}

pub(crate) fn online() -> usize {
    2
}

pub(crate) fn give_way() {
    loom::thread::yield_now();
}
