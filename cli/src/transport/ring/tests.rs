//! Each of our transports, with itself at the other side.

use super::*;
use std::thread;

const ROUNDS: usize = 100;

/// Messages one way, answers back, and the end seen after the last message.
fn carries<T: Transport>(len: usize) {
    for mode in [Mode::Spin, Mode::Adaptive, Mode::Park] {
        let work = Work::Echo(len);
        let (mut near, fds) = T::pair(mode, work).unwrap();
        let echo = thread::spawn(move || {
            let mut far = T::accept(fds, mode, work).unwrap();
            let mut count = 0;
            while let Some(message) = far.recv_with(len, <[u8]>::to_vec).unwrap() {
                assert!(message.iter().all(|&byte| byte == message[0]));
                far.send_with(len, |answer| answer.fill(!message[0])).unwrap();
                count += 1;
            }
            count
        });
        // Few: where others keep the processors busy, each turn of two spinning threads can take a time slice.
        for round in 0..ROUNDS {
            near.send_with(len, |message| message.fill(round as u8)).unwrap();
            assert_eq!(near.recv_with(len, |answer| answer[len - 1]).unwrap(), Some(!(round as u8)));
        }
        near.finish().unwrap();
        assert_eq!(echo.join().unwrap(), ROUNDS);
        assert!(near.send_with(len, |_| ()).is_err(), "nothing is sent after the end");
    }
}

#[test]
fn typed_rings_carry() {
    carries::<Typed<1>>(8);
    carries::<Typed<128>>(1024);
}

#[test]
fn byte_rings_carry() {
    carries::<Bytes>(8);
    carries::<Bytes>(1000);
}

#[test]
fn pipes_carry() {
    carries::<Pipe>(8);
    carries::<Pipe>(1000);
}

/// Bytes of any length, more than the ring holds, and the end.
fn streams<T: Transport>() {
    let work = Work::Bytes(1);
    let (mut near, fds) = T::pair(Mode::Park, work).unwrap();
    let receiver = thread::spawn(move || {
        let mut far = T::accept(fds, Mode::Park, work).unwrap();
        let mut total = 0;
        while let Some(len) = far.recv_chunk(<[u8]>::len).unwrap() {
            total += len;
        }
        total
    });
    for len in [1, CHUNK, 77] {
        for _ in 0..20 {
            near.send_chunk(&vec![len as u8; len]).unwrap();
        }
    }
    near.finish().unwrap();
    assert_eq!(receiver.join().unwrap(), 20 * (1 + CHUNK + 77));
}

#[test]
fn byte_rings_and_pipes_carry_streams() {
    streams::<Bytes>();
    streams::<Pipe>();
    assert!(Typed::<1>::pair(Mode::Park, Work::Bytes(1)).is_err());
}

#[test]
fn typed_rings_take_messages_of_their_type_alone() {
    assert!(Typed::<1>::pair(Mode::Park, Work::Messages(16)).is_err());
    let (mut near, _fds) = Typed::<2>::pair(Mode::Park, Work::Messages(16)).unwrap();
    assert_eq!(near.send_with(8, |_| ()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(Bytes::accept(Vec::new(), Mode::Park, Work::Ticks).is_err());
}

#[test]
fn a_gone_receiver_is_a_broken_pipe() {
    let (mut near, fds) = Typed::<1>::pair(Mode::Park, Work::Messages(8)).unwrap();
    drop(Typed::<1>::accept(fds, Mode::Park, Work::Messages(8)).unwrap());
    let error = loop {
        if let Err(error) = near.send_with(8, |message| message.fill(1)) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
