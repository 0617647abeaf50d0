# Runs in `terraform test` without an account: the provider is mocked. Existing files stand in for
# the zip and the template.
mock_provider "aws" {}

override_data {
  target = data.aws_s3_bucket.code
  values = { bucket_regional_domain_name = "code.s3.us-east-1.amazonaws.com", id = "code" }
}

override_resource {
  target = aws_cloudformation_stack.enforcer
  values = {
    outputs = {
      FunctionName       = "enforcer"
      FunctionArn        = "arn:aws:lambda:us-east-1:111122223333:function:enforcer"
      RoleArn            = "arn:aws:iam::111122223333:role/enforcer"
      DeadLetterQueueUrl = "https://sqs.us-east-1.amazonaws.com/111122223333/dead-letters"
      DeadLetterQueueArn = "arn:aws:sqs:us-east-1:111122223333:dead-letters"
      WorkQueueUrl       = "https://sqs.us-east-1.amazonaws.com/111122223333/work"
      WorkQueueArn       = "arn:aws:sqs:us-east-1:111122223333:work"
      LogGroupName       = "/aws/lambda/enforcer"
    }
  }
}

variables {
  package    = "versions.tf"
  template   = "main.tf"
  bucket     = "code"
  kms_key_id = "alias/streams"
  mode       = "audit"
}

run "variables_that_are_not_set_are_not_passed_to_the_stack" {
  assert {
    condition     = keys(aws_cloudformation_stack.enforcer.parameters) == tolist(["CodeBucket", "CodeKey", "KmsKeyId", "Mode"])
    error_message = jsonencode(aws_cloudformation_stack.enforcer.parameters)
  }
  assert {
    condition     = aws_cloudformation_stack.enforcer.parameters.CodeKey == "kinesis-encryption-enforcer/${filesha256("versions.tf")}.zip"
    error_message = "the key of the zip is not its checksum"
  }
  assert {
    condition     = aws_cloudformation_stack.enforcer.template_url == "https://code.s3.us-east-1.amazonaws.com/kinesis-encryption-enforcer/${filesha256("main.tf")}.json"
    error_message = aws_cloudformation_stack.enforcer.template_url
  }
  assert {
    condition     = output.dead_letter_queue_arn == "arn:aws:sqs:us-east-1:111122223333:dead-letters"
    error_message = "the outputs are not the stack's"
  }
}

run "values_are_passed_to_the_stack_as_strings" {
  variables {
    mode         = "enforce"
    timeout      = 60
    watch_config = false
    kms_key_arns = [
      "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
      "arn:aws:kms:us-east-1:444455556666:key/mrk-1234abcd12ab34cd56ef1234567890ab",
    ]
  }
  assert {
    condition = aws_cloudformation_stack.enforcer.parameters == tomap({
      CodeBucket  = "code"
      CodeKey     = "kinesis-encryption-enforcer/${filesha256("versions.tf")}.zip"
      KmsKeyArns  = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab,arn:aws:kms:us-east-1:444455556666:key/mrk-1234abcd12ab34cd56ef1234567890ab"
      KmsKeyId    = "alias/streams"
      Mode        = "enforce"
      Timeout     = "60"
      WatchConfig = "false"
    })
    error_message = jsonencode(aws_cloudformation_stack.enforcer.parameters)
  }
}

run "the_plan_rejects_values_that_the_template_rejects" {
  command = plan
  variables {
    kms_key_id          = "streams"
    mode                = "Audit"
    timeout             = 29
    kms_key_arns        = ["alias/streams"]
    schedule_expression = "1 hour"
  }
  expect_failures = [var.kms_key_id, var.mode, var.timeout, var.kms_key_arns, var.schedule_expression]
}
