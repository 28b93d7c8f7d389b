//! [`Advice`]: what is said.

/// Something that is not as it should be, and what to do about it:
/// [`Cache::advice`](crate::Cache::advice).
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Advice {
    /// The rule's name, such as `server-unbounded`.
    pub rule: &'static str,
    /// How much it matters.
    pub level: AdviceLevel,
    /// The endpoint or route that it is about, or where in the program the layer of a policy
    /// without a name was made (`src/main.rs:7:20`); none where it is about no one.
    pub subject: Option<String>,
    /// What is the matter.
    pub what: String,
    /// What to do.
    pub todo: String,
}

/// How much an [`Advice`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum AdviceLevel {
    /// Something fails, or may be shared that should not.
    Warning,
    /// It could do better.
    Hint,
}

impl Advice {
    pub(super) fn warning(rule: &'static str, what: impl Into<String>, todo: &str) -> Self {
        Self {
            rule,
            level: AdviceLevel::Warning,
            subject: None,
            what: what.into(),
            todo: todo.to_owned(),
        }
    }

    pub(super) fn hint(rule: &'static str, what: impl Into<String>, todo: &str) -> Self {
        Self {
            level: AdviceLevel::Hint,
            ..Self::warning(rule, what, todo)
        }
    }

    pub(super) fn about(self, subject: Option<&str>) -> Self {
        Self {
            subject: subject.map(str::to_owned),
            ..self
        }
    }
}
