//! What must be true of all messages when an episode is over.

use crate::board::{BEGUN, BLOCK, READ, Risk, SENT, Sheet};
use std::collections::{HashMap, HashSet};

/// What a process risked when it was killed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stake {
    pub(crate) risk: Risk,
    /// The messages from this id on,
    pub(crate) from: u64,
    /// so many of them.
    pub(crate) count: u64,
}

/// What an episode came to.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Messages whose `send` returned.
    pub(crate) sent: u64,
    /// Messages received.
    pub(crate) received: u64,
    /// Messages that a killed receiver had taken.
    pub(crate) lost: u64,
    pub(crate) faults: Vec<String>,
}

/// Judges all messages of an episode. `is_in_order`: there is one lane with one receiver at a time, so what a killed one
/// can have taken are the next messages; otherwise only their number counts. `has_tasks`: how often one may come was judged when it came; it must be done.
pub(crate) fn audit(sheet: &Sheet, stakes: &[Stake], is_in_order: bool, has_tasks: bool) -> Account {
    let mut account = Account::default();
    let sent = |id: u64| sheet.sent[id as usize].load(READ);
    let received = |id: u64| sheet.received[id as usize].load(READ);
    let ids = sheet.ids() as u64;
    let mut again: HashMap<u64, u8> = HashMap::new();
    let mut excused = HashSet::new();
    let mut allowance: u64 = sheet.given_up.iter().map(|count| count.load(READ)).sum();
    for stake in stakes {
        // The messages that were in the ring, in order.
        let there = (stake.from..ids).filter(|&id| sent(id) == SENT || received(id) > 0);
        let count = stake.count as usize;
        match stake.risk {
            Risk::Lost if !is_in_order => allowance += stake.count,
            Risk::Lost => {
                // Not what an earlier death has taken.
                let next: Vec<u64> = there.filter(|id| !excused.contains(id)).take(count).collect();
                excused.extend(next.into_iter().filter(|&id| received(id) == 0));
            }
            Risk::Again => {
                for id in there.filter(|&id| received(id) > 0).take(count) {
                    *again.entry(id).or_default() += 1;
                }
            }
        }
    }
    let mut missing = Vec::new();
    for id in 0..ids {
        let (state, count) = (sent(id), received(id));
        account.sent += u64::from(state == SENT);
        account.received += u64::from(count > 0);
        if count == 0 && state == SENT {
            account.lost += 1;
            if !excused.contains(&id) {
                missing.push(id);
            }
        } else if has_tasks && count > 0 {
            if sheet.done[id as usize].load(READ) == 0 {
                account.faults.push(format!("lost: task {id:#x} came {count} times and was never done"));
            }
        } else if count > 1 + again.get(&id).copied().unwrap_or_default() {
            let owner = sheet.owners[id as usize / BLOCK].load(READ);
            account
                .faults
                .push(format!("duplicate: message {id:#x} of process {} came {count} times", owner - 1));
        } else if count > 0 && state != SENT && state != BEGUN {
            account.faults.push(format!("message {id:#x} came although its sender was refused"));
        }
    }
    if missing.len() as u64 > allowance {
        let first = missing[0];
        let owner = sheet.owners[first as usize / BLOCK].load(READ);
        account.faults.push(format!(
            "lost: {} messages never came and {allowance} could have been taken by killed receivers; the first is \
             {first:#x} of process {}",
            missing.len(),
            owner - 1
        ));
    }
    account
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Board, DONE, ENDING, NOT_SENT, WRITE};

    fn board() -> Board {
        let name = format!("soak-audit-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::path::Path::new("/dev/shm").join(name);
        let board = Board::create(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        board.next_block.store(1, WRITE);
        board.owners[0].store(1, WRITE);
        board
    }

    fn set(board: &Board, id: usize, state: u8, count: u8) {
        board.sent[id].store(state, WRITE);
        board.received[id].store(count, WRITE);
    }

    #[test]
    fn what_was_sent_and_came_once_is_fine() {
        let board = board();
        set(&board, 0, SENT, 1);
        set(&board, 1, BEGUN, 0);
        set(&board, 2, BEGUN, 1);
        set(&board, 3, NOT_SENT, 0);
        let account = audit(&board, &[], true, false);
        assert!(account.faults.is_empty(), "{account:?}");
        assert_eq!((account.sent, account.received, account.lost), (1, 2, 0));
    }

    #[test]
    fn what_is_lost_or_doubled_or_unsent_is_found() {
        for (state, count) in [(SENT, 0), (SENT, 2), (BEGUN, 2), (NOT_SENT, 1)] {
            let board = board();
            set(&board, 5, state, count);
            assert_eq!(audit(&board, &[], true, false).faults.len(), 1, "{state} {count}");
            assert_eq!(audit(&board, &[], false, false).faults.len(), 1, "{state} {count}");
        }
    }

    #[test]
    fn a_killed_receiver_excuses_exactly_the_next_messages() {
        let lost = Stake { risk: Risk::Lost, from: 1, count: 1 };
        for (missing, faults) in [(0, 1), (1, 0), (2, 1)] {
            let board = board();
            for id in 0..4 {
                set(&board, id, SENT, u8::from(id != missing));
            }
            assert_eq!(audit(&board, &[lost], true, false).faults.len(), faults, "{missing}");
            // Where receivers share an end, nobody knows which it was.
            assert_eq!(audit(&board, &[lost], false, false).faults.len(), 0, "{missing}");
        }
    }

    #[test]
    fn two_deaths_in_a_row_excuse_two_messages() {
        let lost = Stake { risk: Risk::Lost, from: 1, count: 1 };
        let board = board();
        for id in 0..5 {
            set(&board, id, SENT, u8::from(id != 1 && id != 2));
        }
        assert_eq!(audit(&board, &[lost], true, false).faults.len(), 1);
        assert_eq!(audit(&board, &[lost, lost], true, false).faults.len(), 0);
    }

    #[test]
    fn what_a_killed_receiver_looked_at_may_come_again() {
        let again = Stake { risk: Risk::Again, from: 1, count: 2 };
        for (double, faults) in [(0, 1), (1, 0), (2, 0), (3, 1)] {
            let board = board();
            for id in 0..4 {
                set(&board, id, SENT, 1 + u8::from(id == double));
            }
            assert_eq!(audit(&board, &[again], true, false).faults.len(), faults, "{double}");
        }
    }

    #[test]
    fn a_task_may_come_often_but_must_be_done() {
        for (state, count, done, faults) in [
            (SENT, 3, DONE, 0),
            (SENT, 3, ENDING, 0),
            (SENT, 3, 0, 1),
            (BEGUN, 1, 0, 1),
            (SENT, 0, 0, 1),
            (BEGUN, 0, 0, 0),
        ] {
            let board = board();
            set(&board, 5, state, count);
            board.done[5].store(done, WRITE);
            assert_eq!(audit(&board, &[], false, true).faults.len(), faults, "{state} {count} {done}");
        }
    }
}
