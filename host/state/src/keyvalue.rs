//! Key-value stores of plugins: one SQLite file for each tenant and plugin, in the state directory. Acknowledged changes are durable. Several
//! processes may open one store; SQLite's locks separate them.

mod entries;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::Semaphore;
use toolgate_policy::PluginName;
use toolgate_policy::capability::keyvalue::{KeyvalueSizeError, Pass};
use toolgate_policy::capability::room::QuotaExceededError;
use toolgate_policy::limits::keyvalue::{KEYVALUE_ANSWER_BYTES_MAX, KEYVALUE_WAIT_MS};
use toolgate_policy::principal::Tenant;

use super::{StateDir, unless};
pub use entries::{Entries, FoundValues, Page};

/// All stores. Once opened, a store stays open.
pub struct Stores {
    folder: PathBuf,
    open: Mutex<BTreeMap<(Tenant, PluginName), Arc<Store>>>,
}

/// The store of one plugin for one tenant.
pub struct Store {
    tenant: Tenant,
    plugin: PluginName,
    connection: Mutex<Connection>,
    /// Allows one operation at a time, so that a plugin waiting for the disk occupies one thread only.
    turn: Arc<Semaphore>,
}

/// A store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyvalueOpenError {
    /// Its folder cannot be created.
    #[error("make the folder {0}: {1}")]
    Folder(PathBuf, io::Error),
    /// Its file cannot be used.
    #[error("open the store {0}: {1}")]
    File(PathBuf, StoreFileError),
}

/// Reason that the file of a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreFileError {
    /// The file is damaged, not a store, or not writable.
    #[error("{0}; restore it from a backup, or move it away to begin anew")]
    Database(#[from] rusqlite::Error),
    /// It belongs to another plugin.
    #[error("it was kept by the plugin with the id `{0}`; move it away, or give the plugin that id")]
    Owner(String),
    /// It has a newer format.
    #[error("its format is number {0}, this Toolgate knows {FORMAT}")]
    Format(i64),
}

/// An operation failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyvalueError {
    /// The pass is for the store of another plugin or tenant.
    #[error("this is the store of another plugin or tenant")]
    OtherStore,
    /// The quota is exhausted.
    #[error(transparent)]
    Full(#[from] QuotaExceededError),
    /// The entry exceeds its size limit.
    #[error(transparent)]
    Large(#[from] KeyvalueSizeError),
    /// The answer would be too large.
    #[error("an answer holds {KEYVALUE_ANSWER_BYTES_MAX} bytes at the most; ask for less at once")]
    Answer,
    /// The value is not a number, or would overflow.
    #[error("the value is not a number between 0 and 18446744073709551615 in decimal digits")]
    Number,
    /// Database error. Its text is for the operator only.
    #[error("the store could not be used")]
    Database(#[from] rusqlite::Error),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Format number of the files.
const FORMAT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (bucket, key)
    ) STRICT;
    CREATE TABLE held (bytes INTEGER NOT NULL, entries INTEGER NOT NULL) STRICT;
    INSERT INTO held VALUES (0, 0);
    CREATE TABLE owner (id TEXT NOT NULL) STRICT;
";

impl Stores {
    /// Stores of a state directory. Opens none yet.
    pub fn new(state: &StateDir) -> Self {
        Self { folder: state.path().join("keyvalue"), open: Mutex::default() }
    }

    /// Opens the store of a plugin for a tenant, creating it if it is missing. Blocks on the disk.
    pub fn open(&self, id: &str, pass: Pass<'_>) -> Result<Arc<Store>, KeyvalueOpenError> {
        let (tenant, plugin) = (pass.tenant(), pass.plugin());
        let key = (tenant.clone(), plugin.clone());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.folder_of(tenant);
        let file = folder.join(format!("{plugin}.sqlite"));
        let store = match open.get(&key) {
            Some(store) => Arc::clone(store),
            None => {
                for folder in [&self.folder, &folder] {
                    unless(DirBuilder::new().mode(0o700).create(folder), io::ErrorKind::AlreadyExists)
                        .map_err(|error| KeyvalueOpenError::Folder(folder.clone(), error))?;
                }
                let connection =
                    connect(&file).map_err(|error| KeyvalueOpenError::File(file.clone(), error.into()))?;
                Arc::new(Store {
                    tenant: tenant.clone(),
                    plugin: plugin.clone(),
                    connection: Mutex::new(connection),
                    turn: Arc::new(Semaphore::new(1)),
                })
            }
        };
        store.claim(id, pass).map_err(|error| KeyvalueOpenError::File(file, error))?;
        open.insert(key, Arc::clone(&store));
        Ok(store)
    }

    /// Folder of a tenant's stores. The default tenant's are where they were before there were tenants.
    fn folder_of(&self, tenant: &Tenant) -> PathBuf {
        if *tenant == Tenant::default() { self.folder.clone() } else { self.folder.join(tenant.as_str()) }
    }
}

/// Opens a file without trusting it: nothing in its schema is executed.
fn connect(file: &std::path::Path) -> rusqlite::Result<Connection> {
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok());
    let file =
        folder.zip(file.file_name()).map_or_else(|| file.to_owned(), |(folder, name)| folder.join(name));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(Duration::from_millis(KEYVALUE_WAIT_MS))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // Durable before it is acknowledged, even on power loss.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    Ok(connection)
}

impl Store {
    /// Creates the tables of a new file, checks the owner of an existing one, and limits its size.
    fn claim(&self, id: &str, pass: Pass<'_>) -> Result<(), StoreFileError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let page: u64 =
            connection.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))?.unsigned_abs();
        let pages = i64::try_from(pass.file_bytes_max() / page.max(1)).unwrap_or(i64::MAX);
        connection.pragma_update(None, "max_page_count", pages)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let format: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match format {
            0 => {
                transaction.execute_batch(TABLES)?;
                transaction.execute("INSERT INTO owner VALUES (?1)", [id])?;
                transaction.pragma_update(None, "user_version", FORMAT)?;
            }
            FORMAT => {}
            later => return Err(StoreFileError::Format(later)),
        }
        let owner: String = transaction.query_row("SELECT id FROM owner", [], |row| row.get(0))?;
        if owner != id {
            return Err(StoreFileError::Owner(owner));
        }
        transaction.commit()?;
        Ok(())
    }

    /// Runs an operation for which there is a pass, on a thread that may block. Once begun it runs to completion, even
    /// if the caller is gone.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        pass: Pass<'_>,
        act: impl FnOnce(Entries<'_>) -> Result<T, KeyvalueError> + Send + 'static,
    ) -> Result<T, KeyvalueError> {
        if (pass.tenant(), pass.plugin()) != (&self.tenant, &self.plugin) {
            return Err(KeyvalueError::OtherStore);
        }
        let quota = pass.room();
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| KeyvalueError::Closed)?;
        let store = Arc::clone(self);
        let acted = tokio::task::spawn_blocking(move || {
            // Held until completion, not only while the caller waits.
            let _turn = turn;
            let mut connection = store.connection.lock().unwrap_or_else(PoisonError::into_inner);
            act(Entries { connection: &mut connection, quota })
        });
        acted.await.unwrap_or(Err(KeyvalueError::Closed))
    }
}

#[cfg(test)]
mod tests {
    use toolgate_policy::capability::keyvalue::Grant;
    use toolgate_policy::capability::room::QuotaText;

    use super::*;

    #[tokio::test]
    async fn each_tenant_has_a_store_of_its_own_and_the_default_one_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::new(&StateDir::open(folder.path()).unwrap());
        let grant = Grant::new(QuotaText { bytes_max: Some(1000), ..QuotaText::default() }).unwrap();
        let plugin: PluginName = "notes".parse().unwrap();
        let (default, acme): (Tenant, Tenant) = (Tenant::default(), "acme".parse().unwrap());
        let pass = |tenant| grant.allow(tenant, &plugin).unwrap();
        let of_default = stores.open("notes", pass(&default)).unwrap();
        let of_acme = stores.open("notes", pass(&acme)).unwrap();
        let entry = || [("k".to_owned(), b"v".to_vec())];
        of_acme.run(pass(&acme), move |store| store.set("b", entry())).await.unwrap();
        let found = of_default.run(pass(&default), |store| store.exists("b", "k")).await;
        assert!(!found.unwrap());
        let crossed = of_acme.run(pass(&default), |store| store.exists("b", "k")).await;
        assert!(matches!(crossed, Err(KeyvalueError::OtherStore)));
        for file in ["notes.sqlite", "acme/notes.sqlite"] {
            assert!(folder.path().join("keyvalue").join(file).is_file(), "{file}");
        }
    }
}
