//! `https:` sources: a component whose digest is known, and its signatures under the same URL with their endings.

use toolgate_base::spec::Remote;
use toolgate_net::remote::{FetchError, Fetcher};
use toolgate_policy::Digest;
use toolgate_policy::limits::load::SIGNATURE_URLS_MAX;
use toolgate_policy::load::fetch::FetchPermit;
use toolgate_signature::anchor::Anchor;
use toolgate_signature::name;

use super::{Found, SourceError};

pub(super) fn fetch(
    fetcher: &Fetcher,
    permit: &FetchPermit,
    remote: &Remote,
    pin: Option<Digest>,
    signers: &[Anchor],
) -> Result<Found, SourceError> {
    let target = permit.target();
    let whole = target.path_and_query();
    let query = whole.strip_prefix(target.path()).unwrap_or_default();
    let beside = tails(signers).into_iter().map(|tail| {
        let beside = permit.at("GET", &format!("{}{tail}{query}", target.path()));
        Ok((format!("component{tail}"), beside.map_err(FetchError::from)?))
    });
    let beside = beside.collect::<Result<Vec<_>, FetchError>>()?;
    Ok(fetcher.file(permit, remote, pin, &beside)?)
}

/// A server lists nothing, so the names that signers give their files are tried: the plain ones, and those by their keys.
fn tails(signers: &[Anchor]) -> Vec<String> {
    let plain = name::ENDINGS.iter().map(|(ending, ..)| (*ending).to_owned());
    let by_key = signers.iter().flat_map(|signer| {
        let digits = name::digits_of(signer.id());
        name::ENDINGS.iter().map(move |(ending, ..)| format!(".{digits}{ending}"))
    });
    plain.chain(by_key).take(SIGNATURE_URLS_MAX).collect()
}
