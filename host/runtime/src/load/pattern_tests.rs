//! Accepted and refused patterns.

use super::{Cost, PatternError, check};

#[test]
fn patterns_that_take_a_backtracking_engine_for_ever_are_refused() {
    for pattern in [
        "(a+)+$",
        "^(a+)*$",
        "(a*)*",
        "(a|a)*$",
        "(a|aa)+$",
        "(a|a?)+$",
        "(.*a){12}",
        r"^(\w+\s?)*$",
        r"^([a-zA-Z0-9]+)*$",
        r"(\d+|\w+)*x",
        "(a?){30}a{30}",
        "a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?aaaaaaaaaaaaaaaaaaa",
        "(a{1,9}){30}",
        ".*.*.*.*=",
        r"\s*\s*\s*\s*x",
        r"^(([a-z])+.)+[A-Z]([a-z])+$",
        "(a.*b)*",
    ] {
        assert_eq!(check(pattern), Err(PatternError::Ambiguous), "{pattern}");
    }
}

#[test]
fn what_engines_of_linear_time_do_not_read_is_refused() {
    for pattern in ["(?=a)b", "(?!a)", "(?<=a)b", r"(a)\1", "(", "[", "a{2,1}", "(?i)a"] {
        assert_eq!(check(pattern), Err(PatternError::Unreadable), "{pattern}");
    }
    assert_eq!(check(&"a".repeat(1_025)), Err(PatternError::Long));
}

#[test]
fn patterns_that_people_write_pass() {
    for pattern in [
        "",
        "^[a-z]+$",
        "^.*$",
        r"^\S+$",
        r"^(\S+\s)*\S+$",
        "^[a-z0-9]+(-[a-z0-9]+)*$",
        r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$",
        "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
        r"^[\w.+-]+@[\w-]+\.[\w.-]+$",
        r"^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$",
        r"^https?://[^\s/]+(/\S*)?$",
        "^(GET|POST|PUT|PATCH)$",
        r"^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$",
        r"^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$",
        r"^\+[1-9]\d{1,14}$",
        r"^\p{L}+( \p{L}+)*$",
        "^[A-Za-z_][A-Za-z0-9_]*(,[A-Za-z_][A-Za-z0-9_]*)*$",
    ] {
        assert!(check(pattern).is_ok(), "{pattern}");
    }
}

#[test]
fn ranges_and_places_are_counted_as_often_as_repetitions_have_them() {
    let cost = |ranges, places| Ok(Cost { ranges, places });
    for (pattern, ranges, places) in
        [("^a[0-9x]$", 3, 2), ("a{3}", 3, 3), ("(ab?){4}", 8, 8), ("[0-9]+", 2, 2), ("a{0}b", 1, 1)]
    {
        assert_eq!(check(pattern), cost(ranges, places), "{pattern}");
    }
    let letters = check(r"^\p{L}$").unwrap().ranges;
    assert!((500..1_500).contains(&letters), "{letters}");
    assert_eq!(check(r"^\p{L}{3}$"), cost(3 * letters, 3));
}
