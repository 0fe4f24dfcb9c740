"""Fine-tuning: one loop that knows no launcher."""
