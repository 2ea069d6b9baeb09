"""The files of a work directory of the training binary that other modules read too."""

CONFIG, SUMMARY, MODEL = "config.gin", "summary.json", "model.keras"
SUMMARY_KIND = "keras_tickets summary 1"
SUMMARY_SCHEMA = {"steps": int}
