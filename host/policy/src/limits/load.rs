//! What may be loaded: sizes of files and of what is inside a component, and what compiling one may take. A plugin beyond
//! these is refused, with the name of what it exceeds. Two are set under `[server.limits]`, the others are not settable.

use super::size;
use super::{GIB, KIB, Limit, MIB};

/// Bytes of a component. The largest honest ones, an interpreter with its library inside, have some 20 MB.
pub const COMPONENT_BYTES_MAX: u64 = 64 * MIB;

/// Bytes of a signature file.
pub const SIGNATURE_BYTES_MAX: u64 = MIB;

/// Bytes of a signature file that holds no more than a signature. The largest honest ones have some 400.
pub const DETACHED_SIGNATURE_BYTES_MAX: u64 = 16 * KIB;

/// Bytes of a plugin's id in a statement about it. The longest honest ones have some 60.
pub const PLUGIN_ID_BYTES_MAX: usize = 256;

/// Timestamps in one bundle.
pub const TIMESTAMPS_MAX: usize = 8;

/// Bytes of an issuer, or of a name that it vouches for. The longest honest ones have some 200.
pub const IDENTITY_BYTES_MAX: usize = 512;

/// Signature files that are kept or put in place for one plugin. Those that count come first.
pub const SIGNATURES_MAX: usize = 16;

/// Names under which signatures of one component are looked for where nothing can be listed.
pub const SIGNATURE_URLS_MAX: usize = 32;

/// Bytes of all components and signatures that are kept under the state directory. What was used least recently makes room.
pub const KEPT_BYTES_MAX: u64 = 4 * GIB;

/// How long fetching one plugin from elsewhere may take with its signatures and every attempt, in milliseconds.
pub const FETCH_MS: u64 = 300_000;

/// How long one answer may take to begin, and how long its body may be slow, in milliseconds.
pub const FETCH_PATIENCE_MS: u64 = 10_000;

/// Bytes that have to arrive each second on average, once [`FETCH_PATIENCE_MS`] are over: far less than a modem brought.
pub const FETCH_BYTES_PER_S_MIN: u64 = 2 * KIB;

/// How often one request is tried.
pub const FETCH_ATTEMPTS_MAX: u32 = 4;

/// What is waited before the second attempt, twice that before the third, and so on, in milliseconds.
pub const FETCH_BACKOFF_MS: u64 = 250;

/// The longest `Retry-After` that is waited for, in seconds. Who asks for more is not asked again.
pub const RETRY_AFTER_S_MAX: u64 = 20;

/// Redirects that one request follows.
pub const REDIRECTS_MAX: usize = 5;

/// Bytes of the manifest or index of an artefact. The OCI specification asks registries to take as many.
pub const MANIFEST_BYTES_MAX: u64 = 4 * MIB;

/// Bytes of the configuration that an artefact has beside its layer.
pub const ARTEFACT_CONFIG_BYTES_MAX: u64 = MIB;

/// Bytes of what a service says that gives tokens, or of a registry's reason to refuse.
pub const TOKEN_BYTES_MAX: u64 = 64 * KIB;

/// Values in one JSON text about an artefact.
pub const MANIFEST_NODES_MAX: usize = 100_000;

/// Bytes that are read of a bundle, and bytes of all its components together.
pub const BUNDLE_BYTES_MAX: u64 = GIB;

/// Files in a bundle, and manifests that it lists.
pub const BUNDLE_FILES_MAX: usize = 1_024;

/// Entries of a tar: files, folders, and what a writer notes about them.
pub const BUNDLE_ENTRIES_MAX: usize = 4 * BUNDLE_FILES_MAX;

/// Bytes of what a writer notes about one entry of a tar: times, owners, attributes.
pub const TAR_EXTENSION_BYTES_MAX: u64 = 64 * KIB;

/// Bytes of all manifests and indices of a bundle together. A thousand honest ones have one megabyte.
pub const BUNDLE_MANIFEST_BYTES_MAX: u64 = 16 * MIB;

/// Things beside one component that are looked at: signatures, and statements about something else, which vendors, mirrors
/// and scanners attach. The rest is not looked at, and that is said.
pub const ATTACHED_MAX: usize = 64;

/// Files beside one component, or attachments in a bundle, that are read to choose those that are looked at. More than the plain
/// names and those of all signers together, so that no other name takes the place of one of these.
pub const ATTACHED_READ_MAX: usize = 2_048;

/// Bytes of these together. Honest signatures have some kilobytes, and small files are read first.
pub const ATTACHED_READ_BYTES_MAX: u64 = 16 * MIB;

/// Pages of a registry's list of what is attached that are read. Registries put some hundred entries on a page.
pub const REFERRER_PAGES_MAX: usize = 32;

/// Entries of that list after which no further page is read.
pub const REFERRERS_MAX: usize = 10_000;

/// Bytes of all of them together.
pub const ATTACHED_BYTES_MAX: u64 = 8 * MIB;

/// Components in one folder of plugins, and entries of that folder that are looked at.
pub const FOLDER_ENTRIES_MAX: usize = 4_096;

/// Bytes of a configuration file, a trust policy or a key.
pub const CONFIG_BYTES_MAX: u64 = MIB;

/// Bytes of `trust.seen`. A digest that is revoked takes less there than in the trust policy, and the rest has some 300, so that it never
/// has more than [`CONFIG_BYTES_MAX`] and that.
pub const SEEN_BYTES_MAX: u64 = 2 * MIB;

/// Bytes of the lock: a few hundred for each plugin and line of its grant.
pub const LOCK_BYTES_MAX: u64 = 8 * MIB;

/// How long a command waits for another one that changes the same file, in milliseconds. A change takes a hundredth of a second;
/// nothing is fetched, compiled or asked meanwhile.
pub const FILE_LOCK_MS: u64 = 30_000;

/// How often it looks whether the other is done, in milliseconds.
pub const FILE_LOCK_POLL_MS: u64 = 5;

/// How often the trust policy is read again because another process took a newer one since it was read. Each time takes a
/// revocation in the moment between reading and judging; as many as that in a row are no accident.
pub const TRUST_READS_MAX: usize = 16;

/// Days for which an approved plugin goes on after the key that signed it has expired, unless trust.toml says otherwise.
pub const GRACE_DAYS: u32 = 30;

/// The most that trust.toml can say.
pub const GRACE_DAYS_MAX: u32 = 365;

/// How often the files that decide are looked at, in milliseconds. A revocation is to be in force within 5 s of its write.
pub const WATCH_MS: u64 = 500;

/// Entries of folders in which signatures lie beside components that are looked at each time, of all such folders together. As many as
/// two full folders of plugins have; looking at them takes some hundredths of a core.
pub const WATCH_ENTRIES_MAX: usize = 8_192;

/// Bytes of a secret.
pub const SECRET_BYTES_MAX: u64 = 64 * KIB;

/// Bytes of one core function's body. Compile time grows faster than this does.
pub const FUNCTION_BYTES_MAX: u64 = 2 * MIB;

/// Core functions of a component, all its modules together.
pub const FUNCTIONS_MAX: u64 = 200_000;

/// Core modules of a component.
pub const MODULES_MAX: u64 = 256;

/// Core instances that instantiating a component makes.
pub const CORE_INSTANCES_MAX: u32 = 256;

/// Memories of a component; one that is composed of others has one for each. The pools of both engines reserve 4 GiB of
/// addresses for each of these and each call: at the most calls that there can be, 64 TiB of the 128 that a process has.
pub const MEMORIES_MAX: u32 = 8;

/// Tables of a component.
pub const TABLES_MAX: u32 = 64;

/// Bytes of what the engine keeps of one instantiated component, beside its memories and tables. The largest honest one, Python,
/// takes 400 KB.
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

/// Bytes of one tool's schemas. Types of [`SCHEMA_NODES_MAX`] parts and a section of [`SECTION_BYTES_MAX`] make no more.
pub const SCHEMA_BYTES_MAX: usize = size(128 * KIB);

/// Schemas to which a schema holds one value, all references followed.
pub const SCHEMA_STEPS_MAX: u64 = 10_000;

/// Schemas that are compiled once more for an `unevaluatedProperties` or `unevaluatedItems`, in all schemas of the tools that a plugin names
/// when it runs. Each takes some 4 KiB and some microseconds.
pub const SCHEMA_LEFTOVERS_MAX: u64 = 5_000;

/// Schemas to which a value is held by the schema of a tool that its plugin names when it runs, each part of the value counting for itself, as are
/// the texts that patterns read. So many are taken on the threads for large messages only.
pub const SCHEMA_VALUE_STEPS_MAX: u64 = 2_000_000;

/// The same on the protocol's threads. What takes more is done on the others.
pub const SCHEMA_VALUE_STEPS_SMALL: u64 = 50_000;

/// The same of a value that does not fit, where is said what does not: that is collected, some 300 bytes for each thing.
pub const SCHEMA_EXPLAINED_STEPS_MAX: u64 = 20_000;

/// Schemas within schemas to which one value is held: each takes some hundred bytes of a thread's stack several times.
pub const SCHEMA_VALUE_DEPTH_MAX: usize = 192;

/// Lists and objects of a value that are remembered while its steps are counted, some 50 bytes each.
pub const SCHEMA_VALUES_MAX: usize = 200_000;

/// Patterns in all schemas of the tools that a plugin names when it runs.
pub const PATTERNS_MAX: usize = 512;

/// Ranges of characters in all those patterns, each as often as a repetition has it: every letter (`\p{L}`) is some 650. Compiled, each takes some
/// hundred bytes and some microseconds.
pub const PATTERN_RANGES_MAX: u64 = 100_000;

/// Bytes of the compiled form of a pattern, and as many of what is remembered while it is matched.
pub const PATTERN_COMPILED_BYTES_MAX: usize = size(256 * KIB);

/// Bytes of the stack of the thread that compiles schemas, which go as deep as they have parts.
pub const SCHEMA_STACK_BYTES: usize = size(64 * MIB);

/// Bytes of one pattern in a schema. The longest honest ones, of addresses and dates, have some 400.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// Places of a pattern at which a repetition can go on or be left with the same character. With two, an engine that tries one way
/// after the other takes the third power of a text's length.
pub const PATTERN_OVERLAPS_MAX: u32 = 2;

/// Choices between two ways in a pattern that are open for the same character: with sixteen, such an engine tries some 65,000.
pub const PATTERN_CHOICES_MAX: u32 = 16;

/// Pairs of ways that are looked at in one pattern.
pub const PATTERN_STEPS_MAX: u32 = 1 << 18;

/// Line breaks in a row, blank lines between them included, in a text that a model will read. What stands below more is not seen
/// without scrolling.
pub const LINE_BREAKS_MAX: usize = 3;

/// Columns of blanks in a row in such a text, a tab counting eight. What stands behind more is beyond the edge of a window.
pub const BLANK_COLUMNS_MAX: usize = 64;

/// Bytes of the `toolgate` section.
pub const SECTION_BYTES_MAX: usize = size(64 * KIB);

/// Bytes of the `package-docs` section. A larger one is left aside.
pub const DOCS_BYTES_MAX: usize = size(256 * KIB);

/// Icons of a tool.
pub const ICONS_MAX: usize = 4;

/// Bytes of an icon's URL.
pub const ICON_BYTES_MAX: usize = size(16 * KIB);

/// Bytes of the compiled form of a component: about three times its own, and the largest honest ones have some 60 MB.
pub const COMPILED_BYTES_MAX: u64 = 256 * MIB;

/// Bytes of all compiled code that is kept. What was used least recently makes room.
pub const CACHE_BYTES_MAX: u64 = 4 * GIB;

/// Processor time of compiling one component, in seconds.
pub const COMPILE_CPU_S: Limit = Limit {
    name: "compile_cpu_s",
    default: 120,
    ceiling: 3_600,
    reason: "an interpreter of 20 MB takes some 20 seconds; code that is made to be slow to compile would take for ever",
};

/// How long a component may be compiled before somebody is told of it, in milliseconds.
pub const COMPILE_TELL_MS: u64 = 1_000;

/// Memory that compiling one component may take, in bytes.
pub const COMPILE_MEMORY_BYTES_MAX: Limit = Limit {
    name: "compile_memory_bytes_max",
    default: 2 * GIB,
    ceiling: 64 * GIB,
    reason: "an interpreter of 20 MB takes half a gigabyte; code that is made for it would take all there is",
};

/// How long a compiler may take by the clock, in seconds: so long at least, and so many times its processor time. It gives
/// way to everything else on the machine, so this ends only one that has stopped.
pub const COMPILE_WAIT_S: (u64, u64) = (300, 10);

/// Plugins that are loaded, and so compiled, at once: one for each core, at least the first number, at most the second.
pub const LOADS_AT_ONCE: (usize, usize) = (2, 8);

/// Plugins from elsewhere that are fetched at once, each of which may be [`COMPONENT_BYTES_MAX`] in memory. So many registries that
/// do not answer hold up none of the others.
pub const FETCHES_AT_ONCE: usize = 8;

/// How often a server says which plugins do not serve, judges again by its trust policy what does, and asks again for what was
/// not to be had, in milliseconds.
pub const REMIND_MS: u64 = 60_000;

/// Descriptors that a compiler may have open. It opens no file but a few of the system's about itself.
pub const COMPILER_FILES_MAX: u64 = 16;

/// Bytes that are kept of what a compiler says about a component it refuses.
pub const COMPILER_WORDS_BYTES_MAX: u64 = 4 * KIB;

/// Memory of a worker beside what its calls may hold, in bytes: the engine, the plugin's code, the threads.
pub const WORKER_MEMORY_BYTES: u64 = GIB;

/// … and for each call at once, beside the memory and the answer of that call: its stack, its arguments.
pub const WORKER_CALL_BYTES: u64 = 16 * MIB;

/// Descriptors that a worker may have open until its walls stand: three pipes, the images of its memories. Then it opens none.
pub const WORKER_FILES_MAX: u64 = 1_024;

/// How long after a call's deadline its worker may take to say so before the worker is ended, in milliseconds: longer than
/// [`super::call::GRACE_MS`], since that costs the worker's other calls as well.
pub const WORKER_GRACE_MS: u64 = 1_000;

/// Bytes of what a worker says of a request, of its store or of a folder beside a head, a part of a body or of a file, or keys
/// and values.
pub const WORKER_WORD_BYTES: u64 = 2 * KIB;

/// How long a worker may take to be ready, in milliseconds.
pub const WORKER_START_MS: u64 = 30_000;

/// Bytes of what a worker says beside a value and what its guest wrote.
pub const WORKER_HEADER_BYTES_MAX: u64 = 64 * KIB;

/// … and of a body beside one that carries a value: what a record lists of a call, a request's head, a part of a body.
pub const WORKER_BODY_BYTES: u64 = 512 * KIB;

/// Bytes of what a worker is told beside code and arguments: the values of a grant, all names of functions.
pub const WORKER_ORDER_BYTES_MAX: u64 = 16 * MIB;

/// Plugins in one configuration.
pub const PLUGINS_MAX: usize = 512;

/// Secrets in one configuration.
pub const SECRETS_MAX: usize = 1_024;

/// Rules of one kind in one grant.
pub const GRANT_RULES_MAX: usize = 1_024;

/// Signers in one trust policy: each is compared with each other.
pub const SIGNERS_MAX: usize = 512;

/// Roles in one trust policy.
pub const ROLES_MAX: usize = 512;

/// Rules in one trust policy.
pub const TRUST_RULES_MAX: usize = 2_048;
