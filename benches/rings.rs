//! What the calls cost in one process, in the cache: the price of the code itself, without a peer to wait for.
//!
//! ```text
//! cargo bench --bench rings
//! ```
//!
//! Each figure is for one message in *and* out, or for one element where it says so. The names are stable, so that
//! runs of different versions can be compared. What a message costs between processes is measured by
//! `ringway bench`.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use bytemuck::{Pod, Zeroable};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway::{Deadline, Queue, Wait, bytes, inspect, spsc};
use std::hint::black_box;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Tick {
    id: u64,
    prices: [f64; 5],
}

const TICK: Tick = Tick { id: 7, prices: [101.25; 5] };

fn typed(c: &mut Criterion) {
    let mut group = c.benchmark_group("spsc");
    group.throughput(Throughput::Elements(1));
    let (mut tx, mut rx) = spsc::pair::<u64>(1024).unwrap();
    group.bench_function("push_pop/u64", |b| {
        b.iter(|| {
            tx.push(black_box(7)).unwrap();
            rx.pop().unwrap()
        });
    });
    group.bench_function("send_recv/u64", |b| {
        b.iter(|| {
            tx.send(black_box(7)).unwrap();
            rx.recv().unwrap()
        });
    });
    let (mut tx, mut rx) = spsc::pair::<Tick>(1024).unwrap();
    group.bench_function("push_pop/48B", |b| {
        b.iter(|| {
            tx.push(black_box(TICK)).unwrap();
            rx.pop().unwrap()
        });
    });
    group.bench_function("reserve_peek/48B", |b| {
        b.iter(|| {
            let mut slot = tx.reserve().unwrap();
            slot.id = black_box(7);
            slot.commit();
            rx.peek().unwrap().id
        });
    });
    // What an untrusting handle pays for its private copies.
    let mut tx = spsc::Producer::<Tick>::options().capacity(1024).trusted(false).anonymous().unwrap();
    let fd = std::os::fd::AsFd::as_fd(&tx).try_clone_to_owned().unwrap();
    let mut rx = spsc::Consumer::<Tick>::from_fd(fd).unwrap();
    group.bench_function("reserve_peek_untrusted/48B", |b| {
        b.iter(|| {
            let mut slot = tx.reserve().unwrap();
            slot.id = black_box(7);
            slot.commit();
            rx.peek().unwrap().id
        });
    });
    group.throughput(Throughput::Elements(32));
    let (mut tx, mut rx) = spsc::pair::<u64>(1024).unwrap();
    let (values, mut place) = ([7; 32], [0; 32]);
    group.bench_function("slice32/u64", |b| {
        b.iter(|| {
            assert_eq!(tx.push_slice(black_box(&values)).unwrap(), 32);
            assert_eq!(rx.pop_slice(&mut place).unwrap(), 32);
            place[31]
        });
    });
    group.bench_function("slice32_drain/u64", |b| {
        b.iter(|| {
            assert_eq!(tx.push_slice(black_box(&values)).unwrap(), 32);
            rx.drain().sum::<u64>()
        });
    });
    group.finish();
}

fn records(c: &mut Criterion) {
    let mut group = c.benchmark_group("bytes");
    for len in [8, 64, 1024] {
        let (mut tx, mut rx) = bytes::pair(64 * 1024).unwrap();
        let record = vec![7; len];
        let mut buffer = Vec::new();
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("push_pop_into", len), |b| {
            b.iter(|| {
                tx.push(black_box(&record)).unwrap();
                rx.pop_into(&mut buffer).unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("push_pop", len), |b| {
            b.iter(|| {
                tx.push(black_box(&record)).unwrap();
                rx.pop().unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("push_peek", len), |b| {
            b.iter(|| {
                tx.push(black_box(&record)).unwrap();
                rx.peek().unwrap()[len - 1]
            });
        });
        group.bench_function(BenchmarkId::new("reserve_peek", len), |b| {
            b.iter(|| {
                let mut loan = tx.reserve(black_box(len)).unwrap();
                loan[0] = 7;
                loan.commit();
                rx.peek().unwrap()[len - 1]
            });
        });
    }
    let (mut tx, mut rx) = bytes::pair(64 * 1024).unwrap();
    let record = [7; 64];
    group.throughput(Throughput::Elements(32));
    group.bench_function("batch32/64", |b| {
        b.iter(|| {
            let mut batch = tx.batch();
            for _ in 0..32 {
                batch.push(black_box(&record)).unwrap();
            }
            batch.commit();
            let mut drain = rx.drain();
            let mut sum = 0;
            while let Some(record) = drain.next() {
                sum += u64::from(record[0]);
            }
            sum
        });
    });
    group.finish();
}

fn queues(c: &mut Criterion) {
    let mut group = c.benchmark_group("queue");
    group.throughput(Throughput::Elements(1));
    let queue = Queue::<u64>::anonymous(1024).unwrap();
    group.bench_function("send_recv/u64", |b| {
        b.iter(|| {
            queue.send(black_box(7)).unwrap();
            queue.recv().unwrap()
        });
    });
    let queue = Queue::<[u8; 64]>::anonymous(1024).unwrap();
    group.bench_function("send_recv/64B", |b| {
        b.iter(|| {
            queue.send(black_box([7; 64])).unwrap();
            queue.recv().unwrap()
        });
    });
    let queue = Queue::<[u8]>::anonymous(1024).unwrap();
    for len in [8, 1024] {
        let (message, mut buffer) = (vec![7; len], Vec::new());
        group.bench_function(BenchmarkId::new("send_recv_into", len), |b| {
            b.iter(|| {
                queue.send(black_box(&message)).unwrap();
                queue.recv_into(&mut buffer, Deadline::NEVER).unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("reserve_recv", len), |b| {
            b.iter(|| {
                let mut loan = queue.reserve(black_box(len)).unwrap();
                loan[0] = 7;
                loan.commit().unwrap();
                queue.recv().unwrap()[len - 1]
            });
        });
    }
    group.throughput(Throughput::Elements(32));
    let queue = Queue::<u64>::anonymous(1024).unwrap();
    let (values, mut place) = ([7; 32], Vec::with_capacity(32));
    group.bench_function("many32/u64", |b| {
        b.iter(|| {
            queue.send_many(black_box(&values)).unwrap();
            place.clear();
            assert_eq!(queue.recv_many(&mut place, 32, Deadline::NOW).unwrap(), 32);
            place[31]
        });
    });
    group.finish();
}

fn opening(c: &mut Criterion) {
    let mut group = c.benchmark_group("open");
    let name = |what: &str| format!("bench-{what}-{}", std::process::id());
    let created = name("create");
    group.bench_function("create_unlink", |b| {
        b.iter(|| {
            let ring = spsc::Producer::<u64>::create(&created, 1024).unwrap();
            ring.unlink().unwrap();
            ring
        });
    });
    group.bench_function("anonymous", |b| b.iter(|| spsc::Producer::<u64>::anonymous(1024).unwrap()));
    group.bench_function("bytes_anonymous", |b| b.iter(|| bytes::Producer::anonymous(64 * 1024).unwrap()));
    let existing = name("attach");
    let rx = spsc::Consumer::<u64>::options().capacity(1024).wait(Wait::Park).create(&existing).unwrap();
    // This process is a participant already: the first attachment of a process costs a lock more.
    group.bench_function("attach_again", |b| {
        b.iter(|| spsc::Producer::<u64>::open(&existing).unwrap());
    });
    group.bench_function("stat", |b| b.iter(|| inspect::stat(&existing).unwrap()));
    drop(rx);
    group.bench_function("attach", |b| b.iter(|| spsc::Producer::<u64>::open(&existing).unwrap()));
    ringway::unlink(&existing).unwrap();
    group.finish();
}

criterion_group!(benches, typed, records, queues, opening);
criterion_main!(benches);
