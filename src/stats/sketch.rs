//! What is many, in little room: the most frequent of many names, and how many
//! different ones there were.

use std::collections::HashMap;

/// Names that are counted at a time.
const MOST: usize = 256;

/// The most frequent names (Metwally, Agrawal and El Abbadi, Efficient Computation
/// of Frequent and Top-k Elements in Data Streams, ICDT 2005): where there is no room
/// a new name takes the place and the count of the rarest, so that none that is
/// frequent is lost, and counts are never too low.
#[derive(Debug, Default)]
pub(crate) struct Frequent {
    counts: HashMap<Box<str>, u64>,
    /// The least count when it was last looked for, and those that had it then.
    rarest: (u64, Vec<Box<str>>),
}

impl Frequent {
    pub(crate) fn add(&mut self, name: &str, times: u64) {
        if let Some(count) = self.counts.get_mut(name) {
            *count += times;
            return;
        }
        let mut count = times;
        if self.counts.len() >= MOST {
            count += self.remove_rarest();
        }
        self.counts.insert(name.into(), count);
    }

    /// Makes room, and returns the count of what had to go. Counts only grow: as long
    /// as one still has the least, none has less, and nobody looks for it again.
    fn remove_rarest(&mut self) -> u64 {
        let (least, names) = &mut self.rarest;
        while let Some(name) = names.pop() {
            if self.counts.get(&name) == Some(least) {
                self.counts.remove(&name);
                return *least;
            }
        }
        *least = self.counts.values().copied().min().unwrap_or(0);
        let rare = self.counts.iter().filter(|(_, count)| *count == least);
        names.extend(rare.map(|(name, _)| name.clone()));
        if let Some(name) = names.pop() {
            self.counts.remove(&name);
        }
        *least
    }

    pub(crate) fn take(&mut self) -> Vec<(Box<str>, u64)> {
        self.rarest.1.clear();
        self.counts.drain().collect()
    }

    /// The most frequent first.
    pub(crate) fn top(&self, most: usize) -> Vec<(Box<str>, u64)> {
        let all = self.counts.iter();
        let mut all: Vec<_> = all.map(|(name, count)| (name.clone(), *count)).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all.truncate(most);
        all
    }
}

const BITS: u32 = 12;

/// How many different hashes there were (Flajolet et al., HyperLogLog, AofA 2007), with
/// a standard error of 1.6 %.
#[derive(Debug, Clone)]
pub(crate) struct Different {
    longest: Box<[u8; 1 << BITS]>,
}

impl Default for Different {
    fn default() -> Self {
        let longest = Box::new([0; 1 << BITS]);
        Self { longest }
    }
}

impl Different {
    pub(crate) fn add(&mut self, hash: u64) {
        let at = (hash >> (64 - BITS)) as usize;
        let zeros = (hash << BITS | 1 << (BITS - 1)).leading_zeros() as u8 + 1;
        self.longest[at] = self.longest[at].max(zeros);
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (mine, other) in self.longest.iter_mut().zip(other.longest.iter()) {
            *mine = (*mine).max(*other);
        }
    }

    pub(crate) fn estimate(&self) -> u64 {
        let m = f64::from(1_u32 << BITS);
        let sum: f64 = self.longest.iter().map(|n| (-f64::from(*n)).exp2()).sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let empty = self.longest.iter().filter(|n| **n == 0).count();
        match raw <= 2.5 * m && empty > 0 {
            true => (m * (m / empty as f64).ln()).round() as u64, // linear counting
            false => raw.round() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    #[test]
    fn the_frequent_are_found_among_many() {
        let mut names = Frequent::default();
        for n in 0..20_000 {
            names.add(&format!("rare {n}"), 1);
            if n % 20 == 0 {
                names.add("often", 1);
            }
            if n % 40 == 0 {
                names.add("sometimes", 1);
            }
        }
        let top = names.top(2);
        assert_eq!((&*top[0].0, &*top[1].0), ("often", "sometimes"));
        assert!((1_000..1_100).contains(&top[0].1), "{top:?}");
        assert!(names.counts.len() <= MOST);
    }

    #[test]
    fn the_different_are_counted_closely() {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        for all in [0_u64, 1, 10, 1_000, 20_000, 300_000] {
            let mut different = Different::default();
            for n in 0..all * 2 {
                different.add(hasher.hash_one(n % all));
            }
            let off = different.estimate().abs_diff(all) as f64 / all.max(1) as f64;
            assert!(off < 0.06, "{} for {all}", different.estimate());
        }
    }
}
