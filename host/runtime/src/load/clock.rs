//! The time at which trust is judged.

use std::time::{SystemTime, UNIX_EPOCH};

use toolgate_policy::load::signer::UnixTime;

/// The time by the clock, also when that is before 1970.
pub fn now() -> UnixTime {
    let (seconds, sign) = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => (since.as_secs(), 1),
        Err(error) => (error.duration().as_secs(), -1),
    };
    // What does not fit is later than every date, on which nothing counts any more.
    UnixTime(i64::try_from(seconds).map_or(i64::MAX, |seconds| sign * seconds))
}

/// A time as a date, by RFC 3339; nothing if it is beyond what a date can say.
pub fn to_date(time: UnixTime) -> Option<String> {
    jiff::Timestamp::from_second(time.0).ok().map(|date| date.to_string())
}
