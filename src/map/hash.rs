//! Keyed hashing: who does not know the key cannot choose names that collide.

/// The secret of one dictionary.
pub(crate) type Key = [u64; 2];

/// What entries are found by.
#[inline]
pub(crate) fn hash(key: Key, bytes: &[u8]) -> u32 {
    let wide = sip::<1, 3>(key, bytes);
    (wide ^ (wide >> 32)) as u32
}

/// SipHash with `C` rounds for each word and `D` at the end: Aumasson and Bernstein, "SipHash: a fast short-input PRF",
/// 2012. With one and three it is what the hash tables of Rust and Python use.
#[inline]
fn sip<const C: usize, const D: usize>([k0, k1]: Key, bytes: &[u8]) -> u64 {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut words = bytes.chunks_exact(8);
    for word in words.by_ref() {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        v[3] ^= word;
        rounds::<C>(&mut v);
        v[0] ^= word;
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    last[7] = bytes.len() as u8;
    let last = u64::from_le_bytes(last);
    v[3] ^= last;
    rounds::<C>(&mut v);
    v[0] ^= last;
    v[2] ^= 0xff;
    rounds::<D>(&mut v);
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
fn rounds<const N: usize>(v: &mut [u64; 4]) {
    for _ in 0..N {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[1]);
        v[0] = v[0].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn as_in_the_paper() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let message: Vec<u8> = (0..15).collect();
        assert_eq!(sip::<2, 4>(key, &message), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let key = [1, 2];
        let mut seen = std::collections::HashSet::new();
        for len in 0..40 {
            let mut bytes = vec![0_u8; len];
            assert!(seen.insert(sip::<1, 3>(key, &bytes)));
            for at in 0..len {
                bytes[at] = 1;
                assert!(seen.insert(sip::<1, 3>(key, &bytes)));
                bytes[at] = 0;
            }
        }
        assert_ne!(hash([1, 2], b"name"), hash([1, 3], b"name"));
    }
}
