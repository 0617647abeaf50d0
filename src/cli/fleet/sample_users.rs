//! The users of the sample fleet: one for every answer that `enforcer access` can give.

use serde_json::{Value, json};

use crate::sandbox::{Account, Policies, UsedBy};

/// The keys of the sample fleet, as ARNs.
pub(super) struct Keys<'a> {
    /// The key that most streams are to have.
    pub(super) streams: &'a str,
    /// The key that `inventory` has.
    pub(super) old: &'a str,
    /// The key that the streams of payments are to have.
    pub(super) payments: &'a str,
}

/// A role of another account, which the policy of a key allows.
const AUDITOR: &str = "arn:aws:iam::444455556666:role/auditor";

/// Lets services, applications and people use the streams of the sample fleet.
pub(super) fn add(account: &Account, Keys { streams, old, payments }: &Keys<'_>) {
    let arn = |kind: &str, name: &str| format!("arn:aws:iam::{}:{kind}/{name}", account.account_id());
    let role = |name: &str| arn("role", name);
    let allowing = |condition: Value| {
        let actions = json!(["kms:GenerateDataKey", "kms:Decrypt"]);
        let mut statement = json!({"Effect": "Allow", "Action": actions, "Resource": "*"});
        if !condition.is_null() {
            statement["Condition"] = condition;
        }
        json!({"Version": "2012-10-17", "Statement": [statement]})
    };
    let may = Policies { identity: vec![allowing(Value::Null)], ..Policies::default() };
    let nothing = json!({"Version": "2012-10-17", "Statement": []});
    let through_kinesis =
        json!({"StringEquals": {"kms:ViaService": format!("kinesis.{}.amazonaws.com", account.region())}});
    let tagged = json!({"StringEquals": {"aws:PrincipalTag/team": "devices"}});
    let linked = "aws-service-role/kinesisreplication.dynamodb.amazonaws.com/\
                  AWSServiceRoleForDynamoDBKinesisDataStreamsReplication";
    for (name, policies) in [
        ("app/click-enricher", may.clone()),
        ("app/web-collector", Policies::default()),
        ("delivery/clicks-to-s3", Policies::default()),
        ("delivery/clicks-archive", Policies { identity: vec![allowing(through_kinesis)], ..Policies::default() }),
        ("dev/device-rules", Policies { boundary: Some(nothing.clone()), ..may.clone() }),
        ("dev/device-lab", Policies { organization: Some(nothing), ..may.clone() }),
        ("ops/device-logs", Policies { identity: vec![allowing(tagged)], ..Policies::default() }),
        (linked, may.clone()),
        ("app/inventory-writer", may.clone()),
        ("app/stock-alerts", Policies::default()),
        ("app/invoices", Policies::default()),
        ("app/payments", may.clone()),
        ("app/partner-export", may),
    ] {
        account.principal(&role(name), policies);
    }
    account.principal(&arn("user", "jo"), Policies::default());
    let named = |name: &str| name.to_owned();
    for (stream, used_by) in [
        ("billing", UsedBy::Function { name: named("invoices"), role: role("app/invoices") }),
        ("clickstream", UsedBy::Function { name: named("click-enricher"), role: role("app/click-enricher") }),
        ("clickstream", UsedBy::PipeTarget { name: named("web-collector"), role: role("app/web-collector") }),
        ("clickstream", UsedBy::Firehose { name: named("clicks-to-s3"), role: role("delivery/clicks-to-s3") }),
        ("clickstream", UsedBy::Channel { name: named("clicks-archive"), role: role("delivery/clicks-archive") }),
        ("clickstream", UsedBy::Consumer { name: named("fraud-scoring"), reader: None }),
        (
            "clickstream",
            UsedBy::Consumer { name: named("partner"), reader: Some(named("arn:aws:iam::444455556666:role/reader")) },
        ),
        ("devices", UsedBy::Rule { name: named("device-alarms"), role: role("dev/device-rules") }),
        ("devices", UsedBy::PipeSource { name: named("device-lab"), role: role("dev/device-lab") }),
        ("devices", UsedBy::SubscriptionFilter { name: named("/devices/gateway"), role: role("ops/device-logs") }),
        ("devices", UsedBy::Table { name: named("device-state") }),
        ("payments-us", UsedBy::Function { name: named("settlement"), role: role("app/payments") }),
        ("payments-us", UsedBy::Firehose { name: named("partner-export"), role: role("app/partner-export") }),
        ("payments-eu", UsedBy::Function { name: named("settlement"), role: role("app/payments") }),
        ("payments-eu", UsedBy::Consumer { name: named("audit"), reader: Some(named(AUDITOR)) }),
        ("sessions", UsedBy::LogsDestination { name: named("sessions"), role: role("delivery/no-longer-there") }),
    ] {
        account.used_by(stream, used_by);
    }
    // A grant allows what the role's policies do not.
    account.grant(streams, &role("app/stock-alerts"), &["Decrypt"]);
    // The policy of the payments key denies one role, and allows one of another account.
    let root = format!("arn:aws:iam::{}:root", account.account_id());
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Deny", "Principal": {"AWS": role("app/partner-export")}, "Action": "kms:Decrypt", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": AUDITOR}, "Action": "kms:Decrypt", "Resource": "*"},
    ]});
    account.key_policy(payments, &policy.to_string());
    // Who used the key that `inventory` has.
    let session = |name: &str| {
        let plain = name.rsplit('/').next().unwrap_or_default();
        json!({
            "type": "AssumedRole",
            "arn": format!("arn:aws:sts::{}:assumed-role/{plain}/app", account.account_id()),
            "accountId": account.account_id(),
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": role(name)}},
        })
    };
    let user = json!({"type": "IAMUser", "arn": arn("user", "jo"), "accountId": account.account_id()});
    for (operation, identity, times) in [
        ("GenerateDataKey", session("app/inventory-writer"), 12),
        ("Decrypt", session("app/stock-alerts"), 12),
        ("Decrypt", session("app/retired-report"), 1),
        ("Decrypt", user, 2),
    ] {
        for _ in 0..times {
            account.record_use("inventory", old, operation, &identity);
        }
    }
}
