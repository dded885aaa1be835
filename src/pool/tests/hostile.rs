//! A peer that writes anything anywhere: every call ends with a value or an error, and stays inside the pool.

use super::*;
use crate::sync::Ordering;

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 20) % limit
    }

    /// A number that somebody may find interesting.
    fn odd(&mut self) -> u64 {
        let value = [0, 1, 63, 64, 65, 4096, 1 << 16, 1 << 24, 1 << 34, 1 << 40, 1 << 63, u64::MAX];
        let value = value[self.below(value.len() as u64) as usize];
        match self.below(3) {
            0 => value.wrapping_add(self.below(5)).wrapping_sub(2),
            1 => self.0,
            _ => value | self.below(1 << 30),
        }
    }
}

fn inside(heap: &Heap, chunk: Chunk, len: u64) {
    let address = heap.pool.address(chunk).as_ptr() as usize;
    let (area, tail) = (heap.area.0.as_ptr() as usize, heap.pool.tail.as_ptr() as usize);
    let within = |start: usize, size: u64| address >= start && address as u64 + len <= start as u64 + size;
    assert!(within(area, heap.pool.layout().len()) || within(tail, heap.pool.layout().tail_len()));
}

#[test]
fn every_call_ends_and_stays_inside() {
    let mut random = Numbers(7);
    let (mut received, mut refused) = (0, 0);
    for _ in 0..3000 {
        let heap = Heap::new();
        let entries = heap.pool.layout().entries();
        let _ = heap.send(1, b"one");
        let _ = heap.send(1, &[7; 5000]);
        for _ in 0..1 + random.below(20) {
            let entry = heap.pool.entry_at(random.below(entries.into()) as u32);
            match random.below(6) {
                0 => entry.word.store(random.odd(), Ordering::SeqCst),
                1 => entry.word.store(random.below(8) << 16 | random.below(4), Ordering::SeqCst),
                2 => entry.pos.store(random.below(2) * random.odd(), Ordering::SeqCst),
                3 => entry.len.store(random.odd(), Ordering::SeqCst),
                4 => heap.pool.extent(random.below(6) as u32).bytes.store(random.odd(), Ordering::SeqCst),
                _ => heap.pool.orphans().raise(),
            }
            if random.below(3) == 0 {
                let index = random.below(4) as u32;
                heap.slots().stamp(index).tag.store(random.odd(), Ordering::SeqCst);
            }
        }
        for _ in 0..6 {
            if let Ok(claim) = heap.slots().take_next(2) {
                match heap.pool.receive_kept(&heap.slots(), claim, 2) {
                    Ok(kept) => {
                        inside(&heap, kept.chunk(), kept.len());
                        received += 1;
                        if kept.len() < 1 << 20 {
                            drop(heap.content(&kept));
                        }
                        heap.pool.free(kept);
                    }
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        refused += 1;
                    }
                }
            }
            if let Ok(Some(task)) = heap.pool.take_orphan(3) {
                inside(&heap, task.chunk(), task.len());
                let _ =
                    if random.below(2) == 0 { heap.pool.done(task) } else { heap.pool.give_back(task, 3) };
            }
            if let Ok(loan) = heap.reserve(4, random.below(1 << 17)) {
                inside(&heap, loan.chunk(), heap.pool.room(&loan));
                heap.pool.copy_in(&loan, random.below(200), &[1; 100]);
                heap.pool.give_up(loan);
            }
            heap.pool.sweep(5, &heap.slots(), |owner| owner % 2 == 0);
            let _ = heap.is_finished();
            heap.pool.trim(6, &heap.space);
            assert_eq!(heap.pool.words().count(), entries as usize);
        }
    }
    assert!(received > 100 && refused > 100, "{received} received, {refused} refused");
}

#[test]
fn a_slot_that_refers_to_what_cannot_be_blocks_nobody() {
    let heap = Heap::new();
    heap.send(1, b"good").unwrap();
    let honest = {
        let claim = heap.next(2);
        let tag = heap.pool.tag(&heap.slots(), claim);
        let kept = heap.pool.receive_kept(&heap.slots(), claim, 2).unwrap();
        heap.pool.free(kept);
        tag
    };
    let free_chunk = honest;
    for lie in [
        Tag(u64::MAX),
        Tag(0x3f << 24),
        Tag::inline(3),
        Tag(honest.0 | 6),
        Tag(honest.0 | 1 << 40),
        free_chunk,
    ] {
        let claim = heap.slots().claim(1).unwrap();
        heap.slots().stamp(claim.position.index).tag.store(lie.0, RELAXED);
        heap.slots().commit(claim);
        let claim = heap.next(2);
        heap.pool.receive_kept(&heap.slots(), claim, 2).unwrap_err();
        heap.all_free();
    }
    heap.send(1, b"more").unwrap();
    assert_eq!(heap.recv(2), b"more");
}

/// Two slots refer to one chunk: it is handed out once.
#[test]
fn nobody_gets_what_this_process_has_already() {
    let heap = Heap::new();
    heap.send(1, b"once").unwrap();
    let tag = heap.pool.tag(&heap.slots(), Claim { position: Position::new(0, 0), ..heap.next(2) });
    let (chunk, _) = heap.pool.layout().admit(tag).unwrap();
    let kept = heap.pool.take(tag, Position::new(0, 0), chunk::Purpose::Keep, 2, 0).unwrap();
    let claim = heap.slots().claim(1).unwrap();
    heap.pool.entry(chunk).pos.store(claim.position.pack(), RELAXED);
    heap.slots().stamp(claim.position.index).tag.store(tag.0, RELAXED);
    heap.slots().commit(claim);
    heap.pool.receive_kept(&heap.slots(), heap.slots().take_next(2).unwrap(), 2).unwrap_err();
    heap.pool.free(Kept(kept));
}

#[test]
fn words_that_mean_nothing_are_left_alone_and_counted() {
    let heap = Heap::new();
    for (number, state) in (0..heap.pool.layout().entries()).zip([6_u64, 9, 15]) {
        heap.pool.entry_at(number).word.store(state << 16 | 9, Ordering::SeqCst);
    }
    assert_eq!(heap.sweep(&[9]), Swept::default());
    assert_eq!(heap.pool.census().corrupt, 3);
    let loans: Vec<_> = std::iter::from_fn(|| heap.reserve(1, 60).ok()).collect();
    assert_eq!(loans.len(), 6 + 6 - 3);
}

#[test]
fn an_orphan_whose_entry_lies_is_an_error_once() {
    let heap = Heap::new();
    heap.send(1, b"task").unwrap();
    let task = heap.work(2);
    let chunk = task.chunk();
    heap.pool.give_back(task, 2).unwrap();
    heap.pool.entry(chunk).len.store(65, RELAXED);
    assert!(heap.pool.take_orphan(3).is_err());
    assert!(heap.pool.take_orphan(3).unwrap().is_none());
    heap.all_free();
}
