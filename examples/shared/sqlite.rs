//! A database: real SQLite, in memory or in a file, on one connection that blocking threads use.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

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

    /// Opens one that processes share. The first of them makes and fills it.
    #[allow(dead_code, reason = "each example uses its part")]
    pub fn open_file(
        path: &Path,
        schema: &str,
        seed: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Self> {
        let open = || -> rusqlite::Result<Connection> {
            let mut connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            let seeding = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let made = seeding.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
            if made? == 0 {
                seeding.execute_batch(schema)?;
                seed(&seeding)?;
                seeding.pragma_update(None, "user_version", 1)?;
            }
            seeding.commit()?;
            Ok(connection)
        };
        let connection = open().map_err(|error| format!("database {}: {error}", path.display()))?;
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
