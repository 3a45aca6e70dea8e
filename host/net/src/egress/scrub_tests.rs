//! Tests of the scrubber: forms found, positions of cuts, and amount of work.

use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

use super::*;

const SECRET: &str = "s3cr3t/t0ken+x\"y=";

fn scrubber(secret: &str) -> Scrubber {
    Scrubber::new(&Arc::new(Forms::new([secret, secret], false)))
}

fn scrubbed(secret: &str, text: &str) -> String {
    let clean = scrubber(secret).whole(text.as_bytes()).unwrap_or_else(|| text.as_bytes().to_vec());
    String::from_utf8_lossy(&clean).into_owned()
}

/// The secret with the selected bytes encoded by `encode`.
fn in_part(which: impl Fn(usize, u8) -> bool, encode: impl Fn(u8) -> String) -> String {
    let one = |(at, byte)| if which(at, byte) { encode(byte) } else { char::from(byte).to_string() };
    SECRET.bytes().enumerate().map(one).collect()
}

#[test]
fn the_secret_is_taken_out_however_its_characters_are_escaped() {
    let special = |byte: u8| !byte.is_ascii_alphanumeric();
    let upper = |byte: u8| format!("%{byte:02X}");
    let lower = |byte: u8| format!("%{byte:02x}");
    let json = |byte: u8| format!("\\u{byte:04x}");
    let html = |byte: u8| format!("&#x{byte:X};");
    let forms = [
        SECRET.to_owned(),
        in_part(|_, byte| special(byte), upper),
        in_part(|_, byte| special(byte), lower),
        // With an unescaped slash, as in a path.
        in_part(|_, byte| special(byte) && byte != b'/', upper),
        in_part(|_, byte| special(byte) && byte != b'/', lower),
        in_part(|_, _| true, upper),
        in_part(|at, _| at % 2 == 0, lower),
        in_part(|_, byte| byte == b'"', |_| "\\\"".to_owned()),
        in_part(|_, byte| byte == b'"' || byte == b'/', |byte| format!("\\{}", char::from(byte))),
        in_part(|_, byte| special(byte), json),
        in_part(|_, _| true, json),
        in_part(|_, byte| special(byte), |byte| format!("\\u{byte:04X}")),
        in_part(|_, byte| special(byte), |byte| format!("\\x{byte:02x}")),
        in_part(|_, byte| byte == b'"', |_| "&quot;".to_owned()),
        in_part(|_, byte| special(byte), html),
        in_part(|_, byte| special(byte), |byte| format!("&#{byte};")),
        // Mixed escapes, and two layers.
        in_part(|_, byte| special(byte), |byte| if byte == b'/' { "\\/".to_owned() } else { upper(byte) }),
        in_part(|_, byte| special(byte), |byte| format!("%25{byte:02X}")),
        in_part(|_, byte| special(byte), |byte| format!("\\\\u{byte:04x}")),
        in_part(|_, byte| special(byte), |byte| format!("&amp;#{byte};")),
        in_part(|_, byte| byte == b'"', |_| r#"\\\""#.to_owned()),
    ];
    for form in forms {
        assert_eq!(scrubbed(SECRET, &format!("<{form}>")), "<[secret]>", "{form}");
    }
    assert_eq!(scrubbed(SECRET, "nothing here, 100%"), "nothing here, 100%");
}

#[test]
fn text_before_it_that_looks_like_the_beginning_of_an_escape_hides_no_secret() {
    let secret = "ab12/CD+ef\"gh-9kLm";
    for before in ["%", "%u", "%u0", "%u00", "\\u", "\\u0", "\\u00", "\\x", "&#", "&#x", "%%", "\\"] {
        for form in [
            "ab12/CD+ef\"gh-9kLm",
            "ab12\\/CD+ef\\\"gh-9kLm",
            "ab12%2FCD%2Bef%22gh-9kLm",
            "ab12&#47;CD&#x2b;ef&quot;gh-9kLm",
        ] {
            let clean = scrubbed(secret, &format!("x={before}{form}"));
            assert!(clean.ends_with("[secret]") && !clean.contains("CD"), "{before}{form}: {clean}");
        }
    }
    let quoted = "n3xt/t0ken\"y";
    assert!(scrubbed(quoted, r#"x=\n3xt\/t0ken\"y"#).ends_with("[secret]"));
}

#[test]
fn a_space_is_found_as_a_plus_sign_and_a_plus_sign_as_a_space() {
    for text in ["to ken", "to+ken", "to%20ken", "to%2bken", "to\\u0020ken"] {
        assert_eq!(scrubbed("to ken", &format!("<{text}>")), "<[secret]>", "{text}");
        assert_eq!(scrubbed("to+ken", &format!("<{text}>")), "<[secret]>", "{text}");
    }
}

#[test]
fn a_secret_with_something_like_an_escape_in_it_is_taken_out() {
    for secret in ["p%41ss%2fword", r"pa\nss\u0041", "a&amp;b&#47;c", "100%done", r"back\\slash\/"] {
        let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let json = secret.replace('\\', "\\\\").replace('/', "\\/");
        for form in [secret.to_owned(), percent, json] {
            assert_eq!(scrubbed(secret, &format!("<{form}>")), "<[secret]>", "{secret} as {form}");
        }
    }
}

#[test]
fn it_is_taken_out_of_base64_in_both_alphabets_alone_and_inside_a_longer_text() {
    for whole in [STANDARD.encode(SECRET), URL_SAFE.encode(SECRET), URL_SAFE_NO_PAD.encode(SECRET)] {
        assert_eq!(scrubbed(SECRET, &format!("<{whole}>")), "<[secret]>", "{whole}");
    }
    // Base64 characters that carry bits of the secret and of its neighbours may remain.
    let left = |text: &str| text.replace("[secret]", "").len();
    for before in ["", "u", "us", "user:"] {
        for after in ["", "!", "!!", "!!!"] {
            for text in [
                STANDARD.encode(format!("{before}{SECRET}{after}")),
                URL_SAFE.encode(format!("{before}{SECRET}{after}")),
            ] {
                let clean = scrubbed(SECRET, &text);
                assert!(clean.contains("[secret]"), "{before} {after}: {clean}");
                let others = (before.len() + after.len()) * 8 / 6 + 6;
                assert!(left(&clean) <= others, "{before} {after}: {clean}");
            }
        }
    }
}

#[test]
fn line_breaks_in_base64_do_not_hide_it() {
    let text = STANDARD.encode(format!("user:{SECRET}:more"));
    for line_break in
        ["\n", "\r\n", "\r", "\\n", "\\r\\n", "\\\\n", "\n    ", "%0a", "%0D%0A", "\\u000a", "&#10;"]
    {
        for width in 1..text.len() {
            let lines: Vec<String> = text
                .as_bytes()
                .chunks(width)
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect();
            let clean = scrubbed(SECRET, &lines.join(line_break));
            assert!(clean.contains("[secret]"), "{line_break:?} after {width}: {clean}");
        }
    }
}

#[test]
fn it_is_found_across_any_two_chunks_and_byte_by_byte() {
    let forms =
        [SECRET.to_owned(), SECRET.replace('/', "\\/").replace('"', "\\\""), SECRET.replace('/', "%2f")];
    for form in forms {
        let text = Bytes::from(format!("before {form} after"));
        for cut in 0..=text.len() {
            let mut scrubber = scrubber(SECRET);
            let pieces =
                [scrubber.push(&text.slice(..cut)), scrubber.push(&text.slice(cut..)), scrubber.finish()];
            assert_eq!(
                String::from_utf8_lossy(&pieces.concat()),
                "before [secret] after",
                "{form} cut at {cut}"
            );
        }
        let mut scrubber = scrubber(SECRET);
        let mut clean: Vec<u8> = Vec::new();
        for at in 0..text.len() {
            clean.extend(scrubber.push(&text.slice(at..=at)));
        }
        clean.extend(scrubber.finish());
        assert_eq!(String::from_utf8_lossy(&clean), "before [secret] after", "{form}");
    }
}

#[test]
fn several_overlapping_and_adjoining_ones_are_taken_out_and_nothing_else_is() {
    assert_eq!(scrubbed(SECRET, &format!("a{SECRET}{SECRET}b{SECRET}")), "a[secret][secret]b[secret]");
    assert_eq!(scrubbed("abab", "<ababab>"), "<[secret]>");
    assert_eq!(scrubbed("aaaa", &format!("<{}>", "a".repeat(1_000))), "<[secret]>");
    assert_eq!(scrubbed("aaaa", "aaa aaa"), "aaa aaa");
    // Too short to be searched for.
    assert_eq!(scrubbed("abc", "abc"), "abc");
}

#[test]
fn nothing_is_held_back_for_ever_and_what_cannot_be_a_form_not_at_all() {
    let mut scrubber = scrubber(SECRET);
    assert_eq!(scrubber.push(&Bytes::from_static(b"ends in s3cr")), Bytes::from_static(b"ends in "));
    assert_eq!(scrubber.push(&Bytes::from_static(b"et: ")), Bytes::from_static(b"s3cret: "));
    assert_eq!(scrubber.push(&Bytes::from_static(b"50%")), Bytes::from_static(b"50"));
    assert_eq!(scrubber.push(&Bytes::from_static(b" of it")), Bytes::from_static(b"% of it"));
    assert_eq!(scrubber.push(&Bytes::from_static(b"and s3cr")), Bytes::from_static(b"and "));
    assert_eq!(scrubber.finish(), Bytes::from_static(b"s3cr"));
}

#[test]
fn hostile_text_costs_a_bounded_amount_of_work_for_each_byte_and_little_is_held_of_it() {
    let secret = format!("{}b", "a".repeat(499));
    let in_base64 = STANDARD.encode(&secret);
    let beginning = in_base64.get(..in_base64.len() - 10).unwrap_or_default();
    for piece in [
        "a".to_owned(),
        format!("{}c", "a".repeat(499)),
        "a".repeat(498) + "%",
        "%61".to_owned(),
        "\\u0061".to_owned(),
        "%2561".to_owned(),
        "&#x00061;".to_owned(),
        "&#x000".to_owned(),
        "%25".to_owned(),
        "\\".to_owned(),
        in_base64.get(..4).unwrap_or_default().to_owned(),
        beginning.to_owned() + "!",
        format!("{beginning}{}", "\n".repeat(10_000)),
        format!("Y{}", " ".repeat(40)),
        beginning.chars().map(|c| format!("{c}\\\\r\\\\n")).collect(),
    ] {
        let mut scrubber = scrubber(&secret);
        let (mut bytes, mut held) = (0, 0);
        let piece = Bytes::from(piece);
        while bytes < 300_000 {
            drop(scrubber.push(&piece));
            bytes += piece.len();
            held = held.max(scrubber.held.len());
        }
        let what = String::from_utf8_lossy(piece.get(..piece.len().min(20)).unwrap_or_default());
        assert!(scrubber.work.steps <= 80 * bytes as u64, "{what}: {} for {bytes}", scrubber.work.steps);
        assert!(held <= 100_000, "{what}: {held} bytes are held");
    }
}

#[test]
fn the_whole_value_of_the_header_is_taken_out_with_the_secret_in_it() {
    let mut scrubber = Scrubber::new(&Arc::new(Forms::new([SECRET, &format!("Bearer {SECRET}")], false)));
    let clean = scrubber.whole(format!("<Bearer {SECRET}> <bearer {SECRET}>").as_bytes()).unwrap();
    assert_eq!(String::from_utf8_lossy(&clean), "<[secret]> <bearer [secret]>");
    assert!(scrubber.whole(b"Bearer of news").is_none());
}

#[test]
fn a_header_name_is_searched_in_lower_case() {
    let forms = Arc::new(Forms::new(["S3cret-Token", "Bearer S3cret-Token"], true));
    let mut scrubber = Scrubber::new(&forms);
    assert!(scrubber.whole(b"x-s3cret-token").is_some());
    assert!(scrubber.whole(b"X-S3CRET-TOKEN").is_some());
    assert!(scrubber.whole(b"content-type").is_none());
}
