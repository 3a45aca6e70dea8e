//! `[server] tls` and `trusted_proxies`: who ends TLS, this server or a proxy in front of it. Certificates are read and
//! checked as all of the configuration is, so that `check` finds what clients would refuse.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use toolgate_base::outcome::with_causes;
use toolgate_policy::limits::wire::{
    TLS_CHAIN_MAX, TLS_EXPIRY_WARNING_S, TLS_FILE_BYTES_MAX, TRUSTED_PROXIES_MAX,
};
use toolgate_signature::certificate::Certificate;

use super::modes;
use super::reader::{Document, Section};

/// Place where TLS ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Nowhere: requests come in plain text.
    Off,
    /// At a proxy in one of these networks, which says where a request comes from.
    Proxy(Vec<IpNet>),
    /// Here, with the certificates and the private key of these files.
    Here {
        /// Path of the certificates.
        cert: PathBuf,
        /// Path of the private key.
        key: PathBuf,
    },
}

/// A private key and the chain of certificates for it, fit to be served when they were read.
#[derive(Debug, Clone)]
pub(crate) struct ServerCertificate {
    /// Chain and key.
    pub(crate) certified: Arc<CertifiedKey>,
    /// End of the validity of all of the chain, in seconds since 1970.
    pub(crate) expires_s: i64,
    path: PathBuf,
}

impl Tls {
    /// Networks whose word on the source of a request is believed.
    pub(crate) fn trusted_proxies(&self) -> &[IpNet] {
        if let Self::Proxy(networks) = self { networks } else { &[] }
    }
}

impl ServerCertificate {
    /// A warning if it expires soon.
    pub(crate) fn warning(&self) -> Option<String> {
        let now = jiff::Timestamp::now().as_second();
        let soon = self.expires_s.saturating_sub(now) < TLS_EXPIRY_WARNING_S;
        soon.then(|| {
            let (path, at) = (self.path.display(), shown(self.expires_s));
            format!("the certificate in {path} expires at {at}; renew it, and the server takes the new one")
        })
    }
}

/// Reads `tls` and `trusted_proxies`, and the files they name.
pub(super) fn read(document: &Document<'_>, section: &Section<'_>) -> (Tls, Option<ServerCertificate>) {
    let proxies = section.strings("trusted_proxies");
    if !section.has("tls") {
        section.ask("tls");
    } else if section.is_text("tls") {
        match section.string("tls").as_deref() {
            Some("proxy") => return (Tls::Proxy(read_proxies(section, proxies)), None),
            other => {
                let other = other.unwrap_or_default();
                let why = format!(r#"`{other}` is unknown; write tls = "proxy", or a table [server.tls]"#);
                section.wrong("tls", why);
                return (Tls::Off, None);
            }
        }
    }
    if proxies.is_some() {
        section.wrong("trusted_proxies", r#"nothing asks a proxy; add tls = "proxy", or remove this"#);
    }
    let Some(tls) = section.has("tls").then(|| section.section("tls")).flatten() else {
        return (Tls::Off, None);
    };
    let path = |key, example| tls.required(key, example).map(|path| document.relative(&path));
    let paths = (path("cert", "chain.pem"), path("key", "key.pem"));
    let (Some(cert), Some(key)) = paths else {
        tls.finish();
        return (Tls::Off, None);
    };
    let loaded = load(&cert, &key, jiff::Timestamp::now().as_second());
    let loaded = loaded.map_err(|error| tls.wrong(error.key, error.why)).ok();
    tls.finish();
    (Tls::Here { cert, key }, loaded)
}

fn read_proxies(section: &Section<'_>, networks: Option<Vec<String>>) -> Vec<IpNet> {
    let example = r#"trusted_proxies = ["10.0.0.0/8", "::1/128"]"#;
    let networks = networks.unwrap_or_default();
    if networks.is_empty() {
        let why =
            format!(r#"tls = "proxy" needs to know the proxies; write their networks, as in {example}"#);
        section.wrong("trusted_proxies", why);
    }
    if networks.len() > TRUSTED_PROXIES_MAX {
        let why = format!("there are {}; the limit is {TRUSTED_PROXIES_MAX}", networks.len());
        section.wrong("trusted_proxies", why);
        return Vec::new();
    }
    let read = networks.iter().filter_map(|text| section.parsed("trusted_proxies", read_network(text)));
    read.collect()
}

/// A network, or one address.
fn read_network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let network = network
        .ok_or_else(|| format!("`{text}` is not a network; write one such as 10.0.0.0/8 or ::1/128"))?;
    if network.prefix_len() == 0 {
        return Err(format!("`{text}` is every address, so that any client could name its own source"));
    }
    if network.trunc() != network {
        return Err(format!("`{text}` is an address within a network; write {}", network.trunc()));
    }
    Ok(network)
}

/// Reason why certificate and key cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {why}")]
struct TlsFileError {
    /// Key of `[server.tls]` that is wrong.
    key: &'static str,
    /// Fault and remedy.
    why: String,
}

/// Reads certificates and key, and checks them together, at this time in seconds since 1970.
fn load(cert: &Path, key: &Path, now_s: i64) -> Result<ServerCertificate, TlsFileError> {
    let of_cert = |why: String| TlsFileError { key: "cert", why: format!("{}: {why}", cert.display()) };
    let of_key = |why: String| TlsFileError { key: "key", why: format!("{}: {why}", key.display()) };
    let text = modes::read_text(cert, TLS_FILE_BYTES_MAX, modes::FileKind::Policy).map_err(of_cert)?;
    let (chain, facts) = read_chain(&text).map_err(of_cert)?;
    let text = modes::read(key, TLS_FILE_BYTES_MAX, modes::FileKind::Secret).map_err(of_key)?;
    let private = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        let remedy = "write it in PEM and without a password, as `openssl pkey -in OLD -out NEW` does";
        of_key(format!("it has no private key that can be read; {remedy}"))
    })?;
    let signer = default_provider().key_provider.load_private_key(private).map_err(|_| {
        of_key(
            "its key cannot be used; take ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 bits".to_owned(),
        )
    })?;
    let certified = |chain| CertifiedKey::new(chain, Arc::clone(&signer));
    let is_of_key = |one: &CertificateDer<'static>| certified(vec![one.clone()]).keys_match().is_ok();
    if !chain.first().is_some_and(is_of_key) {
        return Err(match chain.iter().any(is_of_key) {
            true => of_cert(format!("the certificate of this key is not the first in it; {ORDER}")),
            false => of_key(format!(
                "it is not the key of the certificate in {}; write the two that were made together",
                cert.display()
            )),
        });
    }
    check(&facts, now_s).map_err(of_cert)?;
    let expires_s = facts.iter().map(|one| one.not_after_s).min().unwrap_or(now_s);
    Ok(ServerCertificate { certified: Arc::new(certified(chain)), expires_s, path: cert.to_owned() })
}

const ORDER: &str = "put the server's certificate first, and each issuer after what it issued";

type Chain = (Vec<CertificateDer<'static>>, Vec<Certificate>);

fn read_chain(text: &str) -> Result<Chain, String> {
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(text.as_bytes()).take(TLS_CHAIN_MAX + 1).collect();
    let chain =
        chain.map_err(|_| "it is not PEM; write certificates as their issuer gave them".to_owned())?;
    if chain.is_empty() {
        return Err("it has no certificate; write the chain in PEM, the server's own first".to_owned());
    }
    if chain.len() > TLS_CHAIN_MAX {
        return Err(format!(
            "it has more than {TLS_CHAIN_MAX} certificates; write this server's chain alone"
        ));
    }
    let facts: Result<Vec<_>, _> = chain.iter().map(|der| Certificate::from_der(der)).collect();
    let facts = facts.map_err(|error| with_causes(&error))?;
    Ok((chain, facts))
}

/// Checks what clients check of a chain, without knowing whom they trust.
fn check(chain: &[Certificate], now_s: i64) -> Result<(), String> {
    for (index, one) in chain.iter().enumerate() {
        let name =
            if index == 0 { "the certificate".to_owned() } else { format!("certificate {}", index + 1) };
        if let Some(weakness) = &one.weakness {
            return Err(format!("{name} is too weak: {weakness}; have one issued with a new key"));
        }
        if now_s >= one.not_after_s {
            return Err(format!("{name} expired at {}; renew it", shown(one.not_after_s)));
        }
        if now_s < one.not_before_s {
            let from = shown(one.not_before_s);
            return Err(format!("{name} is valid from {from}; wait, or set the clock of this machine"));
        }
    }
    let is_in_order = chain.iter().zip(chain.iter().skip(1)).all(|(one, issuer)| one.is_issued_by(issuer));
    if is_in_order { Ok(()) } else { Err(format!("its certificates are not in order; {ORDER}")) }
}

/// A time for people.
fn shown(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |time| time.to_string())
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
