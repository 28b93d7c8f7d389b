//! What a narrative is about, and what of that its key is made of.

use std::collections::BTreeMap;

use larder::values::{JsonKey, ValueKey};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The version of what makes narratives, and the prompt that it is given: those of
/// another one are not found any more.
pub const ENGINE: &str = "narrative@1.0.0";
pub const PROMPT: &str = "Tell this chart as a story in five paragraphs.";

/// What matters of a chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub system: String,
    pub percentages: BTreeMap<String, f64>,
}

/// A chart, and whose it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Chart {
    pub user_id: String,
    pub name: String,
    pub birth: String,
    pub percentages: BTreeMap<String, f64>,
}

impl Profile {
    /// By canonical JSON: percentages are rounded down to a multiple of `step`, so that
    /// charts that hardly differ share a narrative.
    pub fn key(&self, step: f64) -> ValueKey<'static> {
        let key = JsonKey::of(&json!({"system": self.system, "percentages": self.percentages}))
            .quantize("percentages", step)
            .version(ENGINE)
            .fingerprint("prompt", PROMPT)
            .build();
        // a percentage that is no number is one that nothing is cached for
        key.unwrap_or_else(|_| ValueKey::never())
    }
}

/// The prompt's hash, as the statistics show it.
pub fn prompt_hash() -> String {
    larder::values::Content::of(PROMPT).to_hex()[..16].to_owned()
}

/// The profiles that are asked for most.
pub fn top(most: usize) -> Vec<Profile> {
    let systems = ["western", "vedic", "chinese", "celtic", "mayan"];
    let profile = |n: usize| {
        let fire = (n * 7 % 100) as f64 / 2.0;
        let percentages = [
            ("fire", fire),
            ("earth", 50.0 - fire),
            ("air", 30.0),
            ("water", 20.0),
        ];
        Profile {
            system: systems[n % systems.len()].to_owned(),
            percentages: percentages
                .map(|(name, share)| (name.to_owned(), share))
                .into(),
        }
    };
    (0..most).map(profile).collect()
}
