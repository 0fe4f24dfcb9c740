"""Sound: decoding, channels, rates, voice activity, storage coding. Nothing here knows of text."""
