"""The Textual app: one screen, one module, one style sheet. Knows neither torch nor a model."""
