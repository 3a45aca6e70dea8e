//! Limits on loading: sizes of files and of the parts of a component, and the cost of compiling one. A plugin beyond a
//! limit is refused with the limit's name. Two are set under `[server.limits]`, the others are fixed.

use super::size;
use super::{GIB, KIB, Limit, MIB};

/// Bytes of a component. The largest honest ones, an interpreter with its library inside, have some 20 MB.
pub const COMPONENT_BYTES_MAX: u64 = 64 * MIB;

/// Bytes of a signature file.
pub const SIGNATURE_BYTES_MAX: u64 = MIB;

/// Bytes of a signature file that has only a signature. The largest honest ones have some 400.
pub const DETACHED_SIGNATURE_BYTES_MAX: u64 = 16 * KIB;

/// Bytes of a plugin's id in a statement about it. The longest honest ones have some 60.
pub const PLUGIN_ID_BYTES_MAX: usize = 256;

/// Timestamps in one bundle.
pub const TIMESTAMPS_MAX: usize = 8;

/// Bytes of an issuer, or of a name it vouches for. The longest honest ones have some 200.
pub const IDENTITY_BYTES_MAX: usize = 512;

/// Signature files that are stored or installed for one plugin. Those that count come first.
pub const SIGNATURES_MAX: usize = 16;

/// Names under which signatures of one component are looked up where nothing can be listed.
pub const SIGNATURE_URLS_MAX: usize = 32;

/// Bytes of all components and signatures stored under the state directory. The least recently used are evicted.
pub const KEPT_BYTES_MAX: u64 = 4 * GIB;

/// Time to fetch one remote plugin, with its signatures and all attempts, in milliseconds.
pub const FETCH_MS: u64 = 300_000;

/// Time for one response to begin, and for which its body may be slow, in milliseconds.
pub const FETCH_PATIENCE_MS: u64 = 10_000;

/// Average rate of a body in bytes per second, once [`FETCH_PATIENCE_MS`] are over: far less than a modem's.
pub const FETCH_BYTES_PER_S_MIN: u64 = 2 * KIB;

/// Attempts at one request.
pub const FETCH_ATTEMPTS_MAX: u32 = 4;

/// Delay before the second attempt, in milliseconds; doubled for each further one.
pub const FETCH_BACKOFF_MS: u64 = 250;

/// Longest `Retry-After` that is honoured, in seconds. A longer one ends the attempts.
pub const RETRY_AFTER_S_MAX: u64 = 20;

/// Redirects that one request follows.
pub const REDIRECTS_MAX: usize = 5;

/// Bytes of the manifest or index of an artefact. The OCI specification asks registries to accept as many.
pub const MANIFEST_BYTES_MAX: u64 = 4 * MIB;

/// Bytes of an artefact's configuration, beside its layer.
pub const ARTEFACT_CONFIG_BYTES_MAX: u64 = MIB;

/// Bytes of a token service's answer, or of a registry's error.
pub const TOKEN_BYTES_MAX: u64 = 64 * KIB;

/// Values in one JSON text about an artefact.
pub const MANIFEST_NODES_MAX: usize = 100_000;

/// Bytes read of a bundle, and bytes of all its components together.
pub const BUNDLE_BYTES_MAX: u64 = GIB;

/// Files in a bundle, and manifests that it lists.
pub const BUNDLE_FILES_MAX: usize = 1_024;

/// Entries of a tar: files, folders, and extension headers.
pub const BUNDLE_ENTRIES_MAX: usize = 4 * BUNDLE_FILES_MAX;

/// Bytes of the extension headers of one tar entry: times, owners, attributes.
pub const TAR_EXTENSION_BYTES_MAX: u64 = 64 * KIB;

/// Bytes of all manifests and indices of a bundle together. A thousand honest ones have one megabyte.
pub const BUNDLE_MANIFEST_BYTES_MAX: u64 = 16 * MIB;

/// Attachments of one component that are examined: signatures, and statements of vendors, mirrors and scanners. The
/// rest is skipped and reported.
pub const ATTACHED_MAX: usize = 64;

/// Files beside one component, or attachments in a bundle, that are read to choose the examined ones. Above the number
/// of plain names and signers' names, so that no other name displaces those.
pub const ATTACHED_READ_MAX: usize = 2_048;

/// Bytes of all of these. Honest signatures have some kilobytes, and small files are read first.
pub const ATTACHED_READ_BYTES_MAX: u64 = 16 * MIB;

/// Pages read of a registry's list of attachments. Registries put some hundred entries on a page.
pub const REFERRER_PAGES_MAX: usize = 32;

/// Entries of that list after which no further page is read.
pub const REFERRERS_MAX: usize = 10_000;

/// Bytes of all attachments of one component.
pub const ATTACHED_BYTES_MAX: u64 = 8 * MIB;

/// Components in one plugin folder, and entries of that folder that are examined.
pub const FOLDER_ENTRIES_MAX: usize = 4_096;

/// Bytes of a configuration file, a trust policy or a key.
pub const CONFIG_BYTES_MAX: u64 = MIB;

/// Bytes of `trust.seen`. A revoked digest takes less there than in the trust policy and the rest some 300 bytes, so it
/// stays below [`CONFIG_BYTES_MAX`] plus those.
pub const SEEN_BYTES_MAX: u64 = 2 * MIB;

/// Bytes of the lockfile: a few hundred for each plugin and line of its grant.
pub const LOCK_BYTES_MAX: u64 = 8 * MIB;

/// Time a command waits for another one that changes the same file, in milliseconds. A change takes a hundredth of a
/// second; nothing is fetched, compiled or prompted for meanwhile.
pub const FILE_LOCK_MS: u64 = 30_000;

/// Interval at which the lock is tried again, in milliseconds.
pub const FILE_LOCK_POLL_MS: u64 = 5;

/// Times the trust policy is read again because another process accepted a newer one meanwhile. Each needs a revocation
/// between reading and judging, so this many in a row are no accident.
pub const TRUST_READS_MAX: usize = 16;

/// Days an approved plugin keeps running after its signing key expired, unless trust.toml says otherwise.
pub const GRACE_DAYS: u32 = 30;

/// Largest value in trust.toml.
pub const GRACE_DAYS_MAX: u32 = 365;

/// Interval at which the watched files are checked, in milliseconds. A revocation must take effect within 5 s.
pub const WATCH_MS: u64 = 500;

/// Entries checked each time in all folders of signatures together. As many as two full plugin folders have; checking
/// them takes some hundredths of a core.
pub const WATCH_ENTRIES_MAX: usize = 8_192;

/// Bytes of a secret.
pub const SECRET_BYTES_MAX: u64 = 64 * KIB;

/// Bytes of one core function's body. Compile time grows faster than this does.
pub const FUNCTION_BYTES_MAX: u64 = 2 * MIB;

/// Core functions of a component, all its modules together.
pub const FUNCTIONS_MAX: u64 = 200_000;

/// Core modules of a component.
pub const MODULES_MAX: u64 = 256;

/// Core instances created when a component is instantiated.
pub const CORE_INSTANCES_MAX: u32 = 256;

/// Memories of a component; a composed one has one per part. Both engines' pools reserve 4 GiB of addresses per memory
/// and call: 64 TiB of a process's 128 at the highest number of calls.
pub const MEMORIES_MAX: u32 = 8;

/// Tables of a component.
pub const TABLES_MAX: u32 = 64;

/// Bytes of the engine's data for one instantiated component, beside memories and tables. The largest honest one,
/// Python, takes 400 KB.
pub const INSTANCE_BYTES_MAX: usize = size(MIB);

/// Elements of one table.
pub const TABLE_ELEMENTS_MAX: u64 = 100_000;

/// Nested components and types, and the depth of any nesting.
pub const NESTING_MAX: u32 = 32;

/// Types that a component defines, all levels together.
pub const TYPES_MAX: u64 = 100_000;

/// Bytes of a name that a component imports or exports.
pub const NAME_BYTES_MAX: usize = 512;

/// Interfaces that a component imports.
pub const IMPORTS_MAX: usize = 256;

/// Tools of one plugin.
pub const TOOLS_MAX: usize = 1_024;

/// Depth of one tool's schema.
pub const SCHEMA_DEPTH_MAX: usize = 32;

/// Subschemas of one tool.
pub const SCHEMA_NODES_MAX: usize = 512;

/// Bytes of one tool's schemas. Types of [`SCHEMA_NODES_MAX`] nodes and a section of [`SECTION_BYTES_MAX`] stay below.
pub const SCHEMA_BYTES_MAX: usize = size(128 * KIB);

/// Schemas that one value is checked against, all references followed.
pub const SCHEMA_STEPS_MAX: u64 = 10_000;

/// Schemas compiled again for an `unevaluatedProperties` or `unevaluatedItems`, over all schemas of a plugin's dynamic
/// tools. Each takes some 4 KiB and some microseconds.
pub const SCHEMA_LEFTOVERS_MAX: u64 = 5_000;

/// Schema checks of one value against a dynamic tool's schema: each part of the value, and each text a pattern reads,
/// counts. This many run only on the threads for large messages.
pub const SCHEMA_VALUE_STEPS_MAX: u64 = 2_000_000;

/// The same on the protocol's threads. More runs on the others.
pub const SCHEMA_VALUE_STEPS_SMALL: u64 = 50_000;

/// The same for an invalid value whose errors are collected, some 300 bytes each.
pub const SCHEMA_EXPLAINED_STEPS_MAX: u64 = 20_000;

/// Nesting of schemas that check one value: each level takes some hundred bytes of stack several times.
pub const SCHEMA_VALUE_DEPTH_MAX: usize = 192;

/// Lists and objects of a value that are remembered while its checks are counted, some 50 bytes each.
pub const SCHEMA_VALUES_MAX: usize = 200_000;

/// Patterns in all schemas of a plugin's dynamic tools.
pub const PATTERNS_MAX: usize = 512;

/// Character ranges in all those patterns, multiplied by repetitions: every letter (`\p{L}`) is some 650. Compiled,
/// each takes some hundred bytes and some microseconds.
pub const PATTERN_RANGES_MAX: u64 = 100_000;

/// Bytes of a compiled pattern, and of its cache while it matches.
pub const PATTERN_COMPILED_BYTES_MAX: usize = size(256 * KIB);

/// Stack of the thread that compiles schemas, in bytes. Compilation recurses as deep as the schema is nested.
pub const SCHEMA_STACK_BYTES: usize = size(64 * MIB);

/// Bytes of one pattern in a schema. The longest honest ones, of addresses and dates, have some 400.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// Points of a pattern at which a repetition can continue or end on the same character. With two, a backtracking engine
/// takes time cubic in the text's length.
pub const PATTERN_OVERLAPS_MAX: u32 = 2;

/// Ambiguous choices in a pattern for the same character: with sixteen, a backtracking engine tries some 65,000 paths.
pub const PATTERN_CHOICES_MAX: u32 = 16;

/// Pairs of paths examined in one pattern.
pub const PATTERN_STEPS_MAX: u32 = 1 << 18;

/// Line breaks in a row, blank lines included, in a text that a model reads. Text below more of them is not seen
/// without scrolling.
pub const LINE_BREAKS_MAX: usize = 3;

/// Blank columns in a row in such a text, a tab counting eight. Text after more is beyond the edge of a window.
pub const BLANK_COLUMNS_MAX: usize = 64;

/// Bytes of the `toolgate` section.
pub const SECTION_BYTES_MAX: usize = size(64 * KIB);

/// Bytes of the `package-docs` section. A larger one is ignored.
pub const DOCS_BYTES_MAX: usize = size(256 * KIB);

/// Icons of a tool.
pub const ICONS_MAX: usize = 4;

/// Bytes of an icon's URL.
pub const ICON_BYTES_MAX: usize = size(16 * KIB);

/// Bytes of a compiled component: about three times its own, and the largest honest ones have some 60 MB.
pub const COMPILED_BYTES_MAX: u64 = 256 * MIB;

/// Bytes of all cached compiled code. The least recently used is evicted.
pub const CACHE_BYTES_MAX: u64 = 4 * GIB;

/// Processor time of compiling one component, in seconds.
pub const COMPILE_CPU_S: Limit = Limit {
    name: "compile_cpu_s",
    default: 120,
    ceiling: 3_600,
    reason: "an interpreter of 20 MB takes some 20 seconds; code that is made to be slow to compile would take for ever",
};

/// Compile time after which the operator sees a notice, in milliseconds.
pub const COMPILE_TELL_MS: u64 = 1_000;

/// Memory of compiling one component, in bytes.
pub const COMPILE_MEMORY_BYTES_MAX: Limit = Limit {
    name: "compile_memory_bytes_max",
    default: 2 * GIB,
    ceiling: 64 * GIB,
    reason: "an interpreter of 20 MB takes half a gigabyte; code that is made for it would take all there is",
};

/// Wall-clock limit of a compiler: at least this many seconds, and this multiple of its processor time. It runs at low
/// priority, so only a stalled one is ended.
pub const COMPILE_WAIT_S: (u64, u64) = (300, 10);

/// Plugins loaded, and so compiled, at once: one for each core, at least the first number, at most the second.
pub const LOADS_AT_ONCE: (usize, usize) = (2, 8);

/// Remote plugins fetched at once, each of up to [`COMPONENT_BYTES_MAX`] in memory. So many unresponsive registries
/// delay no others.
pub const FETCHES_AT_ONCE: usize = 8;

/// Interval at which a server reports plugins that do not serve, applies its trust policy again, and retries
/// unavailable sources, in milliseconds.
pub const REMIND_MS: u64 = 60_000;

/// Descriptors that a compiler may have open. It opens only a few files of the system, about itself.
pub const COMPILER_FILES_MAX: u64 = 16;

/// Bytes kept of a compiler's error message.
pub const COMPILER_WORDS_BYTES_MAX: u64 = 4 * KIB;

/// Memory of a worker beside that of its calls, in bytes: the engine, the plugin's code, the threads.
pub const WORKER_MEMORY_BYTES: u64 = GIB;

/// Memory for each concurrent call, beside its limits of memory and answer, in bytes: its stack, its arguments.
pub const WORKER_CALL_BYTES: u64 = 16 * MIB;

/// Descriptors a worker may have open until it is confined: three pipes, memory images. After that it opens none.
pub const WORKER_FILES_MAX: u64 = 1_024;

/// Time for a worker to report a call's deadline before the worker is ended, in milliseconds. Longer than
/// [`super::call::GRACE_MS`], since that costs the worker's other calls as well.
pub const WORKER_GRACE_MS: u64 = 1_000;

/// Bytes of a worker's message about a request, its store or a folder, beside a head, a part of a body or of a file, or
/// keys and values.
pub const WORKER_WORD_BYTES: u64 = 2 * KIB;

/// Time for a worker to become ready, in milliseconds.
pub const WORKER_START_MS: u64 = 30_000;

/// Bytes of a worker's message beside a value and its guest's output.
pub const WORKER_HEADER_BYTES_MAX: u64 = 64 * KIB;

/// Bytes of a message body beside one with a value: a call's record entries, a request head, a part of a body.
pub const WORKER_BODY_BYTES: u64 = 512 * KIB;

/// Bytes of a message to a worker beside code and arguments: the values of a grant, all names of functions.
pub const WORKER_ORDER_BYTES_MAX: u64 = 16 * MIB;

/// Plugins in one configuration.
pub const PLUGINS_MAX: usize = 512;

/// Secrets in one configuration.
pub const SECRETS_MAX: usize = 1_024;

/// Rules of one kind in one grant.
pub const GRANT_RULES_MAX: usize = 1_024;

/// Signers in one trust policy: each is compared with every other.
pub const SIGNERS_MAX: usize = 512;

/// Roles in one trust policy.
pub const ROLES_MAX: usize = 512;

/// Rules in one trust policy.
pub const TRUST_RULES_MAX: usize = 2_048;
