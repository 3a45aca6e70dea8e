//! Limits of credentials: tokens, the keys they are verified with, API keys, and failed attempts. A [`Limit`] is set under
//! `[auth]` or for one issuer.

use super::{KIB, Limit, MIB, size};

/// Bytes of a token. Tokens with hundreds of groups have some 12 KiB; proxies cut longer header fields anyway.
pub const CREDENTIAL_BYTES_MAX: usize = size(16 * KIB);

/// Nesting of a token's header or payload: claims of identity providers have 4 levels.
pub const TOKEN_DEPTH_MAX: usize = 16;

/// Values in a token's header or payload. Each group is one.
pub const TOKEN_NODES_MAX: usize = 2_048;

/// Entries of `aud`. A token for many servers is worth stealing.
pub const AUDIENCES_MAX: usize = 16;

/// Characters of a subject, a client, a group or a scope: longer than any e-mail address or identifier in use.
pub const CLAIM_CHARS_MAX: usize = 256;

/// Groups of a token or an API key. Identity providers leave them out from about 200 on.
pub const GROUPS_MAX: usize = 512;

/// Scopes of a token or an API key.
pub const SCOPES_MAX: usize = 128;

/// Actors of a token, one on behalf of the other (RFC 8693 §4.1). Rights come from none of them.
pub const ACTORS_MAX: usize = 4;

/// Latest date that a claim may have, in seconds since 1970: the end of the year 9999. What is beyond is a mistake.
pub const DATE_MAX_S: u64 = 253_402_300_799;

/// Difference of clocks between issuer and host, in seconds.
pub const CLOCK_SKEW_S: Limit = Limit {
    name: "clock_skew_s",
    default: 30,
    ceiling: 120,
    reason: "a token is good for so much longer than it says",
};

/// Issuers in the configuration. Each has keys in memory and is asked every ten minutes.
pub const ISSUERS_MAX: usize = 64;

/// Tenants of one server: each has stores and counters of its own.
pub const TENANTS_MAX: usize = 256;

/// Time for one request to an issuer, in milliseconds.
pub const ISSUER_TIMEOUT_MS: Limit =
    Limit { name: "timeout_ms", default: 5_000, ceiling: 30_000, reason: "a client waits meanwhile" };

/// Bytes of an issuer's key set. Those with certificates for each key have some 20 KiB.
pub const JWKS_BYTES_MAX: usize = size(256 * KIB);

/// Keys of an issuer's key set. Identity providers have 2 to 10.
pub const JWKS_KEYS_MAX: usize = 64;

/// Values in an issuer's key set or metadata.
pub const JWKS_NODES_MAX: usize = 8_192;

/// Bytes of an issuer's metadata. Real ones have some 5 KiB.
pub const METADATA_BYTES_MAX: usize = size(256 * KIB);

/// Keys that are tried for a token that names none: each costs a signature check.
pub const KEYS_TRIED_MAX: usize = 4;

/// Characters of a key's id. Longer ones are in no key set, so they are not looked for.
pub const KEY_ID_CHARS_MAX: usize = 256;

/// Age at which an issuer's keys are fetched again, in seconds, if the issuer names none.
pub const KEYS_AGE_S: u64 = 600;

/// Least age at which they are fetched again, in seconds, whatever the issuer says: it is not to be flooded.
pub const KEYS_AGE_MIN_S: u64 = 60;

/// Most of it, in seconds: a key that was withdrawn is refused by then.
pub const KEYS_AGE_MAX_S: u64 = 3_600;

/// Time between two attempts to fetch one issuer's keys, in seconds, however many tokens name an unknown key.
pub const KEYS_RETRY_S: u64 = 10;

/// Age up to which keys are used while their issuer cannot be reached, in seconds.
pub const KEYS_OUTAGE_S: Limit = Limit {
    name: "outage_s",
    default: 3_600,
    ceiling: 86_400,
    reason: "a key that was withdrawn meanwhile is still accepted",
};

/// Seconds after which a client should retry when an issuer cannot be reached.
pub const ISSUER_RETRY_AFTER_S: u64 = 10;

/// Tokens whose verification is remembered. Most take about 1 KiB.
pub const VERIFIED_TOKENS_MAX: usize = 10_000;

/// Bytes of their holders: some tokens have hundreds of groups.
pub const VERIFIED_TOKENS_BYTES_MAX: usize = size(32 * MIB);

/// Time for which it is remembered, in seconds, at most until the token expires.
pub const VERIFIED_TOKEN_S: u64 = 60;

/// API keys in the configuration.
pub const API_KEYS_MAX: usize = 10_000;

/// Networks from which one API key may come.
pub const API_KEY_NETWORKS_MAX: usize = 64;

/// Days for which an API key may be made.
pub const API_KEY_DAYS: Limit = Limit {
    name: "key_days_max",
    default: 90,
    ceiling: 3_650,
    reason: "a key that leaked is good until it ends",
};

/// Failed attempts of one source within [`FAILURE_WINDOW_S`], after which it is answered 429.
pub const FAILURES_MAX: usize = 20;

/// Time within which they count, in seconds.
pub const FAILURE_WINDOW_S: u64 = 60;

/// Sources whose failed attempts are counted; the one whose last failure is oldest makes room.
pub const FAILURE_SOURCES_MAX: usize = 10_000;

/// Scopes and issuers that a challenge or the metadata names: what a header field can hold.
pub const CHALLENGE_SCOPES_MAX: usize = 64;
