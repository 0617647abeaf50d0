variable "package" {
  description = "Path of the function's zip file. cargo lambda build --release --arm64 --bin bootstrap --output-format zip writes target/lambda/bootstrap/bootstrap.zip."
  type        = string
}

variable "template" {
  description = "Path of the template without the SAM transform. make stackset-template writes target/deploy/template.cfn.json."
  type        = string
}

variable "bucket" {
  description = "Name of the S3 bucket, in the provider's Region, to which the zip file and the template are uploaded."
  type        = string
}

variable "stack_name" {
  description = "Name of the CloudFormation stack. The name of the function's log group contains it."
  type        = string
  default     = "kinesis-encryption-enforcer"
}

variable "tags" {
  description = "Tags of the stack, which CloudFormation propagates to its resources."
  type        = map(string)
  default     = {}
}
