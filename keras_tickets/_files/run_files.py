"""The files of a work directory of the training binary that other modules read too."""

CONFIG, SUMMARY, MODEL = "config.gin", "summary.json", "model.keras"
SUMMARY_KIND = "keras_tickets summary 1"
SUMMARY_SCHEMA = {"steps": int}
# What other fields are, where a summary has them; earlier versions wrote fewer.
_NONE = type(None)
SUMMARY_FIELDS = {
    "dataset": (str, _NONE),
    "model": (str, _NONE),
    "method": (str, _NONE),
    "chosen_on": (str, _NONE),
    "seed": (int, _NONE),
    "config": (dict, _NONE),
    "versions": (dict, _NONE),
    "sizes": ({str: float}, _NONE),
    "first_nonzeros": ({str: int}, _NONE),
    "levels": [{"level": int, "density": float}],
}
