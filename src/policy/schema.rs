//! The JSON Schema of a policy, for editors. `document` reads the same fields.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

/// Which key a stream must have, in which mode, and which streams are exempt. The first rule that
/// matches decides.
#[derive(JsonSchema)]
#[schemars(rename = "kinesis-encryption-enforcer policy", deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is wanted")]
struct Policy {
    /// The version of the format.
    #[schemars(range(min = 1, max = 1))]
    version: u64,
    /// The rules, in order of precedence.
    rules: Vec<Rule>,
    #[schemars(rename = "$schema")]
    schema: Option<String>,
}

/// One rule.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is wanted")]
struct Rule {
    /// A name that is unique in the policy. Outcomes, logs and dead letters show it.
    #[schemars(length(min = 1, max = 64))]
    name: String,
    /// Which streams the rule matches: those that meet every condition. {} matches every stream.
    r#match: Match,
    /// enforce (default): encrypt non-compliant streams. audit: only report them. exempt: do not
    /// check them.
    #[schemars(default)]
    mode: Mode,
    /// The key that the streams must have, in place of the configured one: a key ARN, a key ID, an
    /// alias name or an alias ARN.
    key: Option<String>,
    /// What to do about another customer managed key, in place of the configured behaviour.
    /// replace: re-encrypt the stream. accept: leave it if the key is enabled.
    on_other_key: Option<OnOtherKey>,
    /// Whether enforcer apply holds back streams of this rule whose users might lose access: it
    /// encrypts a stream only if a user is known, no source of users failed or has more than is read
    /// (but for the event history), and every known user may use the new key. --accept-access-loss does not override this. The function does not ask
    /// IAM, and encrypts the streams. Not allowed with mode exempt.
    require_access: Option<bool>,
    /// Why the streams are exempt. Required with mode exempt, not allowed with other modes.
    #[schemars(length(min = 1))]
    reason: Option<String>,
    /// Who is responsible for the exemption.
    owner: Option<String>,
    /// The last day (UTC) of the exemption: YYYY-MM-DD.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
    until: Option<String>,
}

/// Conditions: a stream must meet all of them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is wanted")]
struct Match {
    /// Patterns of the stream's name: * stands for any characters, ? for any single one.
    #[schemars(default)]
    stream: OneOrMore,
    /// Account IDs of 12 digits.
    #[schemars(default)]
    account: OneOrMore,
    /// Regions, such as us-east-1.
    #[schemars(default)]
    region: OneOrMore,
    /// The stream's capacity mode.
    #[schemars(default)]
    stream_mode: StreamMode,
    /// Tags that the stream must have, each with one or more patterns of its value.
    #[schemars(default, extend("minProperties" = 1))]
    tags: BTreeMap<String, OneOrMore>,
}

#[derive(Default, JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is wanted")]
enum Mode {
    #[default]
    Enforce,
    Audit,
    Exempt,
}

#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is wanted")]
enum OnOtherKey {
    Replace,
    Accept,
}

#[derive(Default, JsonSchema)]
#[schemars(inline, rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "only its schema is wanted")]
enum StreamMode {
    #[default]
    Provisioned,
    OnDemand,
}

/// A string, or a list of at least one string.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is wanted")]
enum OneOrMore {
    One(#[schemars(length(min = 1))] String),
    More(#[schemars(length(min = 1))] Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

/// The JSON Schema of a policy, for editors.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Policy).to_value();
    join_lines(&mut schema);
    schema
}

/// Joins the lines of the descriptions, which are those of the comments above.
fn join_lines(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(text) if name == "description" => *text = text.replace('\n', " "),
                    other => join_lines(other),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(join_lines),
        _ => {}
    }
}
