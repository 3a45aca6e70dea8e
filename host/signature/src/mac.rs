//! HMAC-SHA-256 (RFC 2104) under keys of this installation, for compiled code in the cache and arguments in the audit
//! log. Each key has one purpose and is stored in the state directory.

use std::io::{self, Read as _, Write as _};

use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use cap_std::fs::{Dir, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use zeroize::Zeroizing;

/// A MAC key for one purpose.
pub struct MacKey(hmac::Key);

/// Length of a tag in bytes.
pub const TAG_BYTES: usize = 32;

impl MacKey {
    /// Loads the key `name` from `dir`, creating it if it is missing. Concurrent processes end up with the same key.
    /// Refuses a key of the wrong size, or one that others can read or change.
    pub fn load_or_make(dir: &Dir, name: &str) -> io::Result<Self> {
        if let Some(key) = Self::load(dir, name)? {
            return Ok(key);
        }
        let mut bytes = Zeroizing::new([0_u8; TAG_BYTES]);
        rand::fill(&mut *bytes).map_err(|_| io::Error::other("the system's generator failed"))?;
        // A random name, since process ids repeat among containers that share a folder.
        let mut number = [0_u8; 8];
        rand::fill(&mut number).map_err(|_| io::Error::other("the system's generator failed"))?;
        let fresh = format!(".{name}.{:016x}", u64::from_ne_bytes(number));
        let mut options = OpenOptions::new();
        let mut file = dir.open_with(&fresh, options.write(true).create_new(true).mode(0o600))?;
        file.write_all(&*bytes)?;
        file.sync_all()?;
        // A link fails if the name exists, where a rename would replace it: the first process creates the key.
        let linked = dir.hard_link(&fresh, dir, name);
        dir.remove_file(&fresh)?;
        dir.open(".")?.sync_all()?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        Self::load(dir, name)?.ok_or_else(|| io::Error::other("the key vanished as it was made"))
    }

    fn load(dir: &Dir, name: &str) -> io::Result<Option<Self>> {
        let file = match dir.open(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if file.metadata()?.mode() & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "others can read the key `{name}`; delete it, a new one is made"
            )));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(TAG_BYTES + 1));
        file.take(TAG_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() != TAG_BYTES {
            return Err(io::Error::other(format!(
                "the key `{name}` is damaged; delete it, a new one is made"
            )));
        }
        Ok(Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))))
    }

    /// MAC over `parts`. Each part is preceded by its length, so that different lists of parts never collide.
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        bytes_of(&context.sign())
    }

    /// The tag over one part, streamed by `write`, which must write the same when it runs again: that is where the part is long.
    pub fn tag_written(
        &self,
        write: impl Fn(&mut dyn io::Write) -> io::Result<()>,
    ) -> io::Result<[u8; TAG_BYTES]> {
        let (mut length, mut short) = (0, Vec::new());
        write(&mut Each(|bytes: &[u8]| {
            length += bytes.len() as u64;
            if length <= SHORT {
                short.extend_from_slice(bytes);
            }
        }))?;
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&length.to_be_bytes());
        if length == short.len() as u64 {
            context.update(&short);
        } else {
            let mut feeding = io::BufWriter::new(Each(|bytes: &[u8]| context.update(bytes)));
            write(&mut feeding)?;
            feeding.flush()?;
        }
        Ok(bytes_of(&context.sign()))
    }

    /// Whether `tag` is the tag over `parts`, in constant time.
    pub fn accepts(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        let ours = self.tag(parts);
        aws_lc_rs::constant_time::verify_slices_are_equal(&ours, tag).is_ok()
    }
}

fn bytes_of(tag: &hmac::Tag) -> [u8; TAG_BYTES] {
    let mut bytes = [0_u8; TAG_BYTES];
    for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    bytes
}

/// Bytes that are written once and remembered; of more than that only the length is.
const SHORT: u64 = 16 << 10;

/// Gives all that is written to a function.
struct Each<F>(F);

impl<F: FnMut(&[u8])> io::Write for Each<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_tags_what_it_was_given_only() {
        let base = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(base.path(), ambient_authority()).unwrap();
        let key = MacKey::load_or_make(&dir, "cache").unwrap();
        let again = MacKey::load_or_make(&dir, "cache").unwrap();
        let other = MacKey::load_or_make(&dir, "audit").unwrap();
        let tag = key.tag(&[b"ab", b"c"]);
        assert!(again.accepts(&[b"ab", b"c"], &tag));
        assert!(!again.accepts(&[b"a", b"bc"], &tag) && !again.accepts(&[b"abc"], &tag));
        assert!(!other.accepts(&[b"ab", b"c"], &tag));
        assert!(!key.accepts(&[b"ab", b"c"], &tag[..31]));
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 2, "nothing is left over");
    }

    #[test]
    fn bytes_that_are_written_piece_by_piece_have_the_tag_of_the_whole() {
        let base = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(base.path(), ambient_authority()).unwrap();
        let key = MacKey::load_or_make(&dir, "audit").unwrap();
        for count in [0, 1, 3_276, 3_277, 5_000] {
            let whole = "piece".repeat(count);
            let write = |to: &mut dyn io::Write| (0..count).try_for_each(|_| to.write_all(b"piece"));
            assert_eq!(key.tag_written(write).unwrap(), key.tag(&[whole.as_bytes()]));
        }
    }

    #[test]
    fn a_damaged_or_open_key_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let base = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(base.path(), ambient_authority()).unwrap();
        MacKey::load_or_make(&dir, "a").unwrap();
        std::fs::write(base.path().join("a"), [0; 33]).unwrap();
        assert!(MacKey::load_or_make(&dir, "a").is_err());
        MacKey::load_or_make(&dir, "b").unwrap();
        std::fs::set_permissions(base.path().join("b"), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(MacKey::load_or_make(&dir, "b").is_err());
    }
}
