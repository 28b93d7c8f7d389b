//! The table.

use std::collections::HashMap;

use crate::answer::KEYS;
use crate::http::{self, CONNECTIONS, Rates};
use crate::machine::{machine, version};
use crate::redis::{self, CONCURRENCY};
use crate::services::{PEERS, PLAIN};
use crate::stats::{median, ratio};
use crate::{Effort, in_process, memory};

/// All that was measured.
pub struct Report {
    pub effort: Effort,
    /// Nanoseconds of a request in process.
    pub in_process: Rates,
    pub allocations: HashMap<String, f64>,
    pub http: http::Measured,
    pub redis: Option<redis::Measured>,
    pub memory: memory::Measured,
}

const NONE: &str = "–";

impl Report {
    /// The table, and what one has to know to read it.
    pub fn markdown(&self) -> String {
        let mut lines = vec![
            "| | in process | ratio | allocations | over HTTP/1.1 | ratio | server's work |"
                .to_owned(),
            "|---|--:|--:|--:|--:|--:|--:|".to_owned(),
        ];
        lines.extend(self.services());
        lines.extend(self.redis());
        lines.extend(self.memory());
        lines.push(String::new());
        lines.push(self.note());
        lines.join("\n")
    }

    fn services(&self) -> Vec<String> {
        let http = &self.http;
        let (plain_times, plain_rates) = (of(&self.in_process, PLAIN), of(&http.rates, PLAIN));
        let row = |(name, times): &(&'static str, Vec<f64>)| {
            let (rates, work) = (of(&http.rates, name), of(&http.work, name));
            let allocations = self.allocations.get(*name).copied().unwrap_or(f64::NAN);
            format!(
                "| {} | {} ns | {:.2} | {allocations:.0} | {}/s | {:.2} | {:.1} µs |",
                label(name),
                thousands(median(times)),
                ratio(times, plain_times),
                thousands(median(rates)),
                ratio(rates, plain_rates),
                median(work),
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
            let (rate, ratio) = (thousands(median(rates)), ratio(rates, bare));
            format!("| {name} | {rate}/s | {ratio:.2} | {NONE} | {NONE} | {NONE} | {NONE} |")
        };
        measured.rates.iter().map(row).collect()
    }

    fn memory(&self) -> [String; 2] {
        let resident = self.memory.resident;
        [
            ("memory of an entry: the process grows by", resident),
            (
                "memory of an entry: `stats().memory_bytes`",
                self.memory.counted,
            ),
        ]
        .map(|(name, bytes)| {
            let ratio = bytes / resident;
            format!(
                "| {name} | {} B | {ratio:.2} | {NONE} | {NONE} | {NONE} | {NONE} |",
                thousands(bytes)
            )
        })
    }

    fn note(&self) -> String {
        let redis = match &self.redis {
            None => "The rows with Redis are skipped: redis-server is not installed.".to_owned(),
            Some(measured) => format!(
                "Redis: {CONCURRENCY} requests at a time, in process, and the ratio to the bare \
                 `GET`; a hit of larder's sends Redis {:.2} commands.",
                measured.commands_per_hit
            ),
        };
        format!(
            "Hits on {} URLs with 1 KiB of JSON; medians of {} rounds in process and {} over HTTP \
             and with Redis, the services in turn; ratios to the plain handler, medians of the \
             rounds' own. In process: one request from its making to the dropping of its \
             response, once the service has been asked for {} ms; allocations likewise. HTTP: hyper on one core, {CONNECTIONS} connections \
             from the other; its work is CPU time for a request, system calls included. {redis} \
             Memory: {} entries of 1 KiB and 6 header fields. larder {}, axum {}, redis {}; \
             peers in memory, around the router, with their defaults (hitbox keeps values as \
             JSON by default). {}.",
            thousands(KEYS as f64),
            self.effort.rounds,
            self.effort.slices,
            in_process::WARM.as_millis(),
            thousands(memory::ENTRIES as f64),
            version("larder"),
            version("axum"),
            version("redis"),
            machine(),
        )
    }
}

/// A service's name, with the version of a peer behind its package.
fn label(name: &str) -> String {
    let package = name.split(',').next().unwrap_or(name);
    match PEERS.contains(&package) {
        true => name.replacen(package, &format!("{package} {}", version(package)), 1),
        false => name.to_owned(),
    }
}

/// The rounds of a service; none if it was not measured, so that its numbers
/// are not numbers.
fn of<'a>(rates: &'a Rates, name: &str) -> &'a [f64] {
    let found = rates.iter().find(|(of, _)| *of == name);
    found.map_or(&[], |(_, values)| values.as_slice())
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
