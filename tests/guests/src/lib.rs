//! Code of guests that wait for several futures at once. Everything else of a guest is in its example.
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// A boxed future.
pub type Waiting<T> = Pin<Box<dyn Future<Output = T>>>;

/// Waits for all futures concurrently; runs `between` after each round of polls.
pub async fn all<T>(mut waiting: Vec<Waiting<T>>, mut between: impl FnMut()) -> Vec<T> {
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (one, done) in waiting.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(end) = one.as_mut().poll(cx)
            {
                *done = Some(end);
            }
        }
        between();
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
