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
    pub(super) client: FileClient,
    /// Opened descriptors by number.
    pub(super) open: HashMap<u32, Arc<OpenHandle>>,
    /// Open WASI 0.2 listings, with the names received.
    pub(super) listings: HashMap<u32, GuestListing>,
    _over: DropGuard,
}

/// Listing, with the names received and not yet returned.
pub(super) struct GuestListing {
    pub(super) handle: OpenHandle,
    pub(super) names: VecDeque<(FileKind, String)>,
}

/// Open object; closed when dropped.
pub(super) struct OpenHandle {
    pub(super) number: u32,
    outside: HostCalls,
}

impl Drop for OpenHandle {
    fn drop(&mut self) {
        self.outside.close_file(self.number);
    }
}

impl FilesCtx {
    pub(crate) fn new(outside: &HostCalls) -> Self {
        let over = CancellationToken::new();
        let client = FileClient { outside: outside.clone(), over: over.clone() };
        Self { client, open: HashMap::new(), listings: HashMap::new(), _over: over.drop_guard() }
    }

    /// Handle that keeps a descriptor open. `None` for a granted folder, which is always open.
    pub(super) fn handle_of(&self, number: u32) -> Option<Arc<OpenHandle>> {
        self.open.get(&number).cloned()
    }

    /// Stores an opened descriptor and returns its number.
    pub(super) fn opened(&mut self, handle: OpenHandle) -> u32 {
        let number = handle.number;
        self.open.insert(number, Arc::new(handle));
        number
    }
}

/// Open request, completed or pending.
pub(super) enum PendingHandle {
    Done(Result<OpenHandle, Code>),
    UnderWay(JoinHandle<Result<OpenHandle, Code>>),
}

/// Client for requests of one call.
#[derive(Clone)]
pub(super) struct FileClient {
    outside: HostCalls,
    over: CancellationToken,
}

/// Performs a request, and takes the value out of the response.
macro_rules! perform {
    ($client:ident, $request:expr, $response:pat => $value:expr) => {
        match $client.outside.file($request).await? {
            $response => Ok($value),
            other => {
                tracing::error!(?other, "a folder's response is of another kind");
                Err(Code::Io)
            }
        }
    };
}

impl FileClient {
    /// Begins to open something; it may complete at once. Otherwise it continues for as long as the call lasts, and the
    /// result is closed if its receiver is gone. `of` is kept open until then.
    pub(super) fn begin(&self, request: FileRequest, of: Option<Arc<OpenHandle>>) -> PendingHandle {
        let mut opening = Box::pin(self.clone().opening(request, of));
        match (&mut opening).now_or_never() {
            Some(opened) => PendingHandle::Done(opened),
            None => PendingHandle::UnderWay(tokio::spawn(opening)),
        }
    }

    async fn opening(self, request: FileRequest, of: Option<Arc<OpenHandle>>) -> Result<OpenHandle, Code> {
        let opened = self.over.run_until_cancelled(self.outside.file(request)).await;
        drop(of);
        match opened.unwrap_or(Err(Code::Interrupted))? {
            FileResponse::Opened(number) => Ok(OpenHandle { number, outside: self.outside.clone() }),
            _ => Err(Code::Io),
        }
    }

    pub(super) async fn open(&self, op: OpenOp) -> Result<OpenHandle, Code> {
        match self.begin(FileRequest::Open(op), None) {
            PendingHandle::Done(opened) => opened,
            PendingHandle::UnderWay(opening) => opening.await.unwrap_or(Err(Code::Interrupted)),
        }
    }

    pub(super) async fn done(&self, request: FileRequest) -> Result<(), Code> {
        perform!(self, request, FileResponse::Done => ())
    }

    pub(super) async fn stat(&self, request: FileRequest) -> Result<Stat, Code> {
        perform!(self, request, FileResponse::Stat(stat) => stat)
    }

    pub(super) async fn flags(&self, fd: u32) -> Result<DescriptorFlags, Code> {
        perform!(self, FileRequest::Of(fd, DescriptorOp::Flags), FileResponse::Flags(flags) => flags)
    }

    pub(super) async fn kind(&self, fd: u32) -> Result<FileKind, Code> {
        perform!(self, FileRequest::Of(fd, DescriptorOp::Kind), FileResponse::Kind(kind) => kind)
    }

    pub(super) async fn hash(&self, request: FileRequest) -> Result<(u64, u64), Code> {
        perform!(self, request, FileResponse::Hash { lower, upper } => (lower, upper))
    }

    pub(super) async fn same(&self, one: u32, other: u32) -> Result<bool, Code> {
        perform!(self, FileRequest::Same(one, other), FileResponse::Same(same) => same)
    }

    pub(super) async fn target(&self, request: FileRequest) -> Result<String, Code> {
        perform!(self, request, FileResponse::Target(target) => target)
    }

    pub(super) async fn bytes(&self, request: FileRequest) -> Result<Vec<u8>, Code> {
        perform!(self, request, FileResponse::Bytes(ByteBlob(bytes)) => bytes)
    }

    pub(super) async fn written(&self, request: FileRequest) -> Result<u64, Code> {
        perform!(self, request, FileResponse::Written(bytes) => bytes)
    }

    pub(super) async fn names(&self, listing: u32) -> Result<Vec<(FileKind, String)>, Code> {
        perform!(self, FileRequest::Stream(listing, StreamOp::Names), FileResponse::Names(names) => names)
    }
}
