//! Reads the fields of a JSON request and checks them like the services do.

use serde_json::{Map, Value};

use super::service_error::ServiceError;

/// The fields of a request. Each method checks the field that it reads.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a>(pub(crate) &'a Map<String, Value>);

impl<'a> Input<'a> {
    /// A string; JSON `null` counts as absent.
    pub(crate) fn text(self, member: &str) -> Result<Option<&'a str>, ServiceError> {
        self.typed(member, Value::as_str, "a string")
    }

    /// A required string of `1..=longest` characters.
    pub(crate) fn required(self, member: &str, longest: usize) -> Result<&'a str, ServiceError> {
        let text = self
            .text(member)?
            .ok_or_else(|| ServiceError::validation("null", &camel(member), "Member must not be null"))?;
        match text.chars().count() {
            0 => Err(ServiceError::validation(
                text,
                &camel(member),
                "Member must have length greater than or equal to 1",
            )),
            length if length > longest => Err(ServiceError::validation(
                text,
                &camel(member),
                &format!("Member must have length less than or equal to {longest}"),
            )),
            _ => Ok(text),
        }
    }

    /// A string that must be one of `values`.
    pub(crate) fn one_of(self, member: &str, values: &[&str]) -> Result<Option<&'a str>, ServiceError> {
        match self.text(member)? {
            Some(text) if !values.contains(&text) => {
                let constraint = format!("Member must satisfy enum value set: [{}]", values.join(", "));
                Err(ServiceError::validation(text, &camel(member), &constraint))
            }
            text => Ok(text),
        }
    }

    /// An integer from `least` to `most`.
    pub(crate) fn number(self, member: &str, least: u32, most: u32) -> Result<Option<u32>, ServiceError> {
        let Some(number) = self.typed(member, Value::as_i64, "a number")? else { return Ok(None) };
        if number < i64::from(least) {
            let constraint = format!("Member must have value greater than or equal to {least}");
            return Err(ServiceError::validation(&number.to_string(), &camel(member), &constraint));
        }
        match u32::try_from(number) {
            Ok(number) if number <= most => Ok(Some(number)),
            _ => {
                let constraint = format!("Member must have value less than or equal to {most}");
                Err(ServiceError::validation(&number.to_string(), &camel(member), &constraint))
            }
        }
    }

    /// A boolean; absent means false.
    pub(crate) fn flag(self, member: &str) -> Result<bool, ServiceError> {
        Ok(self.typed(member, Value::as_bool, "a boolean")?.unwrap_or(false))
    }

    /// A map or a structure.
    pub(crate) fn object(self, member: &str) -> Result<Option<&'a Map<String, Value>>, ServiceError> {
        self.typed(member, Value::as_object, "an object")
    }

    /// A list; absent means empty.
    pub(crate) fn list(self, member: &str) -> Result<&'a [Value], ServiceError> {
        Ok(self.typed(member, Value::as_array, "a list")?.map_or(&[], Vec::as_slice))
    }

    /// A map of strings; absent means empty.
    pub(crate) fn texts(self, member: &str) -> Result<Vec<(&'a str, &'a str)>, ServiceError> {
        let Some(map) = self.object(member)? else { return Ok(Vec::new()) };
        map.iter()
            .map(|(key, value)| Ok((key.as_str(), value.as_str().ok_or_else(|| mistyped(member, "a string"))?)))
            .collect()
    }

    fn typed<T>(
        self,
        member: &str,
        read: impl Fn(&'a Value) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, ServiceError> {
        match self.0.get(member) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| mistyped(member, expected)),
        }
    }
}

/// The elements of a list of strings.
pub(crate) fn each_text<'a>(member: &str, list: &'a [Value]) -> Result<Vec<&'a str>, ServiceError> {
    list.iter().map(|value| value.as_str().ok_or_else(|| mistyped(member, "a string"))).collect()
}

/// The elements of a list of structures.
pub(crate) fn each_object<'a>(member: &str, list: &'a [Value]) -> Result<Vec<Input<'a>>, ServiceError> {
    list.iter().map(|value| value.as_object().map(Input).ok_or_else(|| mistyped(member, "an object"))).collect()
}

/// A field's name as validation messages and CloudTrail write it, with the first character in lower
/// case: `streamName`, `streamARN`.
pub(crate) fn camel(member: &str) -> String {
    let mut letters = member.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn mistyped(member: &str, expected: &str) -> ServiceError {
    ServiceError::new("SerializationException", format!("{member} is not {expected}"))
}
