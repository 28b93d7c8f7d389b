//! The model that decides what to do with a project, and what its answer depends on.

use larder::values::{JsonKey, KeyError, ValueKey};

use super::app::Failure;
use super::cached::Decision;
use super::standin::StandIn;

#[derive(Clone)]
pub struct Model(pub StandIn);

/// All that a decision depends on: of the project not its scenes, only how many there
/// are and what the last one is.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Brief {
    pub prompt: String,
    pub project_type: String,
    pub scene_count: usize,
    pub last_scene_type: Option<String>,
}

impl Model {
    pub async fn decide(&self, brief: &Brief, target: Option<String>) -> Result<Decision, Failure> {
        let edits = brief.prompt.starts_with("edit");
        let kind = brief.last_scene_type.clone();
        let decide = |_| match (edits, target) {
            (true, Some(scene)) => Decision::Edit { scene },
            _ => Decision::Add {
                kind: kind.unwrap_or_else(|| "intro".to_owned()),
            },
        };
        Ok(self.0.call(decide).await?)
    }
}

impl Brief {
    /// `<hash>`, behind the namespace `ai:decision`.
    pub fn key(&self) -> Result<ValueKey<'static>, KeyError> {
        JsonKey::of(self).build()
    }
}
