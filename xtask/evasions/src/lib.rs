//! Attempts to evade Clippy's lists of disallowed calls by other names. Each line that Clippy must report ends with
//! `//~`; the test is in `xtask`. Without the feature `evade` this crate is empty.
#![cfg(feature = "evade")]
#![allow(dead_code, unused, clippy::pedantic, reason = "it is never run")]

#[cfg(test)]
use std::fs;

use std::process;
use std::process::Command as Harmless;

use toolgate_policy::call;
use toolgate_policy::load::key_id::KeyId;
use toolgate_policy::load::signer;
use toolgate_policy::{Digest, Principal as Somebody};

type Caller = toolgate_policy::Principal;

macro_rules! hidden {
    () => {
        toolgate_policy::Principal::host() //~
    };
}

fn principals() {
    let _ = toolgate_policy::Principal::host(); //~
    let _ = Somebody::local("root"); //~
    let _ = [].map(Somebody::identified); //~
    let _ = Caller::host(); //~
    let _ = <Caller>::host(); //~
    let _ = ["root"].map(Somebody::local); //~
    let make: fn() -> Caller = Caller::host; //~
    let _ = hidden!();
    let _ = ("https://example.org", toolgate_policy::Principal::host()); //~
}

fn signatures(digest: Digest, key: KeyId) {
    let _ = signer::VerifiedSignature::new(digest, key, None); //~
    let _ = toolgate_policy::load::signer::VerifiedSignature::new(digest, key, None); //~
}

fn targets(kind: call::TargetKind, plugin: std::sync::Arc<call::PluginFacts>) {
    let _ = call::Target::new(kind, plugin); //~
}

fn programs() {
    let _ = process::Command::new("sh"); //~
    let _ = Harmless::new("sh"); //~
}

fn connections() {
    let _ = ::hyper::client::conn::http1::Builder::new(); //~
    let _ = ::std::net::TcpStream::connect("127.0.0.1:1"); //~
    let _ = tokio::net::TcpStream::connect("127.0.0.1:1"); //~
    let _ = tokio::net::TcpSocket::new_v4(); //~
}

fn terminals() {
    use std::io::stdout as quiet;
    let _ = quiet(); //~
    let _ = std::io::stderr(); //~
}
