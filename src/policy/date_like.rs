//! Texts that look like the end of an exemption, or like a date in whatever form. Pure.
//!
//! Only `until=YYYY-MM-DD` ends an exemption. A date in another form must not pass as part of the
//! reason: the exemption would then have no end, though its author meant one. So this finds rather
//! too much than too little, except in the numbers of tickets, versions and accounts.

/// Words before a year that stands alone, as in "end of 2027".
const BEFORE_A_YEAR: [&str; 9] = ["by", "before", "through", "thru", "end", "eoy", "in", "to", "year"];

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Words in the middle of a date, as in "31st of December".
const FILLERS: [&str; 6] = ["st", "nd", "rd", "th", "of", "the"];

/// The zeros of decimal digits that are not ASCII, and that tags may have: Arabic, Persian,
/// Devanagari and full-width.
const ZEROS: [u32; 4] = [0x660, 0x6F0, 0x966, 0xFF10];

/// Whether `text` holds a date in any form, or a word that announces an end.
pub(super) fn looks_like_an_end(text: &str) -> bool {
    let text: String = text.chars().flat_map(char::to_lowercase).map(ascii_digit).collect();
    let tokens = tokens(&text);
    let alone = tokens.len() == 1;
    has_short_date(&text)
        || (0..tokens.len()).any(|at| {
            let before = |steps: usize| at.checked_sub(steps).and_then(|at| tokens.get(at).copied());
            let after = |steps: usize| tokens.get(at + steps).copied();
            match tokens.get(at).copied() {
                Some(Token::Word(word)) if announces_an_end(word) => true,
                Some(Token::Word(word)) if is_month(word) => {
                    [before(1), after(1)].into_iter().flatten().any(Token::is_day_or_year)
                }
                Some(Token::Number(number)) if is_compact_date(number) => true,
                Some(Token::Number(number)) if is_year(number) => {
                    let named = matches!(before(1), Some(Token::Word(word)) if BEFORE_A_YEAR.contains(&word));
                    let near = [(before(1), before(2)), (after(1), after(2))];
                    // One character may stand between, as in 2027-W05 and 2027Q4.
                    let near = near.into_iter().any(|(next, second)| match next {
                        Some(Token::Word(word)) if word.chars().count() == 1 => second.is_some_and(Token::is_day),
                        Some(next) => next.is_day(),
                        None => false,
                    });
                    // "Q4 2027"
                    let quarter =
                        matches!((before(2), before(1)), (Some(Token::Word("q" | "h")), Some(Token::Number(_))));
                    alone || named || near || quarter
                }
                _ => false,
            }
        })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Number(&'a str),
}

impl Token<'_> {
    /// Whether this may be a day, a month or a week.
    fn is_day(self) -> bool {
        matches!(self, Self::Number(number) if number.len() <= 2 && in_range(number, 1, 53))
    }

    fn is_day_or_year(self) -> bool {
        self.is_day() || matches!(self, Self::Number(number) if is_year(number))
    }
}

/// The runs of alphabetic characters and of digits in `text`, without [`FILLERS`].
fn tokens(text: &str) -> Vec<Token<'_>> {
    let kind = |char: char| if char.is_ascii_digit() { Some(true) } else { char.is_alphabetic().then_some(false) };
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let kind_of_first = kind(first);
        let end = rest.find(|char| kind(char) != kind_of_first).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        match kind_of_first {
            Some(true) => tokens.push(Token::Number(run)),
            Some(false) if !FILLERS.contains(&run) => tokens.push(Token::Word(run)),
            Some(false) | None => {}
        }
    }
    tokens
}

fn announces_an_end(word: &str) -> bool {
    word.contains("until") || word.starts_with("expir") || matches!(word, "till" | "til")
}

/// A month, or its abbreviation of three or four characters.
fn is_month(word: &str) -> bool {
    word.len() >= 3 && MONTHS.iter().any(|month| *month == word || word.len() <= 4 && month.starts_with(word))
}

fn is_year(number: &str) -> bool {
    number.len() == 4 && in_range(number, 1900, 2199)
}

/// `YYYYMMDD`, `DDMMYYYY` or `YYYYMM`.
fn is_compact_date(number: &str) -> bool {
    let part = |from: usize, to: usize| number.get(from..to).unwrap_or_default();
    let is_month = |month| in_range(month, 1, 12);
    let is_day = |day| in_range(day, 1, 31);
    match number.len() {
        8 => {
            is_year(part(0, 4)) && is_month(part(4, 6)) && is_day(part(6, 8))
                || is_day(part(0, 2)) && is_month(part(2, 4)) && is_year(part(4, 8))
        }
        6 => in_range(part(0, 4), 2000, 2099) && is_month(part(4, 6)),
        _ => false,
    }
}

/// Whether `text` has a date whose year has two digits, such as `31.12.27`, `12/31/27` or
/// `27-12-31`. Versions and addresses such as `1.14.10` and `10.0.12.7` are none.
fn has_short_date(text: &str) -> bool {
    let runs = text.split(|char: char| !char.is_ascii_digit() && !"./-".contains(char));
    runs.map(|run| run.trim_matches(['.', '/', '-'])).any(|run| {
        let separator = run.chars().find(|char| !char.is_ascii_digit()).unwrap_or('.');
        let parts: Vec<_> = run.split(separator).collect();
        let [first, second, last] = parts[..] else { return false };
        let short = |part: &str| matches!(part.len(), 1 | 2);
        let by_day = in_range(first, 1, 31) && in_range(second, 1, 12) && in_range(last, 20, 99);
        let by_month = in_range(first, 1, 12) && in_range(second, 1, 31) && in_range(last, 20, 99);
        let by_year = in_range(first, 20, 99) && in_range(second, 1, 12) && in_range(last, 1, 31);
        [first, second, last].into_iter().all(short) && (by_day || separator != '.' && (by_month || by_year))
    })
}

fn in_range(number: &str, least: u32, most: u32) -> bool {
    number.bytes().all(|byte| byte.is_ascii_digit())
        && number.parse::<u32>().is_ok_and(|number| (least..=most).contains(&number))
}

fn ascii_digit(char: char) -> char {
    let digit = ZEROS.iter().find_map(|zero| u32::from(char).checked_sub(*zero).filter(|digit| *digit < 10));
    digit.and_then(|digit| char::from_digit(digit, 10)).unwrap_or(char)
}
