//! The routes of the studio. Every value is read through the cache; what a write
//! changes is invalidated by its tag.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use larder::config::Config;
use larder::values::CachedValue;
use larder::{Cache, ConfigError, Warming, tag};
use serde::Deserialize;

use super::cached::{Build, Cached, Decision, project};
use super::database::{Database, Preferences, Scene};
use super::metrics::{self, Metrics};
use super::model::{Brief, Model};
use super::standin::StandIn;

#[derive(Clone)]
pub struct Studio {
    pub cache: Cache,
    pub cached: Cached,
    pub database: Database,
    pub model: Model,
    /// Compiles components.
    pub compiler: StandIn,
    pub metrics: Arc<Metrics>,
}

impl Studio {
    pub fn new(
        cache: &Cache,
        config: &Config,
        database: Database,
        (model, compiler): (StandIn, StandIn),
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            cache: cache.clone(),
            cached: Cached::new(cache, config)?,
            database,
            model: Model(model),
            compiler,
            metrics: Arc::new(Metrics::new(cache)),
        })
    }

    /// With the cache's own page and API under `/admin/cache`, for those with the token.
    pub fn router_with_page(&self, token: &str) -> Result<Router, ConfigError> {
        let page = larder::admin::router(&self.cache).token(token).build()?;
        Ok(self.router().nest("/admin/cache", page))
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/projects/{project}/open", post(open))
            .route("/projects/{project}/scenes", get(list).post(create))
            .route(
                "/projects/{project}/scenes/{scene}",
                get(show).put(update).delete(remove),
            )
            .route("/projects/{project}/decide", post(decide))
            .route("/projects/{project}/scenes/{scene}/build", post(build))
            .route("/users/{user}/preferences", get(preferences).put(prefer))
            .route(
                "/api/admin/cache-stats",
                get(metrics::show).delete(metrics::reset),
            )
            .route("/api/admin/cache-enabled", post(switch))
            .with_state(self.clone())
    }

    /// A scene, from the cache or the database. One that is not there is not cached.
    pub async fn scene(&self, project: &str, id: &str) -> Result<CachedValue<Scene>, Failure> {
        let (database, key) = (self.database.clone(), format!("{project}:{id}"));
        let (project, id) = (project.to_owned(), id.to_owned());
        let load = async move || match database.scene(&project, &id).await? {
            Some(scene) => Ok(scene),
            None => Err(Failure::NotFound),
        };
        self.cached.scenes.get_or_try_insert_with(key, load).await
    }

    pub async fn list(&self, project: &str) -> Result<CachedValue<Vec<String>>, Failure> {
        let (database, key) = (self.database.clone(), format!("{project}:scenes"));
        let project = project.to_owned();
        let load = async move || Ok(database.scenes(&project).await?);
        self.cached.lists.get_or_try_insert_with(key, load).await
    }

    /// A project's scenes have changed. The write is done, whatever comes of this.
    pub async fn changed(&self, id: &str) {
        if let Err(error) = self.cache.invalidate(tag(project(id))).await {
            tracing::warn!(%error, "old scenes may be served until Redis is told");
        }
    }

    /// Warms the list of a project that is being opened, and each of its scenes.
    pub async fn warm(&self, project: &str) -> Result<Warming, Failure> {
        let scenes = self.list(project).await?.to_vec();
        let keys = scenes.iter().map(|scene| format!("{project}:{scene}"));
        let database = self.database.clone();
        let load = move |key: String| {
            let database = database.clone();
            async move {
                let (project, scene) = key.split_once(':').unwrap_or_default();
                let found = database.scene(project, scene).await;
                found.and_then(|scene| scene.ok_or_else(|| "it is gone".into()))
            }
        };
        let warmup = self.cache.warm().concurrency(4);
        Ok(warmup.values(&self.cached.scenes, keys.collect::<Vec<_>>(), load))
    }
}

/// Answers at once; the warming goes on in the background, and its failures are
/// logged.
async fn open(State(studio): State<Studio>, Path(project): Path<String>) -> StatusCode {
    tokio::spawn(async move {
        if let Err(error) = studio.warm(&project).await {
            tracing::warn!(?error, project, "not warmed");
        }
    });
    StatusCode::ACCEPTED
}

async fn list(
    State(studio): State<Studio>,
    Path(project): Path<String>,
) -> Result<Response, Failure> {
    let list = studio.list(&project).await?;
    Ok(Json(&*list).into_response())
}

async fn show(
    State(studio): State<Studio>,
    Path((project, scene)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let scene = studio.scene(&project, &scene).await?;
    let cached = [("x-cached", scene.is_cached().to_string())];
    Ok((cached, Json(&*scene)).into_response())
}

#[derive(Deserialize)]
struct New {
    id: String,
    kind: String,
}

async fn create(
    State(studio): State<Studio>,
    Path(project): Path<String>,
    Json(new): Json<New>,
) -> Result<StatusCode, Failure> {
    studio.database.insert(&project, &new.id, &new.kind).await?;
    studio.changed(&project).await;
    Ok(StatusCode::CREATED)
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

async fn update(
    State(studio): State<Studio>,
    Path((id, scene)): Path<(String, String)>,
    Json(code): Json<Code>,
) -> Result<StatusCode, Failure> {
    if !studio.database.update(&id, &scene, code.code).await? {
        return Err(Failure::NotFound);
    }
    studio.changed(&id).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    State(studio): State<Studio>,
    Path((id, scene)): Path<(String, String)>,
) -> Result<StatusCode, Failure> {
    if !studio.database.delete(&id, &scene).await? {
        return Err(Failure::NotFound);
    }
    studio.changed(&id).await;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Wish {
    prompt: String,
}

/// What the model makes of a wish. A decision that was cached is looked at before it
/// is used: the scene that it would edit may be gone.
async fn decide(
    State(studio): State<Studio>,
    Path(project): Path<String>,
    Json(wish): Json<Wish>,
) -> Result<Json<Decision>, Failure> {
    let scenes = studio.list(&project).await?;
    let last = match scenes.last() {
        Some(last) => Some(studio.scene(&project, last).await?.kind.clone()),
        None => None,
    };
    let brief = Brief {
        prompt: wish.prompt,
        project_type: "video".to_owned(),
        scene_count: scenes.len(),
        last_scene_type: last,
    };
    let (there, model) = (scenes.to_vec(), studio.model.clone());
    let valid = move |decision: &Decision| match decision {
        Decision::Edit { scene } => there.contains(scene),
        Decision::Add { .. } => true,
    };
    let (key, target) = (brief.key()?, scenes.first().cloned());
    let load = async move || Ok::<_, Failure>(model.decide(&brief, target).await?);
    let decisions = &studio.cached.decisions;
    let decision = decisions.get_valid_or_try_insert_with(key, valid, load);
    Ok(Json((*decision.await?).clone()))
}

/// Compiles a scene; only what could be compiled is cached.
async fn build(
    State(studio): State<Studio>,
    Path((project, scene)): Path<(String, String)>,
) -> Result<Json<Build>, Failure> {
    let scene = studio.scene(&project, &scene).await?;
    let key = format!("{}:{}", scene.id, scene.revision);
    let compiler = studio.compiler.clone();
    let compile = async move || {
        let code = scene.code.clone();
        Ok::<_, Failure>(compiler.call(|_| compiled(&code)).await?)
    };
    let components = &studio.cached.components;
    let build = components.get_or_try_insert_with(key, compile).await?;
    Ok(Json((*build).clone()))
}

fn compiled(code: &str) -> Build {
    let success = code.starts_with('<') && code.ends_with("/>");
    let output = match success {
        true => format!("render({code:?})"),
        false => "unexpected end of input".to_owned(),
    };
    Build { success, output }
}

async fn preferences(
    State(studio): State<Studio>,
    Path(user): Path<String>,
) -> Result<Response, Failure> {
    let (database, key) = (studio.database.clone(), format!("{user}:preferences"));
    let load = async move || Ok::<_, Failure>(database.preferences(&user).await?);
    let values = &studio.cached.preferences;
    Ok(Json(&*values.get_or_try_insert_with(key, load).await?).into_response())
}

async fn prefer(
    State(studio): State<Studio>,
    Path(user): Path<String>,
    Json(preferences): Json<Preferences>,
) -> Result<StatusCode, Failure> {
    studio.database.prefer(&user, preferences).await?;
    let key = format!("{user}:preferences");
    if let Err(error) = studio.cached.preferences.remove(key).await {
        tracing::warn!(%error, "old preferences may be served until Redis is told");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Switches the cache off and on while the studio runs.
async fn switch(State(studio): State<Studio>, Json(on): Json<bool>) -> StatusCode {
    studio.cache.set_enabled(on);
    StatusCode::NO_CONTENT
}

#[derive(Debug)]
pub enum Failure {
    NotFound,
    /// The database, the model or the compiler failed.
    Internal(String),
}

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Internal(error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND.into_response(),
            Self::Internal(error) => {
                tracing::error!(error, "no answer");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
