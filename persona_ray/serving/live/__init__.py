"""Live calls: one protocol for all applications, free of Ray and of any model."""
