locals {
  # Lambda and CloudFormation detect a change only by the object key, so each build has its own key.
  code_key     = "${var.stack_name}/${filesha256(var.package)}.zip"
  template_key = "${var.stack_name}/${filesha256(var.template)}.json"
}

data "aws_s3_bucket" "code" {
  bucket = var.bucket
}

# If an update of the stack fails, it rolls back to the previous zip, which must exist until then.
resource "aws_s3_object" "code" {
  bucket = data.aws_s3_bucket.code.id
  key    = local.code_key
  source = var.package

  lifecycle {
    create_before_destroy = true
  }
}

# Uploaded to S3, because it exceeds the maximum size of a template in a CloudFormation request.
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

  # A parameter that is not set has the template's default.
  parameters = merge(
    { for name, value in local.parameters : name => value if value != null },
    { CodeBucket = aws_s3_object.code.bucket, CodeKey = aws_s3_object.code.key },
  )
}
