"""May they? Policies, conditions and access control lists, weighed in one place. Pure: knows no ledger or handler."""
