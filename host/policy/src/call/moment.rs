//! The circumstances of a call: when, from where, by which transport. They are handed in, since this crate has no clock
//! and no connection.

use std::net::IpAddr;

/// The circumstances of a call or of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub now_s: i64,
    /// Hour of the day in the operator's time zone, 0 to 23.
    pub hour: u8,
    /// Day of the week in the operator's time zone, 1 (Monday) to 7.
    pub weekday: u8,
    /// Address of the caller; `None` where there is none, as on stdio.
    pub source: Option<IpAddr>,
    /// The transport.
    pub transport: Transport,
}

/// The way on which a call comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Standard input and output of the server.
    Stdio,
    /// HTTP.
    Http,
    /// The program's own commands.
    Cli,
}

/// The years 0000 to 9999.
const NOW_S: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;
const DAY_S: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;
/// Days of 400, 100 and 4 years, and of one.
const CYCLE_DAYS: [i64; 4] = [146_097, 36_524, 1_461, 365];

impl Moment {
    /// Whether it can be: an hour and a weekday that exist, a year from 0000 to 9999.
    pub fn is_valid(&self) -> bool {
        self.hour < 24 && (1..=7).contains(&self.weekday) && NOW_S.contains(&self.now_s)
    }

    /// The time as `2026-01-31T12:00:00Z` (RFC 3339); `None` outside the years 0000 to 9999.
    pub fn utc(&self) -> Option<String> {
        NOW_S.contains(&self.now_s).then(|| {
            let (year, month, day) = civil(self.now_s.div_euclid(DAY_S) + DAYS_BEFORE_1970);
            let second = self.now_s.rem_euclid(DAY_S);
            let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        })
    }

    /// The source as IPv4 where it is one, so that a dual-stack listener makes no difference to a rule.
    pub fn canonical_source(&self) -> Option<IpAddr> {
        self.source.map(|address| address.to_canonical())
    }
}

impl Transport {
    /// The word that rules compare with.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
            Self::Cli => "cli",
        }
    }
}

/// Year, month and day of the proleptic Gregorian calendar, from days since 0000-03-01. A year that begins in March has
/// its leap day at its end.
fn civil(days: i64) -> (i64, i64, i64) {
    let [four_hundred, hundred, four, one] = CYCLE_DAYS;
    let (cycle, rest) = (days.div_euclid(four_hundred), days.rem_euclid(four_hundred));
    let centuries = (rest / hundred).min(3);
    let rest = rest - centuries * hundred;
    let (fours, rest) = (rest / four, rest % four);
    let ones = (rest / one).min(3);
    let day_of_year = rest - ones * one;
    // Months from March have 31, 30, 31, 30, 31 days, again and again: 153 in five.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = 400 * cycle + 100 * centuries + 4 * fours + ones;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now_s: i64) -> Moment {
        Moment { now_s, hour: 12, weekday: 1, source: None, transport: Transport::Http }
    }

    #[test]
    fn a_time_is_written_as_the_calendar_has_it() {
        for (now_s, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_769_860_800, "2026-01-31T12:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (-62_167_219_200, "0000-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(at(now_s).utc().as_deref(), Some(written), "{now_s}");
        }
        for now_s in [253_402_300_800, -62_167_219_201, i64::MAX, i64::MIN] {
            assert!(!at(now_s).is_valid(), "{now_s}");
        }
    }

    #[test]
    fn an_hour_or_a_weekday_that_does_not_exist_is_no_moment() {
        assert!(at(0).is_valid());
        for (hour, weekday) in [(24, 1), (255, 1), (0, 0), (0, 8)] {
            assert!(!Moment { hour, weekday, ..at(0) }.is_valid(), "{hour} {weekday}");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_the_ipv4_address() {
        let moment = Moment { source: Some("::ffff:10.20.0.1".parse().unwrap()), ..at(0) };
        assert_eq!(moment.canonical_source(), Some("10.20.0.1".parse().unwrap()));
    }
}
