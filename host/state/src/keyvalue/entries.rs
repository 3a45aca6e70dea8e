//! Changes to a store's entries, each with an update of its usage.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use toolgate_policy::capability::room::{Quota, Usage};

use super::KeyvalueError;

/// Parses a number of decimal digits only.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// Changes entries and usage in one transaction.
pub(super) fn change<T>(
    connection: &mut Connection,
    room: Quota,
    act: impl FnOnce(&Transaction<'_>, &mut Usage) -> Result<T, KeyvalueError>,
) -> Result<T, KeyvalueError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = transaction.query_row("SELECT bytes, entries FROM held", [], |row| {
        Ok(Usage {
            bytes: row.get::<_, i64>(0)?.unsigned_abs(),
            entries: row.get::<_, i64>(1)?.unsigned_abs(),
        })
    })?;
    let mut after = before;
    let done = act(&transaction, &mut after)?;
    room.grow(before, after)?;
    let as_i64 = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    transaction
        .execute("UPDATE held SET bytes = ?1, entries = ?2", [as_i64(after.bytes), as_i64(after.entries)])?;
    transaction.commit()?;
    Ok(done)
}

pub(super) fn put(
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

/// Deletes an entry if it exists.
pub(super) fn take(
    transaction: &Transaction<'_>,
    bucket: &str,
    key: &str,
    held: &mut Usage,
) -> Result<(), KeyvalueError> {
    account(transaction, bucket, key, held)?;
    let mut delete = transaction.prepare_cached("DELETE FROM entry WHERE bucket = ?1 AND key = ?2")?;
    delete.execute(params![bucket, key])?;
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
