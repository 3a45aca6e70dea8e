//! Name resolution for WASI 0.2: granted names only, by egress in this process or by a request to the server.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::vec;

use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    Host, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{SocketError, SocketResult};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::{View, to_socket_error};
use crate::protocol::sockets::SocketFault;

/// Pending lookup, then its addresses. Ends with the call.
struct Looking {
    task: AbortOnDropHandle<Result<Vec<IpAddr>, SocketFault>>,
    found: Option<Result<vec::IntoIter<IpAddr>, SocketFault>>,
}

impl Looking {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&mut Result<vec::IntoIter<IpAddr>, SocketFault>> {
        if self.found.is_none() {
            let ended = std::task::ready!(Pin::new(&mut self.task).poll(cx));
            self.found = Some(ended.unwrap_or(Err(SocketFault::NameUnresolvable)).map(Vec::into_iter));
        }
        Poll::Ready(self.found.get_or_insert(Err(SocketFault::NameUnresolvable)))
    }
}

#[async_trait]
impl Pollable for Looking {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx).map(|_| ())).await;
    }
}

/// Handle of our type for one of the library's, which cannot be built here. The table checks the entry's type.
fn ours(handle: &Resource<ResolveAddressStream>) -> Resource<Looking> {
    Resource::new_borrow(handle.rep())
}

impl Host for View<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.table.get(&network)?;
        let looking = self.look_up(name).map_err(SocketError::trap)?;
        let task = AbortOnDropHandle::new(tokio::spawn(looking));
        let handle = self.table.push(Looking { task, found: None })?;
        Ok(Resource::new_own(handle.rep()))
    }
}

impl HostResolveAddressStream for View<'_> {
    fn resolve_next_address(
        &mut self,
        handle: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let looking = self.table.get_mut(&ours(&handle))?;
        match looking.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Err(ErrorCode::WouldBlock.into()),
            Poll::Ready(Ok(addresses)) => Ok(addresses.next().map(IpAddress::from)),
            Poll::Ready(Err(why)) => Err(to_socket_error(*why)),
        }
    }

    fn subscribe(
        &mut self,
        handle: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours(&handle))
    }

    fn drop(&mut self, handle: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Looking>::new_own(handle.rep()))?;
        Ok(())
    }
}
