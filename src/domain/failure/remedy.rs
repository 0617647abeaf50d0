//! What a person can do about a failure, by the meaning of its code and by its step.

use super::{Kind, Step};

const KEY_DENIED: &str = "Allow the function's role to use the key in the key policy: kms:DescribeKey, and \
    kms:GenerateDataKey with the condition kms:ViaService = kinesis.<region>.amazonaws.com.";

const CREDENTIALS: &str = "The function retries it; a terminal command does not. If it persists, check the \
    credentials, the account and the Region: of the function's role, or, for a stream of a member account, of the \
    role there. In a terminal, sign in again.";

const CLOCK: &str = "No action needed: it is signed again and retried. If it persists, correct the machine's clock: \
    AWS rejects requests whose time is more than five minutes off.";

const NOT_ADMITTED: &str = "Deploy deploy/member-role.yaml in the member account, with the role name, the ExternalId \
    and the function's role of this stack; if the function's role was recreated, update the member account's stack. \
    Check whether a service control policy denies sts:AssumeRole, and whether the Region is enabled in the member \
    account.";

impl Kind {
    /// What a person can do about such a failure at `step`.
    #[must_use]
    pub fn remedy(self, step: Step) -> String {
        let text = match (self, step) {
            (Self::Throttled, Step::StartStreamEncryption) => {
                "No action needed: it is retried. If it persists, the stream has used up the 25 applications of a \
                 key that AWS allows in 24 hours: find out who keeps changing its encryption, and redrive the dead \
                 letter when the 24 hours are over."
            }
            (Self::Throttled, _) => {
                "No action needed: it is retried. If it persists, find out who uses up the account's limit for \
                 this call."
            }
            (Self::InUse, _) => {
                "No action needed: it is retried. If it persists, find out what keeps the stream CREATING or \
                 UPDATING."
            }
            (Self::StreamNotFound, _) => {
                "Check the stream's name, the account and the Region. A deleted stream needs no action."
            }
            (Self::Denied, step) => return allow(step),
            (Self::KeyDenied, Step::SendDeadLetter) => {
                "Allow the function's role to use the key of the queue, or encrypt the queue with SSE-SQS instead."
            }
            (Self::KeyDenied, _) => KEY_DENIED,
            (
                Self::KeyDisabled
                | Self::KeyInvalid
                | Self::KeyNotFound
                | Self::KeyUnsettled
                | Self::PresentKey
                | Self::Channel,
                _,
            ) => of_key(self),
            (Self::OptIn, _) => "Subscribe the account to the service that the message names.",
            (Self::Invalid, Step::StartStreamEncryption) => {
                "Check that KMS_KEY_ID is a symmetric encryption key that Kinesis accepts, then redrive the dead \
                 letter."
            }
            (Self::Invalid, _) => "Report this with the message: it is a bug, or the API has changed.",
            (Self::Credentials, _) => CREDENTIALS,
            (Self::Clock, _) => CLOCK,
            (Self::QueueNotFound | Self::NoQueue, _) => {
                "Set FAILURE_QUEUE_URL to the URL of an existing SQS queue in this Region."
            }
            (Self::Unavailable, _) => {
                "No action needed: it is retried. If it persists, check the network (of the function: VPC endpoints, \
                 security groups; in a terminal: the proxy) and the AWS Health Dashboard."
            }
            (Self::Unsettled, _) => {
                "No action needed: it is retried. If it persists, describe the stream; if it is only slow, \
                 increase the function's timeout."
            }
            (Self::Undone, _) => {
                "Find out in CloudTrail who calls StopStreamEncryption or StartStreamEncryption on the stream, and \
                 agree with them on one key."
            }
            (Self::Spent, _) => {
                "Find out in CloudTrail who keeps changing the stream's encryption, and redrive the dead letter \
                 after the time that the message names."
            }
            (Self::Foreign, _) => {
                "Deploy the function in the stream's own account and Region, or add the account to MEMBER_ACCOUNTS \
                 and deploy deploy/member-role.yaml there."
            }
            (Self::NotAdmitted, _) => NOT_ADMITTED,
            (Self::NotUnderstood, _) => {
                "Check what sends this to the function: it accepts the events in docs/EVENTS.md, and the requests \
                 {\"stream\": …}, {\"streams\": […]}, {\"sweep\": true} and {\"resume\": true}."
            }
            (Self::Exemption, _) => {
                "Correct or remove the exemption tag, then redrive the dead letter. Until then, the stream is not \
                 changed."
            }
            (Self::Policy, Step::ApplyPolicy) => {
                "Give the rule conditions that can be known of this stream, or put a rule for it before that rule. \
                 Until then, the stream is not changed."
            }
            (Self::Policy, _) => {
                "Correct the policy: enforcer policy check shows its problems. Until then, no stream is changed."
            }
            (Self::Unknown, _) => {
                "No action needed: it is retried. If it persists, look up the code in the API reference of the \
                 service."
            }
        };
        text.to_owned()
    }
}

/// What to do about a key that cannot be used, or not for this stream.
fn of_key(kind: Kind) -> &'static str {
    match kind {
        Kind::KeyDisabled => "Enable the key (kms:EnableKey) or configure another key, then redrive the dead letter.",
        Kind::KeyInvalid => {
            "Configure a key that is Enabled, symmetric (SYMMETRIC_DEFAULT), for ENCRYPT_DECRYPT and in the \
             stream's Region, or make this key usable; then redrive the dead letter."
        }
        Kind::KeyNotFound => {
            "Check KMS_KEY_ID: the key or alias does not exist in this account and Region. A key of another \
             account must be given by its ARN."
        }
        Kind::KeyUnsettled => "No action needed: KMS shows a change of a key within minutes, and it is retried.",
        Kind::PresentKey => {
            "Allow the function's role kms:DescribeKey on the stream's present key, or set \
             ON_OTHER_KEY=replace."
        }
        // Kind::Channel, the only other one that comes here.
        _ => {
            "Configure a customer managed key for the stream, in KMS_KEY_ID or in a rule of the policy, and allow \
             the channel's role kms:Decrypt on it; then redrive the dead letter. Until then, the stream is not \
             changed."
        }
    }
}

/// What to allow the function's role, where IAM denies it `step`.
fn allow(step: Step) -> String {
    let text = match step {
        Step::DescribeKey => {
            "Allow the function's role kms:DescribeKey on the key: in the role's IAM policy (template parameter \
             KmsKeyArns) and, for a key of another account, also in the key policy."
        }
        Step::SendDeadLetter => "Allow the function's role sqs:SendMessage on the queue in FAILURE_QUEUE_URL.",
        Step::StartStreamEncryption => {
            "Allow the function's role kinesis:StartStreamEncryption on the stream and on the key (template \
             parameter KmsKeyArns), and check whether a service control policy denies it."
        }
        _ => {
            let action = action(step);
            return format!(
                "Allow the function's role {action}, and check whether a service control policy denies it."
            );
        }
    };
    text.to_owned()
}

fn action(step: Step) -> &'static str {
    match step {
        Step::DescribeStream => "kinesis:DescribeStreamSummary on the stream",
        Step::ListTags => "kinesis:ListTagsForStream on the stream",
        Step::GetResources => "tag:GetResources",
        Step::ListStreams => "kinesis:ListStreams",
        Step::StartStreamEncryption => "kinesis:StartStreamEncryption on the stream and the key",
        Step::DescribeKey => "kms:DescribeKey on the key",
        Step::SendDeadLetter => "sqs:SendMessage on the queue",
        Step::SendWorkItem => "sqs:SendMessage on the queue in WORK_QUEUE_URL",
        Step::HandleDeadLetters => {
            "sqs:ReceiveMessage, sqs:ChangeMessageVisibility and sqs:DeleteMessage on the dead-letter queue, \
             sqs:SendMessage on the work queue"
        }
        Step::ReadFunction => "lambda:GetFunctionConfiguration on the function",
        Step::ListRegions => "ec2:DescribeRegions",
        Step::ImportFindings => "securityhub:BatchImportFindings",
        Step::FindUsers => "the actions in docs/ACCESS.md",
        Step::SimulatePolicy => "iam:SimulatePrincipalPolicy and iam:GetRole",
        Step::Probe => "kinesis:PutRecord on the stream, and kms:GenerateDataKey on the key",
        Step::AssumeRole => "sts:AssumeRole on the member account's role",
        Step::PutEvents => "events:PutEvents on the bus in OUTCOME_EVENT_BUS",
        Step::ChangeVisibility => "sqs:ChangeMessageVisibility on the queue in WORK_QUEUE_URL",
        Step::ReadQueue => "sqs:GetQueueAttributes on the queue in WORK_QUEUE_URL",
        Step::GetPolicy => "kms:GetKeyPolicy on the key, kinesis:GetResourcePolicy on the stream",
        Step::LookupEvents => "cloudtrail:LookupEvents",
        Step::ReadPolicy => "ssm:GetParameter on the parameter in POLICY_PARAMETER",
        Step::ReadAccessState => "ssm:GetParameter on the parameter in ACCESS_STATE_PARAMETER",
        Step::WriteAccessState => "ssm:PutParameter on the parameter in ACCESS_STATE_PARAMETER",
        Step::ReadEvent | Step::CheckTarget | Step::ApplyPolicy | Step::Wait => "the call that the message names",
    }
}
