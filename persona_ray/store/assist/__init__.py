"""What assistance keeps: script libraries, calls, suggestions, pushes, feedback, samples."""
