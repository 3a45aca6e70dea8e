//! Results delivered after the function returns: a stream of bytes, or a future. The host waits for their value within
//! the call and its limits.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use wasmtime::component::{
    FutureAny, FutureConsumer, FutureReader, Lift, Source, StreamAny, StreamConsumer, StreamReader,
    StreamResult, Val, WasmList, WasmStr,
};
use wasmtime::{AsContext as _, AsContextMut as _, Store, StoreContext, StoreContextMut};

use super::scalar::encode;
use super::shape::{Deferred, Function, Integer, Shape};

/// Waits for a deferred result. Reads at most `bytes_max` + 1 bytes: the extra byte shows the code that lifts the
/// result that it was too long.
pub async fn settle<T: Send + 'static>(
    store: &mut Store<T>,
    result: Val,
    function: &Function,
    bytes_max: usize,
) -> wasmtime::Result<Val> {
    let Some(deferred) = function.deferred else { return Ok(result) };
    let ok = function.ok_side();
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
            // Encoded to base64 here: a `Val` per byte would take forty times the memory.
            Ok(Val::String(encode(&drain(store, stream, bytes_max).await?)))
        }
        (Deferred::Future, Val::Future(future)) => match shape {
            Some(shape) => wait(store, future, shape, bytes_max).await,
            None => Err(wasmtime::format_err!("a future of nothing")),
        },
        _ => Err(wasmtime::format_err!("the result is not of the type of the function")),
    }
}

/// Collects a stream's bytes. Dropping it signals the end of the stream.
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
            // Resolves with an error when the sink is dropped: the stream has ended, or `room` is used up.
            drop(end.await);
        })
        .await?;
    let bytes = std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(bytes)
}

async fn wait<T: Send + 'static>(
    store: &mut Store<T>,
    future: FutureAny,
    shape: &Shape,
    bytes_max: usize,
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
        // Both are read in place from the guest's memory.
        Shape::String => Val::String(made(store, future, text, bytes_max).await?),
        Shape::Bytes => Val::String(made(store, future, base64, bytes_max).await?),
        _ => return Err(wasmtime::format_err!("a future of a type that cannot be waited for")),
    })
}

type Make<D, V, R> = fn(StoreContext<'_, D>, &V, usize) -> wasmtime::Result<R>;

fn same<D: 'static, V: Copy>(_: StoreContext<'_, D>, value: &V, _: usize) -> wasmtime::Result<V> {
    Ok(*value)
}

/// Encodes the first bytes of a list in place: a `Val` per byte would take forty times the memory.
fn base64<D: 'static>(
    store: StoreContext<'_, D>,
    list: &WasmList<u8>,
    bytes_max: usize,
) -> wasmtime::Result<String> {
    let bytes = list.as_le_slice(store);
    Ok(encode(bytes.get(..bytes_max.saturating_add(1)).unwrap_or(bytes)))
}

/// Copies a text; one that is too long becomes `bytes_max` + 1 spaces, so that it is refused without being copied.
fn text<D: 'static>(
    store: StoreContext<'_, D>,
    text: &WasmStr,
    bytes_max: usize,
) -> wasmtime::Result<String> {
    let text = text.to_str(store)?;
    if text.len() > bytes_max {
        return Ok(" ".repeat(bytes_max.saturating_add(1)));
    }
    Ok(text.into_owned())
}

/// Consumer of a future's one value.
struct Slot<D: 'static, V, R> {
    make: Make<D, V, R>,
    bytes_max: usize,
    tell: Option<oneshot::Sender<wasmtime::Result<R>>>,
}

impl<D: 'static, V: Lift + 'static, R: Send + 'static> FutureConsumer<D> for Slot<D, V, R> {
    type Item = V;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut source: Source<'_, V>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut read = None;
        source.read(store.as_context_mut(), &mut read)?;
        if let (Some(value), Some(tell)) = (read, self.tell.take()) {
            let made = (self.make)(store.as_context(), &value, self.bytes_max);
            // The receiver is gone if the call was ended.
            drop(tell.send(made));
        }
        Poll::Ready(Ok(()))
    }
}

async fn value<T, V>(store: &mut Store<T>, future: FutureAny) -> wasmtime::Result<V>
where
    T: Send + 'static,
    V: Lift + Copy + Unpin + Send + Sync + 'static,
{
    made(store, future, same, 0).await
}

async fn made<T, V, R>(
    store: &mut Store<T>,
    future: FutureAny,
    make: Make<T, V, R>,
    bytes_max: usize,
) -> wasmtime::Result<R>
where
    T: Send + 'static,
    V: Lift + Unpin + Send + Sync + 'static,
    R: Send + Sync + 'static,
{
    let (tell, told) = oneshot::channel();
    let slot = Slot { make, bytes_max, tell: Some(tell) };
    FutureReader::<V>::try_from_future_any(future)?.pipe(&mut *store, slot)?;
    let made = store.run_concurrent(async |_| told.await).await?;
    made.map_err(|_| wasmtime::format_err!("the function dropped the future that it gave back"))?
}
