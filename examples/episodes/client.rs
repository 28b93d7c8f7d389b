//! The client of the language model: it asks the cache first, and says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder::values::Values;
use serde::{Deserialize, Serialize};

use super::keys;
use super::kinds::Answer;
use super::standin::{StandIn, Unavailable};

/// What is asked, and all that its answer depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    pub prompt: String,
    #[serde(default = "model")]
    pub model: String,
    #[serde(default = "temperature")]
    pub temperature: f64,
    #[serde(default = "max_tokens")]
    pub max_tokens: u32,
    #[serde(default)]
    pub json_mode: bool,
}

fn model() -> String {
    "script-writer-2".to_owned()
}

fn temperature() -> f64 {
    0.7
}

fn max_tokens() -> u32 {
    1_024
}

impl Ask {
    pub fn new(prompt: impl Into<String>) -> Self {
        Self {
            prompt: prompt.into(),
            model: model(),
            temperature: temperature(),
            max_tokens: max_tokens(),
            json_mode: false,
        }
    }
}

/// An answer, and whether it was cached.
#[derive(Debug, Serialize)]
pub struct Completion {
    pub text: String,
    pub tokens: u32,
    pub cached: bool,
}

/// What the client has used.
#[derive(Debug, Default)]
struct Used {
    requests: AtomicU64,
    cached: AtomicU64,
    tokens: AtomicU64,
}

#[derive(Debug, Serialize)]
pub struct Usage {
    pub requests: u64,
    pub cached: u64,
    /// Tokens that were paid for.
    pub tokens: u64,
    pub hit_rate: f64,
}

#[derive(Clone)]
pub struct AiClient {
    model: StandIn,
    cache: Option<Values<Answer>>,
    used: Arc<Used>,
}

impl AiClient {
    /// A client that asks the model each time.
    pub fn new(model: StandIn) -> Self {
        Self {
            model,
            cache: None,
            used: Arc::default(),
        }
    }

    /// Asks the cache first: `enable_caching`, with the namespace's TTL as `cache_ttl`.
    pub fn caching(self, cache: Values<Answer>) -> Self {
        let cache = Some(cache);
        Self { cache, ..self }
    }

    pub fn calls(&self) -> u64 {
        self.model.calls()
    }

    /// How many calls of the model there were at a time, at most.
    pub fn most_at_once(&self) -> u64 {
        self.model.most_at_once()
    }

    pub fn latency(&self) -> Duration {
        self.model.latency()
    }

    pub async fn complete(&self, ask: &Ask) -> Result<Completion, Unavailable> {
        let (client, asked) = (self.clone(), ask.clone());
        let load = async move || client.generate(&asked).await;
        let (answer, cached) = match &self.cache {
            Some(cache) => {
                let answer = cache.get_or_try_insert_with(keys::of(ask), load).await?;
                let cached = answer.is_cached();
                ((*answer).clone(), cached)
            }
            None => (load().await?, false),
        };
        self.used.requests.fetch_add(1, Ordering::Relaxed);
        self.used
            .cached
            .fetch_add(u64::from(cached), Ordering::Relaxed);
        Ok(Completion {
            text: answer.text,
            tokens: answer.tokens,
            cached,
        })
    }

    /// The model's own answer.
    pub async fn generate(&self, ask: &Ask) -> Result<Answer, Unavailable> {
        let write = |_| {
            let text = format!("[{}] {}", ask.model, written(&ask.prompt));
            let tokens = u32::try_from(text.len() / 4).unwrap_or(u32::MAX);
            Answer {
                text,
                tokens: tokens.min(ask.max_tokens),
            }
        };
        let answer = self.model.call(write).await?;
        let tokens = u64::from(answer.tokens);
        self.used.tokens.fetch_add(tokens, Ordering::Relaxed);
        Ok(answer)
    }

    pub fn usage(&self) -> Usage {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (requests, cached) = (of(&self.used.requests), of(&self.used.cached));
        Usage {
            requests,
            cached,
            tokens: of(&self.used.tokens),
            hit_rate: match requests {
                0 => 0.0,
                all => cached as f64 / all as f64,
            },
        }
    }
}

/// Some kilobytes of dialogue.
fn written(prompt: &str) -> String {
    let line = |n| format!("HOST {}: about {prompt}, take {n}.\n", n % 2 + 1);
    (1..=60).map(line).collect()
}
