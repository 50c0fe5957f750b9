"""What every engine does with a request, whatever runs the model: admission, its constraint compiled and guarded, its text, counts."""
