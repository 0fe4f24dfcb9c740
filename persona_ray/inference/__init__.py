"""Recognition with a trained bundle: plain objects that know neither Ray nor a server."""
