//! Queues that count what is done, between real processes, which are killed.

use process_tests::books::Books;
use process_tests::support::{Peer, rounds};
use process_tests::{parcel, test};
use ringway::inspect::{self, Detail, Tally};
use ringway::queue::{DoneError, JoinError};
use ringway::{Deadline, RecvError, TallyQueue};

fn counts(path: &str) -> Tally {
    match inspect::stat(path).unwrap().detail {
        Detail::Queue(queue) => queue.tally.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// What a worker has said: the messages it received, and how many it was done with.
fn note(books: &mut Books, worker: &mut Peer<'_>) -> u64 {
    let mut done = 0;
    while let Some(line) = worker.line_or_end() {
        match line.as_str() {
            "done" => done += 1,
            "closed" => break,
            message => books.note_line(message),
        }
    }
    done
}

/// Exactly so many can be done, and only then is everything.
fn must_be_unfinished(jobs: &TallyQueue, messages: u64) {
    for left in (1..=messages).rev() {
        assert_eq!(jobs.unfinished(), left);
        assert!(matches!(jobs.join_deadline(Deadline::NOW), Err(JoinError::Timeout)), "{left} are left");
        jobs.task_done().unwrap();
    }
    jobs.join().unwrap();
    assert!(matches!(jobs.task_done(), Err(DoneError::TooMany)));
    assert_eq!(jobs.unfinished(), 0);
}

/// Nobody is killed, and everybody who joins comes back, at the end and not before.
#[test]
fn four_workers_and_two_who_join() {
    const EACH: u64 = 2000;
    let test = test!("tally-crowd");
    let path = test.path("jobs");
    let jobs = TallyQueue::create(&path, 7).unwrap();
    // Until this one is done, nobody's join returns.
    jobs.send(&parcel::make(9 << 32, 100)).unwrap();
    let mut joiners: Vec<_> = (0..2).map(|_| test.start(&format!("tally {path} join"))).collect();
    let mut senders: Vec<_> =
        (0..3).map(|sender| test.start(&format!("tally {path} put:{sender}:{EACH}"))).collect();
    let mut workers: Vec<_> = (0..4).map(|_| test.start(&format!("tally {path} work"))).collect();
    let (mut books, mut done) = (Books::default(), 0);
    std::thread::scope(|scope| {
        // What they print must not fill their pipes.
        let noted: Vec<_> = workers
            .iter_mut()
            .map(|worker| {
                scope.spawn(|| {
                    let mut books = Books::default();
                    let done = note(&mut books, worker);
                    (books, done)
                })
            })
            .collect();
        senders.iter_mut().for_each(|sender| sender.expect("sent"));
        jobs.send(&parcel::make(9 << 32 | 1, 100)).unwrap();
        jobs.join().unwrap();
        joiners.iter_mut().for_each(|joiner| joiner.expect("joined"));
        assert!(jobs.is_empty());
        jobs.close();
        for noted in noted {
            let (others, count) = noted.join().unwrap();
            books.add(others);
            done += count;
        }
    });
    senders.into_iter().chain(workers).chain(joiners).for_each(|peer| peer.succeed());
    assert_eq!((books.len() as u64, done), (3 * EACH + 2, 3 * EACH + 2));
    must_be_unfinished(&jobs, 0);
}

/// Workers and senders are killed at any instruction, again and again: not one message is lost, or counted twice or not at all.
#[test]
fn killed_workers_and_senders() {
    let test = test!("tally-kills");
    let (mut kills, mut given_up) = (0, 0);
    for round in 0..rounds().div_ceil(6) {
        let path = test.path("jobs");
        let jobs = TallyQueue::options().capacity(1 + round as usize % 9).max_held(20).create(&path).unwrap();
        let mut workers: Vec<_> = (0..4).map(|_| test.start(&format!("tally {path} work"))).collect();
        let senders: Vec<_> =
            (0..2).map(|sender| test.start(&format!("tally {path} stream:{sender}"))).collect();
        let (mut books, mut done, mut sent) = (Books::default(), 0, [0_u64; 2]);
        // In the midst of the work, one after the other; what they had said before stays in their pipes.
        let mut lines = round * 7 % 40;
        for (worker, peer) in workers.iter_mut().enumerate() {
            for _ in 0..lines {
                match peer.line().as_str() {
                    "done" => done += 1,
                    message => books.note_line(message),
                }
            }
            peer.kill();
            if let Some(sender) = senders.get(worker.wrapping_sub(2)) {
                sender.kill();
            }
            lines = (lines * 5 + 3) % 30;
        }
        for mut worker in workers {
            done += note(&mut books, &mut worker);
            worker.was_killed();
        }
        for (sender, mut peer) in senders.into_iter().enumerate() {
            while let Some(line) = peer.line_or_end() {
                assert_eq!(line.parse(), Ok(sent[sender]));
                sent[sender] += 1;
            }
            peer.was_killed();
        }
        kills += 6;
        let said = books.len() as u64;
        let mut left = vec![];
        // Before anybody repairs anything: the first look already does.
        let unfinished = jobs.unfinished();
        let before = counts(&path);
        while let Ok(message) = jobs.recv_deadline(Deadline::NOW) {
            let number = parcel::check(&message).unwrap();
            books.note((number >> 32, number & 0xffff_ffff));
            left.push(number);
        }
        assert!(matches!(jobs.try_recv(), Err(RecvError::Empty)));
        let left = left.len() as u64;
        let after = counts(&path);
        // What was handed out to one that died before he could say so is gone, and nothing else.
        assert_eq!((after.taken, after.done), (before.taken + left, before.done));
        assert!((said..=said + 4).contains(&before.taken), "{said} of {before:?}");
        assert!((done..=done + 4).contains(&before.done), "{done} of {before:?}");
        // Whatever was sent was handed out, now or before; a sender may have died before he could say so.
        let all: u64 = sent.iter().sum();
        assert!((all..=all + 2).contains(&after.taken), "{all} of {after:?}");
        let missing: u64 = (0..).zip(&sent).map(|(sender, &count)| books.missing(sender, count)).sum();
        assert!(missing <= before.taken - said, "{missing} messages are lost");
        given_up += missing;
        assert_eq!(unfinished, after.taken - after.done);
        must_be_unfinished(&jobs, unfinished);
    }
    println!("{kills} kills, {given_up} messages died with their receivers");
}
