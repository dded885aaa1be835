//! Lists in an input.
//!
//! `Vec` asks at each element whether to go on, so most of what a mutation makes are lists of one or two. These are
//! as long as the input has bytes for.

use arbitrary::{Arbitrary, Result, Unstructured};
use std::ops::Deref;

/// At most `MAX` of them, as many as a number in front of them says.
#[derive(Debug)]
pub struct Few<T, const MAX: usize>(Vec<T>);

/// All that the rest of the input holds, but at most `MAX`. The last field of an input.
#[derive(Debug)]
pub struct Rest<T, const MAX: usize>(Vec<T>);

fn take<'a, T: Arbitrary<'a>>(bytes: &mut Unstructured<'a>, count: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    while list.len() < count && !bytes.is_empty() {
        list.push(bytes.arbitrary()?);
    }
    Ok(list)
}

impl<'a, T: Arbitrary<'a>, const MAX: usize> Arbitrary<'a> for Few<T, MAX> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let count = bytes.int_in_range(0..=MAX)?;
        take(bytes, count).map(Few)
    }
}

impl<'a, T: Arbitrary<'a>, const MAX: usize> Arbitrary<'a> for Rest<T, MAX> {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        take(bytes, MAX).map(Rest)
    }
}

impl<T, const MAX: usize> Deref for Few<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> Deref for Rest<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}
