//! UDP by WASI 0.3, over a pipe.

use std::sync::Arc;

use tokio::sync::Mutex as Turn;
use wasmtime::component::Resource;

use super::tcp::narrow;
use super::{Plugs, Store, Told, View, family, is_v6};
use crate::bindings::sockets::p3::types::{
    ErrorCode, HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress, UdpSocket,
};
use crate::imports::Ctx;
use crate::imports::outside::words::Blob;
use crate::imports::sockets::act::{Came, Kind, Knob, Use};
use crate::imports::sockets::afar::{Flight, Plug, came, ours};

struct Udp {
    plug: Arc<Plug>,
    /// The next datagram, once it was asked for. Whoever waits first has it.
    next: Arc<Turn<Option<Flight>>>,
}

type Handle = Resource<UdpSocket>;

impl View<'_> {
    fn udp_p3(&mut self, handle: &Handle) -> wasmtime::Result<&mut Udp> {
        Ok(self.table.get_mut(&ours(handle))?)
    }

    async fn udp_p3_do(&mut self, handle: &Handle, wanted: Use) -> Told<()> {
        Ok(self.udp_p3(handle)?.plug.done(wanted).await.map_err(ErrorCode::from))
    }

    async fn udp_p3_get<T: TryFrom<u64>>(&mut self, handle: &Handle, knob: Knob) -> Told<T> {
        let number = self.udp_p3(handle)?.plug.number(Use::Get(knob)).await;
        Ok(number.map_err(ErrorCode::from).and_then(narrow))
    }

    async fn udp_p3_address(&mut self, handle: &Handle, wanted: Use) -> Told<IpSocketAddress> {
        let came = self.udp_p3(handle)?.plug.ask(wanted).await;
        Ok(came!(came, Came::Address(address) => address.into()).map_err(ErrorCode::from))
    }
}

impl HostUdpSocketWithStore<Ctx> for Plugs {
    async fn send(store: &Store, handle: Handle, data: Vec<u8>, to: Option<IpSocketAddress>) -> Told<()> {
        if data.len() > usize::from(u16::MAX) {
            return Ok(Err(ErrorCode::DatagramTooLarge));
        }
        let plug =
            store.with(|mut access| wasmtime::error::Ok(Arc::clone(&access.get().udp_p3(&handle)?.plug)))?;
        let sent = plug.done(Use::SendTo(Blob(data), to.map(Into::into))).await;
        plug.goes_on()?;
        Ok(sent.map_err(ErrorCode::from))
    }

    async fn receive(store: &Store, handle: Handle) -> Told<(Vec<u8>, IpSocketAddress)> {
        let (plug, next) = store.with(|mut access| {
            let mut view = access.get();
            let socket = view.udp_p3(&handle)?;
            wasmtime::error::Ok((Arc::clone(&socket.plug), Arc::clone(&socket.next)))
        })?;
        let mut next = next.lock().await;
        let came = next.get_or_insert_with(|| plug.begin(Use::ReceiveFrom, None)).await;
        *next = None;
        plug.goes_on()?;
        let datagram = came!(came, Came::Datagram(Blob(data), from) => (data, from.into()));
        Ok(datagram.map_err(ErrorCode::from))
    }
}

impl HostUdpSocket for View<'_> {
    async fn create(&mut self, family: IpAddressFamily) -> Told<Handle> {
        match self.open(Kind { datagrams: true, v6: is_v6(family) }).await {
            Ok(plug) => {
                let socket = self.table.push(Udp { plug, next: Arc::default() })?;
                Ok(Ok(Resource::new_own(socket.rep())))
            }
            Err(refused) => Ok(Err(refused.into())),
        }
    }

    async fn bind(&mut self, handle: Handle, address: IpSocketAddress) -> Told<()> {
        self.udp_p3_do(&handle, Use::Bind(address.into())).await
    }

    async fn connect(&mut self, handle: Handle, address: IpSocketAddress) -> Told<()> {
        self.udp_p3_do(&handle, Use::Connect(address.into())).await
    }

    async fn disconnect(&mut self, handle: Handle) -> Told<()> {
        self.udp_p3_do(&handle, Use::Disconnect).await
    }

    async fn get_local_address(&mut self, handle: Handle) -> Told<IpSocketAddress> {
        self.udp_p3_address(&handle, Use::Local).await
    }

    async fn get_remote_address(&mut self, handle: Handle) -> Told<IpSocketAddress> {
        self.udp_p3_address(&handle, Use::Remote).await
    }

    async fn get_address_family(&mut self, handle: Handle) -> wasmtime::Result<IpAddressFamily> {
        Ok(family(self.udp_p3(&handle)?.plug.kind.v6))
    }

    async fn get_unicast_hop_limit(&mut self, handle: Handle) -> Told<u8> {
        self.udp_p3_get(&handle, Knob::Hops).await
    }

    async fn set_unicast_hop_limit(&mut self, handle: Handle, value: u8) -> Told<()> {
        self.udp_p3_do(&handle, Use::Set(Knob::Hops, value.into())).await
    }

    async fn get_receive_buffer_size(&mut self, handle: Handle) -> Told<u64> {
        self.udp_p3_get(&handle, Knob::ReceiveBuffer).await
    }

    async fn set_receive_buffer_size(&mut self, handle: Handle, value: u64) -> Told<()> {
        self.udp_p3_do(&handle, Use::Set(Knob::ReceiveBuffer, value)).await
    }

    async fn get_send_buffer_size(&mut self, handle: Handle) -> Told<u64> {
        self.udp_p3_get(&handle, Knob::SendBuffer).await
    }

    async fn set_send_buffer_size(&mut self, handle: Handle, value: u64) -> Told<()> {
        self.udp_p3_do(&handle, Use::Set(Knob::SendBuffer, value)).await
    }

    async fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Udp>::new_own(handle.rep()))?;
        Ok(())
    }
}
