//! Turning measurements into text.

pub(crate) mod histogram;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod units;
