variable "package" {
  description = "The function's zip: cargo lambda build --release --arm64 --bin bootstrap --output-format zip makes target/lambda/bootstrap/bootstrap.zip."
  type        = string
}

variable "template" {
  description = "The template without a transform: make stackset-template writes target/deploy/template.cfn.json."
  type        = string
}

variable "bucket" {
  description = "The S3 bucket, of the provider's Region, that zip and template are put into."
  type        = string
}

variable "stack_name" {
  description = "The name of the CloudFormation stack; the function's log group is named after it."
  type        = string
  default     = "kinesis-encryption-enforcer"
}

variable "tags" {
  description = "Tags of the stack, which CloudFormation passes on to what it makes."
  type        = map(string)
  default     = {}
}
