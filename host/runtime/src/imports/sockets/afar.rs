//! Sockets as a worker has them: numbers of what is held on the other side of its pipe. Nothing is granted, counted or connected
//! here; what a guest wants is said, and it waits for the answer. What is kept here is what a guest is told of the order of things.

mod p3;
mod stream;
mod tcp;
mod udp;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode};

use super::NoAddress;
use super::act::{Act, Came, Kind, Lane, Refused, Use};
use crate::bindings::sockets::{tcp as tcp2, tcp_create_socket, udp as udp2, udp_create_socket};
use crate::imports::Ctx;
use crate::imports::outside::Outside;
use crate::imports::outside::afar::Afar;
use crate::imports::outside::words::{Answer, Ask};
use crate::meter::Stop;

pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    tcp2::add_to_linker::<Ctx, Plugs>(linker, view)?;
    tcp_create_socket::add_to_linker::<Ctx, Plugs>(linker, view)?;
    udp2::add_to_linker::<Ctx, Plugs>(linker, view)?;
    udp_create_socket::add_to_linker::<Ctx, Plugs>(linker, view)
}

pub(super) use p3::link as link_p3;

struct Plugs;

impl HasData for Plugs {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    table: &'a mut ResourceTable,
    outside: &'a Outside,
}

fn view(ctx: &mut Ctx) -> View<'_> {
    View { table: &mut ctx.table, outside: &ctx.outside }
}

impl View<'_> {
    /// Asks for a socket.
    async fn open(&mut self, kind: Kind) -> Result<Arc<Plug>, Refused> {
        match self.outside {
            Outside::Afar(afar) => Plug::open(afar, kind).await,
            Outside::Here(_) => Err(Refused::AccessDenied),
        }
    }
}

impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.table.get(&error)?;
        Ok(None)
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<network::Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

/// The bound types cannot be made here, so their handles stand for ours; the table looks at the type behind each.
fn ours<T: 'static, U: 'static>(handle: &Resource<T>) -> Resource<U> {
    Resource::new_borrow(handle.rep())
}

fn told(refused: Refused) -> SocketError {
    ErrorCode::from(refused).into()
}

/// What was answered, if it is this.
macro_rules! came {
    ($came:expr, $this:pat => $told:expr) => {
        match $came {
            Ok($this) => Ok($told),
            Ok(_) => Err($crate::imports::sockets::act::Refused::Other),
            Err(refused) => Err(refused),
        }
    };
}
use came;

/// A socket over there. When nobody has this any more it is closed.
struct Plug {
    afar: Arc<Afar>,
    number: u64,
    kind: Kind,
    out: Arc<Semaphore>,
    beside: Arc<Semaphore>,
}

/// Something that was asked for, until the answer is there.
struct Flight(Option<oneshot::Receiver<Answer>>);

impl Future for Flight {
    type Output = Result<Came, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Of a call that has ended nothing is asked any more.
        let Some(answer) = &mut self.0 else { return Poll::Ready(Err(Refused::Other)) };
        Poll::Ready(match std::task::ready!(Pin::new(answer).poll(cx)) {
            Ok(Answer::Sockets(came)) => came,
            Ok(_) | Err(_) => Err(Refused::Other),
        })
    }
}

fn asked(asked: Option<(u64, oneshot::Receiver<Answer>)>) -> Flight {
    Flight(asked.map(|(_, answer)| answer))
}

impl Plug {
    async fn open(afar: &Arc<Afar>, kind: Kind) -> Result<Arc<Self>, Refused> {
        let turn = Arc::clone(&afar.opening).acquire_owned().await.ok();
        let (number, answer) =
            afar.ask_in_turn(&Ask::Sockets(Act::Open(kind)), turn).ok_or(Refused::Other)?;
        let turns = || Arc::new(Semaphore::new(1));
        let plug = Arc::new(Self { afar: Arc::clone(afar), number, kind, out: turns(), beside: turns() });
        Flight(Some(answer)).await?;
        Ok(plug)
    }

    /// Asks for something of it, in a turn that the caller has.
    fn begin(&self, wanted: Use, turn: Option<OwnedSemaphorePermit>) -> Flight {
        asked(self.afar.ask_in_turn(&Ask::Sockets(Act::Of(self.number, wanted)), turn))
    }

    /// Asks for something of it when it is its turn, and waits for the answer. What comes back has its turns with who reads it.
    async fn ask(&self, wanted: Use) -> Result<Came, Refused> {
        let turns = match wanted.lane() {
            Lane::Out => &self.out,
            Lane::Beside => &self.beside,
            Lane::Back | Lane::End => return Err(Refused::NotSupported),
        };
        let turn = Arc::clone(turns).acquire_owned().await.ok();
        self.begin(wanted, turn).await
    }

    /// Begins to send, if nothing else is on its way out.
    fn send(&self, wanted: Use) -> Option<Flight> {
        let turn = Arc::clone(&self.out).try_acquire_owned().ok()?;
        Some(self.begin(wanted, Some(turn)))
    }

    fn say(&self, wanted: Use) {
        self.afar.say_only(&Ask::Sockets(Act::Of(self.number, wanted)));
    }

    /// Whether the call may go on. What ends it may have come with an answer, where no guest crosses.
    fn goes_on(&self) -> Result<(), Stop> {
        self.spent(u64::MAX)
    }

    /// The same, with so much fuel left.
    fn spent(&self, fuel_left: u64) -> Result<(), Stop> {
        self.afar.meter.crossed(false, fuel_left)
    }

    async fn done(&self, wanted: Use) -> Result<(), Refused> {
        came!(self.ask(wanted).await, Came::Done => ())
    }

    async fn number(&self, wanted: Use) -> Result<u64, Refused> {
        came!(self.ask(wanted).await, Came::Number(number) => number)
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        self.say(Use::Close);
    }
}

/// Has a name looked up over there.
pub(super) async fn look_up(afar: Arc<Afar>, name: String) -> Result<Vec<IpAddr>, NoAddress> {
    /// More than any name has. What is longer is none, and so is its beginning.
    const CHARS_MAX: usize = 400;
    let name = name.chars().take(CHARS_MAX).collect();
    let turn = Arc::clone(&afar.opening).acquire_owned().await.ok();
    let found = asked(afar.ask_in_turn(&Ask::Sockets(Act::LookUp(name)), turn)).await;
    came!(found, Came::Addresses(addresses) => addresses).map_err(NoAddress::from)
}

/// An answer that is looked at before it is taken.
struct Later {
    flight: Flight,
    came: Option<Result<Came, Refused>>,
}

impl Later {
    fn new(flight: Flight) -> Self {
        Self { flight, came: None }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.came.is_none() {
            self.came = Some(std::task::ready!(Pin::new(&mut self.flight).poll(cx)));
        }
        Poll::Ready(())
    }

    /// What came; itself if nothing has.
    fn take(mut self) -> Result<Result<Came, Refused>, Self> {
        match self.poll_ready(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(()) => Ok(self.came.unwrap_or(Err(Refused::Other))),
            Poll::Pending => Err(self),
        }
    }
}
