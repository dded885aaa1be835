//! Queues of bytes and of tasks between real processes, which are killed, stopped, forked, and run out of everything.

use process_tests::books::Books;
use process_tests::support::{Peer, Test, rounds};
use process_tests::{parcel, test};
use ringway::queue::JoinError;
use ringway::{Deadline, Error, JoinableQueue, Options, Queue, RecvError, SendError, Wait};
use std::collections::BTreeMap;
use std::time::Duration;

/// Long enough for every check of who is alive that a sleeper makes, several times.
const A_WHILE: Duration = Duration::from_millis(250);

/// Memory for four messages of up to 64 bytes beside those in the queue, and for nothing larger than 64 KiB.
fn tight(capacity: usize) -> Options<Queue<[u8]>> {
    Queue::<[u8]>::options().capacity(capacity).max_held(4).message_size(64).max_bytes(0)
}

/// Notes what a receiver prints until it says that it is over. The messages of one sender come in their order to each
/// receiver, unless some came back.
fn note(books: &mut Books, receiver: &mut Peer<'_>, in_order: bool) {
    let mut last = BTreeMap::new();
    loop {
        let line = receiver.line();
        if line == "closed" {
            return;
        }
        books.note_line(&line);
        let (sender, number) = line.split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        let before = last.insert(sender.to_owned(), number);
        assert!(
            !in_order || before.is_none_or(|before| before < number),
            "{sender}: {number} after {before:?}"
        );
    }
}

fn crowd(test: &Test, kind: &str, end: &str, create: impl Fn(&str, usize) -> Box<dyn Fn()>) {
    const EACH: u64 = 120;
    for (wait, capacity) in [("park", 1), ("adaptive", 7), ("spin", 64)] {
        let path = test.path("queue");
        let close = create(&path, capacity);
        let start = |script: &str| test.start(&format!("{kind} open:{path} {wait} {script}"));
        let mut senders: Vec<_> =
            (1..=8).map(|sender| start(&format!("put:{sender}:{EACH}:150000"))).collect();
        let mut receivers: Vec<_> = (0..8).map(|_| start(end)).collect();
        let mut books = Books::default();
        std::thread::scope(|scope| {
            // What they print must not fill their pipes.
            let noted: Vec<_> = receivers
                .iter_mut()
                .map(|receiver| {
                    scope.spawn(|| {
                        let mut books = Books::default();
                        note(&mut books, receiver, end == "drain");
                        books
                    })
                })
                .collect();
            senders.iter_mut().for_each(|sender| sender.expect("sent"));
            close();
            noted.into_iter().for_each(|noted| books.add(noted.join().unwrap()));
        });
        senders.into_iter().chain(receivers).for_each(|peer| peer.succeed());
        assert_eq!(books.len() as u64, 8 * EACH);
        assert!((1..=8).all(|sender| books.missing(sender, EACH) == 0));
    }
}

/// More processes than processors, messages of 8 bytes to 150 000.
#[test]
fn eight_senders_and_eight_receivers() {
    let test = test!("bytes-crowd");
    crowd(&test, "bytes", "drain", |path, capacity| {
        let options = Queue::<[u8]>::options().capacity(capacity).max_held(40);
        let queue = options.max_bytes(20 << 20).create(path).unwrap();
        Box::new(move || {
            queue.close();
        })
    });
}

/// Each task is done exactly once, though many come back.
#[test]
fn eight_senders_and_eight_workers() {
    let test = test!("jobs-crowd");
    crowd(&test, "jobs", "work", |path, capacity| {
        let options = JoinableQueue::<[u8]>::options().capacity(capacity).max_held(40);
        let queue = options.max_bytes(20 << 20).create(path).unwrap();
        Box::new(move || {
            queue.close();
            queue.join().unwrap();
            assert_eq!(queue.unfinished(), 0);
        })
    });
}

/// What a process has in its hands comes back when it is killed, or ends without a word, or forgot about it.
#[test]
fn what_the_gone_held_is_free() {
    let test = test!("bytes-held");
    for ending in ["kill", "exit", "end"] {
        let path = test.path("queue");
        let queue = tight(4).create(&path).unwrap();
        let all = std::iter::from_fn(|| queue.try_reserve(60).ok()).collect::<Vec<_>>().len();
        for number in 0..3 {
            queue.send(&parcel::make(number, 60)).unwrap();
        }
        let loans = "loan:60 ".repeat(all - 3);
        let how = if ending == "kill" { "hang" } else { "forget wait exit" };
        let how = if ending == "end" { "forget wait" } else { how };
        let mut holder = test.start(&format!("bytes open:{path} park hold:3 {loans} loan:60 ready {how}"));
        (0..3).for_each(|number| holder.expect(&format!("0 {number}")));
        (3..all).for_each(|_| holder.expect("loaned"));
        holder.expect("full");
        holder.expect("ready");
        assert!(matches!(queue.try_reserve(60), Err(SendError::Full)));
        assert!(matches!(queue.reserve_deadline(60, Deadline::after(A_WHILE)), Err(SendError::Timeout)));
        if ending == "kill" {
            holder.kill();
        } else {
            holder.go();
        }
        let loans: Vec<_> = (0..all).map(|_| queue.reserve(60).unwrap()).collect();
        assert!(matches!(queue.try_reserve(60), Err(SendError::Full)));
        drop(loans);
        if ending == "kill" { holder.was_killed() } else { holder.succeed() }
    }
}

/// A process that is stopped is not dead: nothing is taken from it, and it goes on where it was.
#[test]
fn nothing_is_taken_from_the_stopped() {
    let test = test!("jobs-stopped");
    let path = test.path("jobs");
    let jobs = JoinableQueue::<[u8]>::options().capacity(4).wait(Wait::Park).create(&path).unwrap();
    for number in 0..2 {
        jobs.send(&parcel::make(number, 100)).unwrap();
    }
    let mut worker = test.start(&format!("jobs open:{path} park hold:2 loan:80 ready wait finish commit"));
    (0..2).for_each(|number| worker.expect(&format!("0 {number}")));
    worker.expect("loaned");
    worker.expect("ready");
    worker.stop();
    assert!(matches!(jobs.recv_timeout(A_WHILE), Err(RecvError::Timeout)));
    assert!(matches!(jobs.join_timeout(A_WHILE), Err(JoinError::Timeout)));
    assert_eq!(jobs.unfinished(), 2);
    // Others go on beside it.
    jobs.send(b"beside").unwrap();
    jobs.recv().unwrap().done().unwrap();
    worker.signal(libc::SIGCONT);
    worker.go();
    worker.expect("finished");
    worker.expect("sent");
    let task = jobs.recv().unwrap();
    assert_eq!((parcel::check(&task), task.deliveries()), (Ok(0), 0));
    task.done().unwrap();
    jobs.join().unwrap();
    worker.succeed();

    let path = test.path("bytes");
    let queue = tight(1).wait(Wait::Park).create(&path).unwrap();
    let all = std::iter::from_fn(|| queue.try_reserve(60).ok()).collect::<Vec<_>>().len();
    let loans = "loan:60 ".repeat(all);
    let mut holder = test.start(&format!("bytes open:{path} park {loans} ready wait drop"));
    (0..all).for_each(|_| holder.expect("loaned"));
    holder.expect("ready");
    holder.stop();
    assert!(matches!(queue.reserve_deadline(60, Deadline::after(A_WHILE)), Err(SendError::Timeout)));
    std::thread::scope(|scope| {
        let behind = scope.spawn(|| queue.send(&parcel::make(1, 60)));
        holder.signal(libc::SIGCONT);
        holder.go();
        behind.join().unwrap().unwrap();
    });
    assert_eq!(parcel::check(&queue.recv().unwrap()), Ok(1));
    holder.expect("dropped");
    holder.succeed();
}

/// Stopped anywhere in the middle of sending: those behind wait, and nothing is lost, doubled or passed over.
#[test]
fn a_stopped_sender_goes_on_where_it_was() {
    let test = test!("bytes-stopped-sender");
    let path = test.path("queue");
    let queue = tight(3).wait(Wait::Park).create(&path).unwrap();
    let mut sender = test.start(&format!("bytes open:{path} adaptive put:0:{}:4000", rounds() * 50));
    let mut next = 0;
    for round in 0..rounds() {
        for _ in 0..1 + round * 7 % 40 {
            assert_eq!(parcel::check(&queue.recv().unwrap()), Ok(next));
            next += 1;
        }
        sender.stop();
        // Some that it had sent, then nothing.
        while let Ok(message) = queue.recv_timeout(Duration::from_millis(1 + round % 20)) {
            assert_eq!(parcel::check(&message), Ok(next));
            next += 1;
        }
        sender.signal(libc::SIGCONT);
    }
    while next < rounds() * 50 {
        assert_eq!(parcel::check(&queue.recv().unwrap()), Ok(next));
        next += 1;
    }
    sender.expect("sent");
    sender.succeed();
}

/// Killed anywhere: what was sent is received once, but for what a killed one had received; all memory comes back.
#[test]
fn senders_and_receivers_die() {
    let test = test!("bytes-kills");
    let path = test.path("queue");
    let queue = Queue::<[u8]>::options().capacity(5).max_held(30).create(&path).unwrap();
    let mut books = Books::default();
    let (mut sent, mut lost) = (vec![], 0);
    for round in 0..rounds() / 4 {
        let mut sender = test.start(&format!("bytes open:{path} adaptive stream:{round}"));
        let mut receiver = test.start(&format!("bytes open:{path} park drain"));
        for _ in 0..20 {
            let number = parcel::check(&queue.recv().unwrap()).unwrap();
            books.note((number >> 32, number & 0xffff_ffff));
        }
        let (first, second) = if round % 2 == 0 { (&sender, &receiver) } else { (&receiver, &sender) };
        first.kill();
        second.kill();
        while let Some(line) = receiver.line_or_end() {
            books.note_line(&line);
        }
        receiver.was_killed();
        lost += 1;
        let mut count = 0;
        while let Some(line) = sender.line_or_end() {
            assert_eq!(line, count.to_string());
            count += 1;
        }
        sender.was_killed();
        sent.push(count);
        loop {
            match queue.recv_timeout(Duration::from_millis(150)) {
                Ok(message) => {
                    let number = parcel::check(&message).unwrap();
                    books.note((number >> 32, number & 0xffff_ffff));
                }
                Err(RecvError::Timeout) => break,
                Err(other) => panic!("{other}"),
            }
        }
        let loans: Vec<_> = (0..35).map(|_| queue.try_reserve(200).unwrap()).collect();
        drop(loans);
    }
    let missing: u64 = (0_u64..).zip(&sent).map(|(sender, &count)| books.missing(sender, count)).sum();
    assert!(missing <= lost, "{missing} messages are missing, {lost} receivers were killed");
}

#[test]
fn guards_across_a_fork() {
    let test = test!("queue-forks");
    test.start(&format!("queuefork {}", test.path("jobs"))).succeed();
}

/// Where every place is taken nobody comes in; once a holder is dead, his place is free and his tasks are another's.
#[test]
fn there_are_only_so_many_participants() {
    let test = test!("jobs-places");
    let path = test.path("jobs");
    let jobs = JoinableQueue::<[u8]>::options().participants(2).capacity(4).create(&path).unwrap();
    jobs.send(&parcel::make(5, 70)).unwrap();
    let mut holder = test.start(&format!("jobs open:{path} park hold:1 hang"));
    holder.expect("0 5");
    let mut late = test.command(&format!("jobs open:{path} park hold:1 finish"));
    let refused = test.spawn(late.stderr(std::process::Stdio::null())).end();
    assert!(!refused.success(), "a third one");
    holder.kill();
    holder.was_killed();
    let mut heir = test.start(&format!("jobs open:{path} park hold:1 finish"));
    heir.expect("0 5");
    heir.expect("finished");
    heir.succeed();
    jobs.join().unwrap();
    // Two handles of one process are one participant.
    let again = JoinableQueue::<[u8]>::open(&path).unwrap();
    assert!(!matches!(JoinableQueue::<[u8]>::open(&path), Err(Error::TooManyParticipants { .. })));
    again.send(b"more").unwrap();
    jobs.recv().unwrap().done().unwrap();
}

/// A file system, or a limit on files, that has no room for a large message says so when it is reserved.
#[test]
fn no_room_for_a_large_message() {
    let test = test!("bytes-full");
    let path = test.path("directory");
    std::fs::create_dir(&path).unwrap();
    let mut full = test.start(&format!("queuefull {path}"));
    match full.line().as_str() {
        "cannot" => eprintln!("NOT RUN: a small file system cannot be mounted here"),
        line => assert_eq!(line, "seen"),
    }
    full.succeed();

    let path = test.path("queue");
    let queue = Queue::<[u8]>::options().capacity(4).max_bytes(64 << 20).create(&path).unwrap();
    let len = std::fs::metadata(&path).unwrap().len();
    // Everything is beyond the limit but what is reserved already.
    queue.send(&vec![1; 100_000]).unwrap();
    drop(queue.recv().unwrap());
    let limit = len - queue.max_message() * 64;
    let mut limited =
        test.start(&format!("bytes open:{path} park fsize:{limit} loan:9000000 loan:90000 loan:9 commit"));
    limited.expect("no space");
    limited.expect("loaned");
    limited.expect("loaned");
    limited.expect("sent");
    limited.succeed();
    assert_eq!([queue.recv().unwrap().len(), queue.recv().unwrap().len()], [90_000, 9]);
    queue.send(&vec![2; 9_000_000]).unwrap();
    assert_eq!(queue.recv().unwrap().len(), 9_000_000);
}

/// The bound in bytes counts what all processes have together.
#[test]
fn more_than_the_bound() {
    let test = test!("bytes-bound");
    let path = test.path("queue");
    let queue = Queue::<[u8]>::options().capacity(8).max_bytes(4 << 20).create(&path).unwrap();
    let beyond = vec![0; (4 << 20) + 1];
    assert!(matches!(queue.send(&beyond), Err(SendError::TooLarge { .. })));
    assert!(matches!(queue.try_send(&beyond), Err(SendError::TooLarge { .. })));
    let mut holder = test.start(&format!("bytes open:{path} park loan:3000000 ready wait commit ready hang"));
    holder.expect("loaned");
    holder.expect("ready");
    assert!(matches!(queue.try_send(&beyond[..2 << 20]), Err(SendError::Full)));
    assert!(matches!(queue.reserve_deadline(2 << 20, Deadline::after(A_WHILE)), Err(SendError::Timeout)));
    queue.send(&beyond[..1 << 20]).unwrap();
    holder.go();
    holder.expect("sent");
    holder.expect("ready");
    let (first, second) = (queue.recv().unwrap(), queue.recv().unwrap());
    assert_eq!([first.len(), second.len()], [1 << 20, 3_000_000]);
    // Whoever holds them has the bytes.
    assert!(matches!(queue.try_send(&beyond[..2 << 20]), Err(SendError::Full)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| queue.send(&beyond[1..]));
        drop((first, second));
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(queue.recv().unwrap().len(), 4 << 20);
    holder.kill();
    holder.was_killed();
}

/// A gigabyte through a queue as it comes, in place, beside small messages.
#[test]
fn a_gigabyte_through_a_default_queue() {
    const LEN: usize = 1 << 30;
    const PAGE: usize = 4096;
    let test = test!("bytes-gigabyte");
    // SAFETY: all zeroes is a valid answer to be filled in.
    let mut space: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a C string, and a valid place for the answer.
    assert_eq!(unsafe { libc::statvfs(c"/dev/shm".as_ptr(), &mut space) }, 0);
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    let available: u64 = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024;
    if (space.f_bavail * space.f_bsize).min(available) < 2 * LEN as u64 {
        eprintln!("NOT RUN: /dev/shm has no room for a gigabyte");
        return;
    }
    let path = test.path("queue");
    let queue = Queue::<[u8]>::options().create(&path).unwrap();
    assert_eq!(queue.max_message(), LEN as u64);
    queue.send(b"before").unwrap();
    let mut loan = queue.reserve(LEN).unwrap();
    for (number, page) in loan.chunks_exact_mut(PAGE).enumerate() {
        page[..8].copy_from_slice(&(number as u64).to_ne_bytes());
        page[PAGE - 1] = number as u8;
    }
    loan.commit().unwrap();
    queue.send(b"after").unwrap();
    let other = Queue::<[u8]>::open(&path).unwrap();
    assert_eq!(&*other.recv().unwrap(), b"before");
    let message = other.recv().unwrap();
    assert_eq!(&*other.recv().unwrap(), b"after");
    assert_eq!(message.len(), LEN);
    for (number, page) in message.chunks_exact(PAGE).enumerate() {
        assert_eq!((&page[..8], page[PAGE - 1]), (&(number as u64).to_ne_bytes()[..], number as u8));
    }
    assert!(matches!(queue.try_send(&[0; 70_000]), Err(SendError::Full)), "the bound is reached");
    drop(message);
    assert_eq!(queue.trim(), LEN as u64);
}
