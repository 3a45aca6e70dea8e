//! Last uses of API keys, to the minute, in a database of their own: who looks for keys that nobody needs asks it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags};

use super::StateDir;

/// Last uses by the id of each key.
pub struct KeyUses;

const FILE: &str = "apikeys-used.sqlite";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS used (id TEXT PRIMARY KEY, minute INTEGER NOT NULL) STRICT";

impl KeyUses {
    /// Stores uses. An earlier time never replaces a later one.
    ///
    /// # Errors
    /// The database cannot be used.
    pub fn store(state: &StateDir, uses: &BTreeMap<String, SystemTime>) -> rusqlite::Result<()> {
        let mut connection = open(state)?;
        let transaction = connection.transaction()?;
        for (id, at) in uses {
            let minute = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60;
            let minute = i64::try_from(minute).unwrap_or(i64::MAX);
            transaction.execute(
                "INSERT INTO used VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET minute = max(minute, excluded.minute)",
                (id, minute),
            )?;
        }
        transaction.commit()
    }

    /// All uses.
    ///
    /// # Errors
    /// The database cannot be used.
    pub fn read(state: &StateDir) -> rusqlite::Result<BTreeMap<String, SystemTime>> {
        let connection = open(state)?;
        let mut query = connection.prepare("SELECT id, minute FROM used")?;
        let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let at = |minute: i64| UNIX_EPOCH + Duration::from_secs(minute.unsigned_abs().min(MINUTE_MAX) * 60);
        rows.map(|row| row.map(|(id, minute)| (id, at(minute)))).collect()
    }
}

/// Minutes until the year 9999.
const MINUTE_MAX: u64 = 4_223_371_680;

fn open(state: &StateDir) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let folder = state.path().canonicalize().unwrap_or_else(|_| state.path().to_owned());
    let connection = Connection::open_with_flags(folder.join(FILE), flags)?;
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.execute(TABLE, [])?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_of_a_key_is_kept_to_the_minute() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let store = |seconds| KeyUses::store(&state, &BTreeMap::from([("abcdefgh".to_owned(), at(seconds))]));
        store(7_205).unwrap();
        store(3_600).unwrap();
        let uses = KeyUses::read(&state).unwrap();
        assert_eq!(uses.get("abcdefgh"), Some(&at(7_200)));
    }
}
