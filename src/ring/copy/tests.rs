use super::contended;

/// Every length around the thresholds, at every alignment of both sides, and not one byte beside it.
#[test]
fn copies_exactly_the_bytes_asked_for() {
    const MARGIN: usize = 16;
    let lengths = (0..300).chain([511, 512, 4095, 4096, 4097, 65_536, 1 << 20]);
    for len in lengths {
        for (from, to) in [(0, 0), (1, 0), (0, 3), (5, 7), (8, 1)] {
            let src: Vec<u8> = (0..len + MARGIN).map(|i| (i % 251) as u8 ^ 0x5a).collect();
            let mut dst = vec![0xee_u8; len + 2 * MARGIN];
            // SAFETY: both vectors are private, distinct and at least `len` long behind the offsets.
            unsafe { contended(src[from..].as_ptr(), dst[to..].as_mut_ptr(), len) };
            assert_eq!(&dst[to..to + len], &src[from..from + len], "length {len}");
            assert!(dst[..to].iter().chain(&dst[to + len..]).all(|&b| b == 0xee), "length {len} spilled");
        }
    }
}
