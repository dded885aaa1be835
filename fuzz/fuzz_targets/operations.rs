//! Any sequence of calls on a typed ring, a byte ring and a pipe, with sides that are closed, die and are opened again,
//! says exactly what a queue says to the same calls; see `src/oracle`.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use ringway_fuzz::oracle::{bytes, pipe, typed};
use std::cell::RefCell;

#[derive(Arbitrary, Debug)]
struct Input {
    /// With new objects: rarely, because that takes longer than all the rest.
    #[arbitrary(with = |bytes: &mut Unstructured| bytes.ratio(1, 10))]
    fresh: bool,
    trusted: bool,
    steps: Steps,
}

#[derive(Arbitrary, Debug)]
enum Steps {
    /// Eight bytes in five places of eight.
    Words(Vec<typed::Step>),
    /// 24 bytes in four places.
    Structs(Vec<typed::Step>),
    /// One byte in one place.
    Single(Vec<typed::Step>),
    Bytes(Vec<bytes::Step>),
    Pipe(Vec<pipe::Step>),
}

/// Each world twice: with handles that do not trust, and with such that do.
struct Worlds {
    words: [typed::World<u64>; 2],
    structs: [typed::World<[u8; 24]>; 2],
    single: [typed::World<u8>; 2],
    bytes: [bytes::World; 2],
    pipe: [pipe::World; 2],
}

thread_local! {
    static WORLDS: RefCell<Worlds> = RefCell::new(Worlds {
        words: [false, true].map(|trusted| typed::World::new(5, trusted)),
        structs: [false, true].map(|trusted| typed::World::new(4, trusted)),
        single: [false, true].map(|trusted| typed::World::new(1, trusted)),
        bytes: [false, true].map(bytes::World::new),
        pipe: [false, true].map(pipe::World::new),
    });
}

fuzz_target!(|input: Input| {
    let Input { fresh, trusted, steps } = input;
    WORLDS.with_borrow_mut(|worlds| {
        let which = usize::from(trusted);
        match &steps {
            Steps::Words(steps) => worlds.words[which].run(fresh, steps),
            Steps::Structs(steps) => worlds.structs[which].run(fresh, steps),
            Steps::Single(steps) => worlds.single[which].run(fresh, steps),
            Steps::Bytes(steps) => worlds.bytes[which].run(fresh, steps),
            Steps::Pipe(steps) => worlds.pipe[which].run(fresh, steps),
        }
    });
});
