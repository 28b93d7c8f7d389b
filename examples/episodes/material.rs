//! What a scene is written from: a host's voice, a pattern of dialogue and the
//! structure of a joke, each worked out once; and whether what was written will do.

use std::convert::Infallible;

use larder::values::Values;

use super::client::Ask;
use super::kinds::{Kinds, Voice};

/// The question for a scene.
pub async fn ask(kinds: &Kinds, scene: &str) -> Ask {
    let voice = async || {
        Ok::<_, Infallible>(Voice {
            name: "Robin".to_owned(),
            phrases: vec!["well, well".to_owned(), "as they say".to_owned()],
            moods: vec![("dry".to_owned(), 0.8), ("warm".to_owned(), 0.3)],
        })
    };
    let Ok(voice) = kinds
        .voice_profiles
        .get_or_try_insert_with("robin", voice)
        .await;
    let pattern = known(
        &kinds.dialogue_patterns,
        "interview",
        "question, answer, doubt",
    )
    .await;
    let joke = known(
        &kinds.joke_structures,
        "rule of three",
        "two alike, and one that is not",
    )
    .await;
    Ask::new(format!("{scene} ({}; {pattern}; {joke})", voice.name))
}

/// Whether a text will do as a scene.
pub async fn is_valid(kinds: &Kinds, text: &str) -> bool {
    let valid = text.contains("HOST 1") && text.contains("HOST 2");
    let check = async move || Ok::<_, Infallible>(valid);
    let results = &kinds.validation_results;
    let Ok(result) = results.get_or_try_insert_with(text.to_owned(), check).await;
    *result
}

async fn known(values: &Values<String>, key: &str, text: &str) -> String {
    let text = text.to_owned();
    let load = async move || Ok::<_, Infallible>(text);
    let Ok(known) = values.get_or_try_insert_with(key, load).await;
    (*known).clone()
}
