//! What the two binaries share: the services that are compared, and how they
//! are asked.

pub mod answer;
pub mod http;
pub mod in_process;
pub mod least;
pub mod machine;
pub mod memory;
pub mod redis;
pub mod report;
pub mod services;
pub mod stats;
pub mod sync_body;
pub mod warm;

/// Any error, told to whoever ran this.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, BoxError>;

/// How long is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds in process, of [`answer::KEYS`] requests for each service.
    pub rounds: usize,
    /// Rounds over HTTP and with Redis.
    pub slices: usize,
    /// How long one of these lasts for each service: short, so that what else
    /// the machine does falls on all of them alike.
    pub slice: std::time::Duration,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 60,
        slices: 41,
        slice: std::time::Duration::from_millis(150),
    };
    pub const QUICK: Self = Self {
        rounds: 9,
        slices: 5,
        slice: std::time::Duration::from_millis(100),
    };
}

/// A runtime on the calling thread alone.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}
