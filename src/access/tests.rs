use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::key::KeyArn;

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const STREAM: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";
const ROLE: &str = "arn:aws:iam::111122223333:role/app/writer";
const ROOT: &str = "arn:aws:iam::111122223333:root";
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
    let user = "arn:aws:iam::111122223333:user/jo";
    for (principal, named, identity, expected) in [
        (ROLE, json!({"AWS": ROLE}), Identity::NotAllowed, "yes"),
        (ROLE, json!("*"), Identity::NotAllowed, "yes"),
        (ROLE, json!({"AWS": ["arn:aws:iam::111122223333:role/x", "*"]}), Identity::NotAllowed, "yes"),
        (user, json!({"AWS": user}), Identity::NotAllowed, "yes"),
        // A boundary limits what is allowed to a role, and not what is allowed to a user.
        (ROLE, json!({"AWS": ROLE}), Identity::OutsideBoundary, "unknown"),
        (user, json!({"AWS": user}), Identity::OutsideBoundary, "yes"),
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
    let session = "arn:aws:sts::111122223333:assumed-role/writer/function";
    for (named, expected) in [
        (json!({"AWS": ROOT}), "yes"),
        (json!({"AWS": ROLE}), "unknown"),
        (json!({"AWS": "arn:aws:iam::111122223333:role/app/other"}), "KeyPolicyLacks"),
    ] {
        assert_eq!(called(&answer(session, &policy(&json!([allow(&named)])), &Identity::Allowed)), expected, "{named}");
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
        (
            json!({"Effect": "Deny", "NotPrincipal": {"AWS": "arn:aws:iam::111122223333:role/x"}, "Action": "kms:*"}),
            "KeyPolicyDenies",
        ),
        (json!({"Effect": "Deny", "NotPrincipal": {"AWS": ROLE}, "Action": "kms:*"}), "unknown"),
        (json!({"Effect": "Deny", "Principal": "*", "NotAction": "kms:Decrypt"}), "yes"),
        (json!({"Effect": "Deny", "Principal": "*", "NotAction": "kms:Describe*"}), "KeyPolicyDenies"),
    ] {
        let key = policy(&json!([allow(&json!({"AWS": ROLE})), statement]));
        assert_eq!(called(&answer(ROLE, &key, &Identity::Allowed)), expected, "{statement}");
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
        (&silent, Identity::Unknown(String::new()), "KeyPolicyLacks"),
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
    };
    for (granted, expected) in [
        (grant(ROLE, "Decrypt", &[]), "yes"),
        (grant(ROLE, "Decrypt", &[(CONTEXT_KEY, STREAM)]), "yes"),
        (grant(ROLE, "Decrypt", &[(CONTEXT_KEY, "another")]), "KeyPolicyLacks"),
        (grant(ROLE, "Decrypt", &[("department", "orders")]), "KeyPolicyLacks"),
        (grant(ROLE, "Encrypt", &[]), "KeyPolicyLacks"),
        (grant("arn:aws:iam::111122223333:role/writer", "Decrypt", &[]), "KeyPolicyLacks"),
    ] {
        let key = customer(Ok(json!({"Version": "2012-10-17", "Statement": []})), Ok(vec![granted.clone()]));
        assert_eq!(called(&answer(ROLE, &key, &Identity::NotAllowed)), expected, "{granted:?}");
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

/// A statement of a key policy, of parts that matter here.
fn statements() -> impl Strategy<Value = Vec<Value>> {
    let principal = prop_oneof![
        Just(json!("*")),
        Just(json!({"AWS": ROOT})),
        Just(json!({"AWS": ROLE})),
        Just(json!({"AWS": OTHER_ROLE})),
        Just(json!({"AWS": "AROAEXAMPLEID"})),
        Just(json!({"Service": "logs.amazonaws.com"})),
    ];
    let condition = prop_oneof![
        3 => Just(json!({})),
        1 => Just(json!({"StringEquals": {"kms:ViaService": "kinesis.us-east-1.amazonaws.com"}})),
        1 => Just(json!({"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}})),
        1 => Just(json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}})),
    ];
    let action = prop_oneof![Just("kms:*"), Just("kms:Decrypt"), Just("kms:Encrypt")];
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

    /// Any text is read without a panic.
    #[test]
    fn any_principal_can_be_read(text in ".{0,80}") {
        drop(Principal::read(&text));
    }
}
