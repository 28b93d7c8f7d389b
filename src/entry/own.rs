//! [`Own`]: the field values that an entry does not share with others.

use http::HeaderValue;

/// How many lie in the entry itself: as many as most answers have.
const HERE: usize = 6;

/// Values in order. Nothing stands behind them that a hit had to read first, such as
/// their number: what is read of an entry is seldom in the processor's caches.
#[derive(Debug, Clone, Default)]
#[repr(C)] // in this order
pub(super) struct Own {
    here: [Option<HeaderValue>; HERE],
    more: Box<[HeaderValue]>,
}

impl Own {
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = &HeaderValue> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let value = match self.here.get(next) {
                Some(value) => value.as_ref(),
                None => self.beyond(next),
            };
            next += 1;
            value
        })
    }

    /// See `Held::touch`.
    #[inline]
    pub(super) fn touch(&self) {
        std::hint::black_box(self.here[0].is_some());
    }

    #[cold]
    fn beyond(&self, number: usize) -> Option<&HeaderValue> {
        self.more.get(number - HERE)
    }

    /// Bytes of those that lie elsewhere.
    pub(super) fn weight(&self) -> usize {
        std::mem::size_of_val(&*self.more)
    }
}

impl FromIterator<HeaderValue> for Own {
    fn from_iter<T: IntoIterator<Item = HeaderValue>>(values: T) -> Self {
        let mut values = values.into_iter();
        Self {
            here: std::array::from_fn(|_| values.next()),
            more: values.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_there_however_many() {
        for many in [0_u16, 1, 5, 6, 7, 20] {
            let values = (0..many).map(HeaderValue::from);
            let own: Own = values.clone().collect();
            assert!(own.iter().eq(values.collect::<Vec<_>>().iter()), "{many}");
            assert_eq!(own.weight() > 0, many > 6);
        }
    }
}
