//! The processes attached to an object.

use super::{read_exactly, time};
use crate::error::Error;
use crate::segment::layout::{Geometry, ROWS_AT, Row};
use crate::sys::lock_page;
use core::mem::{offset_of, size_of};
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

/// A process in an object's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// Its place in the table, from 1 on. Roles and locks name their owners by it.
    pub index: u16,
    /// Whether the kernel says that it lives. A stopped process lives.
    pub alive: bool,
    /// Its number, as it sees itself: in its own PID namespace. `None` while it is still attaching.
    pub pid: Option<u32>,
    /// When it attached; `None` while it is still attaching.
    pub joined: Option<SystemTime>,
}

/// The participants' rows as they were, and the kernel to be asked about them.
pub(crate) struct Table<'a> {
    fd: BorrowedFd<'a>,
    rows: Vec<[u64; ROW_WORDS]>,
}

const ROW_WORDS: usize = size_of::<Row>() / 8;
const VALID: usize = offset_of!(Row, valid) / 8;
const ROLES: usize = offset_of!(Row, roles) / 8;
const PID: usize = offset_of!(Row, pid) / 8;
const JOINED: usize = offset_of!(Row, joined) / 8;

impl<'a> Table<'a> {
    pub(super) fn read(fd: BorrowedFd<'a>, geometry: &Geometry) -> Result<Self, Error> {
        let mut rows = vec![[0; ROW_WORDS]; usize::from(geometry.participants)];
        read_exactly(fd, bytemuck::cast_slice_mut(&mut rows), ROWS_AT)?;
        Ok(Table { fd, rows })
    }

    /// The participant at `index`, which may be anything.
    pub(crate) fn participant(&self, index: u16) -> Participant {
        let row = usize::from(index).checked_sub(1).and_then(|at| self.rows.get(at));
        let Some(row) = row else {
            return Participant { index, alive: false, pid: None, joined: None };
        };
        // Not knowing is alive.
        let alive = lock_page::is_held(self.fd, index).unwrap_or(true);
        let row = (row[VALID] != 0).then_some(row);
        Participant {
            index,
            alive,
            pid: row.and_then(|row| u32::try_from(row[PID]).ok()),
            joined: row.map(|row| time(row[JOINED])),
        }
    }

    pub(crate) fn participants(&self) -> Vec<Participant> {
        let indices = (1..).take(self.rows.len());
        let all = indices.map(|index| self.participant(index));
        all.filter(|process| process.alive || process.joined.is_some()).collect()
    }

    /// The row's word on which ends its process holds; 0 for a row that cannot be.
    pub(crate) fn roles(&self, index: u16) -> u64 {
        usize::from(index).checked_sub(1).and_then(|at| self.rows.get(at)).map_or(0, |row| row[ROLES])
    }
}
