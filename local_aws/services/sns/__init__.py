"""SNS: moto keeps topics and subscriptions. Nothing is delivered by e-mail."""
