//! `[server]`: listen address, allowed hosts and origins, limits.

use std::net::SocketAddr;
use std::time::Duration;

use toolgate_policy::limits::Limit;
use toolgate_policy::limits::load::{COMPILE_CPU_S, COMPILE_MEMORY_BYTES_MAX};
use toolgate_policy::limits::wire::{
    ANSWERS_BYTES_MAX, BODY_BYTES_MAX, CALLS_MAX, CONNECTIONS_MAX, DRAIN_MS, MEMORY_BYTES_MAX,
    MESSAGES_BYTES_MAX, PEER_PERCENT, REQUESTS_MAX, SESSION_IDLE_MS, SESSIONS_MAX, STDIO_DRAIN_MS,
    STREAMS_MAX, WRITE_MS,
};
use toolgate_runtime::spec::OnRefused;

use super::origin::{check_host, check_origin};
use super::public_url::PublicUrl;
use super::reader::{Document, Section};
use super::tls::{self, ServerCertificate, Tls};

/// The server's own part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerConfig {
    /// Address of Streamable HTTP.
    pub(crate) listen: SocketAddr,
    /// Place where TLS ends.
    pub(crate) tls: Tls,
    /// Address by which clients know this server.
    pub(crate) public_url: Option<PublicUrl>,
    /// Names allowed in a `Host` header beside those of this machine and of `public_url`.
    pub(crate) allowed_hosts: Vec<String>,
    /// Browser origins that may call.
    pub(crate) allowed_origins: Vec<String>,
    /// Serve any peer on the network without authentication.
    pub(crate) insecure_no_auth: bool,
    /// DNS servers for names in grants; empty means the system's.
    pub(crate) name_servers: Vec<SocketAddr>,
    /// Effect of one refused plugin on the others.
    pub(crate) on_refused: OnRefused,
    /// Whether changed files are reloaded. Revocations in a changed trust policy always are.
    pub(crate) watch: bool,
    /// Limits on clients.
    pub(crate) wire: WireLimits,
    /// Calls at once.
    pub(crate) calls_max: u32,
    /// Guest memory at once, in bytes.
    pub(crate) memory_bytes_max: u64,
    /// Time a stop waits for calls in flight, if configured.
    pub(crate) drain: Option<Duration>,
    /// Processor time of compiling one component, in seconds.
    pub(crate) compile_cpu_s: u64,
    /// Memory of compiling one component, in bytes.
    pub(crate) compile_memory_bytes_max: u64,
}

/// Limits on clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireLimits {
    /// Bytes of one message.
    pub(crate) body_bytes_max: u64,
    /// Bytes of large messages at once.
    pub(crate) messages_bytes_max: u64,
    /// Bytes of large answers waiting to be written.
    pub(crate) answers_bytes_max: u64,
    /// Share of these that one peer may use, in percent.
    pub(crate) peer_percent: u64,
    /// Connections.
    pub(crate) connections_max: u64,
    /// Streams on which clients wait for notifications.
    pub(crate) streams_max: u64,
    /// Requests being answered.
    pub(crate) requests_max: u64,
    /// Sessions.
    pub(crate) sessions_max: u64,
    /// Time an unused session is kept, in milliseconds.
    pub(crate) session_idle_ms: u64,
    /// Time for a client to read any part of its pending answer, in milliseconds.
    pub(crate) write_ms: u64,
}

impl WireLimits {
    /// Limits with the value that `value` gives for each.
    fn of(value: impl Fn(&Limit) -> u64) -> Self {
        Self {
            body_bytes_max: value(&BODY_BYTES_MAX),
            messages_bytes_max: value(&MESSAGES_BYTES_MAX),
            answers_bytes_max: value(&ANSWERS_BYTES_MAX),
            peer_percent: value(&PEER_PERCENT),
            connections_max: value(&CONNECTIONS_MAX),
            streams_max: value(&STREAMS_MAX),
            requests_max: value(&REQUESTS_MAX),
            sessions_max: value(&SESSIONS_MAX),
            session_idle_ms: value(&SESSION_IDLE_MS),
            write_ms: value(&WRITE_MS),
        }
    }

    /// Checks that the largest message fits one peer's share, as text and parsed.
    ///
    /// # Errors
    /// A sentence with the remedy.
    fn check(&self) -> Result<(), String> {
        let share = self.messages_bytes_max.saturating_mul(self.peer_percent) / 100;
        let needed = self.body_bytes_max.saturating_mul(2);
        if share >= needed {
            return Ok(());
        }
        let least = needed.saturating_mul(100) / self.peer_percent.max(1);
        Err(format!(
            "one client may hold {share} bytes of it ({} = {}), which is less than twice {} = {}; write {least} or more",
            PEER_PERCENT.name, self.peer_percent, BODY_BYTES_MAX.name, self.body_bytes_max
        ))
    }
}

/// RFC 1035, section 4.2.
const DNS_PORT: u16 = 53;
const LISTEN: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 7411));

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            tls: Tls::Off,
            public_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            insecure_no_auth: false,
            name_servers: Vec::new(),
            on_refused: OnRefused::Skip,
            watch: true,
            wire: WireLimits::of(|limit| limit.default),
            calls_max: u32::try_from(CALLS_MAX.default).unwrap_or(1),
            memory_bytes_max: half_of_memory(),
            drain: None,
            compile_cpu_s: COMPILE_CPU_S.default,
            compile_memory_bytes_max: COMPILE_MEMORY_BYTES_MAX.default,
        }
    }
}

impl ServerConfig {
    /// Time a stop waits for calls in flight, for a server on stdio alone or not.
    pub(crate) fn drain(&self, stdio_alone: bool) -> Duration {
        let default_ms = if stdio_alone { STDIO_DRAIN_MS } else { DRAIN_MS.default };
        self.drain.unwrap_or(Duration::from_millis(default_ms))
    }

    /// Hosts that a request may name, beside those of this machine.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let public = self.public_url.iter().map(|url| url.authority().to_owned());
        self.allowed_hosts.iter().cloned().chain(public).collect()
    }

    /// Checks that it is safe to listen at an address: other machines must be asked who they are, and nobody between may
    /// read what they say.
    ///
    /// # Errors
    /// A sentence with the remedy.
    pub(crate) fn check_listen(&self, listen: SocketAddr, has_auth: bool) -> Result<(), String> {
        if listen.ip().is_loopback() || self.insecure_no_auth {
            return Ok(());
        }
        let has_tls = match &self.tls {
            Tls::Off => false,
            Tls::Proxy(_) | Tls::Here { .. } => true,
        };
        let missing = match (has_auth, has_tls) {
            (true, true) => return Ok(()),
            (false, true) => "nobody would be asked who they are: [auth] is missing",
            (true, false) => {
                r#"others on the way could read everything: [server.tls], or tls = "proxy" with trusted_proxies, is missing"#
            }
            (false, false) => {
                r#"nobody would be asked who they are: [auth] is missing, and [server.tls] or tls = "proxy" with trusted_proxies"#
            }
        };
        Err(format!(
            "{listen} can be reached from other machines and {missing}; write an address such as {LISTEN}, \
             or insecure_no_auth = true if something in front asks"
        ))
    }
}

/// Reads `[server]` with the certificate it names. `has_auth`: callers prove who they are.
pub(super) fn read(
    document: &Document<'_>,
    section: Option<Section<'_>>,
    has_auth: bool,
) -> (ServerConfig, Option<ServerCertificate>) {
    let mut server = ServerConfig::default();
    let Some(section) = section else { return (server, None) };
    let certificate;
    (server.tls, certificate) = tls::read(document, &section);
    let public_url = section.string("public_url").map(|url| PublicUrl::parse(&url));
    server.public_url = public_url.and_then(|url| section.parsed("public_url", url));
    if let Some(listen) = section.string("listen") {
        let wrong = |_| format!("`{listen}` is not an IP address with a port; write one such as {LISTEN}");
        server.listen =
            section.parsed("listen", listen.parse::<SocketAddr>().map_err(wrong)).unwrap_or(server.listen);
    }
    server.allowed_hosts = section.strings("allowed_hosts").unwrap_or_default();
    server.allowed_origins = section.strings("allowed_origins").unwrap_or_default();
    for host in &server.allowed_hosts {
        let checked = check_host(host).map_err(|error| format!("`{host}` is not a host: {error}"));
        section.parsed("allowed_hosts", checked);
    }
    for origin in &server.allowed_origins {
        let checked = check_origin(origin).map_err(|error| format!("`{origin}` is not an origin: {error}"));
        section.parsed("allowed_origins", checked);
    }
    server.insecure_no_auth = section.boolean("insecure_no_auth").unwrap_or(false);
    section.parsed("listen", server.check_listen(server.listen, has_auth));
    server.watch = section.boolean("watch").unwrap_or(server.watch);
    for text in section.strings("name_servers").unwrap_or_default() {
        let address = text.parse().or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, DNS_PORT)));
        let wrong = |_| format!("`{text}` is not an address; write one such as 10.0.0.53 or 10.0.0.53:53");
        server.name_servers.extend(section.parsed("name_servers", address.map_err(wrong)));
    }
    match section.string("on_refused").as_deref() {
        None | Some("skip") => {}
        Some("stop") => server.on_refused = OnRefused::Stop,
        Some(other) => {
            section.wrong("on_refused", format!(r#"`{other}` is unknown; write "skip" or "stop""#))
        }
    }
    read_limits(section.section("limits"), &mut server);
    section.finish();
    (server, certificate)
}

fn read_limits(section: Option<Section<'_>>, server: &mut ServerConfig) {
    let Some(section) = section else { return };
    let limit = |limit: &Limit| -> Option<u64> {
        let value = section.integer(limit.name)?;
        section.parsed(limit.name, limit.check(value))
    };
    server.wire = WireLimits::of(|spec| limit(spec).unwrap_or(spec.default));
    section.parsed(MESSAGES_BYTES_MAX.name, server.wire.check());
    let calls_max = limit(&CALLS_MAX).and_then(|value| u32::try_from(value).ok());
    server.calls_max = calls_max.unwrap_or(server.calls_max);
    server.memory_bytes_max = limit(&MEMORY_BYTES_MAX).unwrap_or(server.memory_bytes_max);
    server.drain = limit(&DRAIN_MS).map(Duration::from_millis);
    server.compile_cpu_s = limit(&COMPILE_CPU_S).unwrap_or(server.compile_cpu_s);
    let compile_memory = limit(&COMPILE_MEMORY_BYTES_MAX);
    server.compile_memory_bytes_max = compile_memory.unwrap_or(server.compile_memory_bytes_max);
    section.finish();
}

fn half_of_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    });
    total.map_or(MEMORY_BYTES_MAX.default, |kib| kib.saturating_mul(512))
}
