//! Limits of a call: names, defaults and ceilings agree.

use super::*;

#[test]
fn defaults_lie_within_their_ceilings_and_names_are_distinct() {
    for limit in CallLimit::ALL {
        let spec = limit.spec();
        assert!((1..=spec.ceiling).contains(&spec.default), "{}", spec.name);
        assert_eq!(CallLimit::from_name(spec.name), Some(limit));
        assert_eq!(CallLimits::default().get(limit), spec.default);
    }
}

#[test]
fn a_value_is_taken_up_to_its_ceiling_and_refused_beyond() {
    for limit in CallLimit::ALL {
        let ceiling = i64::try_from(limit.spec().ceiling).unwrap_or(i64::MAX);
        let mut limits = CallLimits::default();
        assert_eq!(limits.set(limit, ceiling), Ok(()));
        assert_eq!(limits.get(limit), limit.spec().ceiling);
        for refused in [ceiling + 1, 0, -1] {
            assert!(limits.set(limit, refused).is_err(), "{} = {refused}", limit.name());
        }
        assert_eq!(limits.get(limit), limit.spec().ceiling);
    }
}
