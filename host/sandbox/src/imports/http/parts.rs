//! Length limits for a request's parts. The engine's library stores method, authority and path of any length in host
//! memory, for each request a guest creates; here they are bounded by the limit on header fields.

use toolgate_policy::limits::call::HTTP_FIELD_BYTES_MAX;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentNamedList, Lift, Linker, Resource};
use wasmtime_wasi_http::WasiHttpCtxView;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p3::bindings::http::types as p3;

use super::view;
use crate::imports::Ctx;

/// Interface names under which the engine's library links. Under other names these functions would replace nothing; a
/// test checks that.
const TYPES: &str = "wasi:http/types@0.2.12";
const TYPES_P3: &str = "wasi:http/types@0.3.0";

/// Result of setting a part; the guest only learns that it was refused.
type Set = wasmtime::Result<Result<(), ()>>;

/// Replaces the library's functions for WASI 0.2.
pub(super) fn link(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    use p2::{HostOutgoingRequest as _, Method, OutgoingRequest as Request};
    let is_long_method = |method: &Method| matches!(method, Method::Other(name) if is_long(name));
    replace(linker, TYPES, "[method]outgoing-request.set-method", is_long_method, {
        |mut http: WasiHttpCtxView<'_>, request: Resource<Request>, method| http.set_method(request, method)
    })?;
    replace(linker, TYPES, "[method]outgoing-request.set-authority", is_long_text, {
        |mut http: WasiHttpCtxView<'_>, request: Resource<Request>, text| http.set_authority(request, text)
    })?;
    replace(linker, TYPES, "[method]outgoing-request.set-path-with-query", is_long_text, {
        |mut http: WasiHttpCtxView<'_>, request: Resource<Request>, text| {
            http.set_path_with_query(request, text)
        }
    })
}

/// Replaces the library's functions for WASI 0.3.
pub(super) fn link_p3(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    use p3::{HostRequest as _, Method, Request};
    let is_long_method = |method: &Method| matches!(method, Method::Other(name) if is_long(name));
    replace(linker, TYPES_P3, "[method]request.set-method", is_long_method, {
        |mut http: WasiHttpCtxView<'_>, request: Resource<Request>, method| http.set_method(request, method)
    })?;
    replace(linker, TYPES_P3, "[method]request.set-authority", is_long_text, {
        |mut http: WasiHttpCtxView<'_>, request: Resource<Request>, text| http.set_authority(request, text)
    })?;
    replace(linker, TYPES_P3, "[method]request.set-path-with-query", is_long_text, {
        |mut http: WasiHttpCtxView<'_>, request: Resource<Request>, text| {
            http.set_path_with_query(request, text)
        }
    })
}

/// Replaces a setter by one that checks the length first.
fn replace<R: 'static, P>(
    linker: &mut Linker<Ctx>,
    interface: &str,
    name: &str,
    is_long: impl Fn(&P) -> bool + Send + Sync + 'static,
    set: impl Fn(WasiHttpCtxView<'_>, Resource<R>, P) -> Set + Send + Sync + 'static,
) -> wasmtime::Result<()>
where
    (Resource<R>, P): ComponentNamedList + Lift + 'static,
{
    let function = move |mut store: StoreContextMut<'_, Ctx>, (request, part): (Resource<R>, P)| {
        if is_long(&part) {
            return Ok((Err(()),));
        }
        Ok((set(view(store.data_mut()), request, part)?,))
    };
    linker.allow_shadowing(true);
    linker.instance(interface)?.func_wrap(name, function)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn is_long(text: &str) -> bool {
    text.len() as u64 > HTTP_FIELD_BYTES_MAX
}

#[expect(clippy::ref_option, reason = "this is how the part comes")]
fn is_long_text(text: &Option<String>) -> bool {
    text.as_deref().is_some_and(is_long)
}
