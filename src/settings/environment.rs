//! The one place where the environment is read.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::Problem;

/// Environment variables by name; one that is set to nothing is there with an empty value.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's environment. A variable that is not Unicode is left out: it cannot be a
    /// setting of this program or of the SDK.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    /// The value of `name`; an empty value counts as unset.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_even_empty(name).filter(|value| !value.is_empty())
    }

    /// The value of `name`, also where it is empty.
    #[must_use]
    pub fn get_even_empty(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same environment with `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The names of the variables that begin with `prefix`.
    #[cfg(feature = "cli")]
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }

    /// The same environment without `name`.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// The variable `name`, which is one of `choices`; `default` where it is not set.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &'static str,
        default: T,
        choices: &[(&str, T)],
        problems: &mut Vec<Problem>,
    ) -> T {
        let Some(found) = self.get(name) else { return default };
        if let Some((_, value)) = choices.iter().find(|(text, _)| *text == found) {
            return *value;
        }
        let allowed: Vec<_> = choices.iter().map(|(text, _)| *text).collect();
        problems.push(Problem::malformed(name, found, &allowed.join(" or ")));
        default
    }

    /// The variable `name`, which is a whole number in `range`.
    pub(super) fn number<T>(
        &self,
        name: &'static str,
        range: RangeInclusive<T>,
        problems: &mut Vec<Problem>,
    ) -> Option<T>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let found = self.get(name)?;
        let number = found.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            problems.push(Problem::malformed(name, found, &expected));
        }
        number
    }

    /// The variable `name`, a text that `is_valid`; `expected` says what that is.
    pub(super) fn text(
        &self,
        name: &'static str,
        is_valid: impl Fn(&str) -> bool,
        expected: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<String> {
        let found = self.get(name)?;
        if !is_valid(found) {
            problems.push(Problem::malformed(name, found, expected));
        }
        Some(found.to_owned())
    }
}

// Credentials pass through here: names only.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_that_of_the_process() {
        // Cargo gives it to every test.
        assert_eq!(Environment::of_process().get("CARGO_MANIFEST_DIR"), Some(env!("CARGO_MANIFEST_DIR")));
    }

    #[test]
    fn credentials_do_not_show_in_debug_output() {
        let environment = Environment::default().with("AWS_SECRET_ACCESS_KEY", "wJalr");
        assert_eq!(format!("{environment:?}"), r#"{"AWS_SECRET_ACCESS_KEY"}"#);
    }
}
