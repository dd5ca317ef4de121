"""What users put right: each fix is one transaction, is journalled, and can be taken back."""
