locals {
  # Lambda and CloudFormation both see a change by the key only, so each build has one of its own.
  code_key     = "${var.stack_name}/${filesha256(var.package)}.zip"
  template_key = "${var.stack_name}/${filesha256(var.template)}.json"
}

data "aws_s3_bucket" "code" {
  bucket = var.bucket
}

# Should the update of the stack fail, it goes back to the former zip: that one may leave only after the update.
resource "aws_s3_object" "code" {
  bucket = data.aws_s3_bucket.code.id
  key    = local.code_key
  source = var.package

  lifecycle {
    create_before_destroy = true
  }
}

# Handed over in S3, for it is longer than CloudFormation takes in a request.
resource "aws_s3_object" "template" {
  bucket       = data.aws_s3_bucket.code.id
  key          = local.template_key
  source       = var.template
  content_type = "application/json"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_cloudformation_stack" "enforcer" {
  name         = var.stack_name
  template_url = "https://${data.aws_s3_bucket.code.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  capabilities = ["CAPABILITY_IAM"]
  tags         = var.tags

  # What is not given has the template's default.
  parameters = merge(
    { for name, value in local.parameters : name => value if value != null },
    { CodeBucket = aws_s3_object.code.bucket, CodeKey = aws_s3_object.code.key },
  )
}
