//! The frames of Redis' protocol (RESP2 and RESP3), as far as a proxy needs them:
//! where one ends, and the words of a command.

/// The length of the frame that `bytes` begin with, once all of it is there.
pub fn frame(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse().ok();
    match bytes[0] {
        b'$' | b'=' | b'!' => {
            let length: i64 = number()?;
            let whole = line + usize::try_from(length).map_or(0, |length| length + 2);
            (bytes.len() >= whole).then_some(whole)
        }
        kind @ (b'*' | b'%' | b'~' | b'>' | b'|') => {
            let items: i64 = number()?;
            let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
            let mut end = line;
            for _ in 0..items.max(0) * each {
                end += frame(&bytes[end..])?;
            }
            Some(end)
        }
        _ => Some(line),
    }
}

/// The words of a command, or of a message that was published.
pub fn words(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let skip = |bytes: &[u8]| bytes.windows(2).position(|pair| pair == b"\r\n");
    let Some(head) = skip(bytes) else {
        return words;
    };
    bytes = &bytes[head + 2..];
    while let Some(length) = frame(bytes) {
        let line = skip(bytes).map_or(0, |at| at + 2);
        let word = match bytes[0] {
            b'$' => bytes.get(line..length.saturating_sub(2)),
            _ => bytes.get(1..line.saturating_sub(2)),
        };
        words.push(word.unwrap_or_default().to_vec());
        bytes = &bytes[length..];
    }
    words
}

/// Whether a frame is something that nobody has asked for.
pub fn is_push(bytes: &[u8]) -> bool {
    let told = |words: Vec<Vec<u8>>| words.first().is_some_and(|kind| kind == b"message");
    bytes[0] == b'>' || (bytes[0] == b'*' && told(words(bytes)))
}

/// A command of these words.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[test]
fn frames_end_where_they_end() {
    let whole = command(&[b"SET", b"a\r\nb", b""]);
    for cut in 1..whole.len() {
        assert_eq!(frame(&whole[..cut]), None, "{cut}");
    }
    assert_eq!(frame(&whole), Some(whole.len()));
    assert_eq!(words(&whole), [&b"SET"[..], b"a\r\nb", b""]);
    for (bytes, push) in [
        (&b"+OK\r\n"[..], false),
        (b"$-1\r\n", false),
        (b"*-1\r\n", false),
        (b"%1\r\n+a\r\n:1\r\n", false),
        (b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n", true),
        (b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n", true),
    ] {
        assert_eq!(frame(bytes), Some(bytes.len()));
        assert_eq!(is_push(bytes), push);
    }
}
