//! The bytes of a used object of each kind: what an attacker begins with.

use crate::locks::Value as Guarded;
use crate::opening::{Typed, Wide};
use crate::{place, raw};
use arbitrary::Arbitrary;
use bytemuck::Pod;
use ringway::{
    Array, Barrier, Condvar, Connection, Deadline, Event, JoinableQueue, Map, Memory, Mutex, OwnedSemaphore,
    Pipe, Queue, ReentrantMutex, Semaphore, TallyQueue, Token, Value, bytes, spsc,
};

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Object {
    Typed,
    Wide,
    Bytes,
    Pipe,
    Simplex,
    Values,
    Bytestrings,
    Tasks,
    ByteTasks,
    Mutex,
    Reentrant,
    Semaphore,
    Owned,
    Event,
    Condvar,
    Barrier,
    Number,
    Large,
    Array,
    Memory,
    Token,
    Map,
    Tally,
}

/// How many kinds there are.
pub const KINDS: usize = 23;

/// The bytes of an object that `fill` has made and used.
fn object<E>(fill: impl FnOnce(&str) -> E) -> Vec<u8> {
    let name = place::name("template");
    let endpoints = fill(&name);
    let mut bytes = std::fs::read(&name).unwrap();
    // A sparse tail is zeros anyway.
    bytes.truncate(bytes.len() - raw::word_in(&bytes, raw::TAIL_LEN) as usize);
    drop(endpoints);
    ringway::unlink(&name).unwrap();
    bytes
}

fn typed<T: Pod>(name: &str) -> (spsc::Producer<T>, spsc::Consumer<T>) {
    let mut tx = spsc::Producer::<T>::options().participants(4).capacity(6).create(name).unwrap();
    let mut rx = spsc::Consumer::<T>::open(name).unwrap();
    tx.push_slice(&[T::zeroed(); 5]).unwrap();
    rx.pop().unwrap();
    (tx, rx)
}

fn pipe(name: &str, simplex: bool) -> (Connection, Connection) {
    let a = Pipe::options().capacity(4096).participants(4).simplex(simplex).create(name).unwrap();
    let z = Pipe::open(name).unwrap();
    for len in [0, 10, 500, 2500] {
        a.send(&vec![1; len]).unwrap();
    }
    z.recv().unwrap();
    if !simplex {
        z.send(b"back").unwrap();
    }
    (a, z)
}

/// Of all kinds, in the order of [`Object`].
pub fn all() -> [Vec<u8>; KINDS] {
    [
        object(typed::<Typed>),
        object(typed::<Wide>),
        object(|name| {
            let mut tx = bytes::Producer::options().participants(4).capacity(4096).create(name).unwrap();
            let mut rx = bytes::Consumer::open(name).unwrap();
            for len in [3, 0, 1000, 17] {
                tx.push(&vec![1; len]).unwrap();
            }
            rx.pop().unwrap();
            (tx, rx)
        }),
        object(|name| pipe(name, false)),
        object(|name| pipe(name, true)),
        object(|name| {
            let queue = Queue::<Wide>::options().participants(4).capacity(3).create(name).unwrap();
            queue.send_many(&[[1; 6]; 3]).unwrap();
            queue.recv().unwrap();
            queue
        }),
        object(|name| {
            let options = Queue::<[u8]>::options().participants(4).capacity(3).max_held(1);
            let queue = options.message_size(100).max_bytes(100_000).create(name).unwrap();
            for len in [10, 100, 80_000] {
                queue.send(&vec![1; len]).unwrap();
            }
            let held = queue.recv().unwrap().detach();
            (queue, held)
        }),
        object(|name| {
            let options = JoinableQueue::<Typed>::options().participants(4).capacity(3).max_held(2);
            let queue = options.create(name).unwrap();
            queue.send_many(&[1, 2, 3], Deadline::NOW).unwrap();
            drop(queue.recv().unwrap());
            let [first, second] = [queue.recv().unwrap().detach(), queue.recv().unwrap().detach()];
            (second.done().unwrap(), first, queue)
        }),
        object(|name| {
            let options = JoinableQueue::<[u8]>::options().participants(4).capacity(2).max_held(2);
            let queue = options.message_size(32).max_bytes(100_000).create(name).unwrap();
            queue.send(b"one").unwrap();
            queue.send(&[2; 70_000]).unwrap();
            drop(queue.recv().unwrap());
            queue.close();
            queue
        }),
        object(|name| {
            let mutex = Mutex::<Guarded>::options().participants(4).timed(true).create(name).unwrap();
            // The guard leaves the lock taken, as a dead process does.
            core::mem::forget(mutex.lock().unwrap());
            mutex
        }),
        object(|name| {
            let mutex = ReentrantMutex::<Guarded>::options().participants(4).create(name).unwrap();
            core::mem::forget((mutex.lock().unwrap(), mutex.lock().unwrap()));
            mutex
        }),
        object(|name| {
            let semaphore = Semaphore::options().permits(3).bound(6).participants(4).create(name).unwrap();
            semaphore.try_acquire().unwrap();
            semaphore
        }),
        object(|name| {
            let semaphore = OwnedSemaphore::options().permits(5).participants(4).create(name).unwrap();
            core::mem::forget(semaphore.try_acquire().unwrap());
            semaphore
        }),
        object(|name| {
            let event = Event::options().participants(4).create(name).unwrap();
            event.set();
            event
        }),
        object(|name| {
            let condvar = Condvar::options().participants(4).create(name).unwrap();
            condvar.notify_all();
            condvar
        }),
        object(|name| {
            let barrier = Barrier::options().parties(3).participants(4).create(name).unwrap();
            // Time runs out, and it is broken; then it is not any more.
            assert!(barrier.wait_deadline(Deadline::NOW).is_err());
            barrier.reset().unwrap();
            barrier
        }),
        object(|name| {
            let value = Value::<Typed>::options().value(7).participants(4).create(name).unwrap();
            core::mem::forget(value.lock().unwrap());
            value
        }),
        object(|name| {
            let value = Value::<Wide>::options().participants(4).create(name).unwrap();
            value.write([7; 6]).unwrap();
            value
        }),
        object(|name| {
            let array = Array::<u32>::options().capacity(5).participants(4).create(name).unwrap();
            array.write_slice(1, &[7; 3]).unwrap();
            array
        }),
        object(|name| {
            let memory = Memory::options().capacity(100).participants(4).create(name).unwrap();
            memory.store_slice(10, b"something").unwrap();
            memory
        }),
        object(|name| {
            let token = Token::options().participants(4).create(name).unwrap();
            token.acquire().unwrap();
            token
        }),
        object(|name| {
            let map =
                Map::options().max_items(8).max_bytes(600).participants(4).timed(true).create(name).unwrap();
            for key in 1..5 {
                map.insert(&[key; 9], &[key; 60]).unwrap();
            }
            map.remove(&[2; 9], None).unwrap();
            core::mem::forget(map.lock().unwrap());
            map
        }),
        object(|name| {
            let options = TallyQueue::options().participants(4).capacity(2).max_held(2);
            let queue = options.message_size(32).max_bytes(100_000).create(name).unwrap();
            queue.send(b"one").unwrap();
            queue.send(&[2; 70_000]).unwrap();
            drop(queue.recv().unwrap());
            queue.task_done().unwrap();
            assert!(queue.promise().unwrap());
            queue
        }),
    ]
}
