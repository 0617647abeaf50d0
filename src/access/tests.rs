use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::key::KeyArn;

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const STREAM: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";
const ROLE: &str = "arn:aws:iam::111122223333:role/app/writer";
const ROOT: &str = "arn:aws:iam::111122223333:root";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/writer/function";
const USER: &str = "arn:aws:iam::111122223333:user/jo";
const SERVICE: &str = "logs.amazonaws.com";
const OTHER_ROLE: &str = "arn:aws:iam::444455556666:role/reader";

/// The answer for `principal`, who wants to decrypt.
fn answer(principal: &str, key: &KeyAccess, identity: &Identity) -> Verdict {
    let principal = match principal.strip_suffix(".amazonaws.com") {
        Some(_) => Principal::Service(principal.to_owned()),
        None => Principal::read(principal).expect("a principal"),
    };
    let stream = STREAM.parse().expect("an ARN");
    let question = Question { principal: &principal, action: Action::Decrypt, stream: &stream };
    verdict(&question, key, identity)
}

fn policy(statements: &Value) -> KeyAccess {
    let policy = json!({"Version": "2012-10-17", "Statement": statements});
    customer(Ok(policy), Ok(Vec::new()))
}

fn customer(policy: Result<Value, String>, grants: Result<Vec<Grant>, String>) -> KeyAccess {
    KeyAccess::Customer { key: KEY.parse().expect("an ARN"), policy, grants }
}

fn allow(principal: &Value) -> Value {
    json!({"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"})
}

fn deny(principal: &Value) -> Value {
    json!({"Effect": "Deny", "Principal": principal, "Action": "kms:*", "Resource": "*"})
}

fn all_but_named(principal: &Value) -> Value {
    json!({"Effect": "Deny", "NotPrincipal": principal, "Action": "kms:*", "Resource": "*"})
}

fn with(mut statement: Value, name: &str, value: Value) -> Value {
    statement[name] = value;
    statement
}

fn is_unknown(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Unknown(_))
}

/// What an answer is called in a table.
fn called(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Yes => "yes".to_owned(),
        Verdict::No(reason) => format!("{reason:?}"),
        Verdict::Unknown(_) => "unknown".to_owned(),
        Verdict::Gone => "gone".to_owned(),
    }
}

#[test]
fn a_key_policy_that_names_the_account_leaves_it_to_iam() {
    let key = policy(&json!([allow(&json!({"AWS": ROOT}))]));
    for (identity, expected) in [
        (Identity::Allowed, "yes"),
        (Identity::NotAllowed, "IdentityPolicyLacks"),
        (Identity::Denied, "IdentityPolicyDenies"),
        (Identity::OutsideBoundary, "OutsideBoundary"),
        (Identity::DeniedByOrganization, "OrganizationDenies"),
        (Identity::Gone, "gone"),
        (Identity::Unknown("AccessDenied".to_owned()), "unknown"),
    ] {
        assert_eq!(called(&answer(ROLE, &key, &identity)), expected, "{identity:?}");
    }
}

#[test]
fn a_key_policy_that_names_the_principal_needs_no_iam_policy() {
    for (principal, named, identity, expected) in [
        (ROLE, json!({"AWS": ROLE}), Identity::NotAllowed, "yes"),
        (ROLE, json!("*"), Identity::NotAllowed, "yes"),
        (ROLE, json!({"AWS": ["arn:aws:iam::111122223333:role/x", "*"]}), Identity::NotAllowed, "yes"),
        (USER, json!({"AWS": USER}), Identity::NotAllowed, "yes"),
        // A boundary limits what is allowed to a role, and not what is allowed to a user.
        (ROLE, json!({"AWS": ROLE}), Identity::OutsideBoundary, "unknown"),
        (USER, json!({"AWS": USER}), Identity::OutsideBoundary, "yes"),
        (ROLE, json!({"AWS": ROLE}), Identity::Denied, "IdentityPolicyDenies"),
        // Who cannot be simulated may be denied.
        (ROLE, json!({"AWS": ROLE}), Identity::Unknown("AccessDenied".to_owned()), "unknown"),
        // Names of others.
        (ROLE, json!({"AWS": "arn:aws:iam::111122223333:role/writer"}), Identity::Allowed, "KeyPolicyLacks"),
        (ROLE, json!({"AWS": "AROAEXAMPLEID"}), Identity::Allowed, "KeyPolicyLacks"),
        (ROLE, json!({"Service": "kinesis.amazonaws.com"}), Identity::Allowed, "KeyPolicyLacks"),
        (ROLE, json!({"AWS": "arn:aws:sts::111122223333:assumed-role/writer/one"}), Identity::NotAllowed, "unknown"),
    ] {
        let key = policy(&json!([allow(&named)]));
        assert_eq!(called(&answer(principal, &key, &identity)), expected, "{principal} {named} {identity:?}");
    }
}

#[test]
fn the_session_of_a_role_whose_path_is_not_known_is_matched_by_what_is_known() {
    for (named, expected) in [
        (json!({"AWS": ROOT}), "yes"),
        (json!({"AWS": ROLE}), "unknown"),
        (json!({"AWS": "arn:aws:iam::111122223333:role/app/other"}), "KeyPolicyLacks"),
    ] {
        assert_eq!(called(&answer(SESSION, &policy(&json!([allow(&named)])), &Identity::Allowed)), expected, "{named}");
    }
}

#[test]
fn a_statement_that_denies_outweighs_everything() {
    for (statement, expected) in [
        (deny(&json!("*")), "KeyPolicyDenies"),
        (deny(&json!({"AWS": ROLE})), "KeyPolicyDenies"),
        (deny(&json!({"AWS": ROOT})), "KeyPolicyDenies"),
        (deny(&json!({"AWS": "arn:aws:iam::111122223333:role/x"})), "yes"),
        (with(deny(&json!("*")), "Action", json!(["kms:Encrypt"])), "yes"),
        (with(deny(&json!("*")), "Action", json!("KMS:decr*")), "KeyPolicyDenies"),
        (with(deny(&json!("*")), "Resource", json!("arn:aws:kms:us-east-1:111122223333:key/other")), "yes"),
        (with(deny(&json!("*")), "Condition", json!({"Bool": {"aws:SecureTransport": "false"}})), "yes"),
        (with(deny(&json!("*")), "Condition", json!({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}})), "unknown"),
        (
            with(
                deny(&json!("*")),
                "Condition",
                json!({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/app/*"}}),
            ),
            "yes",
        ),
        (
            with(
                deny(&json!("*")),
                "Condition",
                json!({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/ops/*"}}),
            ),
            "KeyPolicyDenies",
        ),
        (all_but_named(&json!({"AWS": "arn:aws:iam::111122223333:role/x"})), "KeyPolicyDenies"),
        (all_but_named(&json!({"AWS": ROLE})), "unknown"),
        (json!({"Effect": "Deny", "Principal": "*", "NotAction": "kms:Decrypt", "Resource": "*"}), "yes"),
        (json!({"Effect": "Deny", "Principal": "*", "NotAction": "kms:Describe*", "Resource": "*"}), "KeyPolicyDenies"),
    ] {
        let key = policy(&json!([allow(&json!({"AWS": ROLE})), statement]));
        assert_eq!(called(&answer(ROLE, &key, &Identity::Allowed)), expected, "{statement}");
    }
}

/// `PutKeyPolicy` stores statements without them, and KMS ignores such statements.
#[test]
fn a_statement_without_an_action_or_a_resource_has_no_effect() {
    for name in ["Action", "Resource"] {
        let without = |mut statement: Value| {
            statement.as_object_mut().expect("an object").remove(name);
            statement
        };
        let named = json!({"AWS": ROLE});
        let allowed = policy(&json!([without(allow(&named))]));
        assert_eq!(called(&answer(ROLE, &allowed, &Identity::Allowed)), "KeyPolicyLacks", "{name}");
        let denied = policy(&json!([allow(&named), without(deny(&named))]));
        assert_eq!(called(&answer(ROLE, &denied, &Identity::Allowed)), "yes", "{name}");
    }
}

#[test]
fn a_resource_may_have_variables() {
    for (version, resource, expected) in [
        ("2012-10-17", "arn:aws:kms:*:*:key/*", "KeyPolicyDenies"),
        ("2012-10-17", "arn:aws:kms:*:*:key/*${kms:KeyUsage}", "yes"),
        ("2012-10-17", "arn:aws:kms:*:*:key/${*}", "yes"),
        ("2012-10-17", "arn:aws:kms:*:*:key/${aws:PrincipalTag/key}", "unknown"),
        ("2008-10-17", "arn:aws:kms:*:*:key/${aws:PrincipalTag/key}", "yes"),
        // AWS does not support variables before the fifth colon, and incomplete ARNs are nowhere explained.
        ("2012-10-17", "arn:aws:kms:*:${aws:PrincipalAccount}:key/*", "unknown"),
        ("2012-10-17", "arn:aws:kms:*", "unknown"),
    ] {
        let denied = with(deny(&json!({"AWS": ROOT})), "Resource", json!(resource));
        let policy = json!({"Version": version, "Statement": [allow(&json!({"AWS": ROLE})), denied]});
        let answer = answer(ROLE, &customer(Ok(policy), Ok(Vec::new())), &Identity::Allowed);
        assert_eq!(called(&answer), expected, "{version} {resource}");
    }
}

#[test]
fn a_statement_of_which_a_part_cannot_be_read_decides_nothing() {
    let readable = [allow(&json!({"AWS": ROLE})), deny(&json!({"AWS": ROLE}))];
    for (part, value) in [
        ("Principal", json!({"AWS": 111_122_223_333_u64})),
        ("Principal", json!({"AWS": ["arn:aws:iam::111122223333:role/*"]})),
        ("Principal", json!({"AWS": [{}]})),
        ("Principal", json!({"Anybody": "*"})),
        ("Principal", json!("role/app/writer")),
        ("Principal", json!(null)),
        ("NotPrincipal", json!({"AWS": "arn:aws:iam::111122223333:role/x"})),
        ("Action", json!(7)),
        ("NotAction", json!("kms:Encrypt")),
        ("Resource", json!([true])),
        ("NotResource", json!("*")),
        ("Condition", json!("kms:ViaService")),
        ("Condition", json!({"StringSoundsIfExists": {"kms:EncryptionContext:department": "orders"}})),
        ("Condition", json!({"ForSomeValues:StringEquals": {"kms:EncryptionContext:department": "orders"}})),
        ("Condition", json!({"StringNotEquals": {"kms:ViaService": []}})),
        ("Condition", json!({"ForAllValues:Null": {"kms:ViaService": "false"}})),
        // Elements that no policy has: a condition that is misspelt must not be left out.
        ("condition", json!({"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}})),
        ("Conditions", json!({})),
    ] {
        for statement in readable.clone() {
            let decides = with(statement, part, value.clone());
            for others in [json!([]), json!([allow(&json!({"AWS": ROLE}))])] {
                let statements = [others.as_array().cloned().unwrap_or_default(), vec![decides.clone()]].concat();
                let expected = match (decides["Effect"].as_str(), others.as_array().map(Vec::len)) {
                    // What is allowed anyway is allowed, and what is allowed by nothing is not denied.
                    (Some("Allow"), Some(1)) => "yes",
                    (Some("Deny"), Some(0)) => "KeyPolicyLacks",
                    _ => "unknown",
                };
                let answer = answer(ROLE, &policy(&json!(statements)), &Identity::NotAllowed);
                assert_eq!(called(&answer), expected, "{statements:?}");
            }
        }
    }
}

#[test]
fn a_policy_with_a_member_that_no_policy_has_decides_nothing() {
    for member in ["statement", "Statements", "version"] {
        let mut policy = json!({"Version": "2012-10-17", "Id": "key", "Statement": [allow(&json!({"AWS": ROLE}))]});
        let known = answer(ROLE, &customer(Ok(policy.clone()), Ok(Vec::new())), &Identity::Allowed);
        policy[member] = json!([deny(&json!("*"))]);
        let more = answer(ROLE, &customer(Ok(policy), Ok(Vec::new())), &Identity::Allowed);
        assert_eq!((called(&known).as_str(), called(&more).as_str()), ("yes", "unknown"), "{member}");
    }
}

#[test]
fn conditions_are_asked_with_what_kinesis_sends() {
    for (condition, expected) in [
        (json!({"StringEquals": {"kms:ViaService": "kinesis.us-east-1.amazonaws.com"}}), "yes"),
        (
            json!({"StringEquals": {"kms:viaservice": ["s3.us-east-1.amazonaws.com", "kinesis.us-east-1.amazonaws.com"]}}),
            "yes",
        ),
        (json!({"StringEquals": {"kms:ViaService": "kinesis.eu-west-1.amazonaws.com"}}), "KeyPolicyLacks"),
        (json!({"StringLike": {"kms:ViaService": "kinesis.*.amazonaws.com"}}), "yes"),
        (json!({"StringEquals": {"kms:ViaService": "kinesis.*.amazonaws.com"}}), "KeyPolicyLacks"),
        (json!({"StringEquals": {"kms:EncryptionContext:aws:kinesis:arn": STREAM}}), "yes"),
        (
            json!({"StringEquals": {"kms:EncryptionContext:aws:kinesis:arn": "arn:aws:kinesis:us-east-1:111122223333:stream/clicks"}}),
            "KeyPolicyLacks",
        ),
        (
            json!({"StringLike": {"kms:EncryptionContext:aws:kinesis:arn": "arn:aws:kinesis:*:111122223333:stream/ord*"}}),
            "yes",
        ),
        (json!({"StringEquals": {"kms:EncryptionContext:department": "orders"}}), "KeyPolicyLacks"),
        (json!({"StringEqualsIfExists": {"kms:EncryptionContext:department": "orders"}}), "yes"),
        (json!({"StringNotEquals": {"kms:EncryptionContext:department": "orders"}}), "yes"),
        (json!({"Null": {"kms:EncryptionContext:aws:kinesis:arn": "false"}}), "yes"),
        (json!({"Null": {"kms:EncryptionContext:aws:kinesis:arn": true}}), "KeyPolicyLacks"),
        (json!({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["aws:kinesis:arn", "x"]}}), "yes"),
        (json!({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["x"]}}), "KeyPolicyLacks"),
        // A key with several values needs a set operator, and AWS documents no answer without it.
        (json!({"StringNotEquals": {"kms:EncryptionContextKeys": "x"}}), "unknown"),
        (json!({"ForAnyValue:StringEqualsIfExists": {"kms:EncryptionContext:department": "orders"}}), "unknown"),
        (json!({"ForAllValues:StringEqualsIfExists": {"kms:EncryptionContext:department": "orders"}}), "yes"),
        (json!({"StringEquals": {"kms:CallerAccount": "111122223333"}}), "yes"),
        (json!({"StringEquals": {"kms:CallerAccount": 111_122_223_333_u64}}), "yes"),
        (json!({"StringEquals": {"aws:PrincipalAccount": "444455556666"}}), "KeyPolicyLacks"),
        (json!({"ArnEquals": {"aws:PrincipalArn": ROLE}}), "yes"),
        (json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/*"}}), "yes"),
        (json!({"ArnLike": {"aws:PrincipalArn": "*"}}), "unknown"),
        (json!({"StringLike": {"aws:PrincipalArn": "arn:aws:iam::${aws:PrincipalAccount}:role/app/*"}}), "yes"),
        (json!({"StringEquals": {"aws:PrincipalArn": "${aws:PrincipalTag/arn}"}}), "unknown"),
        (json!({"StringEquals": {"aws:PrincipalTag/team": "orders"}}), "unknown"),
        (
            json!({"StringEquals": {"aws:PrincipalTag/team": "orders", "kms:CallerAccount": "444455556666"}}),
            "KeyPolicyLacks",
        ),
        (json!({"DateLessThan": {"aws:CurrentTime": "2027-01-01T00:00:00Z"}}), "unknown"),
        (json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), "unknown"),
        (json!({"StringSounds": {"kms:CallerAccount": "111122223333"}}), "unknown"),
        (json!({"StringEquals": {"kms:CallerAccount": {}}}), "unknown"),
        (json!({"StringEquals": "kms:CallerAccount"}), "unknown"),
        (json!({}), "yes"),
        (json!([]), "unknown"),
    ] {
        let key = policy(&json!([with(allow(&json!({"AWS": ROLE})), "Condition", condition.clone())]));
        assert_eq!(called(&answer(ROLE, &key, &Identity::Allowed)), expected, "{condition}");
    }
}

#[test]
fn a_policy_of_the_older_version_has_no_variables() {
    let condition = json!({"StringLike": {"aws:PrincipalArn": "arn:aws:iam::${aws:PrincipalAccount}:role/app/*"}});
    let statement = with(allow(&json!({"AWS": ROLE})), "Condition", condition);
    for (version, expected) in
        [(json!("2012-10-17"), "yes"), (json!("2008-10-17"), "KeyPolicyLacks"), (json!(null), "KeyPolicyLacks")]
    {
        let policy = json!({"Version": version, "Statement": statement});
        let key = customer(Ok(policy), Ok(Vec::new()));
        assert_eq!(called(&answer(ROLE, &key, &Identity::Allowed)), expected, "{version}");
    }
}

#[test]
fn a_principal_outside_the_account_of_the_key_needs_both_sides() {
    let allowing = policy(&json!([allow(&json!({"AWS": "444455556666"}))]));
    let silent = policy(&json!([allow(&json!({"AWS": ROOT}))]));
    let unread = customer(Err("AccessDeniedException".to_owned()), Ok(Vec::new()));
    for (key, identity, expected) in [
        (&allowing, Identity::Allowed, "yes"),
        (&allowing, Identity::NotAllowed, "IdentityPolicyLacks"),
        (&allowing, Identity::Denied, "IdentityPolicyDenies"),
        (&allowing, Identity::OutsideBoundary, "OutsideBoundary"),
        (&allowing, Identity::DeniedByOrganization, "OrganizationDenies"),
        (&allowing, Identity::Gone, "gone"),
        (&allowing, Identity::Unknown(String::new()), "unknown"),
        (&silent, Identity::Allowed, "KeyPolicyLacks"),
        (&silent, Identity::NotAllowed, "KeyPolicyLacks"),
        (&silent, Identity::Unknown(String::new()), "KeyPolicyLacks"),
        // No statement that allows would help.
        (&silent, Identity::Denied, "IdentityPolicyDenies"),
        (&silent, Identity::OutsideBoundary, "OutsideBoundary"),
        (&unread, Identity::Allowed, "unknown"),
        (&unread, Identity::NotAllowed, "IdentityPolicyLacks"),
    ] {
        assert_eq!(called(&answer(OTHER_ROLE, key, &identity)), expected, "{key:?} {identity:?}");
    }
}

#[test]
fn of_another_account_only_one_side_is_seen() {
    for (statements, expected) in [
        (json!([allow(&json!({"AWS": ROOT}))]), "KeyPolicyLacks"),
        (json!([allow(&json!({"AWS": "444455556666"}))]), "unknown"),
        (json!([allow(&json!({"AWS": OTHER_ROLE}))]), "unknown"),
        (json!([allow(&json!("*")), deny(&json!({"AWS": "444455556666"}))]), "KeyPolicyDenies"),
    ] {
        let unseen = Identity::Unknown("another account".to_owned());
        assert_eq!(called(&answer(OTHER_ROLE, &policy(&statements), &unseen)), expected, "{statements}");
        let whole = answer("444455556666", &policy(&statements), &unseen);
        assert_eq!(called(&whole), expected, "{statements}");
    }
}

#[test]
fn the_aws_managed_key_is_for_everybody_of_its_account_and_for_nobody_else() {
    for (principal, identity, expected) in [
        (ROLE, Identity::Allowed, "yes"),
        (ROLE, Identity::NotAllowed, "yes"),
        (ROLE, Identity::Denied, "IdentityPolicyDenies"),
        (OTHER_ROLE, Identity::Allowed, "AwsManagedKey"),
        ("444455556666", Identity::Allowed, "AwsManagedKey"),
        ("logs.amazonaws.com", Identity::Allowed, "unknown"),
        ("*", Identity::Allowed, "unknown"),
        ("111122223333", Identity::Allowed, "unknown"),
    ] {
        assert_eq!(called(&answer(principal, &KeyAccess::AwsManaged, &identity)), expected, "{principal} {identity:?}");
    }
}

#[test]
fn services_have_no_iam_policies() {
    for (statements, expected) in [
        (json!([allow(&json!({"Service": "logs.amazonaws.com"}))]), "yes"),
        (json!([allow(&json!({"AWS": ROOT}))]), "KeyPolicyLacks"),
        (
            json!([with(
                allow(&json!({"Service": "logs.amazonaws.com"})),
                "Condition",
                json!({"ArnLike": {"aws:SourceArn": "arn:aws:logs:*"}})
            )]),
            "unknown",
        ),
    ] {
        let verdict = answer("logs.amazonaws.com", &policy(&statements), &Identity::Unknown(String::new()));
        assert_eq!(called(&verdict), expected, "{statements}");
    }
}

#[test]
fn a_grant_allows_what_policies_do_not() {
    let grant = |grantee: &str, operation: &str, context: &[(&str, &str)]| Grant {
        grantee: grantee.to_owned(),
        operations: vec![operation.to_owned()],
        context: context.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        other_constraints: Vec::new(),
    };
    let of_source = |granted: Grant| Grant { other_constraints: vec!["SourceArn".to_owned()], ..granted };
    for (granted, expected) in [
        (grant(ROLE, "Decrypt", &[]), "yes"),
        (grant(ROLE, "Decrypt", &[(CONTEXT_KEY, STREAM)]), "yes"),
        (grant(ROLE, "Decrypt", &[(CONTEXT_KEY, "another")]), "KeyPolicyLacks"),
        (grant(ROLE, "Decrypt", &[("AWS:Kinesis:arn", STREAM)]), "yes"),
        (grant(ROLE, "Decrypt", &[("department", "orders")]), "KeyPolicyLacks"),
        (of_source(grant(ROLE, "Decrypt", &[])), "unknown"),
        (of_source(grant(ROLE, "Encrypt", &[])), "KeyPolicyLacks"),
        (grant(ROLE, "Encrypt", &[]), "KeyPolicyLacks"),
        (grant("arn:aws:iam::111122223333:role/writer", "Decrypt", &[]), "KeyPolicyLacks"),
    ] {
        let key = customer(Ok(json!({"Version": "2012-10-17", "Statement": []})), Ok(vec![granted.clone()]));
        assert_eq!(called(&answer(ROLE, &key, &Identity::NotAllowed)), expected, "{granted:?}");
    }
}

/// AWS documents it for what key policies allow, and not for grants.
#[test]
fn whether_a_boundary_limits_a_grant_is_not_known() {
    for principal in [ROLE, USER] {
        let granted = Grant {
            grantee: principal.to_owned(),
            operations: vec!["Decrypt".to_owned()],
            context: Vec::new(),
            other_constraints: Vec::new(),
        };
        let key = customer(Ok(json!({"Version": "2012-10-17", "Statement": []})), Ok(vec![granted]));
        assert_eq!(called(&answer(principal, &key, &Identity::OutsideBoundary)), "unknown", "{principal}");
    }
}

#[test]
fn what_cannot_be_read_is_unknown_unless_it_does_not_matter() {
    fn denied<T>() -> Result<T, String> {
        Err("AccessDeniedException".to_owned())
    }
    let named = json!({"Version": "2012-10-17", "Statement": [allow(&json!({"AWS": ROLE}))]});
    for (policy, grants, expected) in [
        (denied(), Ok(Vec::new()), "unknown"),
        (denied(), denied(), "unknown"),
        (Ok(json!({"Statement": []})), denied(), "unknown"),
        (Ok(named), denied(), "yes"),
        (Ok(json!({"Statement": "all"})), Ok(Vec::new()), "unknown"),
        (Ok(json!(null)), Ok(Vec::new()), "unknown"),
    ] {
        let key = customer(policy, grants);
        assert_eq!(called(&answer(ROLE, &key, &Identity::NotAllowed)), expected, "{key:?}");
    }
    let key = customer(denied(), denied());
    assert_eq!(answer(ROLE, &key, &Identity::Denied), Verdict::No(Reason::IdentityPolicyDenies));
}

#[test]
fn the_fix_allows_what_was_missing_and_no_more() {
    let key: KeyArn = KEY.parse().expect("an ARN");
    let principal = Principal::read(ROLE).expect("a principal");
    let streams: BTreeSet<StreamArn> = [STREAM.parse().expect("an ARN")].into();
    let actions = [Action::Decrypt].into();
    assert_eq!(
        fix::identity_statement(&actions, &key, &streams),
        json!({
            "Effect": "Allow",
            "Action": ["kms:Decrypt"],
            "Resource": KEY,
            "Condition": {"StringEquals": {
                "kms:EncryptionContext:aws:kinesis:arn": [STREAM],
                "kms:ViaService": ["kinesis.us-east-1.amazonaws.com"],
            }},
        })
    );
    let statement = fix::key_policy_statement(&principal, &actions, &streams).expect("a statement");
    assert_eq!(answer(ROLE, &policy(&json!([statement])), &Identity::NotAllowed), Verdict::Yes);
    let question = |action, stream: &str| {
        let stream = stream.parse().expect("an ARN");
        let question = Question { principal: &principal, action, stream: &stream };
        verdict(&question, &policy(&json!([statement])), &Identity::NotAllowed)
    };
    assert_eq!(question(Action::GenerateDataKey, STREAM), Verdict::No(Reason::KeyPolicyLacks));
    let another = "arn:aws:kinesis:us-east-1:111122223333:stream/clicks";
    assert_eq!(question(Action::Decrypt, another), Verdict::No(Reason::KeyPolicyLacks));
    assert_eq!(fix::key_policy_statement(&Principal::Everybody, &actions, &streams), None);
}

/// Who is asked about, on which stream and key.
struct Asked<'a> {
    principal: &'a str,
    stream: &'a str,
    key: &'a str,
}

impl Asked<'_> {
    fn answer(&self, statements: &Value, identity: &Identity) -> Verdict {
        let principal = Principal::read(self.principal).unwrap_or(Principal::Service(self.principal.to_owned()));
        let stream = self.stream.parse().expect("an ARN");
        let question = Question { principal: &principal, action: Action::Decrypt, stream: &stream };
        let policy = json!({"Version": "2012-10-17", "Statement": statements});
        let key = self.key.parse().expect("an ARN");
        verdict(&question, &KeyAccess::Customer { key, policy: Ok(policy), grants: Ok(Vec::new()) }, identity)
    }
}

/// Statements of a key policy, of parts that matter here.
fn statements() -> impl Strategy<Value = Vec<Value>> {
    let principal = prop_oneof![
        Just(json!("*")),
        Just(json!({"AWS": ROOT})),
        Just(json!({"AWS": ROLE})),
        Just(json!({"AWS": USER})),
        Just(json!({"AWS": ["111122223333", OTHER_ROLE]})),
        Just(json!({"AWS": "444455556666"})),
        Just(json!({"AWS": SESSION})),
        Just(json!({"AWS": OTHER_ROLE})),
        Just(json!({"AWS": "AROAEXAMPLEID"})),
        Just(json!({"Service": "logs.amazonaws.com"})),
    ];
    let condition = prop_oneof![
        3 => Just(json!({})),
        1 => Just(json!({"StringEquals": {"kms:ViaService": "kinesis.us-east-1.amazonaws.com"}})),
        1 => Just(json!({"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}})),
        1 => Just(json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}})),
        1 => Just(json!({"StringLike": {"kms:EncryptionContext:aws:kinesis:arn": "arn:aws:kinesis:*:111122223333:stream/ord*"}})),
        1 => Just(json!({"StringNotEquals": {"kms:CallerAccount": "111122223333"}})),
        1 => Just(json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/app/*"}})),
        1 => Just(json!({"Null": {"kms:EncryptionContext:department": "true"}})),
    ];
    let action = prop_oneof![
        2 => Just(json!("kms:*")),
        2 => Just(json!("kms:Decrypt")),
        1 => Just(json!("kms:Encrypt")),
        1 => Just(json!(["kms:Describe*", "kms:D*"])),
    ];
    let statement = (any::<bool>(), principal, action, condition).prop_map(|(allows, principal, action, condition)| {
        let effect = if allows { "Allow" } else { "Deny" };
        json!({"Effect": effect, "Principal": principal, "Action": action, "Resource": "*", "Condition": condition})
    });
    prop::collection::vec(statement, 0..5)
}

fn identities() -> impl Strategy<Value = Identity> {
    prop_oneof![
        Just(Identity::Allowed),
        Just(Identity::NotAllowed),
        Just(Identity::Denied),
        Just(Identity::OutsideBoundary),
        Just(Identity::Unknown("AccessDenied".to_owned())),
    ]
}

/// Who may be asked about.
fn principals() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![ROLE, USER, SESSION, SERVICE, OTHER_ROLE])
}

/// Conditions of which only the caller knows whether they are met.
fn open_conditions() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        json!({"StringNotEqualsIfExists": {"aws:SourceVpce": "vpce-1"}}),
        json!({"ForAllValues:StringLike": {"kms:ResourceAliases": "alias/*"}}),
        json!({"Null": {"aws:PrincipalTag/team": "true"}}),
        json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}),
        json!({"DateLessThanIfExists": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}),
        json!({"StringLike": {"kms:ViaService": "${aws:PrincipalTag/service}"}}),
        json!({"StringEquals": {"kms:ViaService": "kinesis.us-east-1.amazonaws.com", "aws:PrincipalTag/team": "a"}}),
    ])
}

/// A part of a statement that cannot be read, and the same part when it is about everything.
fn unreadable_parts() -> impl Strategy<Value = (&'static str, Value, Value)> {
    let all = json!("*");
    prop::sample::select(vec![
        ("Principal", json!({"AWS": 111_122_223_333_u64}), all.clone()),
        ("Principal", json!({"AWS": ["arn:aws:iam::*:role/app/writer"]}), all.clone()),
        ("Principal", json!({"Somebody": "*"}), all.clone()),
        ("Principal", json!(true), all.clone()),
        ("Action", json!({"kms": "*"}), all.clone()),
        ("Action", json!([7]), all.clone()),
        ("Resource", json!([{}]), all.clone()),
        ("Resource", json!("arn:aws:kms:*"), all),
        ("Condition", json!("kms:ViaService"), json!({})),
        ("Condition", json!({"StringEquals": {"kms:ViaService": {}}}), json!({})),
        ("Condition", json!({"StringSounds": {"kms:ViaService": "kinesis"}}), json!({})),
        ("Condition", json!({"StringEquals": {"kms:ViaService": []}}), json!({})),
    ])
}

/// How far an answer allows: no, unknown, yes.
fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::No(_) => 0,
        Verdict::Unknown(_) | Verdict::Gone => 1,
        Verdict::Yes => 2,
    }
}

proptest! {
    /// Whatever an unknown condition turns out to be, a yes stays a yes and a no stays a no.
    #[test]
    fn an_answer_holds_however_the_unknown_turns_out(statements in statements(), identity in identities(), met: bool) {
        let before = answer(ROLE, &policy(&json!(statements)), &identity);
        prop_assume!(!is_unknown(&before));
        let decided: Vec<Value> = statements
            .iter()
            .filter(|statement| met || statement["Condition"]["StringEquals"].get("aws:PrincipalOrgID").is_none())
            .map(|statement| {
                let is_open = statement["Condition"]["StringEquals"].get("aws:PrincipalOrgID").is_some();
                if is_open { with(statement.clone(), "Condition", json!({})) } else { statement.clone() }
            })
            .collect();
        let after = answer(ROLE, &policy(&json!(decided)), &identity);
        prop_assert_eq!(rank(&before), rank(&after), "{:?} {:?}", before, after);
    }

    /// One more statement that allows never takes access away, and one more that denies never gives it.
    #[test]
    fn allowing_and_denying_work_in_one_direction(
        statements in statements(), more in statements(), identity in identities()
    ) {
        let before = answer(ROLE, &policy(&json!(statements)), &identity);
        for statement in more {
            let after = answer(ROLE, &policy(&json!([statements.clone(), vec![statement.clone()]].concat())), &identity);
            if statement["Effect"] == "Allow" {
                prop_assert!(rank(&after) >= rank(&before));
            } else {
                prop_assert!(rank(&after) <= rank(&before));
            }
        }
    }

    /// The order of statements does not matter.
    #[test]
    fn the_order_of_statements_does_not_matter(statements in statements(), identity in identities()) {
        let reversed: Vec<_> = statements.iter().rev().cloned().collect();
        let (one, other) = (
            answer(ROLE, &policy(&json!(statements)), &identity),
            answer(ROLE, &policy(&json!(reversed)), &identity),
        );
        prop_assert_eq!(rank(&one), rank(&other));
    }

    /// Whatever a part that cannot be read may mean: about everything, or about nothing.
    #[test]
    fn a_part_that_cannot_be_read_decides_nothing(
        statements in statements(), at: prop::sample::Index, part in unreadable_parts(), identity in identities(),
        principal in prop::sample::select(vec![ROLE, USER, SESSION, OTHER_ROLE])
    ) {
        if statements.is_empty() {
            return Ok(());
        }
        let at = at.index(statements.len());
        let (name, unreadable, everything) = part;
        let replaced = |value: Value| {
            let mut statements = statements.clone();
            statements[at] = with(statements[at].clone(), name, value);
            answer(principal, &policy(&json!(statements)), &identity)
        };
        let before = replaced(unreadable);
        if is_unknown(&before) {
            return Ok(());
        }
        let mut without = statements.clone();
        without.remove(at);
        prop_assert_eq!(rank(&before), rank(&answer(principal, &policy(&json!(without)), &identity)));
        prop_assert_eq!(rank(&before), rank(&replaced(everything)));
    }

    /// A statement whose condition only the caller can meet never makes a yes, and takes one away.
    #[test]
    fn what_only_the_caller_can_meet_never_makes_a_yes(
        statements in statements(), condition in open_conditions(), identity in identities(), principal in principals()
    ) {
        let before = answer(principal, &policy(&json!(statements)), &identity);
        let more = |statement: Value| {
            let statements = [statements.clone(), vec![with(statement, "Condition", condition.clone())]].concat();
            answer(principal, &policy(&json!(statements)), &identity)
        };
        if more(allow(&json!("*"))) == Verdict::Yes {
            prop_assert_eq!(before, Verdict::Yes);
        }
        prop_assert_ne!(more(deny(&json!("*"))), Verdict::Yes);
    }

    /// The answer does not depend on how things are called.
    #[test]
    fn names_do_not_matter(statements in statements(), identity in identities(), principal in principals()) {
        let renamed = |text: &str| {
            [("111122223333", "999900001111"), ("writer", "scribe"), ("user/jo", "user/sam"), ("stream/ord", "stream/paym"),
             ("1234abcd-", "0000ffff-"), ("us-east-1", "eu-west-2"), ("logs.", "events.")]
                .iter()
                .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
        };
        let before = Asked { principal, stream: STREAM, key: KEY }.answer(&json!(statements), &identity);
        let asked = Asked { principal: &renamed(principal), stream: &renamed(STREAM), key: &renamed(KEY) };
        let statements = serde_json::from_str(&renamed(&json!(statements).to_string())).expect("JSON");
        prop_assert_eq!(called(&before), called(&asked.answer(&statements, &identity)));
    }

    /// A statement about several principals or actions is several statements.
    #[test]
    fn a_list_is_several_statements(statements in statements(), identity in identities(), principal in principals()) {
        let split = |statement: &Value| -> Vec<Value> {
            let each = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            let named = match statement["Principal"].get("AWS") {
                Some(named) => each(named).into_iter().map(|one| json!({"AWS": one})).collect(),
                None => vec![statement["Principal"].clone()],
            };
            let of = |named: &Value| {
                let actions = each(&statement["Action"]).into_iter();
                let one = |action| with(with(statement.clone(), "Principal", named.clone()), "Action", action);
                actions.map(one).collect::<Vec<_>>()
            };
            named.iter().flat_map(of).collect()
        };
        let whole = answer(principal, &policy(&json!(statements)), &identity);
        let statements: Vec<_> = statements.iter().flat_map(split).collect();
        prop_assert_eq!(rank(&whole), rank(&answer(principal, &policy(&json!(statements)), &identity)));
    }

    /// What is said of a session holds for every role that has its name, and what is said of an
    /// account holds for everybody in it.
    #[test]
    fn an_answer_about_several_holds_for_each(statements in statements(), identity in identities()) {
        let key = policy(&json!(statements));
        for (whole, each) in [
            (SESSION, &[ROLE, "arn:aws:iam::111122223333:role/writer", "arn:aws:iam::111122223333:role/a/b/writer"][..]),
            ("111122223333", &[ROLE, USER]),
            ("444455556666", &[OTHER_ROLE]),
        ] {
            let of_whole = answer(whole, &key, &identity);
            if !is_unknown(&of_whole) {
                for one in each {
                    prop_assert_eq!(rank(&answer(one, &key, &identity)), rank(&of_whole), "{} {}", whole, one);
                }
            }
        }
    }

    /// The statements that are printed for a no make it a yes, unless something else is unknown.
    #[test]
    fn the_fix_closes_what_was_found(
        statements in statements(), identity in identities(),
        principal in prop::sample::select(vec![ROLE, USER, SERVICE, OTHER_ROLE])
    ) {
        let Verdict::No(reason) = answer(principal, &policy(&json!(statements)), &identity) else { return Ok(()) };
        let (key, actions) = (KEY.parse().expect("an ARN"), BTreeSet::from([Action::Decrypt]));
        let streams = BTreeSet::from([STREAM.parse().expect("an ARN")]);
        let who = Principal::read(principal).unwrap_or(Principal::Service(principal.to_owned()));
        let Some(fix::Places { identity: in_identity, key_policy }) = fix::places(reason, &who, &key) else {
            return Ok(());
        };
        let mut fixed = statements.clone();
        if key_policy {
            fixed.push(fix::key_policy_statement(&who, &actions, &streams).expect("a statement"));
        }
        let mut allowed = identity.clone();
        if in_identity && identity == Identity::NotAllowed {
            // As a statement of a key policy, it has the same effect on everybody.
            let statement = with(fix::identity_statement(&actions, &key, &streams), "Principal", json!("*"));
            prop_assert_eq!(answer(principal, &policy(&json!([statement])), &Identity::Allowed), Verdict::Yes);
            allowed = Identity::Allowed;
        }
        let after = answer(principal, &policy(&json!(fixed)), &allowed);
        let has_open_ends = json!(statements).to_string().contains("aws:PrincipalOrgID")
            || json!(statements).to_string().contains(SESSION)
            || (principal == SERVICE && json!(statements).to_string().contains("aws:PrincipalArn"))
            || (principal == SERVICE && json!(statements).to_string().contains("kms:CallerAccount"))
            || matches!(allowed, Identity::Unknown(_));
        if has_open_ends {
            prop_assert_ne!(rank(&after), 0, "{:?}", after);
        } else {
            prop_assert_eq!(after, Verdict::Yes);
        }
    }

    /// Any text is read without a panic.
    #[test]
    fn any_principal_can_be_read(text in ".{0,80}") {
        drop(Principal::read(&text));
    }
}
