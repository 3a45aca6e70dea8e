//! What a worker asks for in one of its calls, as far as it may: one thing at a time of the store, a few of the granted
//! folders, and of each exchange one in either direction, each until its answer is being said; of sockets as `plugs` says.
//! Whoever asks for more is no worker of ours.

mod plugs;

use std::collections::HashMap;
use std::sync::Arc;

use http_body::Frame;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use toolgate_policy::limits::call::{CallLimit, CallLimits, FILES_THREADS};

use crate::egress::{Arriving, Failure};
use crate::imports::files::here::{State as Files, Thing};
use crate::imports::outside::words::Ask;
use crate::imports::sockets::held::Held;
use plugs::Plugs;

/// Takes what is asked for in one call.
pub(super) struct Asking {
    to: UnboundedSender<Wanted>,
    last: u64,
    requests_left: u64,
    store: Arc<Semaphore>,
    files: Arc<Semaphore>,
    /// What the call has open.
    open: Arc<Files>,
    exchanges: HashMap<u64, Arc<Exchange>>,
    plugs: Plugs,
}

/// What a worker wants in a call.
pub(super) enum Wanted {
    Asked(Asked),
    /// To let go of this, which may wait.
    LetGo(Thing),
}

/// Something that is asked for.
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) ask: Ask,
    /// What it is about, if it is a request.
    pub(super) exchange: Option<Arc<Exchange>>,
    /// What it is about, if it is a socket.
    pub(super) held: Option<Arc<Held>>,
    pub(super) turn: OwnedSemaphorePermit,
}

/// A request, and what comes of it.
pub(super) struct Exchange {
    /// The worker wants nothing more of it.
    pub(super) left: CancellationToken,
    /// Where the parts of the request's body go; nowhere after the last.
    pub(super) leaving: Mutex<Option<Sender<Leaving>>>,
    /// Where the parts of the response's body come from, once its head is there.
    pub(super) arriving: Mutex<Option<Arriving>>,
    out: Arc<Semaphore>,
    back: Arc<Semaphore>,
}

/// A part of a request's body; nothing at its end, which must be said.
pub(super) type Leaving = Option<Result<Frame<bytes::Bytes>, Failure>>;

/// Room for one.
fn turn() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}

impl Asking {
    /// For a call with these limits; and where what it asks for comes.
    pub(super) fn within(limits: &CallLimits, open: Arc<Files>) -> (Self, UnboundedReceiver<Wanted>) {
        // How much waits in it the turns bound.
        let (to, asked) = unbounded_channel();
        let asking = Self {
            to,
            last: 0,
            requests_left: limits.get(CallLimit::HttpRequests),
            store: turn(),
            files: Arc::new(Semaphore::new(FILES_THREADS)),
            open,
            exchanges: HashMap::new(),
            plugs: Plugs::within(limits),
        };
        (asking, asked)
    }

    /// Takes something that is asked for; false if it may not be asked for now.
    pub(super) fn take(&mut self, number: u64, ask: Ask) -> bool {
        self.pass_on(number, ask).is_some()
    }

    fn pass_on(&mut self, number: u64, ask: Ask) -> Option<()> {
        if number <= self.last {
            return None;
        }
        self.last = number;
        let exchange = match &ask {
            Ask::Leave { exchange } => {
                self.exchanges.remove(exchange)?.left.cancel();
                return Some(());
            }
            Ask::Send { .. } => {
                self.requests_left = self.requests_left.checked_sub(1)?;
                let exchange = Arc::new(Exchange::new());
                self.exchanges.insert(number, Arc::clone(&exchange));
                Some(exchange)
            }
            Ask::Body { exchange, .. } | Ask::Next { exchange } => {
                Some(Arc::clone(self.exchanges.get(exchange)?))
            }
            Ask::LetGo(number) => {
                // In its turn among what is asked for: what is opened after it finds it closed.
                drop(self.to.send(Wanted::LetGo(self.open.let_go(*number)?)));
                return Some(());
            }
            Ask::Sockets(act) => {
                let (held, turn) = self.plugs.take(number, act)?;
                let asked = Asked { number, ask, exchange: None, held, turn };
                drop(self.to.send(Wanted::Asked(asked)));
                return Some(());
            }
            Ask::Store(_) | Ask::File(_) => None,
        };
        let turn = match (&ask, &exchange) {
            (Ask::Body { .. }, Some(exchange)) => &exchange.out,
            (_, Some(exchange)) => &exchange.back,
            (Ask::File(_), None) => &self.files,
            (_, None) => &self.store,
        };
        let turn = Arc::clone(turn).try_acquire_owned().ok()?;
        // The call may have just ended.
        drop(self.to.send(Wanted::Asked(Asked { number, ask, exchange, held: None, turn })));
        Some(())
    }
}

impl Exchange {
    fn new() -> Self {
        Self {
            left: CancellationToken::new(),
            leaving: Mutex::default(),
            arriving: Mutex::default(),
            out: turn(),
            back: turn(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::files::act::{Act, Of};
    use crate::imports::keyvalue::act as store;
    use crate::imports::outside::words::{Asked as Head, Fields, Part};

    fn asking() -> (Asking, UnboundedReceiver<Wanted>) {
        Asking::within(&CallLimits::default(), Arc::default())
    }

    fn store() -> Ask {
        Ask::Store(store::Act::Open { bucket: "b".to_owned() })
    }

    fn send() -> Ask {
        let fields = Fields::from(&http::HeaderMap::new());
        let method = "GET".to_owned();
        let (scheme, authority, path) = (None, None, None);
        let head = Head { method, scheme, authority, path, fields, connect: None, first_byte: None };
        Ask::Send { head, empty: false }
    }

    #[test]
    fn one_thing_at_a_time_is_asked_of_the_store_until_it_is_being_answered() {
        let (mut asking, mut asked) = asking();
        assert!(asking.take(1, store()));
        let Wanted::Asked(first) = asked.try_recv().unwrap() else { panic!() };
        assert!(!asking.take(2, store()), "the first is not answered");
        // Its turn goes with its answer.
        drop(first.turn);
        assert!(asking.take(3, store()));
    }

    #[test]
    fn of_the_folders_a_few_things_are_asked_at_once_and_what_is_not_open_is_not_let_go_of() {
        let (mut asking, mut asked) = asking();
        let ask = || Ask::File(Act::Of(0, Of::Stat));
        let at_once = FILES_THREADS as u64;
        assert!((1..=at_once).all(|number| asking.take(number, ask())));
        assert!(!asking.take(at_once + 1, ask()), "none of them is answered");
        assert!(asking.take(at_once + 2, store()), "others are asked beside them");
        drop(asked.try_recv());
        assert!(asking.take(at_once + 3, ask()));
        assert!(!asking.take(at_once + 4, Ask::LetGo(0)));
    }

    #[test]
    fn of_an_exchange_one_thing_is_asked_in_either_direction() {
        let (mut asking, mut asked) = asking();
        let part = |number| Ask::Body { exchange: number, part: Part::End };
        let next = |number| Ask::Next { exchange: number };
        assert!(asking.take(1, send()));
        assert!(asking.take(2, part(1)), "its body leaves while its head is waited for");
        assert!(asking.take(3, send()), "and others beside it");
        let turns = [(); 3].map(|()| asked.try_recv().unwrap());
        assert!(!asking.take(4, part(1)) && !asking.take(5, next(1)) && !asking.take(6, next(2)));
        drop(turns);
        assert!(asking.take(7, part(1)) && asking.take(8, next(1)) && asking.take(9, next(3)));
        assert!(!asking.take(9, part(3)), "numbers grow");
    }
}
