"""The Textual app: a viewer of run directories. Knows neither torch nor a model.

    app         the app: settings, themes, navigation; no logic of a screen
    base        what every screen has: a status line, a footer, help, a way back
    literal     foreign text as Textual's Content, never markup
    dialogs     questions: yes or no, a text, one of several
    feed        the one thread that reads journals, and the pulses it sends

One screen is one module and one style sheet: runs (home), new_run, training, sample, compare,
playground, export, log, doctor, settings, help. Their parts stand in `widgets`.
"""
