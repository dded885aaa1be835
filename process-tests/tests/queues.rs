//! Queues between real processes, which are killed, stopped and forked.

use process_tests::books::{Books, Message};
use process_tests::support::rounds;
use process_tests::test;
use ringway::{Deadline, Queue, RecvError, Wait};
use std::time::Duration;

fn queue(path: &str, capacity: usize) -> Queue<Message> {
    Queue::options().capacity(capacity).create(path).unwrap()
}

#[test]
fn a_child_inherits_a_queue() {
    let test = test!("queue-inherit");
    let queue = Queue::<Message>::anonymous(4).unwrap();
    let mut command = test.command("queue inherit:jobs park put:1:1000");
    queue.inherit(&mut command, "jobs").unwrap();
    let mut peer = test.spawn(&mut command);
    for number in 0..1000 {
        assert_eq!(queue.recv().unwrap().check(), (1, number));
    }
    peer.expect("sent");
    peer.succeed();
}

#[test]
fn parent_and_child_share_a_handle_over_a_fork() {
    let test = test!("queue-fork");
    let path = test.path("queue");
    let queue = queue(&path, 3);
    let mut peer = test.start(&format!("queue open:{path} adaptive fork:1:500"));
    let mut books = Books::default();
    for _ in 0..1000 {
        books.note(queue.recv().unwrap().check());
    }
    peer.expect("sent");
    peer.succeed();
    assert_eq!((books.missing(1, 500), books.missing(2, 500)), (0, 0));
}

/// More processes than processors, in each way of waiting.
#[test]
fn eight_senders_and_eight_receivers() {
    let test = test!("queue-crowd");
    for (wait, capacity) in [("park", 1), ("adaptive", 7), ("spin", 64)] {
        let path = test.path("queue");
        let queue = queue(&path, capacity);
        let mut senders: Vec<_> =
            (0..8).map(|sender| test.start(&format!("queue open:{path} {wait} put:{sender}:300"))).collect();
        let mut receivers: Vec<_> =
            (0..8).map(|_| test.start(&format!("queue open:{path} {wait} drain"))).collect();
        senders.iter_mut().for_each(|sender| sender.expect("sent"));
        senders.into_iter().for_each(|sender| sender.succeed());
        queue.close();
        let mut books = Books::default();
        for receiver in &mut receivers {
            loop {
                match receiver.line() {
                    line if line == "closed" => break,
                    line => books.note_line(&line),
                }
            }
        }
        receivers.into_iter().for_each(|receiver| receiver.succeed());
        assert_eq!(books.len(), 8 * 300);
    }
}

/// The standard library's queue blocks everybody for ever when a process is killed that waits in `get`.
#[test]
fn a_receiver_killed_while_it_waits_takes_nothing_along() {
    let test = test!("queue-waiting");
    let path = test.path("queue");
    let queue = queue(&path, 4);
    for number in 0..rounds() / 4 {
        let waiting = test.start(&format!("queue open:{path} park drain"));
        waiting.until_asleep();
        if number % 2 == 0 {
            waiting.kill();
            queue.send(Message::new(0, number)).unwrap();
        } else {
            // The wake-up and the kill meet: either it was received and printed, or it is still there.
            queue.send(Message::new(0, number)).unwrap();
            waiting.kill();
        }
        let mut waiting = waiting;
        let theirs = waiting.line_or_end();
        waiting.was_killed();
        let ours = queue.recv_timeout(Duration::from_millis(300)).ok();
        assert!(theirs.is_none() || ours.is_none(), "came twice");
        if number % 2 == 0 {
            assert_eq!(ours.unwrap().check(), (0, number));
        }
        assert!(queue.is_empty());
    }
}

/// Senders and receivers are killed at random. What was sent is received once, except what a killed receiver had
/// just taken; nobody is blocked; all the capacity comes back.
#[test]
fn senders_and_receivers_die() {
    let test = test!("queue-kills");
    let path = test.path("queue");
    let queue = queue(&path, 5);
    let mut books = Books::default();
    let mut killed_receivers = 0;
    let mut sent = vec![];
    for round in 0..rounds() / 3 {
        let mut sender = test.start(&format!("queue open:{path} adaptive stream:{round}"));
        let mut receivers: Vec<_> =
            (0..2).map(|_| test.start(&format!("queue open:{path} park drain"))).collect();
        // We receive too, so that the round goes on while the others die.
        for _ in 0..20 {
            books.note(queue.recv().unwrap().check());
        }
        let first_victim = receivers.pop().unwrap();
        if round % 2 == 0 {
            first_victim.kill();
            sender.kill();
        } else {
            sender.kill();
            first_victim.kill();
        }
        receivers[0].kill();
        receivers.push(first_victim);
        for mut receiver in receivers {
            while let Some(line) = receiver.line_or_end() {
                books.note_line(&line);
            }
            receiver.was_killed();
            killed_receivers += 1;
        }
        let mut count = 0;
        while let Some(line) = sender.line_or_end() {
            assert_eq!(line, count.to_string());
            count += 1;
        }
        sender.was_killed();
        sent.push(count);
        // What is left is ours, and the queue is then as good as new.
        loop {
            match queue.recv_timeout(Duration::from_millis(150)) {
                Ok(message) => books.note(message.check()),
                Err(RecvError::Timeout) => break,
                Err(other) => panic!("{other}"),
            }
        }
        for number in 0..5 {
            queue.try_send(Message::new(u64::MAX, number)).unwrap();
        }
        assert!(queue.is_full());
        for number in 0..5 {
            assert_eq!(queue.try_recv().unwrap().check(), (u64::MAX, number));
        }
    }
    let missing: u64 = (0_u64..).zip(&sent).map(|(sender, &count)| books.missing(sender, count)).sum();
    assert!(
        missing <= killed_receivers,
        "{missing} messages are missing, {killed_receivers} receivers were killed"
    );
}

/// A wake-up may go to a process that is stopped; the others receive all the same.
#[test]
fn a_stopped_receiver_holds_nobody_up() {
    let test = test!("queue-stopped");
    let path = test.path("queue");
    let queue = queue(&path, 4);
    let stopped = test.start(&format!("queue open:{path} park drain"));
    stopped.until_asleep();
    stopped.stop();
    for number in 0..10 {
        queue.send(Message::new(0, number)).unwrap();
        assert_eq!(queue.recv_deadline(Deadline::NEVER).unwrap().check(), (0, number));
    }
    let other = queue.with_wait(Wait::Park).unwrap();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| other.recv().unwrap().check());
        queue.send(Message::new(0, 10)).unwrap();
        assert_eq!(receiver.join().unwrap(), (0, 10));
    });
    stopped.signal(libc::SIGCONT);
    queue.close();
    let mut stopped = stopped;
    stopped.expect("closed");
    stopped.succeed();
}
