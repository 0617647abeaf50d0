//! What a person can do about a failure, by what its code means and the step at which it happened.

use super::{Kind, Step};

impl Kind {
    /// What a person can do about it, given the `step` at which it happened.
    #[must_use]
    pub fn remedy(self, step: Step) -> String {
        let text = match (self, step) {
            (Self::Throttled, Step::StartStreamEncryption) => {
                "nothing, if it passes: it is tried again. If it does not, the stream has used up the 25 applications of a key that AWS allows in 24 hours: find out \
                 who keeps changing its encryption, and feed the letter back when the 24 hours are over"
            }
            (Self::Throttled, _) => {
                "nothing, if it passes: it is tried again. If it does not, find out who uses up the account's limit for this call"
            }
            (Self::InUse, _) => {
                "nothing, if it passes: it is tried again. If it does not, find out what keeps the stream CREATING or UPDATING"
            }
            (Self::StreamNotFound, _) => {
                "check the stream's name, the account and the Region; a deleted stream needs nothing"
            }
            (Self::Denied, Step::DescribeKey) => {
                "allow the function's role kms:DescribeKey on the key: in its IAM policy (template parameter KmsKeyArns) and, for a key of another account, in the key policy too"
            }
            (Self::Denied, Step::SendDeadLetter) => {
                "allow the function's role sqs:SendMessage on the queue in FAILURE_QUEUE_URL"
            }
            (Self::Denied, Step::StartStreamEncryption) => {
                "allow the function's role kinesis:StartStreamEncryption on the stream and on the key (template parameter KmsKeyArns), and look for a service control policy that denies it"
            }
            (Self::Denied, step) => {
                return format!(
                    "allow the function's role {}, and look for a service control policy that denies it",
                    action(step)
                );
            }
            (Self::KeyDenied, Step::SendDeadLetter) => {
                "allow the function's role the key of the queue, or encrypt the queue with SSE-SQS instead"
            }
            (Self::KeyDenied, _) => {
                "allow the function's role the key in the key policy: kms:DescribeKey, and kms:GenerateDataKey with the condition kms:ViaService = kinesis.<region>.amazonaws.com"
            }
            (Self::KeyDisabled, _) => {
                "enable the key (kms:EnableKey) or configure another one, then feed the letter back"
            }
            (Self::KeyInvalid, _) => {
                "configure a key that is Enabled, symmetric (SYMMETRIC_DEFAULT), for ENCRYPT_DECRYPT and of the stream's Region, or bring this one into that state; then feed the letter back"
            }
            (Self::KeyNotFound, _) => {
                "check KMS_KEY_ID: the key or alias does not exist in this account and Region; a key of another account must be given by its ARN"
            }
            (Self::OptIn, _) => "subscribe the account to the service that the message names",
            (Self::Invalid, Step::StartStreamEncryption) => {
                "check that KMS_KEY_ID is a symmetric encryption key that Kinesis accepts, then feed the letter back"
            }
            (Self::Invalid, _) => "this is a bug or an API change: report it with the message",
            (Self::Credentials, _) => "check the credentials, the account and the Region that the function runs with",
            (Self::QueueNotFound | Self::NoQueue, _) => {
                "set FAILURE_QUEUE_URL to the URL of an existing SQS queue of this Region"
            }
            (Self::Unavailable, _) => {
                "nothing, if it passes: it is tried again. If it does not, check the function's network (VPC endpoints, security groups) and the AWS Health Dashboard"
            }
            (Self::Unsettled, _) => {
                "nothing, if it passes: it is tried again. If it does not, describe the stream, and raise the function's timeout if it was only slow"
            }
            (Self::KeyUnsettled, _) => {
                "nothing, if it passes: KMS shows a change of a key within minutes, and it is tried again"
            }
            (Self::Undone, _) => {
                "find out in CloudTrail who calls StopStreamEncryption or StartStreamEncryption on the stream, and settle with them which key it is to have"
            }
            (Self::Spent, _) => {
                "find out in CloudTrail who keeps changing the stream's encryption, and feed the letter back after the time that the message names"
            }
            (Self::Foreign, _) => {
                "deploy the function in the stream's own account and Region, or name the account in MEMBER_ACCOUNTS and give it the role of deploy/member-role.yaml"
            }
            (Self::NotAdmitted, _) => {
                "deploy deploy/member-role.yaml in the member account, with the role name, the ExternalId and the function's role of this stack (made anew, a role is another one: update the member's stack then); look for a service control policy that denies sts:AssumeRole, and see that the Region is enabled there"
            }
            (Self::NotUnderstood, _) => {
                "check what sends this to the function; accepted are the events in docs/EVENTS.md and {\"stream\": …}, {\"streams\": […]} or {\"sweep\": true}"
            }
            (Self::Exemption, _) => {
                "correct or remove the exemption tag, then feed the letter back; until then the stream is not touched"
            }
            (Self::Policy, Step::ApplyPolicy) => {
                "make the rule's conditions ones that can be known of this stream, or put a rule for it before; until then it is not touched"
            }
            (Self::Policy, _) => {
                "correct the policy (enforcer policy check says what is wrong); until then no stream is touched"
            }
            (Self::PresentKey, _) => {
                "allow the function's role kms:DescribeKey on the stream's present key, or set ON_OTHER_KEY=replace"
            }
            (Self::Unknown, _) => {
                "nothing, if it passes: it is tried again. If it does not, look the code up in the API reference of the service"
            }
        };
        text.to_owned()
    }
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
            "sqs:ReceiveMessage, sqs:ChangeMessageVisibility and sqs:DeleteMessage on the dead-letter queue, sqs:SendMessage on the work queue"
        }
        Step::Probe => "kinesis:PutRecord on the stream, and kms:GenerateDataKey on the key",
        Step::AssumeRole => "sts:AssumeRole on the member's role",
        Step::PutEvents => "events:PutEvents on the bus in OUTCOME_EVENT_BUS",
        Step::ChangeVisibility => "sqs:ChangeMessageVisibility on the queue in WORK_QUEUE_URL",
        Step::GetPolicy => "kms:GetKeyPolicy on the key, kinesis:GetResourcePolicy on the stream",
        Step::LookupEvents => "cloudtrail:LookupEvents",
        Step::ReadPolicy => "ssm:GetParameter on the parameter in POLICY_PARAMETER",
        Step::ReadEvent | Step::CheckTarget | Step::ApplyPolicy | Step::Wait => "the call that the message names",
    }
}
