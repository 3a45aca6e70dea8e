//! Lanes and handles of requests: what bounds how many of them are under way at once.

use toolgate_policy::limits::call::{CallLimit, CallLimits, SOCKETS_OPENING_MAX};

/// The lane and the handle of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// A request that is about no handle.
    Call(CallLane),
    /// A request that opens a handle, which has the request's number from then on.
    Open(HandleKind),
    /// A request about an open handle.
    Handle(HandleKind, u64, HandleLane),
    /// The end of a handle.
    Close(u64),
    /// The end of something that is open of the granted folders.
    CloseFile(u32),
}

/// The lanes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallLane {
    Keyvalue,
    Files,
    /// Sockets that are opened, and names that are looked up.
    Opening,
}

/// The kinds of handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandleKind {
    Exchange,
    Socket,
}

/// The lanes of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandleLane {
    Send,
    Receive,
    /// Requests that are performed at once.
    Control,
    /// The end of either direction. It is not answered.
    End,
}

impl Route {
    /// The lane of the call that it takes a place in, if any.
    pub(crate) const fn lane(self) -> Option<CallLane> {
        match self {
            Self::Call(lane) => Some(lane),
            Self::Open(kind) => kind.opening_lane(),
            Self::Handle(..) | Self::Close(_) | Self::CloseFile(_) => None,
        }
    }
}

impl HandleKind {
    /// The lane of requests that open one; nothing where that is the handle's own lane for what is received.
    pub(crate) const fn opening_lane(self) -> Option<CallLane> {
        match self {
            Self::Exchange => None,
            Self::Socket => Some(CallLane::Opening),
        }
    }

    /// Handles of this kind that a call may have at once. Sockets that are refused are closed after that.
    pub(crate) fn open_max(self, limits: &CallLimits) -> usize {
        let limit = |limit| usize::try_from(limits.get(limit)).unwrap_or(usize::MAX);
        match self {
            Self::Exchange => limit(CallLimit::HttpRequests),
            Self::Socket => limit(CallLimit::Sockets).saturating_add(SOCKETS_OPENING_MAX),
        }
    }
}
