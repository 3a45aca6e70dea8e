//! The numbers that a guest has of what is open in the granted folders, and the requests about them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures::FutureExt as _;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::imports::host_calls::HostCalls;
use crate::protocol::blob::ByteBlob;
use crate::protocol::files::{
    Code, DescriptorFlags, DescriptorOp, FileKind, FileRequest, FileResponse, OpenOp, Stat, StreamOp,
};

/// Files state of one call.
pub(crate) struct FilesCtx {
    pub(super) way: Way,
    /// Opened descriptors by number.
    pub(super) held: HashMap<u32, Arc<OpenHandle>>,
    /// Open WASI 0.2 listings, with the names received.
    pub(super) listings: HashMap<u32, GuestListing>,
    _over: DropGuard,
}

/// Listing, with the names received and not yet returned.
pub(super) struct GuestListing {
    pub(super) held: OpenHandle,
    pub(super) names: VecDeque<(FileKind, String)>,
}

/// Open object; closed when dropped.
pub(super) struct OpenHandle {
    number: u32,
    outside: HostCalls,
}

impl OpenHandle {
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for OpenHandle {
    fn drop(&mut self) {
        self.outside.close_file(self.number);
    }
}

impl FilesCtx {
    pub(crate) fn new(outside: &HostCalls) -> Self {
        let over = CancellationToken::new();
        let way = Way { outside: outside.clone(), over: over.clone() };
        Self { way, held: HashMap::new(), listings: HashMap::new(), _over: over.drop_guard() }
    }

    /// Handle that keeps a descriptor open. `None` for a granted folder, which is always open.
    pub(super) fn keeping(&self, number: u32) -> Option<Arc<OpenHandle>> {
        self.held.get(&number).cloned()
    }

    /// Stores an opened descriptor and returns its number.
    pub(super) fn opened(&mut self, held: OpenHandle) -> u32 {
        let number = held.number;
        self.held.insert(number, Arc::new(held));
        number
    }
}

/// Open request, completed or pending.
pub(super) enum Begun {
    Done(Result<OpenHandle, Code>),
    UnderWay(JoinHandle<Result<OpenHandle, Code>>),
}

/// Client for requests of one call.
#[derive(Clone)]
pub(super) struct Way {
    outside: HostCalls,
    over: CancellationToken,
}

/// Performs a request, and takes the value out of the response.
macro_rules! perform {
    ($way:ident, $request:expr, $response:pat => $value:expr) => {
        match $way.outside.file($request).await? {
            $response => Ok($value),
            other => {
                tracing::error!(?other, "a folder's response is of another kind");
                Err(Code::Io)
            }
        }
    };
}

impl Way {
    /// Begins to open something; it may complete at once. Otherwise it continues for as long as the call lasts, and the
    /// result is closed if its receiver is gone. `of` is kept open until then.
    pub(super) fn begin(&self, act: FileRequest, of: Option<Arc<OpenHandle>>) -> Begun {
        let mut making = Box::pin(self.clone().making(act, of));
        match (&mut making).now_or_never() {
            Some(made) => Begun::Done(made),
            None => Begun::UnderWay(tokio::spawn(making)),
        }
    }

    async fn making(self, act: FileRequest, of: Option<Arc<OpenHandle>>) -> Result<OpenHandle, Code> {
        let made = self.over.run_until_cancelled(self.outside.file(act)).await;
        drop(of);
        match made.unwrap_or(Err(Code::Interrupted))? {
            FileResponse::Opened(number) => Ok(OpenHandle { number, outside: self.outside.clone() }),
            _ => Err(Code::Io),
        }
    }

    pub(super) async fn make(&self, make: OpenOp) -> Result<OpenHandle, Code> {
        match self.begin(FileRequest::Open(make), None) {
            Begun::Done(made) => made,
            Begun::UnderWay(making) => making.await.unwrap_or(Err(Code::Interrupted)),
        }
    }

    pub(super) async fn done(&self, act: FileRequest) -> Result<(), Code> {
        perform!(self, act, FileResponse::Done => ())
    }

    pub(super) async fn stat(&self, act: FileRequest) -> Result<Stat, Code> {
        perform!(self, act, FileResponse::Stat(stat) => stat)
    }

    pub(super) async fn flags(&self, fd: u32) -> Result<DescriptorFlags, Code> {
        perform!(self, FileRequest::Of(fd, DescriptorOp::Flags), FileResponse::Flags(flags) => flags)
    }

    pub(super) async fn kind(&self, fd: u32) -> Result<FileKind, Code> {
        perform!(self, FileRequest::Of(fd, DescriptorOp::Kind), FileResponse::Kind(kind) => kind)
    }

    pub(super) async fn hash(&self, act: FileRequest) -> Result<(u64, u64), Code> {
        perform!(self, act, FileResponse::Hash { lower, upper } => (lower, upper))
    }

    pub(super) async fn same(&self, one: u32, other: u32) -> Result<bool, Code> {
        perform!(self, FileRequest::Same(one, other), FileResponse::Same(same) => same)
    }

    pub(super) async fn target(&self, act: FileRequest) -> Result<String, Code> {
        perform!(self, act, FileResponse::Target(target) => target)
    }

    pub(super) async fn bytes(&self, act: FileRequest) -> Result<Vec<u8>, Code> {
        perform!(self, act, FileResponse::Bytes(ByteBlob(bytes)) => bytes)
    }

    pub(super) async fn written(&self, act: FileRequest) -> Result<u64, Code> {
        perform!(self, act, FileResponse::Written(bytes) => bytes)
    }

    pub(super) async fn names(&self, listing: u32) -> Result<Vec<(FileKind, String)>, Code> {
        perform!(self, FileRequest::Stream(listing, StreamOp::Names), FileResponse::Names(names) => names)
    }
}
