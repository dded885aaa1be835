//! What the fuzz targets share: the segment's bytes seen raw, a place for named objects, and calls to try out.

pub mod calls;
pub mod cells;
pub mod crew;
pub mod list;
pub mod locks;
pub mod maps;
pub mod objects;
pub mod opening;
pub mod oracle;
pub mod place;
pub mod queues;
pub mod raw;
pub mod sides;
