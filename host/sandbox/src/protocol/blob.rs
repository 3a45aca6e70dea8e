//! Bytes and lists in messages, bounded as they are read.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use toolgate_policy::limits::keyvalue::{KEYVALUE_EACH_BYTES, KEYVALUE_USE_BYTES_MAX};

/// A list of no more elements than one use of a store brings, so that a few bytes do not become many in memory.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct BoundedVec<T>(pub(crate) Vec<T>);

/// Bytes, serialised as a byte string.
#[derive(Debug)]
pub(crate) struct ByteBlob(pub(crate) Vec<u8>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for BoundedVec<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = BoundedVec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list that is not too long")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<BoundedVec<T>, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = seq.next_element()? {
                    if many.len() as u64 >= KEYVALUE_USE_BYTES_MAX / KEYVALUE_EACH_BYTES {
                        return Err(de::Error::custom("too many"));
                    }
                    many.push(one);
                }
                Ok(BoundedVec(many))
            }
        }
        deserializer.deserialize_seq(Visitor(PhantomData))
    }
}

impl From<&[u8]> for ByteBlob {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<ByteBlob> for Bytes {
    fn from(ByteBlob(bytes): ByteBlob) -> Self {
        bytes.into()
    }
}

impl Serialize for ByteBlob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for ByteBlob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteBlob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<ByteBlob, E> {
                Ok(bytes.into())
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
