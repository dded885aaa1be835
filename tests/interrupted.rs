//! Whoever gives up a wait because he was asked to has taken nothing, whatever came in the very moment.

use ringway::{JoinableQueue, Pipe, Queue, RecvError, Semaphore, SendError, Token, interruptible};

/// Waits by `wait`; while it sleeps, `come` makes what it waits for possible, and then it is asked to give up.
fn given_up<R>(come: impl FnMut(), wait: impl FnOnce() -> R) -> R {
    let mut come = Some(come);
    let hook = || {
        if let Some(mut come) = come.take() {
            come();
        }
        true
    };
    interruptible(hook, wait)
}

#[test]
fn a_message_that_comes_in_that_moment_stays() {
    let queue = Queue::<u64>::anonymous(8).unwrap();
    let other = queue.clone();
    let received = given_up(|| other.send(7).unwrap(), || queue.recv());
    assert!(matches!(received, Err(RecvError::Timeout)), "{received:?}");
    assert_eq!(queue.try_recv().unwrap(), 7);

    let queue = Queue::<[u8]>::anonymous(8).unwrap();
    let other = queue.clone();
    let received =
        given_up(|| other.send(b"seven").unwrap(), || queue.recv().map(|message| message.to_vec()));
    assert!(matches!(received, Err(RecvError::Timeout)), "{received:?}");
    assert_eq!(&*queue.try_recv().unwrap(), b"seven");

    let queue = JoinableQueue::<u64>::anonymous(8).unwrap();
    let other = queue.clone();
    let received = given_up(|| other.send(7).unwrap(), || queue.recv().map(|task| *task));
    assert!(matches!(received, Err(RecvError::Timeout)), "{received:?}");
    assert_eq!(queue.try_recv().map(|task| task.deliveries()).unwrap(), 0);
}

#[test]
fn a_place_that_comes_in_that_moment_stays_free() {
    let queue = Queue::<u64>::anonymous(1).unwrap();
    queue.send(1).unwrap();
    let other = queue.clone();
    let sent = given_up(|| assert_eq!(other.recv().unwrap(), 1), || queue.send(2));
    assert!(matches!(sent, Err(SendError::Timeout)), "{sent:?}");
    assert!(queue.is_empty());
}

#[test]
fn bytes_that_come_in_that_moment_stay() {
    let (a, z) = Pipe::pair().unwrap();
    let received = given_up(|| a.send(b"seven").unwrap(), || z.recv().map(|message| message.to_vec()));
    assert!(matches!(received, Err(RecvError::Timeout)), "{received:?}");
    assert_eq!(&*z.recv().unwrap(), b"seven");
}

#[test]
fn a_lock_or_permit_that_comes_in_that_moment_stays() {
    let semaphore = Semaphore::anonymous(0).unwrap();
    let acquired = given_up(|| semaphore.release().unwrap(), || semaphore.acquire());
    assert!(acquired.is_err());
    assert_eq!(semaphore.available(), 1);

    let token = Token::anonymous().unwrap();
    token.acquire().unwrap();
    let acquired = given_up(|| token.release().unwrap(), || token.acquire());
    assert!(acquired.is_err());
    assert!(!token.is_held());
}
