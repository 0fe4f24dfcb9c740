"""How good the corpus and the model are, and the report that says so."""
