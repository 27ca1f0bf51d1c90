"""What AWS documents as invalid is refused.

moto takes names, sizes and combinations that AWS refuses, and botocore checks of its models only
types, required members and lower bounds. On AWS a user finds out late. Here each request is
compared with AWS's documentation before moto sees it.

- `requests` compares each request with the rules;
- `models` has the lengths, ranges, patterns and enumerations of botocore's models, which are AWS's;
- `tags` has the limits of tags, on every service;
- `local_aws.services.<service>.limits` has the rules that AWS's documentation states in prose, each
  with the page that says so.

Quotas, which an account may have raised, are not among the rules. Messages are AWS's where they are
known.
"""
