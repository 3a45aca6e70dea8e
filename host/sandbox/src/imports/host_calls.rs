//! The way from an import to what it reaches outside: `http`, `keyvalue`, `files`, `sockets`. The broker of the process that owns the
//! resources asks the grant, records, meters and performs each request. A worker only sends requests to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use toolgate_base::meter::Meter;
use toolgate_net::egress::{Egress, EgressError, ResponseBody, RuleClient, Timeouts};
use toolgate_policy::PluginName;
use toolgate_policy::capability::{
    http as http_policy, keyvalue as keyvalue_policy, sockets as sockets_policy,
};
use toolgate_policy::principal::Tenant;
use toolgate_state::audit::record::CallTrace;
use toolgate_state::keyvalue::{Store, Stores};

use super::files;
use super::http::remote;
use crate::protocol::files::{Code, FileRequest, FileResponse};
use crate::protocol::keyvalue::{KeyvalueFault, KeyvalueRequest, KeyvalueResponse};
use crate::protocol::{HostRequest, HostResponse};
use crate::rpc::client::RpcClient;

/// The resources of one plugin outside, made once.
pub(crate) struct Powers {
    pub(crate) http: http_policy::Grant,
    /// One client for each rule of the `http` grant: its certificates, its secret.
    pub(crate) links: Vec<Arc<RuleClient>>,
    /// The plugin's stores, if it is granted any.
    pub(crate) stores: Option<Arc<GrantedStores>>,
    /// The granted folders, open.
    pub(crate) files: Option<files::FilesPrototype>,
    pub(crate) sockets: sockets_policy::Grant,
    /// The connections of all plugins.
    pub(crate) egress: Arc<Egress>,
}

/// The stores of a plugin, one for each tenant, and the grant to use them.
pub(crate) struct GrantedStores {
    pub(crate) grant: keyvalue_policy::Grant,
    /// Id of the plugin, which owns its stores.
    pub(crate) id: String,
    pub(crate) plugin: PluginName,
    pub(crate) stores: Arc<Stores>,
    /// Stores that were used; there are as many as tenants at the most.
    pub(crate) open: Mutex<BTreeMap<Tenant, Arc<Store>>>,
}

impl Powers {
    /// No resource at all.
    pub(crate) fn none() -> Self {
        Self {
            http: http_policy::Grant::default(),
            links: Vec::new(),
            stores: None,
            files: None,
            sockets: sockets_policy::Grant::default(),
            egress: Egress::new(Vec::new()),
        }
    }
}

/// The place where the requests of one call are performed.
#[derive(Clone)]
pub(crate) enum HostCalls {
    /// In this process.
    Local(Arc<Broker>),
    /// At the other end of a worker's pipe.
    Remote(Arc<RpcClient>),
}

/// Performs the requests of one call.
pub(crate) struct Broker {
    /// The tenant whose data the call may touch.
    pub(crate) tenant: Tenant,
    pub(crate) powers: Arc<Powers>,
    pub(crate) meter: Meter,
    pub(crate) notes: CallTrace,
    /// Open files of the call.
    pub(crate) files: Arc<files::open_files::OpenFiles>,
    /// Addresses that were found for granted names.
    pub(crate) found: Mutex<sockets_policy::Found>,
}

impl Broker {
    /// A broker for a call that begins.
    pub(crate) fn new(tenant: Tenant, powers: Arc<Powers>, meter: Meter, notes: CallTrace) -> Self {
        Self { tenant, powers, meter, notes, files: Arc::default(), found: Mutex::default() }
    }
}

impl HostCalls {
    /// Sends an HTTP request and waits for the response's head.
    ///
    /// # Errors
    /// [`EgressError`]; whatever is not granted is refused.
    pub(super) async fn send_request<B>(
        self,
        request: Request<B>,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, EgressError>
    where
        B: Body<Data = Bytes, Error: Into<EgressError>> + Send + Unpin + 'static,
    {
        match self {
            Self::Local(broker) => broker.send_request(request, timeouts).await,
            Self::Remote(client) => remote::send_request(client, request, timeouts).await,
        }
    }

    /// Uses the plugin's store.
    ///
    /// # Errors
    /// [`KeyvalueFault`].
    pub(super) async fn keyvalue(&self, request: KeyvalueRequest) -> Result<KeyvalueResponse, KeyvalueFault> {
        match self {
            Self::Local(broker) => broker.perform_keyvalue(request).await,
            Self::Remote(client) => {
                // Also here: a message that is longer than any may be would end the worker.
                request.check()?;
                match client.call(HostRequest::Keyvalue(request)).await {
                    Some(HostResponse::Keyvalue(response)) => response,
                    Some(_) | None => Err(KeyvalueFault::Other("the store is closed".to_owned())),
                }
            }
        }
    }

    /// Uses the granted folders.
    ///
    /// # Errors
    /// [`Code`].
    pub(super) async fn file(&self, request: FileRequest) -> Result<FileResponse, Code> {
        request.check()?;
        match self {
            Self::Local(broker) => broker.perform_file(request).await,
            Self::Remote(client) => match client.call(HostRequest::Files(request)).await {
                Some(HostResponse::Files(response)) => response,
                Some(_) | None => Err(Code::Interrupted),
            },
        }
    }

    /// Closes what is open of the granted folders.
    pub(super) fn close_file(&self, number: u32) {
        match self {
            Self::Local(broker) => drop(broker.files.take(number)),
            Self::Remote(client) => client.notify(HostRequest::CloseFile(number)),
        }
    }
}
