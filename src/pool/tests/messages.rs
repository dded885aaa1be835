//! What happens while nobody dies.

use super::*;

#[test]
fn a_message_goes_through_whole() {
    let heap = Heap::new();
    for len in [0, 1, 63, 64, 65, 128, 129, 4096, 5000, 1 << 16] {
        let message: Vec<u8> = (0..len).map(|at| at as u8 ^ 0x5a).collect();
        let position = heap.send(1, &message).unwrap();
        assert!(!heap.is_finished());
        let kept = heap.keep(2);
        assert_eq!((kept.len(), kept.position(), kept.deliveries()), (len, position, 0));
        assert_eq!(heap.content(&kept), message);
        // In pieces, and no byte beyond.
        let mut piece = [MaybeUninit::uninit(); 8];
        assert_eq!(heap.pool.copy_kept(&kept, len.saturating_sub(3), &mut piece) as u64, len.min(3));
        assert_eq!(heap.pool.copy_kept(&kept, len, &mut piece), 0);
        assert_eq!(heap.pool.copy_kept(&kept, u64::MAX, &mut piece), 0);
        heap.pool.free(kept);
    }
    heap.all_free();
}

#[test]
fn a_loan_holds_what_was_asked_for_and_no_byte_beyond() {
    let heap = Heap::new();
    for (len, room) in [(0, 64), (64, 64), (65, 128), (129, 4096), (5000, 8192)] {
        let loan = heap.reserve(1, len).unwrap();
        assert_eq!(heap.pool.room(&loan), room);
        assert!(heap.pool.address(loan.chunk()).cast::<[u64; 8]>().is_aligned());
        assert_eq!(heap.pool.copy_in(&loan, room - 2, &[7; 5]), 2);
        assert_eq!(heap.pool.copy_in(&loan, room, &[7]), 0);
        assert_eq!(heap.pool.copy_in(&loan, u64::MAX, &[7]), 0);
        heap.pool.give_up(loan);
    }
    heap.all_free();
}

#[test]
fn there_is_a_chunk_for_every_message_and_for_each_that_may_be_held() {
    let heap = Heap::new();
    let held: Vec<_> = (0..2).map(|_| heap.send(1, b"held").map(|_| heap.keep(2)).unwrap()).collect();
    for number in 0..4 {
        heap.send(1, &[number; 64]).unwrap();
    }
    // Now the classes above serve, then the extents do not: usual messages wait for their like.
    let larger: Vec<_> = std::iter::from_fn(|| heap.reserve(1, 64).ok()).collect();
    assert_eq!(larger.len(), 6);
    assert_eq!(heap.reserve(1, 1).unwrap_err(), ReserveError::Full);
    // Larger ones get one.
    let extents: Vec<_> = std::iter::from_fn(|| heap.reserve(1, 65).ok()).collect();
    assert_eq!(extents.len(), 6);
    assert_eq!(heap.reserve(1, 65).unwrap_err(), ReserveError::Full);
    let max = 1 << 16;
    assert_eq!(heap.reserve(1, max + 1).unwrap_err(), ReserveError::TooLarge { len: max + 1, max });
    larger.into_iter().chain(extents).for_each(|loan| heap.pool.give_up(loan));
    for number in 0..4 {
        assert_eq!(heap.recv(3), [number; 64]);
    }
    held.into_iter().for_each(|kept| heap.pool.free(kept));
    heap.all_free();
}

#[test]
fn a_pool_of_one_class_has_no_more() {
    let heap = Heap::of(Demand { messages: 3, max_held: 0, usual: 8, largest: 8, max_bytes: 0, share: 0 });
    let loans: Vec<_> = std::iter::from_fn(|| heap.reserve(1, 32).ok()).collect();
    assert_eq!(loans.len(), 3);
    assert_eq!(heap.reserve(1, 8).unwrap_err(), ReserveError::Full);
    assert_eq!(heap.reserve(1, 33).unwrap_err(), ReserveError::TooLarge { len: 33, max: 32 });
    for (number, loan) in loans.iter().enumerate() {
        // Their data lies in the lines of their entries, and does not touch them.
        assert_eq!(heap.pool.copy_in(loan, 0, &[number as u8; 32]), 32);
        assert_eq!(heap.pool.word(loan.chunk()), loan.word);
    }
    loans.into_iter().for_each(|loan| heap.pool.give_up(loan));
    heap.all_free();
}

#[test]
fn a_task_is_unfinished_until_it_is_done() {
    let heap = Heap::new();
    assert!(heap.is_finished());
    heap.send(1, b"work").unwrap();
    assert!(!heap.is_finished(), "in the ring");
    let task = heap.work(2);
    assert!(!heap.is_finished(), "in somebody's hands");
    assert_eq!(heap.pool.take_orphan(3).unwrap().map(drop), None);
    heap.pool.give_back(task, 2).unwrap();
    assert!(!heap.is_finished(), "on its way back");
    let task = heap.pool.take_orphan(3).unwrap().unwrap();
    assert_eq!((heap.content_of_task(&task), task.deliveries()), (b"work".to_vec(), 1));
    heap.pool.done(task).unwrap();
    assert!(heap.is_finished());
    assert!(heap.pool.take_orphan(3).unwrap().is_none());
    assert!(!heap.pool.may_have_orphans(), "a search in vain takes the flag down");
    heap.all_free();
}

#[test]
fn what_is_only_kept_is_finished() {
    let heap = Heap::new();
    heap.send(1, b"news").unwrap();
    let kept = heap.keep(2);
    assert!(heap.is_finished());
    heap.pool.free(kept);
    let loan = heap.reserve(1, 5).unwrap();
    assert!(heap.is_finished(), "nobody has sent that yet");
    heap.pool.give_up(loan);
}

#[test]
fn what_came_back_is_taken_oldest_first() {
    let heap = Heap::new();
    let mut sent = vec![];
    for number in 0..4 {
        sent.push(heap.send(1, &[number; 100]).unwrap());
    }
    let tasks: Vec<_> = (0..4).map(|_| heap.work(2)).collect();
    for at in [2, 0, 3, 1] {
        let task = Task(Held { ..held(&tasks[at]) });
        heap.pool.give_back(task, 2).unwrap();
    }
    for (number, position) in sent.into_iter().enumerate() {
        let task = heap.pool.take_orphan(3).unwrap().unwrap();
        assert_eq!((task.position(), heap.content_of_task(&task)), (position, vec![number as u8; 100]));
        heap.pool.done(task).unwrap();
    }
    heap.all_free();
}

use super::super::chunk::Held;

/// A second handle to the same task, as only a test may make one.
pub(super) fn held(task: &Task) -> Held {
    Held { chunk: task.0.chunk, word: task.0.word, len: task.0.len, position: task.0.position }
}

#[test]
fn a_task_is_done_exactly_once() {
    let heap = Heap::new();
    heap.send(1, b"work").unwrap();
    let task = heap.work(2);
    let again = [Task(held(&task)), Task(held(&task))];
    heap.pool.done(task).unwrap();
    let loan = heap.reserve(3, 1).unwrap();
    let [once, twice] = again;
    assert!(heap.pool.done(once).is_err());
    assert!(heap.pool.give_back(twice, 2).is_err());
    assert_eq!(heap.pool.word(loan.chunk()), loan.word, "it is somebody else's");
    heap.pool.give_up(loan);
    heap.all_free();
}

#[test]
fn a_census_says_who_has_what() {
    let heap = Heap::new();
    heap.send(1, b"a").unwrap();
    heap.send(1, b"b").unwrap();
    let (kept, task) = (heap.keep(2), heap.work(3));
    let loan = heap.reserve(4, 1).unwrap();
    let entries = u64::from(heap.pool.layout().entries());
    let expected = Census { free: entries - 3, kept: 1, tasks: 1, loaned: 1, ..Default::default() };
    assert_eq!(heap.pool.census(), expected);
    let owners: Vec<_> = heap.pool.words().map(|(_, word)| word.owner()).filter(|&owner| owner > 0).collect();
    assert_eq!(
        {
            let mut owners = owners;
            owners.sort_unstable();
            owners
        },
        [2, 3, 4]
    );
    heap.pool.free(kept);
    heap.pool.give_back(task, 3).unwrap();
    heap.pool.give_up(loan);
    assert_eq!(heap.pool.census(), Census { free: entries - 1, orphans: 1, ..Default::default() });
}
