//! `Range` with one range of bytes, as RFC 9110 has it. More than one range, or another unit, counts as none.

/// Which part of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// From the first offset up to and without the second.
    Part(u64, u64),
    /// Nothing that exists.
    Unsatisfiable,
}

/// Reads the value of `Range` for a file of `length` bytes.
pub fn wanted(range: Option<&str>, length: u64) -> Wanted {
    let Some(spec) = range.and_then(|value| value.strip_prefix("bytes=")) else { return Wanted::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    let number =
        |text: &str| (text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u64>().ok()).flatten();
    match (first, last) {
        ("", last) => match number(last) {
            None => Wanted::Whole,
            Some(0) => Wanted::Unsatisfiable,
            Some(_) if length == 0 => Wanted::Unsatisfiable,
            Some(count) => Wanted::Part(length.saturating_sub(count), length),
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), _) if last.is_empty() && first < length => Wanted::Part(first, length),
            (Some(_), _) if last.is_empty() => Wanted::Unsatisfiable,
            (Some(first), Some(last)) if first > last => Wanted::Whole,
            (Some(first), Some(_)) if first >= length => Wanted::Unsatisfiable,
            (Some(first), Some(last)) => Wanted::Part(first, length.min(last.saturating_add(1))),
            _ => Wanted::Whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read() {
        for (range, expected) in [
            ("bytes=0-", Wanted::Part(0, 10)),
            ("bytes=3-5", Wanted::Part(3, 6)),
            ("bytes=3-99", Wanted::Part(3, 10)),
            ("bytes=-4", Wanted::Part(6, 10)),
            ("bytes=-99", Wanted::Part(0, 10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=10-12", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-3", Wanted::Whole),
            ("bytes=1-2,4-5", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes=a-", Wanted::Whole),
            ("bytes=99999999999999999999999-", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(range), 10), expected, "{range}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=-1"), 0), Wanted::Unsatisfiable);
    }
}
