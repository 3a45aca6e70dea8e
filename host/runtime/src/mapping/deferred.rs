//! Results that come after the function has returned: a stream of bytes, a future. They are waited for and become the value
//! that they carry, within the call and its limits.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use wasmtime::component::{
    FutureAny, FutureConsumer, FutureReader, Lift, Source, StreamAny, StreamConsumer, StreamReader,
    StreamResult, Val,
};
use wasmtime::{Store, StoreContextMut};

use super::lift::encode;
use super::shape::{Deferred, Function, Integer, Shape};

/// Waits for what a function gave back, where that comes later. `bytes_max` bounds a stream: one more byte is taken, so that
/// whoever lifts it sees that it was too long.
pub(crate) async fn settle<T: Send + 'static>(
    store: &mut Store<T>,
    result: Val,
    function: &Function,
    bytes_max: usize,
) -> wasmtime::Result<Val> {
    let Some(deferred) = function.deferred else { return Ok(result) };
    let ok = match &function.result {
        Some(Shape::Result(ok, _)) => ok.as_deref(),
        other => other.as_ref(),
    };
    match result {
        Val::Result(Ok(Some(val))) => {
            let val = one(store, *val, deferred, ok, bytes_max).await?;
            Ok(Val::Result(Ok(Some(Box::new(val)))))
        }
        Val::Result(side) => Ok(Val::Result(side)),
        val => one(store, val, deferred, ok, bytes_max).await,
    }
}

async fn one<T: Send + 'static>(
    store: &mut Store<T>,
    val: Val,
    deferred: Deferred,
    shape: Option<&Shape>,
    bytes_max: usize,
) -> wasmtime::Result<Val> {
    match (deferred, val) {
        (Deferred::Stream, Val::Stream(stream)) => {
            // As base64 already: one value a byte would take forty times the room.
            Ok(Val::String(encode(&drain(store, stream, bytes_max).await?)))
        }
        (Deferred::Future, Val::Future(future)) => match shape {
            Some(shape) => wait(store, future, shape).await,
            None => Err(wasmtime::format_err!("a future of nothing")),
        },
        _ => Err(wasmtime::format_err!("the result is not of the type of the function")),
    }
}

/// Takes bytes as they come. Dropping it says that the stream has ended.
struct Sink {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: usize,
    _ended: oneshot::Sender<()>,
}

impl<D: 'static> StreamConsumer<D> for Sink {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let here = source.remaining();
        let taken = here.len().min(self.room);
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend_from_slice(here.get(..taken).unwrap_or_default());
        drop(bytes);
        source.mark_read(taken);
        self.room -= taken;
        Poll::Ready(Ok(if self.room == 0 { StreamResult::Dropped } else { StreamResult::Completed }))
    }
}

async fn drain<T: Send + 'static>(
    store: &mut Store<T>,
    stream: StreamAny,
    bytes_max: usize,
) -> wasmtime::Result<Vec<u8>> {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let (ended, end) = oneshot::channel();
    let sink = Sink { bytes: Arc::clone(&bytes), room: bytes_max.saturating_add(1), _ended: ended };
    StreamReader::<u8>::try_from_stream_any(stream)?.pipe(&mut *store, sink)?;
    store
        .run_concurrent(async |_| {
            // Ends with an error when the sink is dropped: the stream has ended, or there is no more room.
            drop(end.await);
        })
        .await?;
    let bytes = std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(bytes)
}

/// Whether a future of this can be waited for: the engine's own types have to be known beforehand.
pub(super) fn can_wait_for(shape: &Shape) -> bool {
    matches!(
        shape,
        Shape::Bool
            | Shape::Integer(_)
            | Shape::F32
            | Shape::F64
            | Shape::Char
            | Shape::String
            | Shape::Bytes
    )
}

async fn wait<T: Send + 'static>(
    store: &mut Store<T>,
    future: FutureAny,
    shape: &Shape,
) -> wasmtime::Result<Val> {
    Ok(match shape {
        Shape::Bool => Val::Bool(value(store, future).await?),
        Shape::Integer(Integer::U8) => Val::U8(value(store, future).await?),
        Shape::Integer(Integer::U16) => Val::U16(value(store, future).await?),
        Shape::Integer(Integer::U32) => Val::U32(value(store, future).await?),
        Shape::Integer(Integer::U64) => Val::U64(value(store, future).await?),
        Shape::Integer(Integer::S8) => Val::S8(value(store, future).await?),
        Shape::Integer(Integer::S16) => Val::S16(value(store, future).await?),
        Shape::Integer(Integer::S32) => Val::S32(value(store, future).await?),
        Shape::Integer(Integer::S64) => Val::S64(value(store, future).await?),
        Shape::F32 => Val::Float32(value(store, future).await?),
        Shape::F64 => Val::Float64(value(store, future).await?),
        Shape::Char => Val::Char(value(store, future).await?),
        Shape::String => Val::String(value(store, future).await?),
        Shape::Bytes => {
            let bytes: Vec<u8> = value(store, future).await?;
            Val::List(bytes.into_iter().map(Val::U8).collect())
        }
        _ => return Err(wasmtime::format_err!("a future of a type that cannot be waited for")),
    })
}

/// Takes the one value.
struct Slot<V>(Option<oneshot::Sender<V>>);

impl<D: 'static, V: Lift + Unpin + Send + 'static> FutureConsumer<D> for Slot<V> {
    type Item = V;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, V>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut read = None;
        source.read(store, &mut read)?;
        if let (Some(value), Some(slot)) = (read, self.0.take()) {
            // Whoever waited may have been ended.
            drop(slot.send(value));
        }
        Poll::Ready(Ok(()))
    }
}

async fn value<T, V>(store: &mut Store<T>, future: FutureAny) -> wasmtime::Result<V>
where
    T: Send + 'static,
    V: Lift + Unpin + Send + Sync + 'static,
{
    let (slot, value) = oneshot::channel();
    FutureReader::<V>::try_from_future_any(future)?.pipe(&mut *store, Slot(Some(slot)))?;
    let value = store.run_concurrent(async |_| value.await).await?;
    value.map_err(|_| wasmtime::format_err!("the function dropped the future that it gave back"))
}
