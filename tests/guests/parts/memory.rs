//! Searches all of a guest's memory.

/// Number of occurrences of each text. A text is passed as its first half and its reversed second half, so that the
/// argument itself is not found.
pub fn count(needles: &[(String, String)]) -> Vec<u32> {
    let bytes = core::arch::wasm32::memory_size(0) << 16;
    needles
        .iter()
        .map(|(first, last)| {
            let length = first.len() + last.len();
            (1..=bytes - length).filter(|at| is_at(*at, first.as_bytes(), last.as_bytes())).count() as u32
        })
        .collect()
}

fn is_at(at: usize, first: &[u8], last: &[u8]) -> bool {
    // Every address below the memory's size is in bounds, and any byte is a valid `u8`.
    let byte = |at: usize| unsafe { (at as *const u8).read_volatile() };
    first.iter().enumerate().all(|(n, wanted)| byte(at + n) == *wanted)
        && last.iter().rev().enumerate().all(|(n, wanted)| byte(at + first.len() + n) == *wanted)
}
