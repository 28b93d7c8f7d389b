//! A database: real SQLite, in memory, on one connection that blocking threads use.

use std::sync::{Arc, Mutex};

use rusqlite::Connection;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Clone)]
pub struct Sqlite(Arc<Mutex<Connection>>);

impl Sqlite {
    /// Opens a database with a schema and what `seed` puts into it.
    pub fn open(
        schema: &str,
        seed: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self> {
        let mut connection = Connection::open_in_memory()?;
        connection.execute_batch(schema)?;
        let seeding = connection.transaction()?;
        seed(&seeding)?;
        seeding.commit()?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    pub async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = Arc::clone(&self.0);
        let work = move || {
            let connection = connection
                .lock()
                .unwrap_or_else(|broken| broken.into_inner());
            query(&connection)
        };
        Ok(tokio::task::spawn_blocking(work).await??)
    }
}
