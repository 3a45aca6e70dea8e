//! Conversions between both generations of WASI and the types of `protocol::files`.

use std::io;

use toolgate_policy::capability::files::FilesDeniedError;
use wasmtime_wasi::p2::bindings::clocks::wall_clock;
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p3::bindings::clocks::system_clock;
use wasmtime_wasi::p3::bindings::filesystem::types as p3;

use super::quota::GrowthError;
use crate::protocol::files::{
    Advice, Code, DescriptorFlags, FileKind, Moment, OpenFlags, PathFlags, Stat, Time,
};

/// Defines an enum of the cases that both WASI versions have, and one that only 0.2 has.
macro_rules! words {
    ($name:ident as $theirs:ident: $only:ident => $instead:expr; $($word:ident)*) => {
        impl From<p2::$theirs> for $name {
            fn from(word: p2::$theirs) -> Self {
                match word {
                    p2::$theirs::$only => Self::$only,
                    $(p2::$theirs::$word => Self::$word),*
                }
            }
        }

        impl From<$name> for p2::$theirs {
            fn from(word: $name) -> Self {
                match word {
                    $name::$only => Self::$only,
                    $($name::$word => Self::$word),*
                }
            }
        }

        impl From<$name> for p3::$theirs {
            fn from(word: $name) -> Self {
                match word {
                    $name::$only => $instead,
                    $($name::$word => Self::$word),*
                }
            }
        }
    };
}

words!(
    Code as ErrorCode: WouldBlock => Self::Busy;
    Access Already BadDescriptor Busy Deadlock Quota Exist FileTooLarge IllegalByteSequence InProgress Interrupted Invalid
    Io IsDirectory Loop TooManyLinks MessageSize NameTooLong NoDevice NoEntry NoLock InsufficientMemory InsufficientSpace
    NotDirectory NotEmpty NotRecoverable Unsupported NoTty NoSuchDevice Overflow NotPermitted Pipe ReadOnly InvalidSeek
    TextFileBusy CrossDevice
);

words!(
    FileKind as DescriptorType: Unknown => Self::Other(None);
    BlockDevice CharacterDevice Directory Fifo SymbolicLink RegularFile Socket
);

impl FileKind {
    /// Neither file nor folder: a pipe, a device, a socket.
    pub(super) fn is_special(self) -> bool {
        !matches!(self, Self::RegularFile | Self::Directory | Self::SymbolicLink)
    }
}

impl From<FilesDeniedError> for Code {
    fn from(refused: FilesDeniedError) -> Self {
        match refused {
            FilesDeniedError::ReadOnly => Self::ReadOnly,
            FilesDeniedError::NotGranted | FilesDeniedError::Outside => Self::NoEntry,
        }
    }
}

impl From<io::Error> for Code {
    fn from(error: io::Error) -> Self {
        p2::ErrorCode::from(error).into()
    }
}

impl From<GrowthError> for Code {
    fn from(error: GrowthError) -> Self {
        match error {
            GrowthError::Full(_) | GrowthError::Uncountable(_) => Self::Quota,
            GrowthError::Io(error) => error.into(),
        }
    }
}

/// Defines flags that both WASI versions have, one bit each.
macro_rules! flags {
    ($name:ident: $($flag:ident)*) => {
        flags!(p2 $name: $($flag)*);
        flags!(p3 $name: $($flag)*);
    };
    ($wasi:ident $name:ident: $($flag:ident)*) => {
        impl From<$wasi::$name> for $name {
            fn from(flags: $wasi::$name) -> Self {
                let all = [$($wasi::$name::$flag),*].into_iter().zip(0..);
                Self(all.filter(|(flag, _)| flags.contains(*flag)).map(|(_, bit)| 1_u8 << bit).sum())
            }
        }

        impl From<$name> for $wasi::$name {
            fn from($name(bits): $name) -> Self {
                let all = [$($wasi::$name::$flag),*].into_iter().zip(0..);
                let set = all.filter(|(_, bit)| bits & (1_u8 << bit) != 0);
                set.fold(Self::empty(), |all, (flag, _)| all | flag)
            }
        }
    };
}

flags!(PathFlags: SYMLINK_FOLLOW);
flags!(OpenFlags: CREATE DIRECTORY EXCLUSIVE TRUNCATE);
flags!(
    DescriptorFlags: READ WRITE FILE_INTEGRITY_SYNC DATA_INTEGRITY_SYNC REQUESTED_WRITE_SYNC MUTATE_DIRECTORY
);

macro_rules! advice {
    ($from:ty, $to:ty) => {
        impl From<$from> for $to {
            fn from(advice: $from) -> Self {
                type Their = $from;
                match advice {
                    Their::Normal => Self::Normal,
                    Their::Sequential => Self::Sequential,
                    Their::Random => Self::Random,
                    Their::WillNeed => Self::WillNeed,
                    Their::DontNeed => Self::DontNeed,
                    Their::NoReuse => Self::NoReuse,
                }
            }
        }
    };
}

advice!(p2::Advice, Advice);
advice!(p3::Advice, Advice);
advice!(Advice, p2::Advice);

impl From<wall_clock::Datetime> for Moment {
    fn from(at: wall_clock::Datetime) -> Self {
        Self(at.seconds, at.nanoseconds)
    }
}

impl From<Moment> for wall_clock::Datetime {
    fn from(Moment(seconds, nanoseconds): Moment) -> Self {
        Self { seconds, nanoseconds }
    }
}

impl Moment {
    fn p3(self) -> Option<system_clock::Instant> {
        let Self(seconds, nanoseconds) = self;
        Some(system_clock::Instant { seconds: seconds.try_into().ok()?, nanoseconds })
    }
}

impl From<p2::NewTimestamp> for Time {
    fn from(time: p2::NewTimestamp) -> Self {
        match time {
            p2::NewTimestamp::NoChange => Self::Keep,
            p2::NewTimestamp::Now => Self::Now,
            p2::NewTimestamp::Timestamp(at) => Self::At(at.into()),
        }
    }
}

impl From<Time> for p2::NewTimestamp {
    fn from(time: Time) -> Self {
        match time {
            Time::Keep => Self::NoChange,
            Time::Now => Self::Now,
            Time::At(at) => Self::Timestamp(at.into()),
        }
    }
}

impl TryFrom<p3::NewTimestamp> for Time {
    type Error = Code;

    fn try_from(time: p3::NewTimestamp) -> Result<Self, Code> {
        Ok(match time {
            p3::NewTimestamp::NoChange => Self::Keep,
            p3::NewTimestamp::Now => Self::Now,
            p3::NewTimestamp::Timestamp(at) => {
                Self::At(Moment(at.seconds.try_into().map_err(|_| Code::Overflow)?, at.nanoseconds))
            }
        })
    }
}

impl From<p2::DescriptorStat> for Stat {
    fn from(stat: p2::DescriptorStat) -> Self {
        Self {
            kind: stat.type_.into(),
            links: stat.link_count,
            size: stat.size,
            accessed: stat.data_access_timestamp.map(Moment::from),
            modified: stat.data_modification_timestamp.map(Moment::from),
            changed: stat.status_change_timestamp.map(Moment::from),
        }
    }
}

impl From<Stat> for p2::DescriptorStat {
    fn from(stat: Stat) -> Self {
        Self {
            type_: stat.kind.into(),
            link_count: stat.links,
            size: stat.size,
            data_access_timestamp: stat.accessed.map(Into::into),
            data_modification_timestamp: stat.modified.map(Into::into),
            status_change_timestamp: stat.changed.map(Into::into),
        }
    }
}

impl From<Stat> for p3::DescriptorStat {
    fn from(stat: Stat) -> Self {
        Self {
            type_: stat.kind.into(),
            link_count: stat.links,
            size: stat.size,
            data_access_timestamp: stat.accessed.and_then(Moment::p3),
            data_modification_timestamp: stat.modified.and_then(Moment::p3),
            status_change_timestamp: stat.changed.and_then(Moment::p3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_out_as_they_went_in_and_those_that_nobody_knows_are_none() {
        for bits in 0..=u8::MAX {
            let flags = DescriptorFlags(bits);
            assert_eq!(DescriptorFlags::from(p2::DescriptorFlags::from(flags)).0, bits & 0b11_1111);
            assert_eq!(DescriptorFlags::from(p3::DescriptorFlags::from(flags)).0, bits & 0b11_1111);
        }
        let both = p2::OpenFlags::CREATE | p2::OpenFlags::TRUNCATE;
        assert_eq!(
            p3::OpenFlags::from(OpenFlags::from(both)),
            p3::OpenFlags::CREATE | p3::OpenFlags::TRUNCATE
        );
    }

    #[test]
    fn a_time_that_one_generation_does_not_have_is_refused_or_not_told() {
        let at = |seconds| p3::NewTimestamp::Timestamp(system_clock::Instant { seconds, nanoseconds: 5 });
        assert!(matches!(Time::try_from(at(-1)), Err(Code::Overflow)));
        assert!(matches!(Time::try_from(at(7)), Ok(Time::At(Moment(7, 5)))));
        assert!(Moment(u64::MAX, 0).p3().is_none());
    }
}
