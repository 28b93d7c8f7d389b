//! [`WarmList`]: what is to be warmed, with the lines that could not be read.

use std::fmt::Display;

/// Longer names are cut in reports.
const NAME: usize = 120;

/// What is to be warmed. Made of anything that can be iterated, or of a text with
/// one item a line.
#[derive(Debug, Clone)]
pub struct WarmList<T> {
    pub(super) items: Vec<Item<T>>,
}

#[derive(Debug, Clone)]
pub(super) struct Item<T> {
    pub(super) at: usize,
    pub(super) name: String,
    /// What it is, or why it cannot be read.
    pub(super) what: Result<T, String>,
}

impl<T> WarmList<T> {
    /// Reads a list with one item a line. Blanks around an item, empty lines, lines
    /// that begin with `#` and a mark of the byte order at the start count for nothing. A line that `read` cannot make sense of is
    /// reported as failed by the run, with its number, and the others are warmed.
    ///
    /// ```
    /// use larder::WarmList;
    ///
    /// let list = WarmList::parse("# ids\n7\nseven\n8\n", |line| line.parse::<u64>());
    /// assert_eq!(list.len(), 3);
    /// ```
    pub fn parse<E: Display>(text: &str, read: impl Fn(&str) -> Result<T, E>) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text); // some editors' first character
        let lines = text.lines().enumerate();
        let items = lines.filter_map(|(index, line)| {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                return None;
            }
            let what = match line.chars().find(|c| c.is_control()) {
                Some(c) => Err(format!("a control character: {c:?}")),
                None => read(line).map_err(|error| error.to_string()),
            };
            let (at, name) = (index + 1, shown(line));
            Some(Item { at, name, what })
        });
        let items = items.collect();
        Self { items }
    }

    /// The items as they are, each under the name that `name` gives it.
    pub fn named(items: impl IntoIterator<Item = T>, name: impl Fn(&T) -> String) -> Self {
        let items = items.into_iter().enumerate().map(|(index, item)| Item {
            at: index + 1,
            name: shown(&name(&item)),
            what: Ok(item),
        });
        let items = items.collect();
        Self { items }
    }

    /// How many items there are, those that cannot be read included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<T: Display, I: IntoIterator<Item = T>> From<I> for WarmList<T> {
    fn from(items: I) -> Self {
        Self::named(items, T::to_string)
    }
}

/// A name as reports and logs show it: printable, and not for ever.
fn shown(name: &str) -> String {
    let printable = |c: char| match c.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => c,
    };
    let mut shown: String = name.chars().take(NAME).map(printable).collect();
    if shown.len() < name.len() && name.chars().count() > NAME {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_keeps_its_number_and_the_others_stay() {
        let text = "# who\r\n7\r\n\r\n  eight\n9 \n1\u{0}0\n";
        let list = WarmList::parse(text, |line| line.parse::<u64>());
        let seen: Vec<_> = list.items.iter().map(|i| (i.at, i.what.clone())).collect();
        assert_eq!(seen[0], (2, Ok(7)));
        assert_eq!((seen[1].0, seen[1].1.is_err()), (4, true));
        assert_eq!(seen[2], (5, Ok(9)));
        let why = seen[3].1.as_ref().unwrap_err();
        assert!(seen[3].0 == 6 && why.contains("control character"), "{why}");
        assert_eq!(list.len(), 4);
    }

    /// As some editors put it before all else.
    #[test]
    fn a_mark_of_the_byte_order_is_no_part_of_the_first_item() {
        let list = WarmList::parse("\u{feff}char_1\nchar_2\n", str::parse::<String>);
        assert_eq!(list.items[0].what.as_deref(), Ok("char_1"));
        let list = WarmList::parse("\u{feff}# who\n7\n", str::parse::<u64>);
        assert_eq!((list.len(), list.items[0].at), (1, 2));
    }

    #[test]
    fn a_long_name_is_cut_only_where_it_is_shown() {
        let list: WarmList<String> = ["x".repeat(200)].into();
        assert_eq!(list.items[0].name.chars().count(), NAME + 1);
        assert_eq!(list.items[0].what.as_ref().unwrap().len(), 200);
    }
}
