//! Age and freshness (RFC 9111, 4.2), and what they mean for one request.

use std::time::{Duration, SystemTime};

use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, StatusCode};

use super::cache_control::{Directives, number};
pub(crate) use super::life::{LONGEST, Lifetime};
pub(crate) use super::rules::Rules;
use super::wish::Wish;
use crate::hint::mostly;

/// How an entry may be used for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Fresh, for so many more milliseconds.
    Fresh(u64),
    /// Fresh for so many more milliseconds, and about to be renewed by this request
    /// behind its back.
    Early(u64),
    /// Stale, and served while it is revalidated behind the request's back.
    WhileRevalidating,
    /// Stale, and the request takes it so.
    AsAsked,
    /// To be validated first.
    Validate,
}

/// Whether a request renews an entry that is fresh for `left` more milliseconds
/// and took `took` to make: the likelier, the less is left (XFetch; Vattani,
/// Chierichetti and Lowenstein, Optimal Probabilistic Cache Stampede Prevention,
/// VLDB 2015, with beta 1). `dice` is evenly random.
#[inline]
pub(crate) fn is_early(left: u64, took: u32, dice: impl FnOnce() -> u64) -> bool {
    let took = u64::from(took);
    // beyond this one in nine million would
    if mostly(left > took * 16) {
        return false;
    }
    drawn(left, took, dice())
}

#[cold]
fn drawn(left: u64, took: u64, dice: u64) -> bool {
    let even = (dice >> 11) as f64 / (1_u64 << 53) as f64;
    left as f64 <= -(took as f64) * even.max(f64::MIN_POSITIVE).ln()
}

/// Decides by the four clocks, the rules and the request's wish (RFC 9111, 4).
#[inline]
pub(crate) fn usable(lifetime: &Lifetime, rules: Rules, age: u64, wish: Option<&Wish>) -> Use {
    let left = lifetime.fresh.saturating_sub(age);
    match wish {
        None if left > 0 => Use::Fresh(left),
        None if age < lifetime.stale => Use::WhileRevalidating,
        None => Use::Validate,
        Some(wish) => wished(lifetime, rules, age, left, wish),
    }
}

fn wished(lifetime: &Lifetime, rules: Rules, age: u64, left: u64, wish: &Wish) -> Use {
    let millis = |seconds: u64| seconds.saturating_mul(1000);
    let pinned = left > 0 && rules.has(Rules::IMMUTABLE);
    if wish.no_cache || wish.min_fresh.is_some_and(|least| left < millis(least)) {
        return Use::Validate;
    }
    // the age counts as clients see it, in whole seconds
    let too_old = |most: u64| most == 0 || age / 1000 > most;
    if wish.max_age.is_some_and(too_old) && !pinned {
        return Use::Validate;
    }
    if left > 0 {
        return Use::Fresh(left);
    }
    let over = age - lifetime.fresh;
    let taken = wish.max_stale.is_some_and(|most| over <= millis(most));
    if wish.is_bounded() && !taken {
        return Use::Validate; // nothing stale but by `max-stale` (RFC 9111, 5.2.1)
    }
    if age < lifetime.stale {
        return Use::WhileRevalidating;
    }
    match taken && age < lifetime.keep && !rules.has(Rules::NEVER_STALE) {
        true => Use::AsAsked,
        false => Use::Validate,
    }
}

/// Whether a stored entry may answer in place of a failed handler: in its
/// window or the request's (RFC 5861, 4), and unless that is forbidden, where the
/// handler is out of reach (RFC 9111, 4.2.4).
pub(crate) fn stands_in(
    lifetime: &Lifetime,
    rules: Rules,
    age: u64,
    wish: Option<&Wish>,
    unreachable: bool,
) -> bool {
    if wish.is_some_and(|wish| wish.no_cache) {
        return false; // nothing without successful validation (RFC 9111, 5.2.1.4)
    }
    if age < lifetime.fresh || age < lifetime.error {
        return true;
    }
    if unreachable {
        return !rules.has(Rules::NEVER_STALE);
    }
    let asked = wish.and_then(|wish| wish.stale_if_error);
    let window = asked.map(|s| lifetime.fresh.saturating_add(s.saturating_mul(1000)));
    window.is_some_and(|end| age < end.min(lifetime.keep)) && !rules.has(Rules::NEVER_STALE)
}

/// How old an answer was when it came: the larger of what its `Date` implies
/// and its `Age` with the time the answer took (RFC 9111, 4.2.3).
pub(crate) fn initial_age(headers: &HeaderMap, now: SystemTime, took: Duration) -> Duration {
    let apparent = date(headers, &DATE).and_then(|date| now.duration_since(date).ok());
    let corrected = age_field(headers) + took;
    apparent.unwrap_or_default().max(corrected)
}

/// `Age`: its first member, or nothing where that is no number (RFC 9111, 5.1).
pub(crate) fn age_field(headers: &HeaderMap) -> Duration {
    let first = headers.get(AGE).map(|value| {
        let bytes = value.as_bytes();
        let end = bytes.iter().position(|b| *b == b',').unwrap_or(bytes.len());
        bytes[..end].trim_ascii()
    });
    Duration::from_secs(first.and_then(number).unwrap_or(0))
}

/// The freshness lifetime that an answer states: `s-maxage`, `max-age`, else
/// `Expires` less `Date` (RFC 9111, 4.2.1). A date that cannot be read is in
/// the past; so are two (5.3).
pub(crate) fn stated(
    directives: &Directives,
    headers: &HeaderMap,
    targeted: bool,
    now: SystemTime,
) -> Option<Duration> {
    if let Some(seconds) = directives.lifetime() {
        return Some(Duration::from_secs(seconds));
    }
    if targeted || !headers.contains_key(EXPIRES) {
        return None; // a targeted field speaks for Expires too (RFC 9213, 2.2)
    }
    let since = date(headers, &DATE).unwrap_or(now);
    let left = date(headers, &EXPIRES).and_then(|end| end.duration_since(since).ok());
    Some(left.unwrap_or_default())
}

/// The only date in a field.
pub(crate) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => httpdate::parse_http_date(value.to_str().ok()?).ok(),
        _ => None,
    }
}

/// The longest heuristic lifetime.
const LONGEST_GUESS: Duration = Duration::from_secs(86_400);

/// A guess: a tenth of the time since the last modification, a day at most
/// (RFC 9111, 4.2.2).
pub(crate) fn heuristic(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let modified = date(headers, &LAST_MODIFIED)?;
    let since = date(headers, &DATE).unwrap_or(now);
    let unchanged = since.duration_since(modified).ok()?;
    Some((unchanged / 10).min(LONGEST_GUESS))
}

/// Statuses for which a lifetime may be guessed (RFC 9110, 15.1), but for 206.
pub(crate) fn is_heuristic(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const LIFE: Lifetime = Lifetime {
        fresh: 10_000,
        stale: 20_000,
        error: 30_000,
        keep: 40_000,
    };

    fn at(age: u64) -> Use {
        usable(&LIFE, Rules::default(), age, None)
    }

    #[test]
    fn the_clocks_decide() {
        assert_eq!(at(0), Use::Fresh(10_000));
        assert_eq!(at(9_999), Use::Fresh(1));
        assert_eq!(at(10_000), Use::WhileRevalidating);
        assert_eq!(at(20_000), Use::Validate);
        assert!(stands_in(&LIFE, Rules::default(), 29_999, None, false));
        assert!(!stands_in(&LIFE, Rules::default(), 30_000, None, false));
    }

    #[test]
    fn a_request_may_ask_for_more_and_for_less() {
        let none = Rules::default();
        let with = |age, rules, wish: Wish| usable(&LIFE, rules, age, Some(&wish));
        let max_age = |n| Wish {
            max_age: Some(n),
            ..Wish::default()
        };
        assert_eq!(with(1_000, none, max_age(0)), Use::Validate);
        assert_eq!(with(5_000, none, max_age(4)), Use::Validate);
        assert_eq!(with(4_999, none, max_age(4)), Use::Fresh(5_001));
        assert_eq!(with(1_000, Rules::IMMUTABLE, max_age(0)), Use::Fresh(9_000));
        assert_eq!(with(11_000, Rules::IMMUTABLE, max_age(0)), Use::Validate);
        let min_fresh = Wish {
            min_fresh: Some(6),
            ..Wish::default()
        };
        assert_eq!(with(4_001, none, min_fresh), Use::Validate);
        assert_eq!(with(4_000, none, min_fresh), Use::Fresh(6_000));
        let stale = Wish {
            max_stale: Some(15),
            ..Wish::default()
        };
        assert_eq!(with(24_999, none, stale), Use::AsAsked);
        assert_eq!(with(25_001, none, stale), Use::Validate);
        assert_eq!(with(24_999, Rules::NEVER_STALE, stale), Use::Validate);
        assert_eq!(with(15_000, none, stale), Use::WhileRevalidating);
        assert_eq!(with(15_000, none, max_age(60)), Use::Validate);
        let reload = Wish {
            no_cache: true,
            ..Wish::default()
        };
        assert_eq!(with(0, none, reload), Use::Validate);
        let on_error = Wish {
            stale_if_error: Some(29),
            ..Wish::default()
        };
        assert!(stands_in(&LIFE, none, 38_999, Some(&on_error), false));
        assert!(!stands_in(
            &LIFE,
            Rules::NEVER_STALE,
            38_999,
            Some(&on_error),
            false
        ));
        assert!(stands_in(&LIFE, none, 99_999, None, true));
        assert!(!stands_in(&LIFE, Rules::NEVER_STALE, 99_999, None, true));
        assert!(!stands_in(&LIFE, none, 0, Some(&reload), true));
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn now() -> SystemTime {
        httpdate::parse_http_date("Fri, 20 Nov 2026 12:00:00 GMT").unwrap()
    }

    #[test]
    fn age_is_the_first_member_or_none() {
        for (value, seconds) in [
            ("7200,0", 7200),
            ("0, 7200", 0),
            ("x", 0),
            ("-1", 0),
            ("1.5", 0),
            ("99999999999999999999", 1 << 31),
        ] {
            assert_eq!(
                age_field(&headers(&[("age", value)])).as_secs(),
                seconds,
                "{value}"
            );
        }
    }

    #[test]
    fn a_slow_or_a_fast_date_makes_nothing_younger() {
        let age =
            |fields: &[_]| initial_age(&headers(fields), now(), Duration::from_secs(1)).as_secs();
        assert_eq!(age(&[("date", "Fri, 20 Nov 2026 11:59:50 GMT")]), 10);
        assert_eq!(
            age(&[("date", "Fri, 20 Nov 2026 11:59:50 GMT"), ("age", "25")]),
            26
        );
        assert_eq!(
            age(&[("date", "Fri, 20 Nov 2026 12:00:10 GMT"), ("age", "15")]),
            16
        );
        assert_eq!(age(&[("date", "rubbish")]), 1);
    }

    #[test]
    fn lifetimes_are_stated_by_directive_then_expires() {
        let said = |fields: &[_]| {
            let headers = headers(fields);
            stated(&Directives::of(&headers), &headers, false, now()).map(|d| d.as_secs())
        };
        let expires = ("expires", "Fri, 20 Nov 2026 12:01:00 GMT");
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[expires]), Some(60));
        assert_eq!(
            said(&[expires, ("date", "Fri, 20 Nov 2026 11:59:00 GMT")]),
            Some(120)
        );
        assert_eq!(said(&[expires, ("date", "foo")]), Some(60));
        assert_eq!(said(&[expires, ("cache-control", "max-age=5")]), Some(5));
        assert_eq!(said(&[expires, expires]), Some(0));
        assert_eq!(said(&[("expires", "0")]), Some(0));
    }

    #[test]
    fn a_guess_is_a_tenth_and_a_day_at_most() {
        let guess = |modified: &str| heuristic(&headers(&[("last-modified", modified)]), now());
        assert_eq!(
            guess("Fri, 20 Nov 2026 11:00:00 GMT").unwrap().as_secs(),
            360
        );
        assert_eq!(guess("Fri, 20 Nov 2020 11:00:00 GMT"), Some(LONGEST_GUESS));
        assert_eq!(guess("Fri, 20 Nov 2027 11:00:00 GMT"), None);
    }

    #[test]
    fn the_less_is_left_the_likelier_is_a_renewal() {
        let share = |left, took| {
            let all = 10_000_u64;
            let even = |n| (n * 2 + 1) * (u64::MAX / (all * 2));
            let early = (0..all).filter(|n| is_early(left, took, || even(*n)));
            early.count()
        };
        assert_eq!(share(0, 0), 10_000); // it is over
        assert_eq!((share(1, 0), share(100_000, 200)), (0, 0));
        let (much, little) = (share(800, 200), share(100, 200));
        // e^-4 and e^-0.5
        assert!(
            (150..220).contains(&much) && (5_900..6_200).contains(&little),
            "{much} {little}"
        );
    }

    proptest! {
        #[test]
        fn a_stricter_request_never_gets_a_staler_answer(
            age in 0_u64..50_000, rules in 0_u8..32,
            max_stale in proptest::option::of(0_u64..60),
            max_age in proptest::option::of(0_u64..60),
        ) {
            let rules = Rules::from_bits(rules);
            let wish = Wish { max_stale, max_age, ..Wish::default() };
            let strict = Wish { no_cache: true, ..wish };
            prop_assert_eq!(usable(&LIFE, rules, age, Some(&strict)), Use::Validate);
            let used = usable(&LIFE, rules, age, Some(&wish));
            if let Use::Fresh(left) = used {
                prop_assert_eq!(left, LIFE.fresh - age);
            }
            if rules.has(Rules::NEVER_STALE) {
                prop_assert!(used != Use::AsAsked);
            }
        }
    }
}
