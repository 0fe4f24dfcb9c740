"""The ranker of scripts: a tower for what was said and how, one for what may be answered."""
