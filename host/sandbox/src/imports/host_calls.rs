//! The one way from a word's import to what it reaches outside: in this process, or from a worker over its pipe to the process
//! that has it. Who has it asks, notes, counts and does; who has not only says what is wanted: `http`, `keyvalue`, `files`,
//! `sockets`.

pub(crate) mod protocol;
pub(crate) mod rpc_client;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use toolgate_base::meter::Meter;
use toolgate_net::egress::{Egress, EgressError, ResponseBody, RuleClient, Timeouts};
use toolgate_policy::capability::{
    http as http_policy, keyvalue as keyvalue_policy, sockets as sockets_policy,
};
use toolgate_state::audit::record::CallTrace;
use toolgate_state::keyvalue::Store;

use super::files;
use super::files::request as file;
use super::keyvalue::request::{KeyvalueFault, KeyvalueRequest, KeyvalueResponse};
use rpc_client::RpcClient;

/// What one plugin reaches outside, made once.
pub(crate) struct Powers {
    pub(crate) http: http_policy::Grant,
    /// One link for each rule of the `http` grant: its certificates, its secret.
    pub(crate) links: Vec<Arc<RuleClient>>,
    pub(crate) keyvalue: keyvalue_policy::Grant,
    /// The plugin's store, if it has room in one.
    pub(crate) store: Option<Arc<Store>>,
    /// The folders it is granted, open.
    pub(crate) files: Option<files::FilesPrototype>,
    pub(crate) sockets: sockets_policy::Grant,
    /// The way out, shared by all plugins.
    pub(crate) egress: Arc<Egress>,
}

impl Powers {
    /// None at all.
    pub(crate) fn none() -> Self {
        Self {
            http: http_policy::Grant::default(),
            links: Vec::new(),
            keyvalue: keyvalue_policy::Grant::default(),
            store: None,
            files: None,
            sockets: sockets_policy::Grant::default(),
            egress: Egress::new(Vec::new()),
        }
    }
}

/// How one call reaches what lies outside.
#[derive(Clone)]
pub(crate) enum HostCalls {
    /// In this process.
    Local(Broker),
    /// Over a pipe.
    Remote(Arc<RpcClient>),
}

/// The powers of a plugin in the hands of one of its calls.
#[derive(Clone)]
pub(crate) struct Broker {
    pub(crate) powers: Arc<Powers>,
    pub(crate) meter: Meter,
    pub(crate) notes: CallTrace,
    /// What it has open of the granted folders.
    pub(crate) files: Arc<files::open_files::OpenFiles>,
}

impl Broker {
    /// For a call that begins.
    pub(crate) fn new(powers: Arc<Powers>, meter: Meter, notes: CallTrace) -> Self {
        Self { powers, meter, notes, files: Arc::default() }
    }
}

impl HostCalls {
    /// Sends a request and waits for the response's head.
    ///
    /// # Errors
    /// [`EgressError`]; whatever is not granted is refused.
    pub(super) async fn send<B>(
        self,
        request: Request<B>,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, EgressError>
    where
        B: Body<Data = Bytes, Error: Into<EgressError>> + Send + Unpin + 'static,
    {
        match self {
            Self::Local(here) => here.send(request, timeouts).await,
            Self::Remote(afar) => afar.send(request, timeouts).await,
        }
    }

    /// Uses the plugin's store.
    ///
    /// # Errors
    /// [`KeyvalueFault`].
    pub(super) async fn act(&self, act: KeyvalueRequest) -> Result<KeyvalueResponse, KeyvalueFault> {
        act.check()?;
        match self {
            Self::Local(here) => here.act(act).await,
            Self::Remote(afar) => afar.act(act).await,
        }
    }

    /// Uses the granted folders.
    ///
    /// # Errors
    /// [`file::Code`].
    pub(super) async fn file(&self, act: file::FileRequest) -> Result<file::FileResponse, file::Code> {
        match self {
            Self::Local(here) => here.file(act).await,
            Self::Remote(afar) => {
                act.check()?;
                afar.file(act).await
            }
        }
    }

    /// Lets go of what is open there.
    pub(super) fn let_go(&self, number: u32) {
        match self {
            Self::Local(here) => drop(here.files.let_go(number)),
            Self::Remote(afar) => afar.let_go(number),
        }
    }
}
