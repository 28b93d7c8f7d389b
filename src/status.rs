//! `Cache-Status` (RFC 9211), written for a response.

use std::fmt::Write as _;

use http::header::{CACHE_STATUS, InvalidHeaderValue};
use http::{HeaderMap, HeaderValue};

use smallvec::SmallVec;

use crate::key::Key;
use crate::known;
pub(crate) use crate::known::DEFAULT_NAME;
use crate::outcome::{Bypass, Cause, Outcome, Refusal, Staleness, Tier};

/// How `Cache-Status` is written.
#[derive(Debug, Clone)]
pub(crate) enum StatusField {
    Off,
    On {
        /// A token (RFC 9651, 3.3.4).
        name: String,
        /// Whether hits are written as most caches write them.
        usual: bool,
        detail: bool,
        /// Whether an entry's key is told.
        key: bool,
    },
}

/// This cache's member for a hit.
pub(crate) enum Told {
    Nothing,
    /// As most caches write it.
    Known(&'static HeaderValue),
    Text(Box<HeaderValue>),
}

impl Told {
    #[inline]
    pub(crate) fn value(&self) -> Option<&HeaderValue> {
        match self {
            Self::Known(value) => Some(value),
            Self::Text(value) => Some(value),
            Self::Nothing => None,
        }
    }

    fn text(value: Result<HeaderValue, InvalidHeaderValue>) -> Self {
        value.map_or(Self::Nothing, |value| Self::Text(Box::new(value)))
    }
}

impl StatusField {
    pub(crate) fn on(name: String, detail: bool, key: bool) -> Self {
        let usual = detail && name == DEFAULT_NAME;
        Self::On {
            name,
            usual,
            detail,
            key,
        }
    }

    /// This cache's member for a hit, fresh for `ttl` more seconds. As most
    /// caches have it, it needs no allocation.
    #[inline]
    pub(crate) fn of_hit(&self, tier: Tier, ttl: u64) -> Told {
        match self {
            Self::On { usual: true, .. } => match known::hit(tier, ttl) {
                Some(known) => Told::Known(known),
                None => self.unusual(tier, ttl),
            },
            _ => self.unusual(tier, ttl),
        }
    }

    #[cold]
    fn unusual(&self, tier: Tier, ttl: u64) -> Told {
        let Self::On { name, detail, .. } = self else {
            return Told::Nothing;
        };
        let tier = match tier {
            Tier::Memory => "memory",
            Tier::Redis => "redis",
        };
        Told::text(hit(name, ttl, detail.then_some(tier)))
    }

    /// The same while the shared clock is out of reach.
    #[cold]
    pub(crate) fn of_outage(&self, ttl: u64) -> Told {
        let Self::On { name, detail, .. } = self else {
            return Told::Nothing;
        };
        Told::text(hit(name, ttl, detail.then_some("outage")))
    }

    /// Tells an entry's key, if it is to be told: in this cache's member, which is
    /// the last. Nothing of a request but its endpoint can be read from it.
    pub(crate) fn tell_key(&self, headers: &mut HeaderMap, told: &Key) {
        if !matches!(self, Self::On { key: true, .. }) {
            return;
        }
        let members: Vec<_> = headers.get_all(CACHE_STATUS).iter().cloned().collect();
        let Some((own, others)) = members.split_last() else {
            return;
        };
        let key = format!("; key=\"{told}\"");
        let own = [own.as_bytes(), key.as_bytes()].concat();
        let Ok(own) = HeaderValue::from_bytes(&own) else {
            return;
        };
        headers.remove(CACHE_STATUS);
        for member in others.iter().chain([&own]) {
            headers.append(CACHE_STATUS, member.clone());
        }
    }

    /// Whether that would do anything.
    #[inline]
    pub(crate) fn tells_keys(&self) -> bool {
        matches!(self, Self::On { key: true, .. })
    }

    /// Adds this cache's member behind those of caches further in.
    pub(crate) fn write(&self, headers: &mut HeaderMap, outcome: &Outcome) {
        let Self::On { name, detail, .. } = self else {
            return;
        };
        let value = match outcome {
            Outcome::Hit { tier, ttl, .. } => self.of_hit(*tier, ttl.as_secs()).value().cloned(),
            _ => {
                let mut text = name.clone();
                parameters(&mut text, outcome, *detail);
                HeaderValue::from_str(&text).ok() // name and parameters are ASCII
            }
        };
        if let Some(value) = value {
            headers.append(CACHE_STATUS, value);
        }
    }
}

#[cold]
fn hit(
    name: &str,
    ttl: u64,
    detail: Option<&'static str>,
) -> Result<HeaderValue, InvalidHeaderValue> {
    let number = known::number_value(ttl);
    let mut text: SmallVec<[u8; 96]> = SmallVec::from_slice(name.as_bytes());
    text.extend_from_slice(b"; hit; ttl=");
    text.extend_from_slice(number.as_bytes());
    if let Some(detail) = detail {
        text.extend_from_slice(b"; detail=");
        text.extend_from_slice(detail.as_bytes());
    }
    HeaderValue::from_bytes(&text)
}

/// Why the request went on to the handler (RFC 9211, 2.2).
fn fwd(cause: Cause) -> &'static str {
    match cause {
        Cause::Expired | Cause::Invalidated => "stale",
        Cause::Variant => "vary-miss",
        Cause::Observed => "bypass",
        Cause::StoreError => "miss",
        Cause::Request | Cause::Authorization => "request",
        Cause::New
        | Cause::Release
        | Cause::Unknown
        | Cause::Evicted
        | Cause::Corrupt
        | Cause::Bounds => "uri-miss",
    }
}

fn parameters(text: &mut String, outcome: &Outcome, detail: bool) {
    // writing to a string cannot fail
    let _ = match outcome {
        Outcome::Hit { .. } => None,
        Outcome::Stale {
            why,
            cause,
            over,
            status,
            ..
        } => {
            let fwd = fwd(*cause);
            let _ = match (why, status) {
                (Staleness::IfError, Some(status)) => {
                    write!(text, "; fwd={fwd}; fwd-status={}", status.as_u16())
                }
                (Staleness::IfError | Staleness::Timeout, None) => write!(text, "; fwd={fwd}"),
                // fresh, and not fresh enough for the request
                _ if *cause == Cause::Request => write!(text, "; hit"),
                _ => write!(text, "; hit; ttl=-{}", over.as_secs()),
            };
            detail.then(|| write!(text, "; detail={why}"))
        }
        Outcome::Revalidated {
            cause, ttl, stored, ..
        } => {
            let _ = write!(text, "; fwd={}; fwd-status=304", fwd(*cause));
            let _ = match stored {
                Ok(()) => write!(text, "; stored; ttl={}", ttl.as_secs()),
                Err(_) => Ok(()),
            };
            let why = stored.err().map_or("revalidated", Refusal::as_str);
            detail.then(|| write!(text, "; detail={why}"))
        }
        Outcome::Miss {
            cause,
            stored,
            status,
        } => {
            let (fwd, status) = (fwd(*cause), status.as_u16());
            let _ = match stored {
                Err(Refusal::Timeout) => write!(text, "; fwd={fwd}"), // it has not answered
                Err(Refusal::Fallback) if status < 500 => write!(text, "; fwd={fwd}"), // nor here
                _ => write!(text, "; fwd={fwd}; fwd-status={status}"),
            };
            match stored {
                Ok(()) => {
                    text.push_str("; stored");
                    detail.then(|| write!(text, "; detail={cause}"))
                }
                Err(refusal) => detail.then(|| write!(text, "; detail={refusal}")),
            }
        }
        Outcome::Coalesced { cause, status, .. } => {
            let (fwd, status) = (fwd(*cause), status.as_u16());
            let _ = write!(text, "; fwd={fwd}; fwd-status={status}; collapsed");
            detail.then(|| write!(text, "; detail={cause}"))
        }
        // answered here, without a stored response or the handler
        Outcome::Bypass {
            reason: Bypass::OnlyIfCached,
            ..
        } => detail.then(|| write!(text, "; detail={}", Bypass::OnlyIfCached)),
        Outcome::Bypass { reason, status } => {
            let fwd = match reason {
                Bypass::Method => "method",
                Bypass::Disabled | Bypass::NoPolicy | Bypass::NotCached | Bypass::Unmatched => {
                    "bypass"
                }
                _ => "request",
            };
            let _ = write!(text, "; fwd={fwd}; fwd-status={}", status.as_u16());
            detail.then(|| write!(text, "; detail={reason}"))
        }
    };
}
