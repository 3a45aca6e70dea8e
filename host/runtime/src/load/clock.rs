//! Time at which trust is judged.

use std::time::{SystemTime, UNIX_EPOCH};

use toolgate_policy::load::signer::UnixTime;

/// Unix time of the system clock, negative before 1970.
pub fn now() -> UnixTime {
    let (seconds, sign) = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => (since.as_secs(), 1),
        Err(error) => (error.duration().as_secs(), -1),
    };
    // A time that does not fit becomes later than every date, so that everything has expired.
    UnixTime(i64::try_from(seconds).map_or(i64::MAX, |seconds| sign * seconds))
}

/// Formats a time by RFC 3339; none if it is out of range.
pub fn to_date(time: UnixTime) -> Option<String> {
    jiff::Timestamp::from_second(time.0).ok().map(|date| date.to_string())
}
