"""IAM: moto keeps users, roles and policies; `local_aws.authorization` evaluates them."""
