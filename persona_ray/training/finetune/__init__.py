"""Fine-tuning: frozen epochs on vectors kept, then epochs with the encoders."""
