//! The table.

use std::collections::HashMap;

use crate::answer::KEYS;
use crate::http::{CONNECTIONS, Rates};
use crate::machine::{machine, version};
use crate::redis::{self, CONCURRENCY};
use crate::services::{PEERS, PLAIN};
use crate::stats::median;
use crate::{Effort, memory};

/// All that was measured.
pub struct Report {
    pub effort: Effort,
    /// Nanoseconds of a request in process.
    pub in_process: Rates,
    pub allocations: HashMap<String, f64>,
    pub http: Rates,
    pub redis: Option<redis::Measured>,
    pub memory: memory::Measured,
}

const NONE: &str = "–";

impl Report {
    /// The table, and what one has to know to read it.
    pub fn markdown(&self) -> String {
        let mut lines = vec![
            "| | in process | ratio | allocations | over HTTP/1.1 | ratio |".to_owned(),
            "|---|--:|--:|--:|--:|--:|".to_owned(),
        ];
        lines.extend(self.services());
        lines.extend(self.redis());
        lines.extend(self.memory());
        lines.push(String::new());
        lines.push(self.note());
        lines.join("\n")
    }

    fn services(&self) -> Vec<String> {
        let plain_time = of(&self.in_process, PLAIN);
        let plain_rate = of(&self.http, PLAIN);
        let row = |(name, times): &(&'static str, Vec<f64>)| {
            let (time, rate) = (median(times), of(&self.http, name));
            let allocations = self.allocations.get(*name).copied().unwrap_or(f64::NAN);
            let version = match PEERS.contains(name) {
                true => format!(" {}", version(name)),
                false => String::new(),
            };
            format!(
                "| {name}{version} | {} ns | {:.2} | {allocations:.0} | {}/s | {:.2} |",
                thousands(time),
                time / plain_time,
                thousands(rate),
                rate / plain_rate,
            )
        };
        self.in_process.iter().map(row).collect()
    }

    fn redis(&self) -> Vec<String> {
        let Some(measured) = &self.redis else {
            return Vec::new();
        };
        let bare = of(&measured.rates, redis::BARE);
        let row = |(name, rates): &(&'static str, Vec<f64>)| {
            let rate = median(rates);
            let ratio = rate / bare;
            format!("| {name} | {}/s | {ratio:.2} | {NONE} | {NONE} | {NONE} |", thousands(rate))
        };
        measured.rates.iter().map(row).collect()
    }

    fn memory(&self) -> [String; 2] {
        let resident = self.memory.resident;
        [
            ("memory of an entry: the process grows by", resident),
            ("memory of an entry: `stats().memory_bytes`", self.memory.counted),
        ]
        .map(|(name, bytes)| {
            let ratio = bytes / resident;
            format!("| {name} | {} B | {ratio:.2} | {NONE} | {NONE} | {NONE} |", thousands(bytes))
        })
    }

    fn note(&self) -> String {
        let redis = match &self.redis {
            None => "The rows with Redis are skipped: redis-server is not installed.".to_owned(),
            Some(measured) => format!(
                "Redis: {CONCURRENCY} requests at a time, in process, and the ratio to the bare `GET`; \
                 a hit of larder's sends Redis {:.2} commands.",
                measured.commands_per_hit
            ),
        };
        format!(
            "Hits on {KEYS} URLs with 1 KiB of JSON; medians of {} rounds in process and {} over HTTP \
             and with Redis, the services in turn; ratios to the plain handler. In process: one \
             request from its making to the dropping of its response; allocations likewise. HTTP: \
             hyper on one core, {CONNECTIONS} connections from the other. {redis} Memory: {} entries \
             of 1 KiB and 6 header fields. larder {}, axum {}, redis {}; peers in memory, around the \
             router, with their defaults. {}.",
            self.effort.rounds,
            self.effort.slices,
            thousands(memory::ENTRIES as f64),
            version("larder"),
            version("axum"),
            version("redis"),
            machine(),
        )
    }
}

fn of(rates: &Rates, name: &str) -> f64 {
    let found = rates.iter().find(|(of, _)| *of == name);
    found.map_or(f64::NAN, |(_, values)| median(values))
}

/// Rounded, with commas.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
