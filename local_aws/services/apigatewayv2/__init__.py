"""API Gateway's HTTP APIs: requests to their endpoints reach the functions."""
