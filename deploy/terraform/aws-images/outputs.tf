output "bucket" {
  description = "The bucket to upload to, below the prefix."
  value       = aws_s3_bucket.images.bucket
}

output "distribution_domain" {
  description = "The name of the distribution."
  value       = aws_cloudfront_distribution.images.domain_name
}

output "image_base_url" {
  description = "Where images are."
  value       = "https://${length(var.domain_names) > 0 ? var.domain_names[0] : aws_cloudfront_distribution.images.domain_name}/${var.image_prefix}"
}
