"""The web pages as files: templates, styles and ES modules. Nothing is built, nothing is fetched
from elsewhere."""
