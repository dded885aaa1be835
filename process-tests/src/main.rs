//! The other process of the tests in `tests/`.
fn main() {}
