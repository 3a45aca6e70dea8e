//! minisign signatures (<https://jedisct1.github.io/minisign/>), prehashed with BLAKE2b only: the legacy format leaves
//! open which of the two was signed. The strict parser here reads first: four lines, canonical base64, nothing else.
//! Comments decide nothing, the trusted one included.

use toolgate_base::artifact::Artifact;
use toolgate_policy::limits::load::DETACHED_SIGNATURE_BYTES_MAX;
use toolgate_policy::load::signer::{Claim, Format, VerifiedSignature};

use super::anchor::Anchor;
use super::minisign_key::{UNTRUSTED, lines, numbered};
use super::{Signature, SignatureError, SignatureFile, canonical_base64, unreadable};

const TRUSTED: &str = "trusted comment: ";

/// A parsed minisign signature.
pub struct Minisign {
    file: String,
    signature: minisign_verify::Signature,
    number: u64,
}

impl Minisign {
    /// Parses a signature. Refuses the legacy format, and anything that is not canonical.
    pub fn read(file: &SignatureFile) -> Result<Self, SignatureError> {
        if file.bytes.len() as u64 > DETACHED_SIGNATURE_BYTES_MAX {
            return Err(unreadable(file, format!("it has more than {DETACHED_SIGNATURE_BYTES_MAX} bytes")));
        }
        let odd = || unreadable(file, "it is not the four lines that minisign writes");
        let text = str::from_utf8(&file.bytes).map_err(|_| odd())?;
        let lines = lines(text).ok_or_else(odd)?;
        let [untrusted, encoded, trusted, global] = lines.as_slice() else { return Err(odd()) };
        if !untrusted.starts_with(UNTRUSTED) || !trusted.starts_with(TRUSTED) {
            return Err(odd());
        }
        let bytes = canonical_base64(encoded).ok_or_else(odd)?;
        if bytes.starts_with(b"Ed") {
            return Err(unreadable(file, "it is in minisign's older form; sign without `-l`"));
        }
        let (number, raw) = numbered(&bytes, b"ED").ok_or_else(odd)?;
        if raw.len() != 64 || canonical_base64(global).is_none_or(|global| global.len() != 64) {
            return Err(odd());
        }
        let signature = minisign_verify::Signature::decode(text).map_err(|_| odd())?;
        Ok(Self { file: file.name.clone(), signature, number })
    }
}

impl Signature for Minisign {
    fn format(&self) -> Format {
        Format::Minisign
    }

    fn claim(&self) -> Claim {
        Claim::Minisign(self.number)
    }

    fn verify(&self, artifact: &Artifact, signer: &Anchor) -> Result<VerifiedSignature, SignatureError> {
        let forged = || SignatureError::Forged(self.file.clone());
        let Anchor::Minisign(signer) = signer else { return Err(forged()) };
        signer.key.verify(artifact.bytes(), &self.signature, false).map_err(|_| forged())?;
        #[expect(clippy::disallowed_methods, reason = "it was verified above")]
        let verified = VerifiedSignature::new(artifact.digest(), signer.id, None);
        Ok(verified)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::super::minisign_key::MinisignKey;
    use super::*;

    // Made by minisign 0.11: two keys, and signatures over `the component`, the third with `-l`.
    const KEYS: [&str; 2] = [
        "untrusted comment: minisign public key 3A86C157BF63B683\nRWSDtmO/V8GGOgi5g5K7P2AOYGvfh5V/uWTyMT7vYd1A4RFxKu68m2XL\n",
        "untrusted comment: minisign public key 9271BFBAC1384BD2\nRWTSSzjBur9xkhmdyRZ193kLdkwoLlKDhTMy08SFFQ8VesdMmhQAgjq9\n",
    ];
    const SIGNED: &str = concat!(
        "untrusted comment: signature from minisign secret key\n",
        "RUSDtmO/V8GGOnGc03jrJT4L0NT2Dl6lvd0bFg/dlJl57cfFcKNI29VpqztpLMaCS6nZvvZU5yM9RTyH8U16uFNECEjRf8dDBwc=\n",
        "trusted comment: timestamp:1795291119\tfile:c\thashed\n",
        "WDTusMk5snFwijAoPl7m/o3lV6dctG7alRs6kWid+ZvjNUqANe2YMs1ZfqftmwCgBTF/IQgns7ydvKst4fI1CQ==\n",
    );
    const BY_THE_OTHER: &str = concat!(
        "untrusted comment: signature from minisign secret key\n",
        "RUTSSzjBur9xkp8mlObtAjXdpf1dhBFXCLFMqOyZ5miaxdSOc7SdnNfHeX99yVkI7k0qhB6PaONFNS6Ue9igvN7lRira0WLAegw=\n",
        "trusted comment: timestamp:1795291271\tfile:c\thashed\n",
        "qnxepBMWvvGOPPJZ2N002uwrpP+bSRfG85fBBp3Weu09IBeqM4+hxGw0YAqDwYoFIEyc8d08quzOcYiQjaO+DQ==\n",
    );
    const OLDER: &str = concat!(
        "untrusted comment: signature from minisign secret key\n",
        "RWSDtmO/V8GGOtmjVfcqnwxI7bs7EDKA8woDx6C23ZB8JOIuh+tzvQGmpayaEDevHXNT5nhhCxJnj00wDEoUoxO7hNKPwYVGogU=\n",
        "trusted comment: timestamp:1795291271\tfile:c\n",
        "eYvwSLXhWMD+dyV3M9p4pRvbWj74AwwKkZS8IuHcsxpesmlbmqVBq0p7TwH/ZvH2cC/Ozv2TlcDWovynVjwvCg==\n",
    );

    fn key(text: &str) -> Anchor {
        Anchor::Minisign(MinisignKey::read(text).unwrap())
    }

    fn read(text: &str) -> Result<Minisign, SignatureError> {
        Minisign::read(&SignatureFile { name: "c.wasm.minisig".into(), bytes: text.as_bytes().to_vec() })
    }

    fn verify(text: &str, signer: &Anchor) -> Result<VerifiedSignature, SignatureError> {
        read(text)?.verify(&Artifact::of(&b"the component"[..]), signer)
    }

    #[test]
    fn a_minisign_signature_verifies_with_its_key_over_its_bytes_and_nothing_else_does() {
        let [ours, other] = KEYS.map(key);
        let verified = verify(SIGNED, &ours).unwrap();
        assert_eq!(
            (verified.digest(), verified.key()),
            (toolgate_policy::Digest::of(b"the component"), ours.id())
        );
        assert_eq!(read(SIGNED).unwrap().claim(), Claim::Minisign(0x3A86_C157_BF63_B683));
        assert!(verify(BY_THE_OTHER, &other).is_ok());
        assert!(verify(SIGNED, &other).is_err() && verify(BY_THE_OTHER, &ours).is_err());
        assert!(read(SIGNED).unwrap().verify(&Artifact::of(&b"another"[..]), &ours).is_err());
    }

    #[test]
    fn a_key_with_the_number_of_another_does_not_verify_its_signatures() {
        let [ours, other] = KEYS.map(|text| STANDARD.decode(text.lines().last().unwrap()).unwrap());
        let copied = [ours.get(..10).unwrap(), other.get(10..).unwrap()].concat();
        let copied = key(&format!("{UNTRUSTED}x\n{}\n", STANDARD.encode(copied)));
        assert_eq!(copied.id(), key(KEYS[1]).id(), "the number is no part of who it is");
        assert!(copied.is_named_by(&read(SIGNED).unwrap().claim()));
        assert!(matches!(verify(SIGNED, &copied), Err(SignatureError::Forged(_))));
    }

    #[test]
    fn the_older_form_is_refused_also_when_it_says_that_it_is_the_newer() {
        let told = read(OLDER).map(drop).unwrap_err().to_string();
        assert!(told.contains("older form"), "{told}");
        let renamed = OLDER.replacen("\nRW", "\nRU", 1);
        assert!(matches!(verify(&renamed, &key(KEYS[0])), Err(SignatureError::Forged(_))));
    }

    #[test]
    fn the_trusted_comment_is_part_of_what_is_signed_and_the_other_is_not() {
        assert!(verify(&SIGNED.replacen("signature from", "whatever about", 1), &key(KEYS[0])).is_ok());
        assert!(verify(&SIGNED.replacen("file:c", "file:d", 1), &key(KEYS[0])).is_err());
    }

    #[test]
    fn everything_but_four_canonical_lines_is_refused() {
        for (what, changed) in [
            ("a line behind it", format!("{SIGNED}more\n")),
            ("an empty line behind it", format!("{SIGNED}\n")),
            ("twice", format!("{SIGNED}{SIGNED}")),
            ("other line ends", SIGNED.replace('\n', "\r\n")),
            ("three lines", SIGNED.lines().take(3).collect::<Vec<_>>().join("\n")),
            ("a space in base64", SIGNED.replacen("RU", "RU ", 1)),
            ("another first line", SIGNED.replacen("untrusted", "trusted", 1)),
            ("another third line", SIGNED.replacen("\ntrusted", "\nuntrusted", 1)),
            ("something that steers a terminal", SIGNED.replacen("signature", "\u{1b}[2J", 1)),
            ("a long comment", SIGNED.replacen("signature", &"x".repeat(1 << 20), 1)),
            ("nothing", String::new()),
        ] {
            assert!(matches!(read(&changed), Err(SignatureError::Unreadable { .. })), "{what}");
        }
    }

    #[test]
    fn no_bit_of_what_minisign_signs_can_be_turned() {
        let ours = key(KEYS[0]);
        // Neither the untrusted comment nor the last line break is signed.
        let (from, to) = (8 * SIGNED.find('\n').unwrap(), 8 * (SIGNED.len() - 1));
        for (bytes, what) in crate::turned(SIGNED).take(to).skip(from) {
            let file = SignatureFile { name: "x.minisig".into(), bytes };
            let verdict = Minisign::read(&file)
                .and_then(|read| read.verify(&Artifact::of(&b"the component"[..]), &ours));
            assert!(verdict.is_err(), "{what}");
        }
    }

    #[test]
    fn what_is_not_one_key_of_minisigns_is_refused() {
        let encoded = KEYS[0].lines().last().unwrap();
        for text in [
            String::new(),
            encoded.to_owned(),
            format!("{}{}", KEYS[0], KEYS[1]),
            KEYS[0].replacen("\nRW", "\nRU", 1),
            KEYS[0].replacen(encoded, &encoded.replacen('R', "S", 1), 1),
            KEYS[0].replacen(encoded, encoded.get(..52).unwrap(), 1),
            KEYS[0].replace('\n', "\r\n"),
        ] {
            assert!(MinisignKey::read(&text).is_err(), "{text}");
        }
    }
}
