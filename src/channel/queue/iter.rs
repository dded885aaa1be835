//! Receiving in a loop.

use super::Queue;
use bytemuck::Pod;

/// Receives until the queue is closed and drained; see [`Queue::iter`].
#[derive(Debug)]
#[must_use = "an iterator receives only when it is used"]
pub struct Iter<'a, T: Pod>(&'a Queue<T>);

/// Receives what is there; see [`Queue::try_iter`].
#[derive(Debug)]
#[must_use = "an iterator receives only when it is used"]
pub struct TryIter<'a, T: Pod>(&'a Queue<T>);

impl<T: Pod> Queue<T> {
    /// Receives message after message, waiting for each, until the queue is closed and drained (or an error makes
    /// going on impossible).
    ///
    /// ```
    /// let queue = ringway::Queue::<u32>::anonymous(8)?;
    /// queue.send_many(&[1, 2, 3])?;
    /// queue.close();
    /// assert_eq!(queue.iter().sum::<u32>(), 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self)
    }

    /// Receives the messages that are there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter(self)
    }
}

impl<'a, T: Pod> IntoIterator for &'a Queue<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Pod> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T: Pod> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }
}
