//! Texts for people: how much of a long one is shown.

/// At most `longest` characters of `text`, and an ellipsis where there were more.
#[must_use]
pub fn shorten(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        for (longest, shortened) in [(0, "…"), (2, "fü…"), (3, "für"), (4, "für")] {
            assert_eq!(shorten("für", longest), shortened);
        }
    }
}
