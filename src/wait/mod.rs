//! Sleeping and waking.
