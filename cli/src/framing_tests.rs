use super::*;
use crate::transport::work::SplitMix;

/// A reader that hands out a few bytes at a time and is interrupted now and then, as pipes and signals do.
struct Dribble<'a> {
    rest: &'a [u8],
    random: SplitMix,
}

impl Read for Dribble<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let roll = self.random.next();
        if roll.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let n = (1 + (roll >> 8) as usize % 7).min(into.len()).min(self.rest.len());
        into[..n].copy_from_slice(&self.rest[..n]);
        self.rest = &self.rest[n..];
        Ok(n)
    }
}

/// A writer that takes a few bytes at a time and is interrupted now and then.
struct Sip {
    got: Vec<u8>,
    random: SplitMix,
}

impl Write for &mut Sip {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let roll = self.random.next();
        if roll.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let n = (1 + (roll >> 8) as usize % 7).min(from.len());
        self.got.extend_from_slice(&from[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn split(input: &[u8], framing: Framing, limit: usize) -> Result<Vec<Vec<u8>>, FrameError> {
    let dribble = Dribble { rest: input, random: SplitMix::new(input.len() as u64) };
    let mut splitter = Splitter::new(dribble, framing, limit);
    let (mut all, mut message) = (Vec::new(), b"left over".to_vec());
    while splitter.next(&mut message)? {
        all.push(message.clone());
    }
    assert!(message.is_empty() && !splitter.next(&mut message)?, "the end stays the end");
    Ok(all)
}

fn join(messages: &[Vec<u8>], form: Joined) -> Vec<u8> {
    let mut sip = Sip { got: Vec::new(), random: SplitMix::new(messages.len() as u64) };
    let mut joiner = Joiner::new(&mut sip, form);
    for message in messages {
        joiner.write(message).unwrap();
    }
    joiner.flush().unwrap();
    drop(joiner);
    sip.got
}

fn lines(input: &[u8]) -> Vec<Vec<u8>> {
    split(input, Framing::Lines, 1000).unwrap()
}

#[test]
fn lines_keep_their_endings() {
    assert_eq!(lines(b""), Vec::<Vec<u8>>::new());
    assert_eq!(lines(b"a\r\nb\n\nc"), [&b"a\r\n"[..], b"b\n", b"\n", b"c"]);
    assert_eq!(lines(b"\n"), [b"\n"]);
    assert_eq!(lines(b"\xff\0\r"), [b"\xff\0\r"]);
}

#[test]
fn a_line_may_be_exactly_as_long_as_the_limit() {
    assert_eq!(split(b"1234\n12345", Framing::Lines, 5).unwrap().len(), 2);
    let error = split(b"ok\n12345\n", Framing::Lines, 5).unwrap_err();
    assert_eq!(error.to_string(), "line 2 is longer than the 5 bytes a message may have");
    let error = split(b"123456", Framing::Lines, 5).unwrap_err();
    assert_eq!(error.to_string(), "line 1 is longer than the 5 bytes a message may have");
}

#[test]
fn blocks_are_full_but_for_the_last() {
    assert_eq!(split(b"abcdefg", Framing::Blocks(3), 9).unwrap(), [&b"abc"[..], b"def", b"g"]);
    assert_eq!(split(b"abcdef", Framing::Blocks(3), 9).unwrap(), [b"abc", b"def"]);
    assert_eq!(split(b"abc", Framing::Blocks(0), 9).unwrap().len(), 3, "a block holds at least a byte");
    assert_eq!(split(b"abc", Framing::Blocks(50), 2).unwrap().len(), 2, "and at most the limit");
}

#[test]
fn what_has_come_does_not_wait_for_more() {
    let input = b"abcdefghijklmnopqrstuvwxyz";
    let messages = split(input, Framing::AsItComes(5), 9).unwrap();
    assert!(messages.len() > 5 && messages.iter().all(|message| (1..=5).contains(&message.len())));
    assert_eq!(messages.concat(), input);
    let (reader, mut writer) = io::pipe().unwrap();
    let mut splitter = Splitter::new(reader, Framing::AsItComes(BUFFER), BUFFER);
    let mut message = Vec::new();
    for word in [&b"one"[..], b"three", b"x"] {
        writer.write_all(word).unwrap();
        assert!(splitter.next(&mut message).unwrap());
        assert_eq!(message, word);
    }
    drop(writer);
    assert!(!splitter.next(&mut message).unwrap() && message.is_empty());
}

#[test]
fn lengths_are_little_endian_and_may_be_zero() {
    let input = b"\x02\0\0\0hi\0\0\0\0\x01\0\0\0!";
    assert_eq!(split(input, Framing::LengthPrefixed, 9).unwrap(), [&b"hi"[..], b"", b"!"]);
}

#[test]
fn truncation_says_where() {
    let cut = |input: &[u8]| split(input, Framing::LengthPrefixed, 600).unwrap_err().to_string();
    assert_eq!(cut(b"\0\0\0\0\x01\0"), "the input ends inside the length of message 2: 2 of 4 bytes");
    assert_eq!(cut(b"\0\x02\0\0abc"), "the input ends inside message 1: 3 of 512 bytes");
    assert_eq!(cut(b"\x01\0\0\0"), "the input ends inside message 1: 0 of 1 bytes");
    assert_eq!(
        cut(b"\xff\xff\xff\xff"),
        "message 1 claims 4294967295 bytes, more than the 600 a message may have"
    );
}

#[test]
fn a_lying_length_costs_no_memory() {
    let mut splitter = Splitter::new(&b"\xff\xff\xff\xffabc"[..], Framing::LengthPrefixed, usize::MAX);
    let mut message = Vec::new();
    let error = splitter.next(&mut message).unwrap_err();
    assert!(matches!(error, FrameError::CutInMessage { got: 3, .. }), "{error}");
    assert!(message.capacity() < 1 << 20, "{} bytes were set aside", message.capacity());
}

#[test]
fn joined_lines_end_once() {
    let messages = [b"a".to_vec(), b"b\n".to_vec(), b"".to_vec(), b"c\r\n".to_vec()];
    assert_eq!(join(&messages, Joined::Lines), b"a\nb\n\nc\r\n");
    assert_eq!(join(&messages, Joined::Raw), b"ab\nc\r\n");
}

/// Random streams over a small alphabet, rich in newlines: what was cut must join to what was there.
#[test]
fn cutting_and_joining_gives_the_same_bytes() {
    let mut random = SplitMix::new(7);
    for round in 0..400 {
        let len = random.next() as usize % 300;
        let input: Vec<u8> = (0..len).map(|_| b"ab\r\n\0\xff"[random.next() as usize % 6]).collect();
        for framing in [Framing::Lines, Framing::Blocks(1 + round % 17), Framing::AsItComes(1 + round % 17)] {
            let messages = split(&input, framing, 300).unwrap();
            assert!(messages.iter().all(|message| !message.is_empty()));
            assert_eq!(join(&messages, Joined::Raw), input, "{framing:?}");
            let prefixed = join(&messages, Joined::LengthPrefixed);
            assert_eq!(split(&prefixed, Framing::LengthPrefixed, 300).unwrap(), messages);
        }
    }
}

/// A quarter of a gigabyte through both halves: the buffers must not grow with the stream.
#[test]
fn memory_does_not_grow_with_the_stream() {
    let mut splitter = Splitter::new(io::repeat(b'x').take(1 << 28), Framing::Blocks(BUFFER), BUFFER);
    let mut joiner = Joiner::new(io::sink(), Joined::LengthPrefixed);
    let (mut message, mut bytes) = (Vec::new(), 0);
    while splitter.next(&mut message).unwrap() {
        bytes += message.len();
        joiner.write(&message).unwrap();
    }
    assert_eq!(bytes, 1 << 28);
    assert!(message.capacity() <= 4 * BUFFER, "{} bytes", message.capacity());
}

#[test]
fn a_closed_pipe_is_reported_as_such() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut joiner = Joiner::new(writer, Joined::Raw);
    let error = joiner.write(b"nobody reads this").and_then(|()| joiner.flush()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    let error = crate::error::Failure::from_stdout(error);
    assert_eq!(error.exit_code(), 0);
}
