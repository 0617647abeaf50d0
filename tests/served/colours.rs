//! The colours of the program, which it prints where they are asked for.

/// What is left of `printed` without the colours of the program.
pub(crate) fn without_colours(printed: &str) -> String {
    let mut parts = printed.split("\u{1b}[");
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|character: char| !character.is_ascii_digit() && character != ';').expect("an end");
        assert_eq!(&part[end..=end], "m", "an escape sequence that is no colour: {part}");
        left.push_str(&part[end + 1..]);
    }
    left
}
