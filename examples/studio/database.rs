//! Projects, their scenes, and what users prefer.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::sqlite::{Result, Sqlite};

/// A query also takes the time that a database across the network takes.
#[derive(Clone)]
pub struct Database {
    sqlite: Sqlite,
    latency: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    pub id: String,
    pub project: String,
    pub kind: String,
    pub code: String,
    pub revision: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preferences {
    pub theme: String,
}

const SCHEMA: &str = "CREATE TABLE scenes (project TEXT, id TEXT, kind TEXT, code TEXT, revision INTEGER, PRIMARY KEY (project, id));
    CREATE TABLE preferences (user TEXT PRIMARY KEY, theme TEXT);";

impl Database {
    /// Some projects of ten scenes each.
    pub fn seeded(projects: u32, latency: Duration) -> Result<Self> {
        let sqlite = Sqlite::open(SCHEMA, |connection| {
            for project in 1..=projects {
                for scene in 1..=10 {
                    let kind = ["intro", "text", "chart"][scene % 3];
                    let row = params![
                        format!("p{project}"),
                        format!("s{scene}"),
                        kind,
                        "<Scene/>",
                        1
                    ];
                    connection.execute("INSERT INTO scenes VALUES (?1, ?2, ?3, ?4, ?5)", row)?;
                }
            }
            Ok(())
        })?;
        Ok(Self { sqlite, latency })
    }

    pub async fn scene(&self, project: &str, id: &str) -> Result<Option<Scene>> {
        tokio::time::sleep(self.latency).await;
        let key = [project.to_owned(), id.to_owned()];
        let query =
            "SELECT id, project, kind, code, revision FROM scenes WHERE project = ?1 AND id = ?2";
        let run = self.sqlite.run(move |connection| {
            let mut query = connection.prepare_cached(query)?;
            query.query_row(key, scene).optional()
        });
        run.await
    }

    /// The ids of a project's scenes.
    pub async fn scenes(&self, project: &str) -> Result<Vec<String>> {
        tokio::time::sleep(self.latency).await;
        let key = [project.to_owned()];
        let run = self.sqlite.run(move |connection| {
            let mut query = connection
                .prepare_cached("SELECT id FROM scenes WHERE project = ?1 ORDER BY id")?;
            query.query_map(key, |row| row.get(0))?.collect()
        });
        run.await
    }

    /// Writes a scene's code. Tells whether there is such a scene.
    pub async fn update(&self, project: &str, id: &str, code: String) -> Result<bool> {
        let row = params_of(project, id, code);
        let update =
            "UPDATE scenes SET code = ?3, revision = revision + 1 WHERE project = ?1 AND id = ?2";
        let run = self
            .sqlite
            .run(move |connection| Ok(connection.execute(update, row)? > 0));
        run.await
    }

    pub async fn insert(&self, project: &str, id: &str, kind: &str) -> Result<()> {
        let row = [project, id, kind, "<Scene/>"].map(str::to_owned);
        let insert = "INSERT INTO scenes VALUES (?1, ?2, ?3, ?4, 1)";
        let run = self
            .sqlite
            .run(move |connection| connection.execute(insert, row));
        run.await.map(drop)
    }

    pub async fn delete(&self, project: &str, id: &str) -> Result<bool> {
        let key = [project.to_owned(), id.to_owned()];
        let delete = "DELETE FROM scenes WHERE project = ?1 AND id = ?2";
        let run = self
            .sqlite
            .run(move |connection| Ok(connection.execute(delete, key)? > 0));
        run.await
    }

    pub async fn preferences(&self, user: &str) -> Result<Preferences> {
        tokio::time::sleep(self.latency).await;
        let key = [user.to_owned()];
        let run = self.sqlite.run(move |connection| {
            let query = "SELECT theme FROM preferences WHERE user = ?1";
            connection
                .query_row(query, key, |row| row.get(0))
                .optional()
        });
        let theme: Option<String> = run.await?;
        let theme = theme.unwrap_or_else(|| "dark".to_owned());
        Ok(Preferences { theme })
    }

    pub async fn prefer(&self, user: &str, preferences: Preferences) -> Result<()> {
        let row = [user.to_owned(), preferences.theme];
        let run = self.sqlite.run(move |connection| {
            connection.execute("INSERT OR REPLACE INTO preferences VALUES (?1, ?2)", row)
        });
        run.await.map(drop)
    }
}

fn params_of(project: &str, id: &str, code: String) -> [String; 3] {
    [project.to_owned(), id.to_owned(), code]
}

fn scene(row: &Row<'_>) -> rusqlite::Result<Scene> {
    Ok(Scene {
        id: row.get(0)?,
        project: row.get(1)?,
        kind: row.get(2)?,
        code: row.get(3)?,
        revision: row.get(4)?,
    })
}
