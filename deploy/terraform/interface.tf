# Written by `make terraform-interface` from the parameters and outputs of template.yaml.

variable "kms_key_id" {
  description = "The key to encrypt every stream with: a key ARN, a key ID, an alias name (alias/orders) or an alias ARN. A key of another account must be specified by ARN. Every producer and consumer needs permission to use the key (kms:GenerateDataKey, kms:Decrypt)."
  type        = string

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:)?alias/[a-zA-Z0-9/_-]{1,250}$|^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/)?([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|mrk-[0-9a-fA-F]{32})$", var.kms_key_id))
    error_message = "kms_key_id must be a key ARN, a key ID, an alias name (alias/...) or an alias ARN."
  }
}

variable "mode" {
  description = "audit: the function only reports what it would do, and its role does not allow it to change a stream. enforce: it encrypts streams that are not compliant, and producers and consumers that may not use the key then fail. Begin with audit."
  type        = string

  validation {
    condition     = contains(["audit", "enforce"], var.mode)
    error_message = "mode must be one of audit, enforce."
  }
}

variable "alarm_email" {
  description = "Email address that alarms notify. AWS first sends a message to confirm the subscription. Empty: no email."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_email == null ? true : can(regex("^$|^[^@\\s]+@[^@\\s]+$", var.alarm_email))
    error_message = "alarm_email must be an email address, or empty."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that alarms notify. If this and AlarmEmail are empty, alarms are visible only in the console."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null ? true : can(regex("^$|^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]{1,256}$", var.alarm_topic_arn))
    error_message = "alarm_topic_arn must be the ARN of an SNS topic, or empty."
  }
}

variable "runbook_url" {
  description = "URL of the runbook, to which each alarm adds its section, such as #deadletteralarm. Set it if you keep your own copy of docs/RUNBOOK.md."
  type        = string
  default     = null

  validation {
    condition     = var.runbook_url == null ? true : can(regex("^https://[a-zA-Z0-9.-]+(:[0-9]+)?(/[^\\s#<>\"]*)?$", var.runbook_url))
    error_message = "runbook_url must be an https:// URL without spaces and without an anchor (#...)."
  }

  validation {
    condition     = var.runbook_url == null ? true : length(var.runbook_url) <= 256
    error_message = "runbook_url must have at most 256 characters."
  }
}

variable "exempt_tag_key" {
  description = "Tag key that exempts a stream from encryption. The value of the tag is the reason, optionally with until=YYYY-MM-DD. Empty: tags do not exempt streams."
  type        = string
  default     = null

  validation {
    condition     = var.exempt_tag_key == null ? true : can(regex("^$|^[^\\x00-\\x20!-$&-*,;<>?\\x5B-\\x5E\\x60\\x7B-\\x7F]([^\\x00-\\x1F!-$&-*,;<>?\\x5B-\\x5E\\x60\\x7B-\\x7F]{0,126}[^\\x00-\\x20!-$&-*,;<>?\\x5B-\\x5E\\x60\\x7B-\\x7F])?$", var.exempt_tag_key)) && !can(regex("^[aA][wW][sS]:", var.exempt_tag_key))
    error_message = "exempt_tag_key must be a tag key of at most 128 letters, digits, spaces and _ . : / = + - % @ that does not begin with aws: and neither begins nor ends with a space, or empty."
  }
}

variable "policy" {
  description = "Ordered rules as JSON: which streams use another key, are only audited, or are exempt. List the keys of the rules in KmsKeyArns. Empty: no rules."
  type        = string
  default     = null

  validation {
    condition     = var.policy == null ? true : length(var.policy) <= 3072
    error_message = "policy must have at most 3072 characters."
  }
}

variable "policy_parameter" {
  description = "Name of an SSM parameter of type String that contains the rules, as an alternative to Policy. The function reads it once a minute. Empty: none."
  type        = string
  default     = null

  validation {
    condition     = var.policy_parameter == null ? true : can(regex("^$|^/?[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*$", var.policy_parameter))
    error_message = "policy_parameter must be the name of an SSM parameter, such as /kinesis/policy, or empty."
  }
}

variable "iac_grace_seconds" {
  description = "Grace period, in seconds: how long a new stream must remain unchanged before the function encrypts it, so that Terraform and similar tools can finish creating it (0 to 900). 0: no grace period."
  type        = number
  default     = null

  validation {
    condition     = var.iac_grace_seconds == null ? true : var.iac_grace_seconds >= 0 && var.iac_grace_seconds <= 900
    error_message = "iac_grace_seconds must be between 0 and 900."
  }
}

variable "max_applies_per_day" {
  description = "How many times in 24 hours the function encrypts the same stream before it reports the stream as contested and stops changing it (1 to 25)."
  type        = number
  default     = null

  validation {
    condition     = var.max_applies_per_day == null ? true : var.max_applies_per_day >= 1 && var.max_applies_per_day <= 25
    error_message = "max_applies_per_day must be between 1 and 25."
  }
}

variable "watch_access" {
  description = "Whether to report producers and consumers that may not use the key of a stream. Requires a CloudTrail trail that logs read events and KMS events."
  type        = bool
  default     = null
}

variable "halt_on_access_denied" {
  description = "Whether sweeps change no further stream for an hour after a producer or consumer was denied a key that the function had applied within the hour before. Needs WatchAccess. New streams, and streams whose encryption was stopped, are encrypted nevertheless."
  type        = bool
  default     = null
}

variable "kms_key_arns" {
  description = "Key ARNs that the function may apply. Empty: the key in KmsKeyId or, if that is an alias, any key of this account and Region. Required for an alias of another account, and recommended for every alias."
  type        = list(string)
  default     = null

  validation {
    condition     = var.kms_key_arns == null ? true : alltrue([for one in var.kms_key_arns : can(regex("^$|^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(alias/aws/kinesis|key/([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|mrk-[0-9a-fA-F]{32}))$", one))])
    error_message = "kms_key_arns must be key ARNs (arn:aws:kms:<region>:<account>:key/<key ID>) or the ARN of alias/aws/kinesis."
  }
}

variable "on_other_key" {
  description = "What to do with a stream that is encrypted with another customer managed key. replace: re-encrypt it with the configured key. accept: treat it as compliant if that key is enabled and belongs to the stream's account, this account, a member account, or an account that holds a configured key. Keys of other accounts and the AWS managed key are always replaced."
  type        = string
  default     = null

  validation {
    condition     = var.on_other_key == null ? true : contains(["replace", "accept"], var.on_other_key)
    error_message = "on_other_key must be one of replace, accept."
  }
}

variable "on_key_rotation" {
  description = "What to do when the key is rotated. verify: check the streams; those encrypted with the key are not changed. reapply: apply the key once more to each stream encrypted with it."
  type        = string
  default     = null

  validation {
    condition     = var.on_key_rotation == null ? true : contains(["verify", "reapply"], var.on_key_rotation)
    error_message = "on_key_rotation must be one of verify, reapply."
  }
}

variable "schedule_expression" {
  description = "When to check all streams. Events are delivered on a best-effort basis, and only the schedule finds the streams of events that were not delivered. With another schedule than the default, set SilenceAlarmHours too. Empty: never."
  type        = string
  default     = null

  validation {
    condition     = var.schedule_expression == null ? true : can(regex("^$|^(rate|cron)\\(.+\\)$", var.schedule_expression))
    error_message = "schedule_expression must be rate(...) or cron(...), or empty."
  }
}

variable "silence_alarm_hours" {
  description = "After how many hours without a scheduled sweep SilenceAlarm fires (2 to 168): about three times the interval of the schedule, such as 18 for rate(6 hours). Empty: 3 with the default schedule, and no alarm with another one."
  type        = string
  default     = null

  validation {
    condition     = var.silence_alarm_hours == null ? true : can(regex("^$|^([2-9]|[1-9][0-9]|1[0-5][0-9]|16[0-8])$", var.silence_alarm_hours))
    error_message = "silence_alarm_hours must be a number of hours from 2 to 168, or empty."
  }
}

variable "watch_config" {
  description = "Whether to create rules for AWS Config events about streams. They cause no cost while AWS Config is not enabled."
  type        = bool
  default     = null
}

variable "watch_security_hub" {
  description = "Whether to create rules for Security Hub findings and custom actions about streams. They cause no cost while Security Hub is not enabled."
  type        = bool
  default     = null
}

variable "outcome_event_bus" {
  description = "Name of the event bus to which the function publishes outcome events (docs/outcome-event.schema.json): encrypted, failed, contested, access denied, key at risk, exemption expired. Empty: none."
  type        = string
  default     = null

  validation {
    condition     = var.outcome_event_bus == null ? true : can(regex("^$|^[a-zA-Z0-9._/-]{1,256}$", var.outcome_event_bus))
    error_message = "outcome_event_bus must be the name of an event bus of this account and Region, such as default, or empty."
  }
}

variable "member_role_name" {
  description = "Name of the role that the function assumes in member accounts (deploy/member-role.yaml). Set MemberRoleName, MemberAccounts and MemberExternalId together, or none of them. Empty: no member accounts."
  type        = string
  default     = null

  validation {
    condition     = var.member_role_name == null ? true : can(regex("^$|^([a-zA-Z0-9+=,.@_-]+/)*[a-zA-Z0-9+=,.@_-]{1,64}$", var.member_role_name))
    error_message = "member_role_name must be the name of a role, with its path if it has one (security/enforcer) but without a leading slash, or empty."
  }
}

variable "member_accounts" {
  description = "IDs of other accounts whose streams the function manages in addition to those of its own account. It never acts in an account that is not listed. Empty: no member accounts."
  type        = list(string)
  default     = null

  validation {
    condition     = var.member_accounts == null ? true : alltrue([for one in var.member_accounts : can(regex("^$|^[0-9]{12}$", one))])
    error_message = "member_accounts must be account IDs of 12 digits."
  }
}

variable "member_external_id" {
  description = "External ID (sts:ExternalId) that the trust policy of the role in member accounts requires. Empty: no member accounts."
  type        = string
  default     = null

  validation {
    condition     = var.member_external_id == null ? true : can(regex("^$|^[a-zA-Z0-9+=,.@:/_-]{2,1224}$", var.member_external_id))
    error_message = "member_external_id must be 2 to 1224 characters of a-z, A-Z, 0-9 and + = , . @ : / - _, or empty."
  }
}

variable "architecture" {
  description = "Processor architecture of the function. arm64 costs less. If you change it, pass it to sam build too."
  type        = string
  default     = null

  validation {
    condition     = var.architecture == null ? true : contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be one of arm64, x86_64."
  }
}

variable "timeout" {
  description = "Function timeout, in seconds: how long an invocation may wait for streams to become encrypted (30 to 900)."
  type        = number
  default     = null

  validation {
    condition     = var.timeout == null ? true : var.timeout >= 30 && var.timeout <= 900
    error_message = "timeout must be between 30 and 900."
  }
}

variable "reserved_concurrency" {
  description = "How many executions of the function may run at the same time, taken from the account's concurrency (recommended: 10, if the account's quota is the usual 1,000). If very many events arrive at once, the others wait in Lambda for up to six hours. Empty: no limit, so that such events may use all the concurrency that other functions have not reserved."
  type        = string
  default     = null

  validation {
    condition     = var.reserved_concurrency == null ? true : can(regex("^$|^([5-9]|[1-9][0-9]{1,3})$", var.reserved_concurrency))
    error_message = "reserved_concurrency must be a number from 5 to 9999, or empty."
  }
}

variable "work_queue_max_receives" {
  description = "How many times a message of the work queue is attempted before it becomes a dead letter (5 to 50)."
  type        = number
  default     = null

  validation {
    condition     = var.work_queue_max_receives == null ? true : var.work_queue_max_receives >= 5 && var.work_queue_max_receives <= 50
    error_message = "work_queue_max_receives must be between 5 and 50."
  }
}

variable "log_level" {
  description = "Log level of the function. INFO writes one line per stream and one per invocation."
  type        = string
  default     = null

  validation {
    condition     = var.log_level == null ? true : contains(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"], var.log_level)
    error_message = "log_level must be one of TRACE, DEBUG, INFO, WARN, ERROR."
  }
}

variable "log_retention_days" {
  description = "Log retention, in days. The log is the record of what was encrypted, when and why."
  type        = number
  default     = null

  validation {
    condition     = var.log_retention_days == null ? true : contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653."
  }
}

variable "metrics_namespace" {
  description = "CloudWatch namespace of the function's metrics."
  type        = string
  default     = null

  validation {
    condition     = var.metrics_namespace == null ? true : can(regex("^[a-zA-Z0-9._/#-]([a-zA-Z0-9._/#: -]{0,253}[a-zA-Z0-9._/#:-])?$", var.metrics_namespace)) && !can(regex("^AWS/", var.metrics_namespace))
    error_message = "metrics_namespace must be 1 to 255 characters of a-z, A-Z, 0-9 and . - _ / # : and space, must not begin with a colon or AWS/, and must neither begin nor end with a space."
  }
}

variable "show_dashboard" {
  description = "Whether to create a CloudWatch dashboard. The first three dashboards of an account are free."
  type        = bool
  default     = null
}

locals {
  parameters = {
    KmsKeyId             = var.kms_key_id
    Mode                 = var.mode
    AlarmEmail           = var.alarm_email
    AlarmTopicArn        = var.alarm_topic_arn
    RunbookUrl           = var.runbook_url
    ExemptTagKey         = var.exempt_tag_key
    Policy               = var.policy
    PolicyParameter      = var.policy_parameter
    IacGraceSeconds      = tostring(var.iac_grace_seconds)
    MaxAppliesPerDay     = tostring(var.max_applies_per_day)
    WatchAccess          = tostring(var.watch_access)
    HaltOnAccessDenied   = tostring(var.halt_on_access_denied)
    KmsKeyArns           = var.kms_key_arns == null ? null : join(",", var.kms_key_arns)
    OnOtherKey           = var.on_other_key
    OnKeyRotation        = var.on_key_rotation
    ScheduleExpression   = var.schedule_expression
    SilenceAlarmHours    = var.silence_alarm_hours
    WatchConfig          = tostring(var.watch_config)
    WatchSecurityHub     = tostring(var.watch_security_hub)
    OutcomeEventBus      = var.outcome_event_bus
    MemberRoleName       = var.member_role_name
    MemberAccounts       = var.member_accounts == null ? null : join(",", var.member_accounts)
    MemberExternalId     = var.member_external_id
    Architecture         = var.architecture
    Timeout              = tostring(var.timeout)
    ReservedConcurrency  = var.reserved_concurrency
    WorkQueueMaxReceives = tostring(var.work_queue_max_receives)
    LogLevel             = var.log_level
    LogRetentionDays     = tostring(var.log_retention_days)
    MetricsNamespace     = var.metrics_namespace
    ShowDashboard        = tostring(var.show_dashboard)
  }
}

output "function_name" {
  description = "Name of the function. Invoke it with {\"stream\":\"<name>\"} or {\"sweep\":true}."
  value       = aws_cloudformation_stack.enforcer.outputs["FunctionName"]
}

output "function_arn" {
  description = "ARN of the function"
  value       = aws_cloudformation_stack.enforcer.outputs["FunctionArn"]
}

output "role_arn" {
  description = "ARN of the function's role, for key policies in other accounts and for deploy/member-role.yaml"
  value       = aws_cloudformation_stack.enforcer.outputs["RoleArn"]
}

output "dead_letter_queue_url" {
  description = "URL of the dead-letter queue. Its messages state what failed, the reason and the remedy."
  value       = aws_cloudformation_stack.enforcer.outputs["DeadLetterQueueUrl"]
}

output "dead_letter_queue_arn" {
  description = "ARN of the dead-letter queue"
  value       = aws_cloudformation_stack.enforcer.outputs["DeadLetterQueueArn"]
}

output "work_queue_url" {
  description = "URL of the work queue, which holds the streams that are still to be checked"
  value       = aws_cloudformation_stack.enforcer.outputs["WorkQueueUrl"]
}

output "work_queue_arn" {
  description = "ARN of the work queue, the destination of a redrive of dead letters"
  value       = aws_cloudformation_stack.enforcer.outputs["WorkQueueArn"]
}

output "log_group_name" {
  description = "Name of the log group, with one line per stream and one per invocation"
  value       = aws_cloudformation_stack.enforcer.outputs["LogGroupName"]
}
