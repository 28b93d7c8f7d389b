//! Counts by the time at which they were made: slots of ten seconds, a minute, an
//! hour and a day, of which the last few make a window.

use std::collections::{BTreeMap, HashMap};

use super::kinds::Counted;
use super::totals::{Recent, Span, Totals};

/// How long a slot is, and what it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Grain {
    TenSeconds,
    Minute,
    Hour,
    Day,
    /// An hour, endpoint by endpoint.
    HourOf,
    /// A day, endpoint by endpoint.
    DayOf,
}

const OF_ALL: [Grain; 4] = [Grain::TenSeconds, Grain::Minute, Grain::Hour, Grain::Day];
const OF_EACH: [Grain; 2] = [Grain::HourOf, Grain::DayOf];

impl Grain {
    pub(crate) fn millis(self) -> u64 {
        match self {
            Self::TenSeconds => 10_000,
            Self::Minute => 60_000,
            Self::Hour | Self::HourOf => 3_600_000,
            Self::Day | Self::DayOf => 86_400_000,
        }
    }

    /// So many slots make its window.
    pub(crate) fn slots(self) -> u64 {
        match self {
            Self::TenSeconds => 6,
            Self::Minute => 60,
            Self::Hour | Self::HourOf => 24,
            Self::Day | Self::DayOf => 31,
        }
    }

    /// A slot's counts are kept for so long after its end: those of who could not
    /// tell them in time come late.
    pub(crate) fn kept(self) -> u64 {
        self.millis() * (self.slots() + 1) + 3_600_000
    }

    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "redis names it"))]
    pub(crate) fn letter(self) -> char {
        match self {
            Self::TenSeconds => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
            Self::Day => 'd',
            Self::HourOf => 'H',
            Self::DayOf => 'D',
        }
    }

    /// The slots that make the window at a moment, in milliseconds since 1970. The
    /// last one is not over yet.
    pub(crate) fn window(self, now: u64) -> impl Iterator<Item = Slot> {
        let last = now / self.millis();
        let first = (last + 1).saturating_sub(self.slots());
        (first..=last).map(move |number| Slot {
            grain: self,
            number,
        })
    }
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot {
    pub(crate) grain: Grain,
    /// Counted from 1970.
    pub(crate) number: u64,
}

impl Slot {
    pub(crate) fn at(grain: Grain, now: u64) -> Self {
        let number = now / grain.millis();
        Self { grain, number }
    }

    fn is_kept(self, now: u64) -> bool {
        (self.number + 1) * self.grain.millis() + self.grain.kept() > now
    }
}

/// Counts in slots, of all endpoints together (under no name) and of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Slots {
    slots: BTreeMap<Slot, HashMap<Box<str>, Counted>>,
}

impl Slots {
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "redis names it"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Slot, &HashMap<Box<str>, Counted>)> {
        self.slots.iter()
    }

    /// Counts at a moment.
    pub(crate) fn add(&mut self, now: u64, endpoint: &str, counted: &Counted) {
        for grain in OF_ALL {
            self.add_to(Slot::at(grain, now), "", counted);
        }
        if !endpoint.is_empty() {
            for grain in OF_EACH {
                self.add_to(Slot::at(grain, now), endpoint, counted);
            }
        }
        self.slots.retain(|slot, _| slot.is_kept(now));
    }

    pub(crate) fn add_to(&mut self, slot: Slot, endpoint: &str, counted: &Counted) {
        let fields = self.slots.entry(slot).or_default();
        let sum = match fields.get_mut(endpoint) {
            Some(sum) => sum,
            None => fields.entry(endpoint.into()).or_default(),
        };
        for (sum, n) in sum.iter_mut().zip(counted) {
            *sum += n;
        }
    }

    fn total(&self, slot: Slot, endpoint: &str) -> Totals {
        let counted = self.slots.get(&slot).and_then(|slot| slot.get(endpoint));
        counted.map(Totals::of).unwrap_or_default()
    }

    /// What was counted in a window, slot by slot.
    pub(crate) fn series(&self, grain: Grain, endpoint: &str, now: u64) -> Vec<Span> {
        let span = |slot: Slot| Span {
            start: slot.number * grain.millis() / 1_000,
            totals: self.total(slot, endpoint),
        };
        grain.window(now).map(span).collect()
    }

    /// What was counted in a window.
    pub(crate) fn window(&self, grain: Grain, endpoint: &str, now: u64) -> Totals {
        let mut sum = Totals::default();
        for span in self.series(grain, endpoint, now) {
            sum.add(&span.totals);
        }
        sum
    }

    /// What was counted lately, beside how many `entries` there are.
    pub(crate) fn recent(&self, now: u64, entries: u64, shared: bool) -> Recent {
        Recent {
            shared,
            entries,
            minute: self.window(Grain::TenSeconds, "", now),
            hour: self.window(Grain::Minute, "", now),
            day: self.window(Grain::Hour, "", now),
            by_minute: self.series(Grain::Minute, "", now),
            by_hour: self.series(Grain::Hour, "", now),
            by_day: self.series(Grain::Day, "", now),
        }
    }

    /// The endpoints that a window knows, in the order of their names.
    pub(crate) fn endpoints(&self, grain: Grain, now: u64) -> Vec<Box<str>> {
        let slots = grain.window(now).filter_map(|slot| self.slots.get(&slot));
        let mut names: Vec<Box<str>> = slots.flat_map(|slot| slot.keys().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::Kind;
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn counted(hits: i64, misses: i64) -> Counted {
        let mut counted = Counted::default();
        counted[Kind::Hits as usize] = hits;
        counted[Kind::Misses as usize] = misses;
        counted
    }

    #[test]
    fn the_rate_has_four_decimals() {
        let totals = Totals::of(&counted(842, 178));
        assert!((totals.hit_rate() - 0.8255).abs() < 1e-12);
        assert!(Totals::default().hit_rate() == 0.0);
    }

    #[test]
    fn a_window_rolls() {
        let mut slots = Slots::default();
        let start = 500_000 * HOUR;
        slots.add(start, "a", &counted(1, 0));
        slots.add(start + 5 * HOUR, "a", &counted(2, 0));
        let day = |now| slots.window(Grain::Hour, "", now).hits;
        assert_eq!(day(start + 5 * HOUR), 3);
        assert_eq!(day(start + 23 * HOUR), 3);
        assert_eq!(day(start + 24 * HOUR), 2);
        assert_eq!(day(start + 29 * HOUR), 0);
        assert_eq!(slots.window(Grain::HourOf, "a", start + HOUR).hits, 1);
    }

    #[test]
    fn what_no_window_needs_is_forgotten() {
        let mut slots = Slots::default();
        for hour in 0..10_000 {
            slots.add(500_000 * HOUR + hour * HOUR, "a", &counted(1, 1));
        }
        assert!(slots.slots.len() < 200, "{}", slots.slots.len());
    }
}
