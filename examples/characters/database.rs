//! What the application knows: a few thousand characters and their content.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::sqlite::{Result, Sqlite};

#[derive(Clone)]
pub struct Database(Sqlite);

#[derive(Debug, Serialize, Deserialize)]
pub struct Character {
    pub id: i64,
    pub name: String,
    pub style: String,
    pub likes: i64,
}

#[derive(Debug, Deserialize)]
pub struct Changes {
    pub name: String,
}

#[derive(Debug, Serialize)]
pub struct Affinity {
    pub style: String,
    pub other: String,
    pub score: f64,
}

const STYLES: [&str; 6] = ["anime", "noir", "pastel", "pixel", "realistic", "sketch"];

const SCHEMA: &str = "CREATE TABLE characters (id INTEGER PRIMARY KEY, name TEXT NOT NULL, style TEXT NOT NULL, likes INTEGER NOT NULL);
             CREATE TABLE content (id INTEGER PRIMARY KEY, character INTEGER NOT NULL, approved INTEGER NOT NULL);";

fn seed(connection: &Connection, characters: i64) -> rusqlite::Result<()> {
    for id in 1..=characters {
        let style = STYLES[(id * 7 % 6) as usize];
        let row = params![id, format!("Character {id}"), style, id * 31 % 997];
        connection.execute("INSERT INTO characters VALUES (?1, ?2, ?3, ?4)", row)?;
        connection.execute("INSERT INTO content VALUES (?1, ?2, 0)", params![id, id])?;
    }
    Ok(())
}

impl Database {
    pub fn seeded(characters: i64) -> Result<Self> {
        let database = Sqlite::open(SCHEMA, |connection| seed(connection, characters));
        Ok(Self(database?))
    }

    /// One that processes share.
    pub fn seeded_file(path: &Path, characters: i64) -> Result<Self> {
        let database = Sqlite::open_file(path, SCHEMA, |connection| seed(connection, characters));
        Ok(Self(database?))
    }

    pub async fn list(&self, style: Option<String>, page: u32) -> Result<Vec<Character>> {
        self.0
            .run(move |connection| {
                let mut query = connection.prepare_cached(
                    "SELECT id, name, style, likes FROM characters
                 WHERE ?1 IS NULL OR style = ?1 ORDER BY likes DESC, id LIMIT 20 OFFSET ?2",
                )?;
                query
                    .query_map(params![style, page * 20], character)?
                    .collect()
            })
            .await
    }

    pub async fn show(&self, id: i64) -> Result<Option<Character>> {
        self.0
            .run(move |connection| {
                let mut query = connection.prepare_cached(
                    "SELECT id, name, style, likes FROM characters WHERE id = ?1",
                )?;
                query.query_row([id], character).optional()
            })
            .await
    }

    pub async fn rename(&self, id: i64, name: String) -> Result<bool> {
        self.0
            .run(move |connection| {
                let update = "UPDATE characters SET name = ?2 WHERE id = ?1";
                Ok(connection.execute(update, params![id, name])? > 0)
            })
            .await
    }

    pub async fn approved(&self, id: i64) -> Result<Option<bool>> {
        self.0
            .run(move |connection| {
                let query = "SELECT approved FROM content WHERE id = ?1";
                connection
                    .query_row(query, [id], |row| row.get(0))
                    .optional()
            })
            .await
    }

    pub async fn approve(&self, id: i64) -> Result<bool> {
        self.0
            .run(move |connection| {
                let update = "UPDATE content SET approved = 1 WHERE id = ?1";
                Ok(connection.execute(update, [id])? > 0)
            })
            .await
    }

    /// Compares every character with every other one: honestly expensive.
    pub async fn affinity(&self) -> Result<Vec<Affinity>> {
        self.0
            .run(|connection| {
                let mut query = connection.prepare_cached(
                    "SELECT a.style, b.style, avg(1.0 / (1 + abs(a.likes - b.likes)))
                 FROM characters a JOIN characters b ON a.id < b.id
                 GROUP BY a.style, b.style ORDER BY 3 DESC",
                )?;
                let row = |row: &rusqlite::Row<'_>| {
                    Ok(Affinity {
                        style: row.get(0)?,
                        other: row.get(1)?,
                        score: row.get(2)?,
                    })
                };
                query.query_map([], row)?.collect()
            })
            .await
    }
}

fn character(row: &rusqlite::Row<'_>) -> rusqlite::Result<Character> {
    Ok(Character {
        id: row.get(0)?,
        name: row.get(1)?,
        style: row.get(2)?,
        likes: row.get(3)?,
    })
}
