//! `toolgate serve`: startup, service and shutdown of the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use toolgate_base::spec::Compiling;
use toolgate_runtime::gate::{Gate, GateLimits};
use toolgate_runtime::quota::Quota;
use toolgate_runtime::spec::OnRefused;
use toolgate_state::StateDir;
use toolgate_state::audit::Event;

use super::exit::Exit;
use super::progress::{self, Bars};
use super::{ConfigArg, newest};
use crate::auth::{self, Auth};
use crate::config::{Config, Tls};
use crate::mcp::Handler;
use crate::reload::{Reload, Takes};
use crate::transport::certificates::Certificates;
use crate::transport::http::HttpServer;
use crate::transport::stdio::Stdio;
use crate::{drain, upkeep};

/// Arguments of `serve`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Serve over stdin and stdout, for a client that starts this process; opens no listener unless --listen is given
    #[arg(long)]
    stdio: bool,
    /// Listen here instead of at [server] listen; port 0 takes a free one and says which
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    listen: Option<SocketAddr>,
    /// Serve exactly what toolgate.lock says or nothing, and take no change while serving but what is revoked
    #[arg(long)]
    frozen: bool,
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "write an IP address and a port, such as 127.0.0.1:7411 or [::1]:7411".to_owned())
}

pub(super) fn run(args: &Args) -> Result<(), Exit> {
    let config = Config::load(&args.config.config)?;
    if args.frozen && config.lock.is_none() {
        return Err(Exit::usage("--frozen needs a lock; remove lock = \"off\" from [trust]"));
    }
    if config.lock.is_none() {
        tracing::warn!("[trust] lock is off: whatever is signed may change without anybody's approval");
    }
    config.warn();
    if let Some(listen) = args.listen {
        config.server.check_listen(listen, config.has_auth).map_err(Exit::usage)?;
    }
    // With all-or-nothing, serving waits for all plugins; otherwise it begins while plugins are still being fetched.
    let waits = args.frozen || config.spec.on_refused == OnRefused::Stop;
    let progress = if waits { progress::bars() } else { Bars::default() };
    let gate = open_telling(&config, &progress)?;
    let mut report = newest::load(&config, |spec| if waits { gate.start(spec) } else { gate.begin(spec) });
    progress.end();
    // With `--frozen`: exactly the lock's contents, or nothing.
    report.serves &= !args.frozen || report.is_whole();
    report.log();
    if !report.serves && !args.frozen && config.spec.on_refused == OnRefused::Stop {
        tracing::error!(
            "nothing serves, because a plugin was refused; set [server] on_refused = \"skip\" to serve the others"
        );
    }
    if !report.serves {
        return Err(Exit::not_loaded(&report));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::host(&error))?;
    let awaited = report.plugins.iter().all(|(_, loaded)| loaded.serving().is_none());
    let served = runtime.block_on(serve(args, &config, gate, awaited));
    // A blocking read of stdin cannot be cancelled; everything else has ended.
    runtime.shutdown_background();
    served
}

/// Opens the state directory and the gate. Nothing serves yet.
pub(super) fn open(config: &Config) -> Result<Gate, Exit> {
    let progress = progress::bars();
    let gate = open_telling(config, &progress)?;
    // For commands only: the server's log reports this itself.
    gate.tell_compiling(progress.compiling());
    Ok(gate)
}

fn open_telling(config: &Config, progress: &Bars) -> Result<Gate, Exit> {
    let state = StateDir::open(&config.state).map_err(|error| Exit::host(&error))?;
    let bounds = GateLimits {
        calls_max: config.server.calls_max,
        memory_bytes_max: config.server.memory_bytes_max,
        messages_bytes_max: config.server.wire.messages_bytes_max,
        peer_percent: config.server.wire.peer_percent,
    };
    let compiling = Compiling::Apart {
        program: this_program().map_err(|error| Exit::host(&error))?,
        cpu_s: config.server.compile_cpu_s,
        memory_bytes_max: config.server.compile_memory_bytes_max,
    };
    let gate = Gate::open(&state, bounds, compiling, config.server.name_servers.clone(), progress.teller())
        .map_err(|error| Exit::host(&error))?;
    gate.reconciler.hold(&config.spec);
    Ok(gate)
}

/// Path of this program; on Linux the running file, even if it has been replaced on disk.
fn this_program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// Serves until it is stopped. `awaited`: nothing serves before a fetch has ended.
async fn serve(args: &Args, config: &Config, gate: Gate, awaited: bool) -> Result<(), Exit> {
    let stop = CancellationToken::new();
    drain::on_signal(stop.clone()).map_err(|error| Exit::host(&error))?;
    let takes = match (args.frozen, config.server.watch) {
        (true, _) => Takes::Nothing,
        (false, true) => Takes::Changes,
        (false, false) => Takes::Signals,
    };
    let certificates = config.certificate.as_ref().map(Certificates::new);
    let authenticated = authentication(config)?;
    let reload = Reload::new(
        gate.clone(),
        args.config.config.clone(),
        config,
        takes,
        authenticated.clone(),
        certificates.clone(),
    );
    reload.start().map_err(|error| Exit::host(&error))?;
    let wire = &config.server.wire;
    let answers = Quota::new(wire.answers_bytes_max, wire.peer_percent);
    let handler = Handler::new(gate.clone(), authenticated.clone(), stop.clone(), answers);
    // Cancelled when all calls have ended: the last answers are sent, then connections are closed.
    let hang_up = CancellationToken::new();
    let http = match (args.stdio, args.listen) {
        (true, None) => None,
        (_, listen) => {
            let address = listen.unwrap_or(config.server.listen);
            let server = HttpServer::new(&config.server, certificates, authenticated, handler.clone());
            let server = server.map_err(|error| Exit::host(&error))?;
            Some(listen_at(address, config, server, stop.clone(), hang_up.clone()).await?)
        }
    };
    gate.record(&Event::Process { what: "started" });
    let upkeep = tokio::spawn(upkeep::run(gate.clone(), awaited, stop.clone()));
    // Cancelled when stdin is closed.
    let hung_up = CancellationToken::new();
    let conversation = if args.stdio {
        let transport =
            Stdio::take(auth::parent(), wire, gate.large()).map_err(|error| Exit::host(&error))?;
        let (stop, hang_up, hung_up) = (stop.clone(), hang_up.clone(), hung_up.clone());
        Some(tokio::spawn(async move {
            transport.converse(handler, hang_up).await;
            hung_up.cancel();
            stop.cancel();
        }))
    } else {
        None
    };
    stop.cancelled().await;
    let stdio_alone = args.stdio && http.is_none();
    // A client that hung up awaits no answers: its calls were cancelled.
    let waits = !(stdio_alone && hung_up.is_cancelled());
    let drain = if waits { config.server.drain(stdio_alone) } else { Duration::ZERO };
    gate.drain(drain).await;
    hang_up.cancel();
    for (task, what) in [(conversation, "the conversation over stdio"), (http, "the HTTP server")] {
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "{what} failed");
        }
    }
    gate.record(&Event::Process { what: "stopped" });
    match upkeep.await {
        Ok(Some(report)) => Err(Exit::not_loaded(&report)),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Authentication by `[auth]`, if there is one, which fetches keys from now on.
fn authentication(config: &Config) -> Result<Option<Arc<Auth>>, Exit> {
    let Some(auth) = &config.auth else { return Ok(None) };
    let auth = Auth::new(auth.clone(), config.server.name_servers.clone());
    let auth = Arc::new(auth.map_err(|error| Exit::host(&std::io::Error::other(error.why)))?);
    let state = StateDir::open(&config.state).map_err(|error| Exit::host(&error))?;
    tokio::spawn(Arc::clone(&auth).keep_fresh(state));
    Ok(Some(auth))
}

async fn listen_at(
    address: SocketAddr,
    config: &Config,
    server: HttpServer,
    stop: CancellationToken,
    hang_up: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, Exit> {
    let failed = |error: std::io::Error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse | std::io::ErrorKind::AddrNotAvailable => {
                "; name another address with --listen or `[server] listen` (port 0 takes a free one)"
            }
            _ => "",
        };
        Exit::host(&std::io::Error::other(format!("listen at {address}: {error}{remedy}")))
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    if !bound.ip().is_loopback() && config.server.insecure_no_auth {
        tracing::warn!("insecure_no_auth: anybody who can reach {bound} may call every tool");
    }
    let scheme = if matches!(config.server.tls, Tls::Here { .. }) { "https" } else { "http" };
    tracing::info!("serving MCP at {scheme}://{bound}/mcp");
    Ok(tokio::spawn(server.serve(listener, stop, hang_up)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use toolgate_signature::key::PrivateKey;

    use super::*;
    use crate::cli::place;

    /// A configuration with one plugin, of a registry that knows nothing.
    fn configured(folder: &std::path::Path) -> Config {
        let registry = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = registry.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in registry.incoming().map_while(Result::ok) {
                assert!(stream.read(&mut [0; 4096]).is_ok());
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        });
        let key = PrivateKey::generate().unwrap().public().unwrap().to_pem().unwrap();
        let trust = "version = 1\n[[signer]]\nid = \"us\"\nkey = \"us.pub\"\n[[role]]\nname = \"us\"\nthreshold = 1\n\
                     signers = [\"us\"]\n[[rule]]\nplugin = \"*\"\nrequire = [\"us\"]\n";
        let config = format!(
            "[trust]\npolicy = \"trust.toml\"\n[[plugin]]\nname = \"x\"\nsource = \"oci://{address}/x:1\"\n"
        );
        for (name, text) in [("us.pub", key.as_str()), ("trust.toml", trust), ("toolgate.toml", &config)] {
            // With a mode of its own, whatever the umask.
            place::create(&folder.join(name), text.as_bytes(), 0o644).unwrap();
        }
        Config::load(&folder.join("toolgate.toml")).unwrap()
    }

    #[test]
    fn a_server_ends_whose_only_plugin_was_refused_before_it_looked() {
        let folder = tempfile::tempdir().unwrap();
        let config = configured(folder.path());
        let gate = open_telling(&config, &Bars::default()).ok().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let mut status = gate.reconciler.status();
        let begun = gate.begin(&config.spec);
        assert_eq!(begun.awaited().count(), 1);
        let stop = CancellationToken::new();
        let ended = runtime.block_on(async {
            status.wait_for(|report| report.refused().count() == 1).await.unwrap();
            let limit = Duration::from_secs(600);
            tokio::time::timeout(limit, upkeep::run(gate, true, stop.clone())).await.unwrap()
        });
        assert_eq!(ended.unwrap().refused().count(), 1);
        assert!(stop.is_cancelled());
    }
}
