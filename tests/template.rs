//! template.yaml, and deploy/member-role.yaml for member accounts, against the code: what the
//! function is given, may do and is told, and which rule delivers which event.
//!
//! A template is evaluated for a set of parameters, as CloudFormation would, in account
//! 111122223333 and Region us-east-1.

#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests fails as a test does")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use kinesis_encryption_enforcer::aws::{ACTIONS, rate_limit};
use kinesis_encryption_enforcer::decide::denials::HISTORY_LAG;
use kinesis_encryption_enforcer::domain::denial::Denial;
use kinesis_encryption_enforcer::settings::{
    DEFAULT_EXEMPT_TAG_KEY, DEFAULT_IAC_GRACE, DEFAULT_MAX_RECEIVES, DEFAULT_METRICS_NAMESPACE, Environment,
    OnKeyRotation, RESERVE, SUPPORTED, Settings, WorkQueueSettings,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

const OWN_ROLE: &str = "arn:aws:iam::111122223333:role/kinesis-encryption-enforcer";
const STACK_ID: &str =
    "arn:aws:cloudformation:us-east-1:111122223333:stack/enforcer/0a1b2c3d-4e5f-6789-abcd-ef0123456789";
const QUEUE_URL: &str = "https://sqs.us-east-1.amazonaws.com/111122223333/dead-letters";
const WORK_QUEUE_URL: &str = "https://sqs.us-east-1.amazonaws.com/111122223333/work";
const DENIALS_QUEUE_URL: &str = "https://sqs.us-east-1.amazonaws.com/111122223333/denials";
const ACCESS_STATE_NAME: &str = "/kinesis-encryption-enforcer/enforcer/access-state";
const ACCESS_STATE: &str =
    "arn:aws:ssm:us-east-1:111122223333:parameter/kinesis-encryption-enforcer/enforcer/access-state";
/// The rule of denied calls: its events go to a queue of their own, and nothing of them is kept.
const DENIED_RULE: &str = "AccessDeniedRule";
const STREAMS: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/*";
const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const KEY_ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const KEYS_HERE: &str = "arn:aws:kms:us-east-1:111122223333:key/*";
const MEMBERS: [(&str, &str); 3] = [
    ("MemberRoleName", "security/enforcer"),
    ("MemberAccounts", "444455556666,777788889999"),
    ("MemberExternalId", EXTERNAL_ID),
];
const EXTERNAL_ID: &str = "orders-7";
const MANAGED_ALIAS: &str = "arn:aws:kms:us-east-1:111122223333:alias/aws/kinesis";
const FOREIGN_KEY: &str = "arn:aws:kms:us-east-1:444455556666:key/0987dcba-09fe-87dc-65ba-ab0987654321";

const HUB_BUS: &str = "arn:aws:events:us-east-1:111122223333:event-bus/default";

/// What Lambda itself does with the role: no call in the code stands for it. It writes the log, and
/// its event source mapping polls the work queue.
const LAMBDAS_ACTIONS: [&str; 5] =
    ["logs:CreateLogStream", "logs:PutLogEvents", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];

/// The actions that know no resources (Service Authorization Reference), so that `"*"` is the
/// narrowest there is.
const ON_EVERYTHING: [&str; 3] = ["cloudtrail:LookupEvents", "kinesis:ListStreams", "tag:GetResources"];

/// What the rules deliver. `files`: every file of `events/`, and the rule that delivers it; the
/// schedule, people and queues deliver the others, or nobody does. `variations`: one value of a
/// file changed, and whether the rule still delivers it. The emulator tests hold a pattern matcher
/// that nobody here wrote to the same list.
const DELIVERED: &str = include_str!("template/delivered.json");

fn delivered() -> Value {
    serde_json::from_str(DELIVERED).expect("JSON")
}

/// Every file of `events/`, and the rule that delivers it.
fn delivered_by() -> BTreeMap<String, Option<String>> {
    serde_json::from_value(delivered()["files"].take()).expect("names of rules by names of files")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn event(name: &str) -> Value {
    let path = root().join("events").join(format!("{name}.json"));
    serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A template as it is written: a mapping keeps its order.
fn parsed(file: &str) -> Yaml {
    serde_yaml_ng::from_str(&read(&root().join(file))).expect("YAML")
}

/// The template, with CloudFormation's short tags written out: `!Ref X` is `{"Ref": "X"}`, `!GetAtt
/// X.Y` is `{"Fn::GetAtt": "X.Y"}`.
fn template() -> Value {
    template_in("template.yaml")
}

fn template_in(file: &str) -> Value {
    fn plain(yaml: Yaml) -> Value {
        match yaml {
            Yaml::Sequence(items) => items.into_iter().map(plain).collect(),
            Yaml::Mapping(mapping) => Value::Object(
                mapping
                    .into_iter()
                    .map(|(key, value)| (key.as_str().expect("a text as key").to_owned(), plain(value)))
                    .collect(),
            ),
            Yaml::Tagged(tagged) => {
                let tag = tagged.tag.to_string();
                let tag = tag.trim_start_matches('!');
                let name = if tag == "Ref" { tag.to_owned() } else { format!("Fn::{tag}") };
                json!({ name: plain(tagged.value) })
            }
            scalar => serde_json::to_value(scalar).expect("a scalar"),
        }
    }
    plain(parsed(file))
}

/// The template as CloudFormation would deploy it with some parameters.
struct Stack {
    template: Value,
    parameters: BTreeMap<String, String>,
}

impl Stack {
    fn new(given: &[(&str, &str)]) -> Self {
        Self::of(template(), &[&[("KmsKeyId", KEY_ARN), ("Mode", "enforce")], given].concat())
    }

    /// What a member account gets.
    fn in_member(given: &[(&str, &str)]) -> Self {
        Self::of(
            template_in("deploy/member-role.yaml"),
            &[&[("FunctionRoleArn", OWN_ROLE), ("ExternalId", EXTERNAL_ID), ("Mode", "enforce")], given].concat(),
        )
    }

    fn of(template: Value, given: &[(&str, &str)]) -> Self {
        let mut parameters = BTreeMap::new();
        for (name, parameter) in template["Parameters"].as_object().expect("parameters") {
            if let Some(default) = parameter.get("Default") {
                parameters.insert(name.clone(), default.as_str().map_or_else(|| default.to_string(), str::to_owned));
            }
        }
        for (name, value) in given {
            assert!(template["Parameters"].get(name).is_some(), "no parameter {name}");
            parameters.insert((*name).to_owned(), (*value).to_owned());
        }
        Self { template, parameters }
    }

    /// The resources that are made, by logical id, each with its `Type` and `Properties`.
    fn resources(&self) -> BTreeMap<String, Value> {
        let resources = self.template["Resources"].as_object().expect("resources");
        let made = resources
            .iter()
            .filter(|(_, resource)| resource["Condition"].as_str().is_none_or(|condition| self.holds(condition)));
        made.map(|(id, resource)| (id.clone(), self.value(resource).expect("a resource"))).collect()
    }

    fn of_type(&self, resource_type: &str) -> BTreeMap<String, Value> {
        let wanted = |resource: &Value| resource["Type"] == resource_type;
        self.resources()
            .into_iter()
            .filter(|(_, resource)| wanted(resource))
            .map(|(id, mut resource)| (id, resource["Properties"].take()))
            .collect()
    }

    fn properties(&self, id: &str) -> Value {
        self.resources().get(id).unwrap_or_else(|| panic!("no resource {id}"))["Properties"].clone()
    }

    /// The statements of the policies that the function's role has.
    fn statements(&self) -> Vec<Value> {
        let role = self.properties("Role");
        assert!(role.get("Policies").is_none(), "an inline policy that this test would not see");
        let policies = strings(&role["ManagedPolicyArns"]);
        let attached: BTreeSet<_> = policies.iter().map(|policy| policy.trim_matches(['<', '>']).to_owned()).collect();
        let made: BTreeSet<_> = self.of_type("AWS::IAM::ManagedPolicy").into_keys().collect();
        assert_eq!(attached, made, "policies attached to the role, and policies made");
        policies
            .iter()
            .flat_map(|policy| {
                let statements = self.properties(policy.trim_matches(['<', '>']))["PolicyDocument"]["Statement"].take();
                statements.as_array().expect("statements").clone()
            })
            .collect()
    }

    fn actions(&self) -> BTreeSet<String> {
        self.statements().iter().flat_map(|statement| strings(&statement["Action"])).collect()
    }

    /// The resources of all statements that allow `action`.
    fn may(&self, action: &str) -> BTreeSet<String> {
        let statements = self.statements();
        let with =
            statements.iter().filter(|statement| strings(&statement["Action"]).iter().any(|found| found == action));
        with.flat_map(|statement| strings(&statement["Resource"])).collect()
    }

    fn holds(&self, condition: &str) -> bool {
        let value =
            self.value(&self.template["Conditions"][condition]).unwrap_or_else(|| panic!("condition {condition}"));
        value.as_bool().unwrap_or_else(|| panic!("condition {condition} is {value}"))
    }

    /// What `value` comes to; `None` stands for `AWS::NoValue`. A function that is not known fails
    /// the test.
    fn value(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(items) => Some(items.iter().filter_map(|item| self.value(item)).collect()),
            Value::Object(object) => match object.iter().next() {
                Some((name, argument)) if object.len() == 1 && (name == "Ref" || name.starts_with("Fn::")) => {
                    self.function(name, argument)
                }
                _ => Some(Value::Object(
                    object.iter().filter_map(|(key, value)| Some((key.clone(), self.value(value)?))).collect(),
                )),
            },
            plain => Some(plain.clone()),
        }
    }

    fn function(&self, name: &str, argument: &Value) -> Option<Value> {
        if name == "Fn::If" {
            let branch = if self.holds(argument[0].as_str().expect("a condition's name")) { 1 } else { 2 };
            return self.value(&argument[branch]);
        }
        if name == "Ref" && argument == "AWS::NoValue" {
            return None;
        }
        let argument = self.value(argument)?;
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{name} of {value}")).to_owned();
        Some(match name {
            "Ref" => self.reference(&text(&argument)),
            "Fn::GetAtt" if argument == "Role.Arn" => json!(OWN_ROLE),
            "Fn::GetAtt" => json!(format!("<{}>", text(&argument))),
            "Fn::Sub" => {
                let (sentence, variables) =
                    if argument.is_array() { (&argument[0], &argument[1]) } else { (&argument, &Value::Null) };
                let mut pieces = Vec::new();
                for piece in text(sentence).split("${") {
                    match piece.split_once('}') {
                        Some((variable, rest)) if !pieces.is_empty() => {
                            let value = variables.get(variable).cloned().unwrap_or_else(|| self.reference(variable));
                            pieces.push(text(&value) + rest);
                        }
                        _ => pieces.push(piece.to_owned()),
                    }
                }
                json!(pieces.concat())
            }
            "Fn::Join" => json!(strings(&argument[1]).join(&text(&argument[0]))),
            "Fn::Split" => text(&argument[1]).split(&text(&argument[0])).collect(),
            "Fn::Select" => {
                argument[1][usize::try_from(argument[0].as_u64().expect("an index")).expect("a small index")].clone()
            }
            "Fn::Equals" => json!(argument[0] == argument[1]),
            "Fn::Not" => json!(!argument[0].as_bool().expect("a condition")),
            "Fn::And" => json!(argument.as_array().expect("conditions").iter().all(|one| one == true)),
            "Fn::Or" => json!(argument.as_array().expect("conditions").iter().any(|one| one == true)),
            "Fn::Condition" => json!(self.holds(&text(&argument))),
            other => panic!("this test does not know {other}"),
        })
    }

    fn reference(&self, name: &str) -> Value {
        let list = self.template["Parameters"][name]["Type"] == "CommaDelimitedList";
        match (name, self.parameters.get(name)) {
            ("AWS::Partition", _) => json!("aws"),
            ("AWS::Region", _) => json!("us-east-1"),
            ("AWS::AccountId", _) => json!("111122223333"),
            ("AWS::StackName", _) => json!("enforcer"),
            ("AWS::StackId", _) => json!(STACK_ID),
            ("DeadLetterQueue", _) => json!(QUEUE_URL),
            ("WorkQueue", _) => json!(WORK_QUEUE_URL),
            ("AccessDenialsQueue", _) => json!(DENIALS_QUEUE_URL),
            ("AccessState", _) => json!(ACCESS_STATE_NAME),
            (attribute, _) if attribute.contains('.') => json!(format!("<{attribute}>")),
            (_, Some(value)) if list => value.split(',').collect(),
            (_, Some(value)) => json!(value),
            _ => {
                assert!(self.template["Resources"].get(name).is_some(), "Ref of {name}, which is nothing");
                json!(format!("<{name}>"))
            }
        }
    }
}

/// A text, or a list of texts.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("{item} is no text")).to_owned()).collect()
        }
        other => panic!("{other} is neither a text nor a list"),
    }
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Whether an EventBridge pattern matches.
///
/// Source: *EventBridge User Guide, Creating event patterns*. In the event, an array stands for any
/// of its elements; objects in an array are matched one by one. An operator that is not known fails
/// the test.
fn matches(pattern: &Value, event: &Value) -> bool {
    pattern.as_object().expect("a pattern is an object").iter().all(|(field, wanted)| match wanted {
        Value::Array(alternatives) if field == "$or" => {
            alternatives.iter().any(|alternative| matches(alternative, event))
        }
        Value::Array(alternatives) => {
            let values: Vec<&Value> = match event.get(field) {
                None => vec![],
                Some(Value::Array(elements)) => elements.iter().collect(),
                Some(value) => vec![value],
            };
            assert!(
                values.iter().all(|value| !value.is_object()),
                "{field} is compared with a value, but the event has an object there"
            );
            alternatives.iter().any(|alternative| alternative_matches(alternative, &values))
        }
        Value::Object(_) => match event.get(field) {
            Some(Value::Array(elements)) => elements.iter().any(|element| matches(wanted, element)),
            Some(value) => matches(wanted, value),
            None => matches(wanted, &Value::Null),
        },
        other => panic!("{field}: {other} is neither a list nor an object"),
    })
}

fn alternative_matches(alternative: &Value, values: &[&Value]) -> bool {
    let Value::Object(operator) = alternative else { return values.contains(&alternative) };
    let [(name, operand)] = operator.iter().collect::<Vec<_>>()[..] else {
        panic!("{alternative} is not one operator")
    };
    let text = || operand.as_str().unwrap_or_else(|| panic!("{name} of {operand}"));
    let mut texts = values.iter().filter_map(|value| value.as_str());
    match name.as_str() {
        "exists" => operand.as_bool().expect("exists is true or false") != values.is_empty(),
        "prefix" => texts.any(|value| value.starts_with(text())),
        "suffix" => texts.any(|value| value.ends_with(text())),
        "anything-but" => {
            let excluded = strings(operand);
            values.iter().any(|value| value.as_str().is_none_or(|value| !excluded.iter().any(|other| other == value)))
        }
        other => panic!("this test does not know the operator {other}"),
    }
}

#[test]
fn the_function_gets_exactly_the_variables_that_the_code_reads() {
    let function = Stack::new(&[]).properties("Function");
    let variables = function["Environment"]["Variables"].as_object().expect("variables");
    assert_eq!(variables.keys().cloned().collect::<BTreeSet<_>>(), set(&SUPPORTED));
}

#[test]
fn the_code_accepts_what_the_template_sets_by_default_and_both_have_the_same_defaults() {
    let environment = |given: &[(&str, &str)]| {
        let function = Stack::new(given).properties("Function");
        let variables = function["Environment"]["Variables"].as_object().expect("variables").clone();
        variables.iter().fold(Environment::default(), |environment, (name, value)| {
            environment.with(name, value.as_str().expect("a text"))
        })
    };
    let by_template = Settings::from_environment(&environment(&[])).expect("accepted");
    assert_eq!(by_template.exempt_tag_key.as_deref(), Some(DEFAULT_EXEMPT_TAG_KEY));
    assert_eq!(by_template.metrics_namespace, DEFAULT_METRICS_NAMESPACE);
    assert_eq!(
        (by_template.own_role_arn.as_deref(), by_template.failure_queue_url.as_deref()),
        (Some(OWN_ROLE), Some(QUEUE_URL))
    );
    assert_eq!((by_template.on_key_rotation, by_template.iac_grace), (OnKeyRotation::Verify, DEFAULT_IAC_GRACE));
    let work_queue = WorkQueueSettings { url: WORK_QUEUE_URL.to_owned(), max_receives: DEFAULT_MAX_RECEIVES };
    assert_eq!(by_template.work_queue, Some(work_queue));
    let by_code = Settings::from_environment(&Environment::default().with("KMS_KEY_ID", KEY_ARN)).expect("accepted");
    let denials_queue = by_template.denials_queue_url.as_deref();
    assert_eq!(
        (denials_queue, by_template.access_state_parameter.as_deref()),
        (Some(DENIALS_QUEUE_URL), Some(ACCESS_STATE_NAME))
    );
    let of_the_stack = Settings { own_role_arn: None, failure_queue_url: None, work_queue: None, ..by_template };
    assert_eq!(Settings { denials_queue_url: None, access_state_parameter: None, ..of_the_stack }, by_code);

    for (parameter, values) in template()["Parameters"].as_object().expect("parameters") {
        let choices =
            values["AllowedValues"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let bounds = ["MinValue", "MaxValue"].into_iter().filter_map(|bound| values.get(bound)).map(Value::to_string);
        for value in choices.chain(bounds) {
            let settings = Settings::from_environment(&environment(&[(parameter, &value)]));
            assert!(settings.is_ok(), "{parameter}={value}: {settings:?}");
        }
    }
}

#[test]
fn the_role_may_do_what_the_code_calls_and_nothing_else() {
    let mut calls = set(&[&ACTIONS[..], &LAMBDAS_ACTIONS].concat());
    let everything = [
        ("KmsKeyArns", FOREIGN_KEY),
        ("OnOtherKey", "accept"),
        ("PolicyParameter", "/kinesis/policy"),
        ("OutcomeEventBus", "default"),
    ];
    assert_eq!(Stack::new(&[&everything[..], &MEMBERS].concat()).actions(), calls);
    calls.remove("sts:AssumeRole");
    calls.remove("events:PutEvents");
    assert_eq!(Stack::new(&[]).actions(), calls);
    calls.remove("ssm:GetParameter");
    calls.remove("ssm:PutParameter");
    assert_eq!(Stack::new(&[("WatchAccess", "false")]).actions(), calls);
}

#[test]
fn of_parameters_the_role_may_read_the_one_that_holds_the_policy() {
    for (name, path) in [("/kinesis/policy", "/kinesis/policy"), ("policy", "/policy")] {
        let arn = format!("arn:aws:ssm:us-east-1:111122223333:parameter{path}");
        let stack = Stack::new(&[("PolicyParameter", name)]);
        assert_eq!(stack.may("ssm:GetParameter"), set(&[&arn, ACCESS_STATE]));
        assert_eq!(stack.may("ssm:PutParameter"), set(&[ACCESS_STATE]));
    }
}

#[test]
fn of_roles_the_function_may_take_on_the_members_and_only_where_there_are_members() {
    let stack = Stack::new(&MEMBERS);
    assert_eq!(stack.may("sts:AssumeRole"), set(&["arn:aws:iam::*:role/security/enforcer"]));
    let statements = stack.statements();
    let statement = statements.iter().find(|statement| statement["Action"] == "sts:AssumeRole").expect("a statement");
    let accounts = json!({"StringEqualsIfExists": {"aws:ResourceAccount": ["444455556666", "777788889999"]}});
    assert_eq!(statement["Condition"], accounts);
    assert_eq!(Stack::new(&[]).of_type("AWS::Events::EventBusPolicy").len(), 0);
}

/// Source: `events:source` is multi-valued, and `ForAllValues` holds where the key is absent:
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html>
fn of_these_sources_alone(sources: &Value) -> Map<String, Value> {
    let condition = json!({
        "ForAllValues:StringEquals": {"events:source": sources},
        "Null": {"events:source": "false"},
    });
    condition.as_object().expect("an object").clone()
}

#[test]
fn members_may_only_forward_events_to_the_default_bus_and_only_of_the_sources_that_their_rules_match() {
    let policies = Stack::new(&MEMBERS).of_type("AWS::Events::EventBusPolicy");
    let mut condition = of_these_sources_alone(&json!(["aws.kinesis", "aws.kms"]));
    condition.insert("Bool".to_owned(), json!({"events:eventBusInvocation": "true"}));
    let expected = json!({
        "EventBusName": "default",
        "StatementId": "member-accounts-0a1b2c3d-4e5f-6789-abcd-ef0123456789",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": ["444455556666", "777788889999"]},
            "Action": "events:PutEvents",
            "Resource": HUB_BUS,
            "Condition": condition,
        },
    });
    assert_eq!(policies.into_values().collect::<Vec<_>>(), [expected]);
    let forwarded: BTreeSet<_> = Stack::in_member(&[])
        .of_type("AWS::Events::Rule")
        .values()
        .flat_map(|rule| strings(&rule["EventPattern"]["source"]))
        .collect();
    assert_eq!(forwarded, set(&["aws.kinesis", "aws.kms"]));
}

#[test]
fn the_statement_id_of_the_bus_policy_is_short_enough_however_long_the_name_of_the_stack() {
    // The longest name that CloudFormation accepts. EventBridge accepts 64 characters.
    let long_id = STACK_ID.replace("/enforcer/", &format!("/{}/", "x".repeat(128)));
    let policy = &template()["Resources"]["MemberEventsPolicy"]["Properties"]["StatementId"];
    let statement_id = Stack::new(&MEMBERS).value(policy).expect("a value");
    let statement_id = statement_id.as_str().expect("a text");
    assert!(statement_id.len() <= 64, "{statement_id}");
    assert!(!policy.to_string().contains("AWS::StackName"), "{policy}");
    assert!(long_id.rsplit('/').next().is_some_and(|id| statement_id.ends_with(id)), "{statement_id}");
}

#[test]
fn the_function_publishes_under_its_own_source_alone() {
    let statements = Stack::new(&[("OutcomeEventBus", "default")]).statements();
    let statement = statements.iter().find(|statement| statement["Action"] == "events:PutEvents").expect("a statement");
    let own = of_these_sources_alone(&json!("kinesis-encryption-enforcer"));
    assert_eq!(statement["Condition"], Value::Object(own));
}

#[test]
fn the_function_gets_its_members_as_the_code_reads_them() {
    let function = Stack::new(&MEMBERS).properties("Function");
    let variables = function["Environment"]["Variables"].as_object().expect("variables").clone();
    let environment = variables.iter().fold(Environment::default(), |environment, (name, value)| {
        environment.with(name, value.as_str().expect("a text"))
    });
    let members = Settings::from_environment(&environment).expect("accepted").members.expect("members");
    assert_eq!(
        (members.accounts, members.external_id.as_str()),
        (vec!["444455556666".to_owned(), "777788889999".to_owned()], EXTERNAL_ID)
    );
    assert_eq!(members.role_name, "security/enforcer");
}

/// The statements of a member's role.
fn member_statements(given: &[(&str, &str)]) -> Vec<Value> {
    let role = Stack::in_member(given).properties("MemberRole");
    assert!(role.get("ManagedPolicyArns").is_none(), "a policy that this test would not see");
    let policies = role["Policies"].as_array().expect("policies").clone();
    policies
        .iter()
        .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().expect("statements").clone())
        .collect()
}

#[test]
fn the_role_in_a_member_may_do_what_the_code_does_there_and_nothing_else() {
    // Queues, bus, policy parameter and the taking on of roles are the function's own account's.
    let at_home = [
        "events:PutEvents",
        "sqs:ChangeMessageVisibility",
        "sqs:GetQueueAttributes",
        "sqs:SendMessage",
        "ssm:GetParameter",
        "ssm:PutParameter",
        "sts:AssumeRole",
    ];
    let mut calls = set(&ACTIONS);
    for action in at_home {
        assert!(calls.remove(action), "{action}");
    }
    let actions = |statements: &[Value]| {
        statements.iter().flat_map(|statement| strings(&statement["Action"])).collect::<BTreeSet<_>>()
    };
    assert_eq!(actions(&member_statements(&[])), calls);
    assert_eq!(actions(&member_statements(&[("KmsKeyArns", FOREIGN_KEY)])), calls);
    calls.remove("kinesis:StartStreamEncryption");
    calls.remove("cloudtrail:LookupEvents");
    assert_eq!(actions(&member_statements(&[("Mode", "audit")])), calls);
    for statement in member_statements(&[("KmsKeyArns", FOREIGN_KEY)]) {
        let everything = strings(&statement["Resource"]).contains(&"*".to_owned());
        let knows_no_resources =
            strings(&statement["Action"]).iter().all(|action| ON_EVERYTHING.contains(&action.as_str()));
        assert_eq!(everything, knows_no_resources, "{statement}");
    }
}

#[test]
fn start_stream_encryption_is_allowed_in_a_member_on_its_streams_and_the_keys_that_are_named() {
    let check = |key_arns: &str, keys: &[&str]| {
        let statements = member_statements(&[("KmsKeyArns", key_arns)]);
        let start = statements
            .iter()
            .filter(|statement| strings(&statement["Action"]).contains(&"kinesis:StartStreamEncryption".to_owned()));
        let found: BTreeSet<_> = start.flat_map(|statement| strings(&statement["Resource"])).collect();
        assert_eq!(found, set(&[&[STREAMS], keys].concat()), "{key_arns}");
    };
    check("", &[KEYS_HERE, MANAGED_ALIAS]);
    check(FOREIGN_KEY, &[FOREIGN_KEY]);
    check(MANAGED_ALIAS, &[MANAGED_ALIAS]);
}

#[test]
fn keys_of_other_accounts_may_be_looked_at_from_a_member_only_where_they_are_accepted_or_named() {
    let check = |parameters: &[(&str, &str)], keys: &[&str]| {
        let statements = member_statements(parameters);
        let looking =
            statements.iter().filter(|statement| strings(&statement["Action"]).contains(&"kms:DescribeKey".to_owned()));
        assert_eq!(
            looking.flat_map(|statement| strings(&statement["Resource"])).collect::<BTreeSet<_>>(),
            set(keys),
            "{parameters:?}"
        );
    };
    check(&[], &[KEYS_HERE]);
    check(&[("KmsKeyArns", FOREIGN_KEY)], &[KEYS_HERE, FOREIGN_KEY]);
    check(&[("OnOtherKey", "accept")], &[KEYS_HERE, "arn:aws:kms:us-east-1:*:key/*"]);
}

#[test]
fn a_member_admits_the_functions_role_alone_and_only_with_the_external_id() {
    let role = Stack::in_member(&[]).properties("MemberRole");
    let expected = json!([{
        "Sid": "ThatFunctionOnly",
        "Effect": "Allow",
        "Principal": {"AWS": OWN_ROLE},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
    }]);
    assert_eq!(role["AssumeRolePolicyDocument"]["Statement"], expected);
}

#[test]
fn a_member_forwards_what_the_functions_own_rules_take_to_its_bus_but_not_the_functions_own_starts() {
    let stack = Stack::in_member(&[]);
    let own = Stack::new(&[]).of_type("AWS::Events::Rule");
    let forwarding = stack.of_type("AWS::Events::Rule");
    assert_eq!(
        forwarding.keys().collect::<Vec<_>>(),
        ["EncryptionStartedRule", "KeyCalledRule", "KeyEventRule", "StreamChangedRule"]
    );
    for (id, rule) in forwarding {
        let pattern = rule["EventPattern"].to_string().replace("<MemberRole.Arn>", OWN_ROLE);
        assert_eq!(pattern, own[&id]["EventPattern"].to_string(), "{id}");
        assert_eq!(
            rule["Targets"],
            json!([{
                "Id": "Enforcer",
                "Arn": HUB_BUS,
                "RoleArn": "<ForwardRole.Arn>",
                "DeadLetterConfig": {"Arn": "<ForwardDeadLetterQueue.Arn>"},
            }]),
            "{id}"
        );
    }
    let forwarder = stack.properties("ForwardRole");
    let statements = &forwarder["Policies"][0]["PolicyDocument"]["Statement"];
    assert_eq!((&statements[0]["Action"], &statements[0]["Resource"]), (&json!("events:PutEvents"), &json!(HUB_BUS)));
}

#[test]
fn in_audit_mode_the_role_can_change_no_stream_and_leave_no_work() {
    let mut calls = set(&[&ACTIONS[..], &LAMBDAS_ACTIONS].concat());
    for action in ["cloudtrail:LookupEvents", "events:PutEvents", "kinesis:StartStreamEncryption", "sts:AssumeRole"] {
        calls.remove(action);
    }
    let audit = Stack::new(&[("Mode", "audit")]);
    assert_eq!(audit.actions(), calls);
    assert_eq!(audit.may("sqs:SendMessage"), set(&["<DeadLetterQueue.Arn>"]));
    assert_eq!(
        Stack::new(&[]).may("sqs:SendMessage"),
        set(&["<AccessDenialsQueue.Arn>", "<DeadLetterQueue.Arn>", "<WorkQueue.Arn>"])
    );
}

#[test]
fn work_is_taken_from_the_work_queue_and_denied_calls_from_theirs_and_in_audit_mode_too() {
    for mode in ["enforce", "audit"] {
        let stack = Stack::new(&[("Mode", mode)]);
        for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"] {
            assert_eq!(stack.may(action), set(&["<AccessDenialsQueue.Arn>", "<WorkQueue.Arn>"]), "{action}, {mode}");
        }
        assert_eq!(stack.may("sqs:ChangeMessageVisibility"), set(&["<WorkQueue.Arn>"]), "{mode}");
    }
}

#[test]
fn start_stream_encryption_is_allowed_on_the_streams_and_on_the_keys_that_the_key_parameters_mean() {
    let foreign_and_own = format!("{FOREIGN_KEY},{KEY_ARN}");
    let check = |key: &str, key_arns: &str, keys: &[&str]| {
        let stack = Stack::new(&[("KmsKeyId", key), ("KmsKeyArns", key_arns)]);
        assert_eq!(stack.may("kinesis:StartStreamEncryption"), set(&[&[STREAMS], keys].concat()), "{key} {key_arns}");
    };
    check(KEY_ARN, "", &[KEY_ARN]);
    check(FOREIGN_KEY, "", &[FOREIGN_KEY]);
    check(KEY_ID, "", &[KEY_ARN]);
    check("alias/orders", "", &[KEYS_HERE]);
    check("arn:aws:kms:us-east-1:111122223333:alias/orders", "", &[KEYS_HERE]);
    check("alias/orders", &foreign_and_own, &[FOREIGN_KEY, KEY_ARN]);
    check(KEY_ARN, FOREIGN_KEY, &[FOREIGN_KEY]);
    // The function applies it by this name, and AWS does not document which of its ARNs is authorised.
    check("alias/aws/kinesis", "", &[KEYS_HERE, MANAGED_ALIAS]);
    check(MANAGED_ALIAS, "", &[KEYS_HERE, MANAGED_ALIAS]);
    check("alias/aws/kinesis", &foreign_and_own, &[FOREIGN_KEY, KEY_ARN, MANAGED_ALIAS]);
}

#[test]
fn keys_may_be_looked_at_wherever_one_can_be_met() {
    let check = |parameters: &[(&str, &str)], keys: &[&str]| {
        assert_eq!(Stack::new(parameters).may("kms:DescribeKey"), set(keys), "{parameters:?}");
    };
    check(&[("KmsKeyId", "alias/orders")], &[KEYS_HERE]);
    check(&[("KmsKeyId", FOREIGN_KEY)], &[KEYS_HERE, FOREIGN_KEY]);
    check(&[("KmsKeyId", "alias/orders"), ("KmsKeyArns", FOREIGN_KEY)], &[KEYS_HERE, FOREIGN_KEY]);
    check(&[("KmsKeyId", KEY_ID), ("OnOtherKey", "accept")], &[KEYS_HERE, "arn:aws:kms:us-east-1:*:key/*"]);
}

#[test]
fn only_what_knows_no_resources_is_allowed_on_everything_and_every_statement_is_named() {
    let stack = Stack::new(&[("KmsKeyArns", FOREIGN_KEY), ("OnOtherKey", "accept")]);
    let mut sids = BTreeSet::new();
    for statement in stack.statements() {
        let everything = strings(&statement["Resource"]).contains(&"*".to_owned());
        let knows_no_resources =
            strings(&statement["Action"]).iter().all(|action| ON_EVERYTHING.contains(&action.as_str()));
        assert_eq!(everything, knows_no_resources, "{statement}");
        assert_eq!(statement["Effect"], "Allow");
        assert!(
            sids.insert(statement["Sid"].as_str().expect("a Sid").to_owned()),
            "{} is there twice",
            statement["Sid"]
        );
    }
    assert_eq!(stack.may("kinesis:DescribeStreamSummary"), set(&[STREAMS]));
    assert_eq!(stack.may("kinesis:ListTagsForStream"), set(&[STREAMS]));
    assert_eq!(stack.may("logs:PutLogEvents"), set(&["<LogGroup.Arn>"]));
}

#[test]
fn every_event_file_is_delivered_by_the_one_rule_that_should_or_by_none() {
    let files = fs::read_dir(root().join("events")).expect("events/").map(|entry| entry.expect("an entry").path());
    let files: BTreeSet<_> =
        files.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    let expected = delivered_by();
    assert_eq!(files, expected.keys().cloned().collect(), "files of events/, and rows of the table");

    let rules = Stack::new(&[]).of_type("AWS::Events::Rule");
    for (file, expected) in &expected {
        let event = event(file);
        let found: Vec<_> =
            rules.iter().filter(|(_, rule)| matches(&rule["EventPattern"], &event)).map(|(id, _)| id.clone()).collect();
        assert_eq!(found, expected.as_slice(), "{file}");
    }
    let used: BTreeSet<_> = expected.into_values().flatten().collect();
    assert_eq!(used, rules.into_keys().collect(), "rules that deliver a file, and rules there are");
}

#[test]
fn every_operation_that_a_rule_names_passes_it_and_a_failed_call_does_not() {
    let rules = Stack::new(&[]).of_type("AWS::Events::Rule");
    for (rule, file) in [
        ("StreamChangedRule", "stream-created"),
        ("KeyCalledRule", "key-disabled"),
        ("EncryptionStartedRule", "encryption-changed"),
    ] {
        let pattern = &rules[rule]["EventPattern"];
        for operation in strings(&pattern["detail"]["eventName"]) {
            let mut event = event(file);
            event["detail"]["eventName"] = json!(operation);
            assert!(matches(pattern, &event), "{operation}");
            event["detail"]["errorCode"] = json!("AccessDenied");
            assert!(!matches(pattern, &event), "{operation}, denied");
        }
    }
}

#[test]
fn only_our_own_roles_start_is_left_out_and_findings_and_items_that_ask_for_nothing() {
    let rules = Stack::new(&[]).of_type("AWS::Events::Rule");
    let variations = delivered()["variations"].take();
    for variation in variations.as_array().expect("a list") {
        let text = |field: &str| variation[field].as_str().unwrap_or_else(|| panic!("{field} of {variation}"));
        let mut event = event(text("file"));
        *event.pointer_mut(text("at")).unwrap_or_else(|| panic!("{variation}")) = variation["value"].clone();
        assert_eq!(matches(&rules[text("rule")]["EventPattern"], &event), variation["passes"], "{variation}");
    }
}

#[test]
fn every_rule_hands_over_the_whole_event_and_leaves_what_it_could_not_on_the_dead_letter_queue() {
    let stack = Stack::new(&[]);
    let permissions: Vec<_> = stack.of_type("AWS::Lambda::Permission").into_values().collect();
    let mut rules = stack.of_type("AWS::Events::Rule");
    rules.remove(DENIED_RULE).expect("its rule");
    assert_eq!(permissions.len(), rules.len());
    for (id, rule) in rules {
        assert_eq!(
            rule["Targets"],
            json!([{
                "Id": "Function",
                "Arn": "<Function.Arn>",
                "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
                "DeadLetterConfig": {"Arn": "<DeadLetterQueue.Arn>"},
            }]),
            "{id}"
        );
        let permission = json!({
            "FunctionName": "<Function>",
            "Action": "lambda:InvokeFunction",
            "Principal": "events.amazonaws.com",
            "SourceArn": format!("<{id}.Arn>"),
        });
        assert!(permissions.contains(&permission), "{id} may not invoke the function");
    }
}

#[test]
fn a_dead_letter_queue_takes_messages_of_the_rules_that_are_there_and_of_nothing_else() {
    for (stack, queue) in [
        (Stack::new(&[]), QUEUE_URL),
        (Stack::new(&[("WatchConfig", "false")]), QUEUE_URL),
        (Stack::new(&[("WatchSecurityHub", "false")]), QUEUE_URL),
        (Stack::new(&[("WatchConfig", "false"), ("WatchSecurityHub", "false")]), QUEUE_URL),
        (Stack::in_member(&[]), "<ForwardDeadLetterQueue>"),
    ] {
        let policies = stack.of_type("AWS::SQS::QueuePolicy");
        let of_this_queue: Vec<_> = policies.values().filter(|policy| policy["Queues"] == json!([queue])).collect();
        let [policy] = of_this_queue[..] else { panic!("one policy: {of_this_queue:?}") };
        let statements = policy["PolicyDocument"]["Statement"].as_array().expect("statements");
        let allowed: Vec<_> = statements.iter().filter(|statement| statement["Effect"] == "Allow").collect();
        let [allowed] = allowed[..] else { panic!("one statement allows: {allowed:?}") };
        assert_eq!(
            (&allowed["Principal"], &allowed["Action"]),
            (&json!({"Service": "events.amazonaws.com"}), &json!("sqs:SendMessage"))
        );
        let rules = stack.of_type("AWS::Events::Rule").into_keys().filter(|id| id != DENIED_RULE);
        let rules: BTreeSet<_> = rules.map(|id| format!("<{id}.Arn>")).collect();
        let admitted = strings(&allowed["Condition"]["ArnEquals"]["aws:SourceArn"]);
        assert_eq!(admitted.len(), rules.len());
        assert_eq!(admitted.into_iter().collect::<BTreeSet<_>>(), rules);
        assert!(statements.iter().any(|statement| {
            statement["Effect"] == "Deny"
                && statement["Principal"] == "*"
                && statement["Condition"]["Bool"]["aws:SecureTransport"] == "false"
        }));
    }
}

/// The logical ids of the queues of this kind of resource that `value` names in `!GetAtt Queue.Arn`.
fn queue_in(template: &Value, value: &Value) -> Option<String> {
    let (id, attribute) = value["Fn::GetAtt"].as_str()?.split_once('.')?;
    let is_queue = template["Resources"][id]["Type"] == "AWS::SQS::Queue" && attribute == "Arn";
    is_queue.then(|| id.to_owned())
}

#[test]
fn whatever_hands_something_over_leaves_what_it_could_not_on_a_queue_with_an_alarm() {
    for (file, least) in [("template.yaml", 10), ("deploy/member-role.yaml", 4)] {
        let template = template_in(file);
        let resources = template["Resources"].as_object().expect("resources");
        let mut queues = BTreeSet::new();
        let mut handing_over = 0;
        for (id, resource) in resources {
            let properties = &resource["Properties"];
            // Denied calls: the next one says the same.
            if [DENIED_RULE, "AccessDenialsMapping"].contains(&id.as_str()) {
                continue;
            }
            // Raw, so that what only some parameters create is here, too.
            let targets: Vec<&Value> = match resource["Type"].as_str().expect("a type") {
                "AWS::Events::Rule" => properties["Targets"].as_array().expect("targets").iter().collect(),
                "AWS::Scheduler::Schedule" => vec![&properties["Target"]],
                "AWS::Serverless::Function" => {
                    let failed = &properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"];
                    queues.insert(queue_in(&template, &failed["Destination"]).expect("an on-failure destination"));
                    vec![]
                }
                "AWS::Lambda::EventSourceMapping" => {
                    let source = queue_in(&template, &properties["EventSourceArn"]).expect("a queue");
                    let redrive = &template["Resources"][&source]["Properties"]["RedrivePolicy"];
                    queues.insert(queue_in(&template, &redrive["deadLetterTargetArn"]).expect("a redrive policy"));
                    vec![]
                }
                // Whatever else delivers events has to be added above.
                "AWS::Pipes::Pipe" | "AWS::Events::Archive" | "AWS::SNS::Subscription" => panic!("{file}: {id}"),
                _ => vec![],
            };
            assert!(!targets.is_empty() || resource["Type"] != "AWS::Events::Rule", "{id} has no target");
            for target in targets {
                let queue = queue_in(&template, &target["DeadLetterConfig"]["Arn"]);
                queues.insert(queue.unwrap_or_else(|| panic!("{file}: {id} has a target without a dead-letter queue")));
                handing_over += 1;
            }
        }
        assert!(handing_over >= least, "{file}: {handing_over}");
        assert_eq!(queues.len(), 1, "{queues:?}");
        for queue in queues {
            let shown = |alarm: &Value| {
                alarm.to_string().contains("ApproximateNumberOfMessagesVisible")
                    && alarm.to_string().contains(&format!("{queue}.QueueName"))
            };
            let alarms = resources.values().filter(|resource| resource["Type"] == "AWS::CloudWatch::Alarm");
            assert_eq!(alarms.filter(|alarm| shown(alarm) && alarm.get("Condition").is_none()).count(), 1, "{queue}");
        }
    }
}

/// AWS does not document which fields of such a record name Kinesis: every combination is tried.
#[test]
fn the_rule_of_denied_calls_takes_every_shape_of_them_and_nothing_else_of_kms() {
    let rule = Stack::new(&[]).properties(DENIED_RULE);
    assert_eq!(rule["State"], "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS");
    let pattern = &rule["EventPattern"];
    let context = |name: &str| json!({"encryptionContext": {name: "arn"}});
    let services = ["kinesis.amazonaws.com", "s3.amazonaws.com", "192.0.2.1", "firehose.amazonaws.com"];
    let parameters = [json!(null), json!({}), context("aws:kinesis:arn"), context("aws:s3:arn")];
    let (mut taken, mut left) = (0, 0);
    let codes = [
        None,
        Some("AccessDenied"),
        Some("AccessDeniedException"),
        Some("DisabledException"),
        Some("ThrottlingException"),
    ];
    for call in ["GenerateDataKey", "Decrypt", "Encrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext"] {
        for code in codes {
            for (invoked_by, source) in services.iter().flat_map(|one| services.map(|other| (*one, other))) {
                for (agent, parameters) in
                    services.iter().flat_map(|agent| parameters.clone().map(|given| (*agent, given)))
                {
                    let mut event = event("access-denied");
                    let detail = &mut event["detail"];
                    detail["eventName"] = json!(call);
                    (detail["sourceIPAddress"], detail["userAgent"]) = (json!(source), json!(agent));
                    detail["userIdentity"]["invokedBy"] = json!(invoked_by);
                    detail["requestParameters"] = parameters.clone();
                    match code {
                        Some(code) => detail["errorCode"] = json!(code),
                        None => drop(detail.as_object_mut().expect("an object").remove("errorCode")),
                    }
                    let by_kinesis = [invoked_by, source, agent].contains(&"kinesis.amazonaws.com")
                        || parameters == context("aws:kinesis:arn");
                    let is_meant = ["GenerateDataKey", "Decrypt"].contains(&call) && code.is_some() && by_kinesis;
                    assert_eq!(matches(pattern, &event), is_meant, "{event:#}");
                    // The function reads what the rule delivers, and nothing else.
                    assert_eq!(Denial::read(&event["detail"]).is_some(), is_meant, "{event:#}");
                    if is_meant { taken += 1 } else { left += 1 }
                }
            }
        }
    }
    assert!(taken > 1_000 && left > 1_000, "{taken} {left}");
}

/// Records of KMS that are no denial of a call of Kinesis: each lacks one thing, and has anything
/// else that such a denial has.
fn other_records_of_kms() -> impl Strategy<Value = Value> {
    let kinesis = || Just(json!("kinesis.amazonaws.com"));
    let others = || {
        prop::sample::select(vec![
            json!(null),
            json!("s3.amazonaws.com"),
            json!("firehose.amazonaws.com"),
            json!("kinesisanalytics.amazonaws.com"),
            json!("kinesis.amazonaws.com.example"),
            json!("Kinesis.amazonaws.com"),
            json!("aws-sdk-rust/1.3 app/kinesis.amazonaws.com"),
            json!("AWS Internal"),
            json!("192.0.2.1"),
        ])
    };
    let context = |name: &str| json!({"keyId": KEY_ARN, "encryptionContext": {name: STREAMS}});
    let contexts = prop::sample::select(vec![
        json!(null),
        json!({}),
        json!({"encryptionContext": null}),
        context("aws:s3:arn"),
        context("aws:kinesis:arns"),
        json!({"aws:kinesis:arn": STREAMS}),
    ]);
    let any_context = prop_oneof![Just(context("aws:kinesis:arn")), contexts.clone()];
    let any = || prop_oneof![kinesis(), others()];
    let calls = || prop::sample::select(vec!["GenerateDataKey", "Decrypt"]);
    let other_calls =
        prop::sample::select(vec!["Encrypt", "ReEncrypt", "DescribeKey", "CreateGrant", "GenerateDataKeyPair", "Sign"]);
    let codes = || prop::sample::select(vec!["AccessDenied", "AccessDeniedException", "DisabledException", "X"]);
    let any_code = prop_oneof![Just(None), codes().prop_map(Some)];
    let places = prop::sample::select(vec![
        ("/source", "aws.kinesis"),
        ("/detail-type", "AWS Service Event via CloudTrail"),
        ("/detail/eventSource", "kinesis.amazonaws.com"),
    ]);
    let record = |call: &str, code: Option<&str>, by: [Value; 3], parameters: Value| {
        let mut event = event("access-denied");
        let detail = &mut event["detail"];
        detail["eventName"] = json!(call);
        detail["requestParameters"] = parameters;
        let fields = [("/userIdentity", "invokedBy"), ("", "sourceIPAddress"), ("", "userAgent")];
        let all = fields.into_iter().zip(by).chain([(("", "errorCode"), json!(code))]);
        for ((place, name), value) in all {
            let place = detail.pointer_mut(place).and_then(Value::as_object_mut).expect("an object");
            if value.is_null() {
                place.remove(name);
            } else {
                place.insert(name.to_owned(), value);
            }
        }
        event
    };
    prop_oneof![
        (calls(), [any(), any(), any()], any_context.clone())
            .prop_map(move |(call, by, context)| record(call, None, by, context)),
        (other_calls, any_code.clone(), [any(), any(), any()], any_context.clone())
            .prop_map(move |(call, code, by, context)| record(call, code, by, context)),
        (calls(), any_code, [others(), others(), others()], contexts)
            .prop_map(move |(call, code, by, context)| record(call, code, by, context)),
        (calls(), codes(), [any(), any(), any()], any_context, places).prop_map(
            move |(call, code, by, context, (place, value))| {
                let mut event = record(call, Some(code), by, context);
                *event.pointer_mut(place).expect("a field") = json!(value);
                event
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn no_other_record_of_kms_is_delivered_as_a_denied_call(record in other_records_of_kms()) {
        let pattern = {
            static PATTERN: LazyLock<Value> =
                LazyLock::new(|| Stack::new(&[]).properties(DENIED_RULE)["EventPattern"].clone());
            &*PATTERN
        };
        prop_assert!(!matches(pattern, &record), "{:#}", record);
        let is_of_kms = record["source"] == "aws.kms" && record["detail-type"] == "AWS API Call via CloudTrail";
        prop_assert!(!is_of_kms || Denial::read(&record["detail"]).is_none(), "{:#}", record);
    }
}

#[test]
fn denied_calls_go_to_a_queue_of_their_own_which_fills_no_other_and_admits_that_rule_alone() {
    let stack = Stack::new(&[]);
    let rule = stack.properties(DENIED_RULE);
    let retries = json!({"MaximumEventAgeInSeconds": 300, "MaximumRetryAttempts": 3});
    let target = json!({"Id": "AccessDenialsQueue", "Arn": "<AccessDenialsQueue.Arn>", "RetryPolicy": retries});
    assert_eq!(rule["Targets"], json!([target]));
    assert!(stack.properties("AccessDenialsQueue").get("RedrivePolicy").is_none());
    let mapping = stack.properties("AccessDenialsMapping");
    assert_eq!(
        mapping,
        json!({
            "EventSourceArn": "<AccessDenialsQueue.Arn>",
            "FunctionName": "<Function>",
            "BatchSize": 1_000,
            "MaximumBatchingWindowInSeconds": 60,
            "ScalingConfig": {"MaximumConcurrency": 2},
        })
    );
    let policy = stack.properties("AccessDenialsQueuePolicy");
    let admitted = &policy["PolicyDocument"]["Statement"][0];
    assert_eq!(admitted["Condition"], json!({"ArnEquals": {"aws:SourceArn": "<AccessDeniedRule.Arn>"}}));
    // A group is looked at again after 15 minutes, and must not have expired by then.
    let again = HISTORY_LAG.num_seconds() + 600;
    let retention = stack.properties("AccessDenialsQueue")["MessageRetentionPeriod"].as_i64().expect("seconds");
    assert!(retention > again, "{retention}");
    let without = Stack::new(&[("WatchAccess", "false")]).resources();
    assert!(without.keys().all(|id| !id.starts_with("Access")), "{:?}", without.keys());
}

#[test]
fn what_a_member_could_not_forward_raises_one_alarm_there_and_what_no_queue_holds_does_too() {
    const TOPIC: &str = "arn:aws:sns:us-east-1:444455556666:alarms";
    let stack = Stack::in_member(&[("AlarmTopicArn", TOPIC)]);
    let alarms = stack.of_type("AWS::CloudWatch::Alarm");
    assert_eq!(alarms.keys().collect::<Vec<_>>(), ["ForwardingAlarm"]);
    let alarm = &alarms["ForwardingAlarm"];
    assert_eq!((&alarm["AlarmActions"], &alarm["OKActions"]), (&json!([TOPIC]), &json!([TOPIC])));
    assert_eq!(alarm["TreatMissingData"], "notBreaching");
    assert_eq!((&alarm["ComparisonOperator"], &alarm["Threshold"]), (&json!("GreaterThanThreshold"), &json!(0)));
    let metrics = alarm["Metrics"].as_array().expect("metrics");
    let lost: BTreeSet<_> = metrics
        .iter()
        .map(|metric| &metric["MetricStat"]["Metric"])
        .filter(|metric| metric["MetricName"] == "InvocationsFailedToBeSentToDlq")
        .map(|metric| metric["Dimensions"][0]["Value"].as_str().expect("a rule").to_owned())
        .collect();
    let rules: BTreeSet<_> = stack.of_type("AWS::Events::Rule").into_keys().map(|id| format!("<{id}>")).collect();
    assert_eq!(lost, rules);
    assert_eq!(Stack::in_member(&[]).properties("ForwardingAlarm")["AlarmActions"], json!([]));
}

#[test]
fn every_queue_keeps_messages_fourteen_days_the_most_that_sqs_allows_and_no_queue_needs_a_kms_key() {
    for stack in [Stack::new(&[]), Stack::in_member(&[])] {
        for (id, queue) in stack.of_type("AWS::SQS::Queue") {
            // Denied calls are worth nothing later.
            let retention = if id == "AccessDenialsQueue" { 1800 } else { 1_209_600 };
            assert_eq!(
                (&queue["MessageRetentionPeriod"], &queue["SqsManagedSseEnabled"]),
                (&json!(retention), &json!(true)),
                "{id}"
            );
        }
        for (id, resource) in stack.resources() {
            for property in ["KmsKeyId", "KmsMasterKeyId", "KmsKeyArn"] {
                assert!(resource["Properties"].get(property).is_none(), "{id} would be encrypted with a KMS key");
            }
        }
    }
}

#[test]
fn what_fails_for_good_goes_to_the_dead_letter_queue_after_two_retries() {
    let function = Stack::new(&[]).properties("Function");
    let invoke = &function["EventInvokeConfig"];
    assert_eq!(
        invoke["DestinationConfig"]["OnFailure"],
        json!({"Type": "SQS", "Destination": "<DeadLetterQueue.Arn>"})
    );
    assert_eq!(invoke["MaximumRetryAttempts"], 2);
    // Lambda waits one minute, then two, between three attempts.
    let longest = template()["Parameters"]["Timeout"]["MaxValue"].as_u64().expect("seconds") * 3 + 60 + 120;
    assert!(invoke["MaximumEventAgeInSeconds"].as_u64().expect("seconds") > longest);
    // Chains through the queue are bounded by the function: a wait may have two hundred invocations.
    assert_eq!(function["RecursiveLoop"], "Allow");
}

#[test]
fn nobody_is_admitted_to_the_work_queue_and_nobody_without_tls() {
    for mode in ["enforce", "audit"] {
        let policies = Stack::new(&[("Mode", mode)]).of_type("AWS::SQS::QueuePolicy");
        let about = |policy: &Value| strings(&policy["Queues"]).iter().any(|queue| queue == WORK_QUEUE_URL);
        let statements: Vec<_> = policies
            .values()
            .filter(|policy| about(policy))
            .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().expect("statements"))
            .collect();
        let [statement] = statements[..] else { panic!("one statement: {statements:?}") };
        assert_eq!(
            (&statement["Effect"], &statement["Principal"], &statement["Action"]),
            (&json!("Deny"), &json!("*"), &json!("sqs:*"))
        );
        assert_eq!(statement["Resource"], "<WorkQueue.Arn>");
        assert_eq!(statement["Condition"], json!({"Bool": {"aws:SecureTransport": "false"}}));
    }
}

#[test]
fn the_work_queue_hides_a_message_for_six_times_the_longest_timeout() {
    let longest = template()["Parameters"]["Timeout"]["MaxValue"].as_u64().expect("seconds");
    let visibility = Stack::new(&[]).properties("WorkQueue")["VisibilityTimeout"].as_u64().expect("seconds");
    // Twelve hours are the longest that SQS takes.
    assert!((longest * 6..=43200).contains(&visibility), "{visibility} for a timeout of {longest}");
}

#[test]
fn no_message_of_the_work_queue_is_deleted_by_retention_before_a_dead_letter_or_a_long_alarm() {
    let stack = Stack::new(&[]);
    let (work, letters, alarm) =
        (stack.properties("WorkQueue"), stack.properties("DeadLetterQueue"), stack.properties("WorkQueueAlarm"));
    let seconds = |queue: &Value, property: &str| queue[property].as_u64().expect("seconds");
    let retention = seconds(&work, "MessageRetentionPeriod");
    // What is received again and again, because every attempt crashes, and takes a visibility timeout:
    // SQS moves it. It keeps its age, and most of the retention is left to read it.
    let most = template()["Parameters"]["WorkQueueMaxReceives"]["MaxValue"].as_u64().expect("a number");
    let moved_after = most * seconds(&work, "VisibilityTimeout");
    assert!(moved_after + 7 * 86400 <= seconds(&letters, "MessageRetentionPeriod"), "{moved_after}");
    assert!(moved_after + 7 * 86400 <= retention, "{moved_after}");
    // What is never received, because the function or the mapping does not work: the alarm is on for at
    // least 13 days before SQS deletes it.
    let on_after = alarm["Threshold"].as_u64().expect("seconds") + alarm["Period"].as_u64().expect("seconds");
    assert_eq!(alarm["EvaluationPeriods"], 1);
    assert!(on_after + 13 * 86400 <= retention, "{on_after}");
    assert!(alarm.get("Condition").is_none() && template()["Resources"]["WorkQueueAlarm"].get("Condition").is_none());
}

#[test]
fn sqs_and_the_function_count_receives_to_the_same_number() {
    let check = |given: &[(&str, &str)], receives: &str| {
        let stack = Stack::new(given);
        let redrive = json!({"deadLetterTargetArn": "<DeadLetterQueue.Arn>", "maxReceiveCount": receives});
        assert_eq!(stack.properties("WorkQueue")["RedrivePolicy"], redrive);
        assert_eq!(stack.properties("Function")["Environment"]["Variables"]["WORK_QUEUE_MAX_RECEIVES"], receives);
    };
    check(&[], &DEFAULT_MAX_RECEIVES.to_string());
    check(&[("WorkQueueMaxReceives", "8")], "8");
}

#[test]
fn the_function_works_on_the_queue_in_every_mode_with_as_many_workers_as_calls_are_paced_for() {
    for given in [&[][..], &[("Mode", "audit")], &[("ScheduleExpression", "")]] {
        let mut mappings = Stack::new(given).of_type("AWS::Lambda::EventSourceMapping");
        mappings.remove("AccessDenialsMapping").expect("that of denied calls");
        assert_eq!(
            mappings.into_values().collect::<Vec<_>>(),
            [json!({
                "EventSourceArn": "<WorkQueue.Arn>",
                "FunctionName": "<Function>",
                "BatchSize": 10,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "ScalingConfig": {"MaximumConcurrency": rate_limit::WORKERS},
            })],
            "{given:?}"
        );
    }
}

#[test]
fn concurrency_is_reserved_only_where_it_is_asked_for_and_leaves_room_for_the_workers() {
    assert!(Stack::new(&[]).properties("Function").get("ReservedConcurrentExecutions").is_none());
    let reserved = Stack::new(&[("ReservedConcurrency", "10")]);
    assert_eq!(reserved.properties("Function")["ReservedConcurrentExecutions"], "10");
    // tests/template/check.py tries that the pattern refuses what is less.
    let accepted = template()["Parameters"]["ReservedConcurrency"]["ConstraintDescription"].clone();
    let least = accepted.as_str().and_then(|text| text.split("from ").nth(1)?.split(' ').next()?.parse::<u32>().ok());
    assert!(least.is_some_and(|least| least >= rate_limit::WORKERS + 3), "{accepted}");
}

#[test]
fn letters_and_work_that_is_stuck_raise_an_alarm() {
    let stack = Stack::new(&[]);
    let check = |alarm: &str, metric: &str, queue: &str, above: u32| {
        let properties = stack.properties(alarm);
        assert_eq!((&properties["Namespace"], &properties["MetricName"]), (&json!("AWS/SQS"), &json!(metric)));
        assert_eq!(properties["Dimensions"], json!([{"Name": "QueueName", "Value": format!("<{queue}.QueueName>")}]));
        assert_eq!((&properties["Statistic"], &properties["Threshold"]), (&json!("Maximum"), &json!(above)));
        assert_eq!(properties["ComparisonOperator"], "GreaterThanThreshold");
        assert_eq!(properties["TreatMissingData"], "notBreaching");
    };
    check("DeadLetterAlarm", "ApproximateNumberOfMessagesVisible", "DeadLetterQueue", 0);
    check("WorkQueueAlarm", "ApproximateAgeOfOldestMessage", "WorkQueue", 7200);
    check("AccessDenialsQueueAlarm", "ApproximateAgeOfOldestMessage", "AccessDenialsQueue", 1200);
}

#[test]
fn every_alarm_notifies_whom_the_parameters_name() {
    const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:alarms";
    let email = ("AlarmEmail", "on-call@example.com");
    for (given, told) in [
        (&[][..], json!([])),
        (&[("AlarmTopicArn", TOPIC)], json!([TOPIC])),
        (&[email], json!(["<AlarmTopic>"])),
        (&[("AlarmTopicArn", TOPIC), email], json!([TOPIC, "<AlarmTopic>"])),
    ] {
        let alarms = Stack::new(&[given, &[("OutcomeEventBus", "default"), ("PolicyParameter", "policy")]].concat())
            .of_type("AWS::CloudWatch::Alarm");
        assert_eq!(alarms.len(), 16, "{:?}", alarms.keys());
        for (name, alarm) in alarms {
            assert_eq!((&alarm["AlarmActions"], &alarm["OKActions"]), (&told, &told), "{name}");
        }
    }
    assert_eq!(Stack::new(&[]).of_type("AWS::SNS::Topic").len(), 0);
}

/// The descriptions of all alarms, of the function's account and of a member account, by logical id.
fn descriptions(runbook: &[(&str, &str)]) -> BTreeMap<String, String> {
    let all = [&[("OutcomeEventBus", "default"), ("PolicyParameter", "/kinesis/policy")], runbook].concat();
    let stacks = [Stack::new(&all), Stack::in_member(runbook)];
    let alarms = stacks.iter().flat_map(|stack| stack.of_type("AWS::CloudWatch::Alarm"));
    alarms.map(|(name, alarm)| (name, alarm["AlarmDescription"].as_str().expect("a text").to_owned())).collect()
}

#[test]
fn every_alarm_links_to_its_section_of_the_runbook() {
    const WIKI: &str = "https://wiki.example.com/enforcer";
    let runbook = read(&root().join("docs/RUNBOOK.md"));
    let by_default = format!("{}/blob/main/docs/RUNBOOK.md", env!("CARGO_PKG_REPOSITORY"));
    for (given, url) in [(&[][..], by_default.as_str()), (&[("RunbookUrl", WIKI)], WIKI)] {
        let descriptions = descriptions(given);
        assert_eq!(descriptions.len(), 17, "{:?}", descriptions.keys());
        for (name, description) in descriptions {
            let link = format!("\nRunbook: {url}#{}", name.to_lowercase());
            assert!(description.ends_with(&link), "{description}");
            let heading = |line: &str| line.starts_with('#') && line.trim_start_matches('#').trim() == name;
            assert!(runbook.lines().any(heading), "no section {name}");
        }
    }
}

#[test]
fn every_alarm_has_a_first_command_on_a_line_of_its_own_which_the_program_takes() {
    const FUNCTION: &str = "arn:aws:lambda:us-east-1:111122223333:function:enforcer-Function-1A2B3C";
    let mut of_the_program = 0;
    for (name, description) in descriptions(&[]) {
        let lines: Vec<_> = description.lines().collect();
        let [_, "First command:", command, _] = lines[..] else { panic!("{name}: {lines:?}") };
        let command = command.replace("<Function.Arn>", FUNCTION).replace("<ForwardDeadLetterQueue>", QUEUE_URL);
        let Some(arguments) = command.strip_prefix("enforcer ") else {
            // tests/template/check.py checks those of the AWS CLI.
            assert!(command.starts_with("aws "), "{name}: {command}");
            continue;
        };
        of_the_program += 1;
        // It shows its help only once it has understood all that stands before.
        let arguments = arguments.split_whitespace().chain(["--help"]);
        let output = Command::new(env!("CARGO_BIN_EXE_enforcer")).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{name}: {command}: {}", String::from_utf8_lossy(&output.stderr));
        let writes = ["apply", "redrive", "purge"].iter().any(|word| command.contains(word));
        assert!(!writes, "{name}: the first command only looks: {command}");
    }
    assert!(of_the_program > 10, "{of_the_program}");
}

#[test]
fn the_description_of_an_alarm_fits_however_long_the_names_are() {
    // At most 1,024 characters: CloudWatch API Reference, PutMetricAlarm.
    const MOST: usize = 1024;
    // The longest that AWS gives or accepts.
    let names = BTreeMap::from([
        ("AWS::StackName", "s".repeat(128)),
        ("AWS::Region", "ap-southeast-99".to_owned()),
        ("Function", "f".repeat(64)),
        ("Function.Arn", format!("arn:aws-us-gov:lambda:us-gov-west-1:111122223333:function:{}", "f".repeat(64))),
        ("Schedule", "s".repeat(64)),
        ("LogGroup", format!("/aws/lambda/{}", "s".repeat(128))),
        ("RunbookUrl", "u".repeat(256)),
        ("ForwardDeadLetterQueue", format!("https://sqs.us-gov-west-1.amazonaws.com/111122223333/{}", "q".repeat(80))),
    ]);
    let template_of = |file: &str| template_in(file)["Resources"].take();
    for resources in ["template.yaml", "deploy/member-role.yaml"].map(template_of) {
        for (name, resource) in resources.as_object().expect("resources") {
            let Some(sentence) = resource["Properties"]["AlarmDescription"]["Fn::Sub"].as_str() else {
                assert_ne!(resource["Type"], "AWS::CloudWatch::Alarm", "{name}");
                continue;
            };
            let mut pieces = sentence.split("${");
            let mut length = pieces.next().expect("a beginning").len();
            for piece in pieces {
                let (variable, rest) = piece.split_once('}').expect("an end");
                let value = names.get(variable).unwrap_or_else(|| panic!("{name}: how long may {variable} be?"));
                length += value.len() + rest.len();
            }
            assert!(length <= MOST, "{name}: {length}");
        }
    }
}

/// The table at the top of the runbook: each alarm with its first command, the most harmful first.
fn triage(runbook: &str) -> Vec<(String, String)> {
    let rows = runbook.lines().filter(|line| line.starts_with("| ["));
    rows.flat_map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let alarms = cells[0].split(", ").filter_map(|link| link.strip_prefix('[')?.split(']').next());
        alarms.map(|alarm| (alarm.to_owned(), cells[2].trim_matches('`').to_owned())).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn alarms_come_in_the_order_of_the_runbook_and_name_its_first_command() {
    let triage = triage(&read(&root().join("docs/RUNBOOK.md")));
    let template = parsed("template.yaml");
    let resources = template["Resources"].as_mapping().expect("resources");
    let alarms = resources.iter().filter(|(_, resource)| resource["Type"] == "AWS::CloudWatch::Alarm");
    let alarms: Vec<_> = alarms.filter_map(|(name, _)| name.as_str()).collect();
    let in_the_runbook: Vec<_> =
        triage.iter().map(|(alarm, _)| alarm).filter(|name| *name != "ForwardingAlarm").collect();
    assert_eq!(alarms, in_the_runbook);
    let descriptions = descriptions(&[]);
    assert_eq!(descriptions.len(), triage.len());
    for (alarm, first) in triage {
        let first = if first == "the log" { "aws logs tail" } else { &first };
        let description = &descriptions[&alarm];
        assert!(description.contains(&format!("First command:\n{first} ")), "{alarm}: {first}: {description}");
    }
}

#[test]
fn a_key_that_every_sweep_reports_keeps_its_alarm_on_from_one_sweep_to_the_next() {
    let stack = Stack::new(&[]);
    let alarm = stack.properties("KeyAtRiskAlarm");
    let schedule = stack.properties("Schedule");
    assert_eq!(schedule["ScheduleExpression"], "rate(1 hour)");
    let window = schedule["FlexibleTimeWindow"]["MaximumWindowInMinutes"].as_u64().expect("minutes");
    // The sweep between two others may be left out because earlier work still waits.
    let longest_gap = 2 * 3600 + window * 60;
    assert!(alarm["Period"].as_u64().expect("seconds") > longest_gap, "{alarm}");
    assert_eq!((&alarm["EvaluationPeriods"], &alarm["Threshold"]), (&json!(1), &json!(0)));
    assert_eq!(
        (&alarm["Statistic"], &alarm["ComparisonOperator"], &alarm["TreatMissingData"]),
        (&json!("Sum"), &json!("GreaterThanThreshold"), &json!("notBreaching"))
    );
}

#[test]
fn silence_is_that_of_the_schedule_whatever_else_invokes_the_function() {
    use kinesis_encryption_enforcer::report::metrics::SCHEDULED_SWEEPS;
    let check = |expression: &str, hours: &str, periods: Option<&Value>| {
        let stack = Stack::new(&[("ScheduleExpression", expression), ("SilenceAlarmHours", hours)]);
        let alarms = stack.of_type("AWS::CloudWatch::Alarm");
        let alarm = alarms.get("SilenceAlarm");
        assert_eq!(alarm.map(|alarm| &alarm["EvaluationPeriods"]), periods, "{expression} {hours}");
        let Some(alarm) = alarm else { return };
        assert_eq!(
            (&alarm["Namespace"], &alarm["MetricName"]),
            (&json!(DEFAULT_METRICS_NAMESPACE), &json!(SCHEDULED_SWEEPS))
        );
        assert_eq!(alarm["Dimensions"], json!([{"Name": "FunctionName", "Value": "<Function>"}]));
        // Nothing but a scheduled request writes the metric, so its absence is what is wrong.
        assert_eq!((&alarm["TreatMissingData"], &alarm["Period"]), (&json!("breaching"), &json!(3600)));
        assert_eq!(
            (&alarm["Statistic"], &alarm["ComparisonOperator"], &alarm["Threshold"]),
            (&json!("Sum"), &json!("LessThanThreshold"), &json!(1))
        );
    };
    check("rate(1 hour)", "", Some(&json!(3)));
    check("rate(1 hour)", "6", Some(&json!("6")));
    check("rate(6 hours)", "18", Some(&json!("18")));
    check("cron(0 3 * * ? *)", "72", Some(&json!("72")));
    // Nobody has said how often it is to fire.
    check("rate(6 hours)", "", None);
    check("", "", None);
    check("", "18", None);
}

#[test]
fn the_topic_of_the_alarms_takes_those_of_this_account_and_nothing_without_tls() {
    let policies = Stack::new(&[("AlarmEmail", "on-call@example.com")]).of_type("AWS::SNS::TopicPolicy");
    let [policy] = policies.values().collect::<Vec<_>>()[..] else { panic!("one policy: {policies:?}") };
    assert_eq!(policy["Topics"], json!(["<AlarmTopic>"]));
    let [admitted, refused] = &policy["PolicyDocument"]["Statement"].as_array().expect("statements")[..] else {
        panic!("{policy}")
    };
    for statement in [admitted, refused] {
        assert_eq!((&statement["Action"], &statement["Resource"]), (&json!("sns:Publish"), &json!("<AlarmTopic>")));
    }
    assert_eq!(
        (&admitted["Effect"], &admitted["Principal"]),
        (&json!("Allow"), &json!({"Service": "cloudwatch.amazonaws.com"}))
    );
    assert_eq!(admitted["Condition"]["StringEquals"], json!({"aws:SourceAccount": "111122223333"}));
    assert_eq!(
        admitted["Condition"]["ArnLike"],
        json!({"aws:SourceArn": "arn:aws:cloudwatch:us-east-1:111122223333:alarm:*"})
    );
    assert_eq!((&refused["Effect"], &refused["Principal"]), (&json!("Deny"), &json!("*")));
    assert_eq!(refused["Condition"], json!({"Bool": {"aws:SecureTransport": "false"}}));
    assert_eq!(Stack::new(&[]).of_type("AWS::SNS::TopicPolicy").len(), 0);
}

#[test]
fn alarms_and_the_dashboard_show_the_metrics_that_the_function_emits_and_the_dashboard_all_of_them() {
    use kinesis_encryption_enforcer::domain::outcome::Status;
    use kinesis_encryption_enforcer::report::metrics::{OTHERS, metric_of};
    let emitted = Status::ALL.map(metric_of).into_iter().chain(OTHERS);
    let emitted: BTreeSet<_> = emitted.map(str::to_owned).collect();
    let stack = Stack::new(&[("OutcomeEventBus", "default"), ("PolicyParameter", "policy")]);
    let own = json!(DEFAULT_METRICS_NAMESPACE);
    let alarms = stack.of_type("AWS::CloudWatch::Alarm").into_values().filter(|alarm| alarm["Namespace"] == own);
    let alarmed: BTreeSet<_> = alarms.map(|alarm| alarm["MetricName"].as_str().expect("a name").to_owned()).collect();
    assert!(alarmed.len() == 9 && alarmed.is_subset(&emitted), "{alarmed:?}");
    let cost = read(&root().join("docs/COST.md"));
    assert!(cost.contains(&format!("up to {} of the function's own", emitted.len())), "{}", emitted.len());

    let body = stack.properties("Dashboard")["DashboardBody"].as_str().expect("a text").to_owned();
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let metrics = body["widgets"]
        .as_array()
        .expect("widgets")
        .iter()
        .filter_map(|widget| widget["properties"]["metrics"].as_array().cloned());
    let shown: BTreeSet<_> = metrics
        .flatten()
        .filter(|metric| metric[0] == own)
        .map(|metric| metric[1].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(shown, emitted);
    assert!(!Stack::new(&[("ShowDashboard", "false")]).of_type("AWS::CloudWatch::Dashboard").contains_key("Dashboard"));
}

#[test]
fn the_shortest_timeout_leaves_time_to_wait() {
    let shortest = Duration::from_secs(template()["Parameters"]["Timeout"]["MinValue"].as_u64().expect("seconds"));
    // Below four times the reserve the function keeps a quarter, and no longer all that it needs.
    assert!(shortest > RESERVE * 4, "{shortest:?} against {RESERVE:?}");
}

#[test]
fn the_schedule_sends_what_an_event_of_the_scheduler_looks_like() {
    let schedule = Stack::new(&[]).properties("Schedule");
    let text = schedule["Target"]["Input"].as_str().expect("a text");
    let input: Map<String, Value> = serde_json::from_str(text).expect("JSON");
    let sample = event("scheduled");
    let sample = sample.as_object().expect("an object");
    assert_eq!(input.keys().collect::<BTreeSet<_>>(), sample.keys().collect::<BTreeSet<_>>());
    for field in ["version", "source", "detail-type", "account", "region", "detail"] {
        assert_eq!(input[field], sample[field], "{field}");
    }
    assert_eq!(input["id"], "<aws.scheduler.execution-id>");
    assert_eq!(input["time"], "<aws.scheduler.scheduled-time>");
    assert_eq!(input["resources"], json!(["<aws.scheduler.schedule-arn>"]));
    assert_eq!(schedule["Target"]["DeadLetterConfig"]["Arn"], "<DeadLetterQueue.Arn>");
    assert_eq!(schedule["ScheduleExpression"], "rate(1 hour)");
}

#[test]
fn an_empty_schedule_expression_makes_no_schedule_and_no_role_for_it() {
    let resources = Stack::new(&[("ScheduleExpression", "")]).resources();
    assert!(!resources.contains_key("Schedule") && !resources.contains_key("ScheduleRole"));
    assert!(Stack::new(&[]).resources().contains_key("ScheduleRole"));
}

#[test]
fn the_template_carries_the_crates_version_and_licence() {
    let application = &template()["Metadata"]["AWS::ServerlessRepo::Application"];
    assert_eq!(application["SemanticVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(application["SpdxLicenseId"], env!("CARGO_PKG_LICENSE"));
    assert!(root().join(application["LicenseUrl"].as_str().expect("a path")).is_file());
}

#[test]
fn every_parameter_is_in_one_group_has_a_label_and_is_asked_for_in_the_order_of_the_groups() {
    let keys = |yaml: &Yaml| -> Vec<String> {
        let mapping = yaml.as_mapping().expect("a mapping");
        mapping.keys().map(|key| key.as_str().expect("a text").to_owned()).collect()
    };
    let of_the_function = [
        "Required",
        "Notifications",
        "Rollout and exemptions",
        "Key handling",
        "Schedule and integrations",
        "Multi-account",
        "Advanced",
    ];
    let of_a_member = ["Required", "Notifications", "Key handling", "Advanced"];
    for (file, titles) in [("template.yaml", &of_the_function[..]), ("deploy/member-role.yaml", &of_a_member)] {
        let template = parsed(file);
        let interface = &template["Metadata"]["AWS::CloudFormation::Interface"];
        let groups = interface["ParameterGroups"].as_sequence().expect("groups");
        let titled: Vec<_> = groups.iter().filter_map(|group| group["Label"]["default"].as_str()).collect();
        assert_eq!(titled, titles, "{file}");
        let parameters = |group: &Yaml| serde_yaml_ng::from_value::<Vec<String>>(group["Parameters"].clone());
        let grouped: Vec<_> = groups.iter().flat_map(|group| parameters(group).expect("names")).collect();
        // `sam deploy --guided` asks in the order of the file.
        assert_eq!(keys(&template["Parameters"]), grouped, "{file}");
        assert_eq!(keys(&interface["ParameterLabels"]), grouped, "{file}");
        // What has no default is what the first group has.
        let required: Vec<_> =
            grouped.iter().filter(|name| template["Parameters"][name.as_str()].get("Default").is_none()).collect();
        assert_eq!(required, parameters(&groups[0]).expect("names").iter().collect::<Vec<_>>(), "{file}");
    }
}

#[test]
fn whoever_deploys_chooses_the_mode_and_audit_is_named_first() {
    for file in ["template.yaml", "deploy/member-role.yaml"] {
        let mode = template_in(file)["Parameters"]["Mode"].take();
        assert_eq!(mode.get("Default"), None, "{file}");
        assert_eq!(mode["AllowedValues"], json!(["audit", "enforce"]), "{file}");
        let description = mode["Description"].as_str().expect("a text");
        assert!(description.starts_with("audit: ") && description.contains("enforce: "), "{file}: {description}");
    }
}

#[test]
fn anything_but_does_not_match_what_is_absent() {
    let pattern = json!({"a": {"b": [{"anything-but": ["x"]}]}});
    assert!(matches(&pattern, &json!({"a": {"b": "y"}})));
    assert!(!matches(&pattern, &json!({"a": {"b": "x"}})));
    assert!(!matches(&pattern, &json!({"a": {}})));
    assert!(!matches(&pattern, &json!({})));
    assert!(matches(&json!({"a": {"b": [{"exists": false}]}}), &json!({})));
}

#[test]
#[should_panic(expected = "does not know the operator wildcard")]
fn an_operator_that_this_test_does_not_know_fails_it() {
    matches(&json!({"a": [{"wildcard": "x*"}]}), &json!({"a": "x"}));
}
