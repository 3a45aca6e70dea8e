//! X.509 certificates of a server: the facts that decide whether clients can accept them. Nothing is verified here.

use toolgate_policy::limits::wire::TLS_RSA_BITS_MIN;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Decode as _, Encode as _, Error, Reader as _, SliceReader};
use x509_cert::spki::ObjectIdentifier;

/// Facts of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Begin of its validity, in seconds since 1970.
    pub not_before_s: i64,
    /// End of its validity, in seconds since 1970.
    pub not_after_s: i64,
    /// Reason why its key or its signature is too weak, if so.
    pub weakness: Option<String>,
    subject: Vec<u8>,
    issuer: Vec<u8>,
}

/// Bytes that are not a certificate.
#[derive(Debug, thiserror::Error)]
#[error("a certificate in it cannot be read")]
pub struct CertificateError(#[from] Error);

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Signatures over MD5 and SHA-1, which can be forged.
const BROKEN: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"),
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"),
];

impl Certificate {
    /// Reads a certificate in DER (RFC 5280, section 4.1).
    ///
    /// # Errors
    /// The bytes are not a certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let read = x509_cert::Certificate::from_der(der)?;
        let body = &read.tbs_certificate;
        let seconds = |time: &x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
        };
        let key = &body.subject_public_key_info;
        let bits = match key.algorithm.oid == RSA {
            true => Some(rsa_bits(key.subject_public_key.raw_bytes())?),
            false => None,
        };
        let is_root = body.subject == body.issuer;
        let weakness = match bits {
            Some(bits) if bits < TLS_RSA_BITS_MIN => Some(format!("it has an RSA key of {bits} bits")),
            // Nobody verifies the signature of a root.
            _ if !is_root && BROKEN.contains(&read.signature_algorithm.oid) => {
                Some("it was signed over MD5 or SHA-1".to_owned())
            }
            _ => None,
        };
        Ok(Self {
            not_before_s: seconds(&body.validity.not_before),
            not_after_s: seconds(&body.validity.not_after),
            weakness,
            subject: body.subject.to_der()?,
            issuer: body.issuer.to_der()?,
        })
    }

    /// Whether it names the other as its issuer.
    pub fn is_issued_by(&self, other: &Self) -> bool {
        self.issuer == other.subject
    }
}

/// Bits of the modulus of an RSA public key (RFC 8017, appendix A.1.1).
fn rsa_bits(key: &[u8]) -> Result<usize, Error> {
    let mut reader = SliceReader::new(key)?;
    let modulus = reader.sequence(|fields| {
        let modulus: UintRef<'_> = fields.decode()?;
        let _exponent: UintRef<'_> = fields.decode()?;
        Ok(modulus)
    })?;
    let bytes = modulus.as_bytes();
    let leading = bytes.first().map_or(0, |byte| byte.leading_zeros());
    Ok((bytes.len() * 8).saturating_sub(usize::try_from(leading).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_its_time_and_who_issued_it() {
        let key = || rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2026, 1, 2);
        let mut root = rcgen::CertificateParams::new(Vec::new()).unwrap();
        root.distinguished_name.push(rcgen::DnType::CommonName, "a root of the test");
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root_key = key();
        let issued = root.self_signed(&root_key).unwrap();
        let issuer = rcgen::Issuer::new(root, root_key);
        let leaf = parameters.signed_by(&key(), &issuer).unwrap();
        let (leaf, root) = (Certificate::from_der(leaf.der()), Certificate::from_der(issued.der()));
        let (leaf, root) = (leaf.unwrap(), root.unwrap());
        assert_eq!((leaf.not_before_s, leaf.not_after_s), (1_767_225_600, 1_767_312_000));
        assert!(leaf.is_issued_by(&root) && !root.is_issued_by(&leaf) && root.is_issued_by(&root));
        assert_eq!((leaf.weakness, root.weakness), (None, None));
    }

    #[test]
    fn the_size_of_an_rsa_key_is_that_of_its_modulus() {
        // SEQUENCE { INTEGER of 9 bytes, the first of them zero; INTEGER 65537 }.
        let key = |high: u8| {
            let mut key = vec![0x30, 0x10, 0x02, 0x09, 0x00, high];
            key.extend([0xff; 7]);
            key.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
            key
        };
        assert_eq!(rsa_bits(&key(0x80)).unwrap(), 64);
        assert!(rsa_bits(&key(0x80)[..6]).is_err() && rsa_bits(b"").is_err());
    }

    #[test]
    fn other_bytes_are_not_a_certificate() {
        assert!(Certificate::from_der(b"").is_err() && Certificate::from_der(&[0x30, 0]).is_err());
    }
}
