"""The Textual app: one screen, one module and one style sheet. Knows neither torch nor transformers."""
