//! The recorder: a bounded copy of a body while it streams to the client.
//!
//! Only [`Complete`] can be stored, and only a body that ended cleanly becomes
//! one: it was read to its end, or up to the length that it declared (RFC
//! 9112, 6.3). A body that failed, was dropped before its end, had trailers,
//! grew over the bound, or broke its own word about its length does not.

use bytes::{Bytes, BytesMut};

/// A body that ended cleanly. Made here alone.
#[derive(Debug)]
pub(crate) struct Complete(Bytes);

impl Complete {
    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }
}

type Finish = Box<dyn FnOnce(Complete) + Send>;

/// The copy that grows beside a body.
pub(crate) struct Recording {
    copy: BytesMut,
    limit: usize,
    /// What the response says of its length.
    declared: Option<u64>,
    finish: Option<Finish>,
}

impl Recording {
    /// Records up to `limit` bytes and hands the whole to `finish`.
    pub(crate) fn new(
        limit: usize,
        declared: Option<u64>,
        finish: impl FnOnce(Complete) + Send + 'static,
    ) -> Self {
        // what is declared is a claim: it reserves little
        let expected = declared.map_or(0, |len| usize::try_from(len).unwrap_or(limit));
        Self {
            copy: BytesMut::with_capacity(expected.min(limit).min(64 << 10)),
            limit,
            declared,
            finish: Some(Box::new(finish)),
        }
    }

    /// Takes what the client gets.
    pub(crate) fn push(&mut self, data: &[u8]) {
        if self.finish.is_none() {
            return;
        }
        if data.len() > self.limit - self.copy.len() {
            return self.abandon();
        }
        self.copy.extend_from_slice(data);
    }

    /// Drops the copy, never the response.
    pub(crate) fn abandon(&mut self) {
        self.finish = None;
        self.copy = BytesMut::new();
    }

    /// The body has ended.
    pub(crate) fn end(&mut self) {
        let Some(finish) = self.finish.take() else {
            return;
        };
        if self
            .declared
            .is_some_and(|len| len != self.copy.len() as u64)
        {
            return self.abandon();
        }
        let exact = std::mem::take(&mut self.copy).to_vec().into_boxed_slice();
        finish(Complete(exact.into()));
    }
}

impl Drop for Recording {
    /// A server stops reading at the declared length; that is the end too.
    fn drop(&mut self) {
        let whole = self.declared == Some(self.copy.len() as u64);
        if whole && self.declared != Some(0) && !std::thread::panicking() {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn record(declared: Option<u64>, run: impl FnOnce(&mut Recording)) -> Option<Bytes> {
        let (sender, stored) = mpsc::channel();
        let finish = move |whole: Complete| sender.send(whole.into_bytes()).unwrap();
        let mut recording = Recording::new(8, declared, finish);
        run(&mut recording);
        drop(recording);
        stored.try_recv().ok()
    }

    #[test]
    fn a_clean_end_is_stored() {
        let stored = record(None, |r| {
            r.push(b"abc");
            r.push(b"de");
            r.end();
        });
        assert_eq!(stored.unwrap(), "abcde");
    }

    #[test]
    fn the_declared_length_is_an_end() {
        assert_eq!(record(Some(3), |r| r.push(b"abc")).unwrap(), "abc");
    }

    #[test]
    fn anything_else_is_not() {
        assert!(record(None, |r| r.push(b"abc")).is_none(), "dropped");
        assert!(
            record(Some(5), |r| r.push(b"abc")).is_none(),
            "dropped early"
        );
        let short = |r: &mut Recording| {
            r.push(b"abc");
            r.end();
        };
        assert!(record(Some(5), short).is_none(), "shorter than declared");
        assert!(record(Some(2), short).is_none(), "longer than declared");
        let failed = |r: &mut Recording| {
            r.push(b"abc");
            r.abandon();
            r.end();
        };
        assert!(record(Some(3), failed).is_none(), "failed");
        let large = |r: &mut Recording| {
            r.push(b"12345");
            r.push(b"6789");
            r.end();
        };
        assert!(record(None, large).is_none(), "too large");
    }
}
