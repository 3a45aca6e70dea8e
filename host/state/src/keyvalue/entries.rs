//! Operations on a store's entries. Changes come with an update of the store's usage, in one transaction.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use toolgate_policy::capability::room::{Quota, Usage};
use toolgate_policy::limits::keyvalue::{KEYVALUE_ANSWER_BYTES_MAX, KEYVALUE_PAGE};

use super::KeyvalueError;

/// Entries of a store for one operation, for which there was a pass.
pub struct Entries<'c> {
    pub(super) connection: &'c mut Connection,
    pub(super) quota: Quota,
}

/// A page of keys, with the cursor of the next page if there may be more.
pub struct Page {
    /// Keys, in the order of the store.
    pub keys: Vec<String>,
    /// Where the next page begins; none after the last.
    pub cursor: Option<u64>,
}

/// Keys with their values, in the order in which they were asked for; none for a key that does not exist.
pub type FoundValues = Vec<Option<(String, Vec<u8>)>>;

impl Entries<'_> {
    /// Values of keys, in the order of `keys`.
    ///
    /// # Errors
    /// [`KeyvalueError::Answer`] if they are too large together.
    pub fn get(self, bucket: &str, keys: Vec<String>) -> Result<FoundValues, KeyvalueError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for key in keys {
            let value = value(self.connection, bucket, &key)?;
            bytes += (key.len() + value.as_ref().map_or(0, Vec::len)) as u64;
            if bytes > KEYVALUE_ANSWER_BYTES_MAX {
                return Err(KeyvalueError::Answer);
            }
            found.push(value.map(|value| (key, value)));
        }
        Ok(found)
    }

    /// Whether a key exists.
    pub fn exists(self, bucket: &str, key: &str) -> Result<bool, KeyvalueError> {
        let mut look =
            self.connection.prepare_cached("SELECT 1 FROM entry WHERE bucket = ?1 AND key = ?2")?;
        Ok(look.exists(params![bucket, key])?)
    }

    /// Keys after a cursor, in order of their first insertion.
    pub fn keys(self, bucket: &str, cursor: Option<u64>) -> Result<Page, KeyvalueError> {
        let after = i64::try_from(cursor.unwrap_or(0)).unwrap_or(i64::MAX);
        let page = i64::try_from(KEYVALUE_PAGE).unwrap_or(i64::MAX);
        let mut list = self
            .connection
            .prepare_cached("SELECT id, key FROM entry WHERE bucket = ?1 AND id > ?2 ORDER BY id LIMIT ?3")?;
        let rows = list.query_map(params![bucket, after, page], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        let rows: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
        let last = rows.last().map(|(id, _)| id.unsigned_abs());
        let cursor = last.filter(|_| rows.len() as u64 == KEYVALUE_PAGE);
        Ok(Page { keys: rows.into_iter().map(|(_, key)| key).collect(), cursor })
    }

    /// Sets all values or none.
    ///
    /// # Errors
    /// [`KeyvalueError::Full`].
    pub fn set(
        self,
        bucket: &str,
        values: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<(), KeyvalueError> {
        self.change(|transaction, held| {
            values.into_iter().try_for_each(|(key, value)| put(transaction, bucket, &key, &value, held))
        })
    }

    /// Deletes all of these.
    pub fn delete(self, bucket: &str, keys: &[String]) -> Result<(), KeyvalueError> {
        self.change(|transaction, held| {
            keys.iter().try_for_each(|key| {
                account(transaction, bucket, key, held)?;
                let mut delete =
                    transaction.prepare_cached("DELETE FROM entry WHERE bucket = ?1 AND key = ?2")?;
                delete.execute(params![bucket, key])?;
                Ok(())
            })
        })
    }

    /// Adds to a number in decimal digits; a missing one counts as 0.
    ///
    /// # Errors
    /// [`KeyvalueError::Number`], [`KeyvalueError::Full`].
    pub fn increment(self, bucket: &str, key: &str, by: u64) -> Result<u64, KeyvalueError> {
        self.change(|transaction, held| {
            let number = match value(transaction, bucket, key)? {
                None => 0,
                Some(digits) => number(&digits).ok_or(KeyvalueError::Number)?,
            };
            let sum = number.checked_add(by).ok_or(KeyvalueError::Number)?;
            put(transaction, bucket, key, sum.to_string().as_bytes(), held)?;
            Ok(sum)
        })
    }

    /// Changes entries and usage in one transaction.
    fn change<T>(
        self,
        act: impl FnOnce(&Transaction<'_>, &mut Usage) -> Result<T, KeyvalueError>,
    ) -> Result<T, KeyvalueError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = transaction.query_row("SELECT bytes, entries FROM held", [], |row| {
            Ok(Usage {
                bytes: row.get::<_, i64>(0)?.unsigned_abs(),
                entries: row.get::<_, i64>(1)?.unsigned_abs(),
            })
        })?;
        let mut after = before;
        let done = act(&transaction, &mut after)?;
        self.quota.grow(before, after)?;
        let as_i64 = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let held = [as_i64(after.bytes), as_i64(after.entries)];
        transaction.execute("UPDATE held SET bytes = ?1, entries = ?2", held)?;
        transaction.commit()?;
        Ok(done)
    }
}

fn value(connection: &Connection, bucket: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut get = connection.prepare_cached("SELECT value FROM entry WHERE bucket = ?1 AND key = ?2")?;
    get.query_row(params![bucket, key], |row| row.get(0)).optional()
}

/// Parses a number of decimal digits only.
fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

fn put(
    transaction: &Transaction<'_>,
    bucket: &str,
    key: &str,
    value: &[u8],
    held: &mut Usage,
) -> Result<(), KeyvalueError> {
    account(transaction, bucket, key, held)?;
    let mut put = transaction.prepare_cached(
        "INSERT INTO entry (bucket, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value",
    )?;
    put.execute(params![bucket, key, value])?;
    held.bytes += (bucket.len() + key.len() + value.len()) as u64;
    held.entries += 1;
    Ok(())
}

/// Subtracts an existing entry from the usage.
fn account(
    transaction: &Transaction<'_>,
    bucket: &str,
    key: &str,
    held: &mut Usage,
) -> Result<(), KeyvalueError> {
    let mut size =
        transaction.prepare_cached("SELECT length(value) FROM entry WHERE bucket = ?1 AND key = ?2")?;
    let old: Option<i64> = size.query_row(params![bucket, key], |row| row.get(0)).optional()?;
    if let Some(old) = old {
        let bytes = (bucket.len() + key.len()) as u64 + old.unsigned_abs();
        held.bytes = held.bytes.saturating_sub(bytes);
        held.entries = held.entries.saturating_sub(1);
    }
    Ok(())
}
