//! What is to be generated, for whom it is, and the keys that follow from that.

use larder::values::{JsonKey, KeyError, KeyParts, ValueKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Who shares a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    Once,
    PerPlaythrough,
    PerPlayer,
    Always,
}

impl Strategy {
    fn name(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::PerPlaythrough => "per_playthrough",
            Self::PerPlayer => "per_player",
            Self::Always => "always",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wanted {
    pub operation_type: String,
    pub purpose: String,
    #[serde(default)]
    pub from_scene: Option<String>,
    #[serde(default)]
    pub to_scene: Option<String>,
    #[serde(default)]
    pub canonical_params: Value,
    pub strategy: Strategy,
    #[serde(default)]
    pub playthrough_id: Option<String>,
    #[serde(default)]
    pub player_id: Option<String>,
    #[serde(default = "first")]
    pub version: u32,
}

fn first() -> u32 {
    1
}

impl Wanted {
    /// `[type]|[purpose]|[from]|[to]|[strategy]|[seed]|v[version]`, in the namespace
    /// `generation`. What has the same parameters and inputs has the same content,
    /// and with it one value.
    pub fn key(&self) -> Result<ValueKey<'static>, KeyError> {
        if self.strategy == Strategy::Always {
            return Ok(ValueKey::never());
        }
        let key = KeyParts::new('|')
            .part("operation_type", &self.operation_type)
            .part("purpose", &self.purpose)
            .part_or("from_scene", self.from_scene.as_ref(), "none")
            .part_or("to_scene", self.to_scene.as_ref(), "none")
            .part("strategy", self.strategy.name())
            .seed(self.seed())
            .version(self.version)
            .build()?;
        let inputs = json!({
            "operation": self.operation_type,
            "params": self.canonical_params,
            "scenes": [self.from_scene, self.to_scene],
            "seed": self.seed(), // nobody gets what was made for another one
            "version": self.version,
        });
        Ok(key.content(JsonKey::of(&inputs).content()?))
    }

    fn seed(&self) -> Option<String> {
        match self.strategy {
            Strategy::PerPlaythrough => self.playthrough_id.as_ref().map(|id| format!("pt:{id}")),
            Strategy::PerPlayer => self.player_id.as_ref().map(|id| format!("player:{id}")),
            Strategy::Once | Strategy::Always => None,
        }
    }
}
