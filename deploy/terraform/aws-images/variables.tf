variable "name" {
  description = "The name of the bucket; a name that nobody else in the world has."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.name))
    error_message = "name has to be a bucket name: 3 to 63 lower case letters, digits, dots and hyphens."
  }
}

variable "image_prefix" {
  description = "The path that images are below, without slashes at its ends."
  type        = string
  default     = "images"

  validation {
    condition     = length(var.image_prefix) > 0 && !startswith(var.image_prefix, "/") && !endswith(var.image_prefix, "/")
    error_message = "image_prefix may neither be empty nor begin or end with a slash."
  }
}

variable "cache_mode" {
  description = "immutable: names carry a hash, kept for a year. mutable: asked for again after minutes."
  type        = string
  default     = "immutable"

  validation {
    condition     = contains(["immutable", "mutable"], var.cache_mode)
    error_message = "cache_mode is immutable or mutable."
  }
}

variable "allowed_origins" {
  description = "The origins whose pages may read images, such as https://example.com; or [\"*\"]."
  type        = list(string)

  validation {
    condition     = length(var.allowed_origins) > 0
    error_message = "allowed_origins needs at least one origin."
  }

  validation {
    condition = alltrue([
      for origin in var.allowed_origins : origin == "*" || can(regex("^https?://[^/]+$", origin))
    ])
    error_message = "Each of allowed_origins is * or an origin such as https://example.com, without a slash at its end."
  }

  validation {
    condition     = !(var.allow_credentials && contains(var.allowed_origins, "*"))
    error_message = "Browsers refuse credentials together with the origin *."
  }
}

variable "allow_credentials" {
  description = "Whether pages may send cookies."
  type        = bool
  default     = false
}

variable "cross_origin_resource_policy" {
  description = "CORP of images; cross-origin where the page is on another site and isolated."
  type        = string
  default     = "cross-origin"

  validation {
    condition     = contains(["same-origin", "same-site", "cross-origin"], var.cross_origin_resource_policy)
    error_message = "cross_origin_resource_policy is same-origin, same-site or cross-origin."
  }
}

variable "cors_max_age" {
  description = "Seconds that browsers remember a preflight."
  type        = number
  default     = 86400

  validation {
    condition     = var.cors_max_age >= 0
    error_message = "cors_max_age is a number of seconds, 0 or more."
  }
}

variable "domain_names" {
  description = "Names of the distribution beside its own."
  type        = list(string)
  default     = []
}

variable "certificate_arn" {
  description = "The certificate of domain_names, in us-east-1."
  type        = string
  default     = ""

  validation {
    condition     = (length(var.domain_names) == 0) == (var.certificate_arn == "")
    error_message = "certificate_arn and domain_names go together."
  }
}

variable "versioning" {
  description = "Whether the bucket keeps old versions."
  type        = bool
  default     = false
}

variable "price_class" {
  description = "Where in the world the distribution has edges."
  type        = string
  default     = "PriceClass_100"

  validation {
    condition     = contains(["PriceClass_100", "PriceClass_200", "PriceClass_All"], var.price_class)
    error_message = "price_class is PriceClass_100, PriceClass_200 or PriceClass_All."
  }
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
