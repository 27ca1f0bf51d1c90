"""AWS Budgets: moto keeps budgets; what it leaves out is here."""
