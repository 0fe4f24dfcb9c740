"""Speech recognition: the Recognizer protocol, its engines, and how texts are compared."""
