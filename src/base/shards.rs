//! Which of several copies of a number a thread counts in, so that threads do not fight over one line of the cache.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Copies of each number that many threads count.
pub const COUNT: usize = 8;

/// The copy of this thread.
pub fn mine() -> usize {
    MINE.with(|mine| *mine)
}

thread_local! {
    static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_copy_and_others_get_others() {
        assert_eq!(mine(), mine());
        let others: std::collections::HashSet<usize> = (0..COUNT).map(|_| std::thread::spawn(mine).join().unwrap()).collect();
        assert!(others.len() > 1 && others.iter().all(|copy| *copy < COUNT));
    }
}
