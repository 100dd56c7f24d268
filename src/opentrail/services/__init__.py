"""What a call does: one file per AWS service, or one per family of its operations. No service knows another."""
