"""A trained model at work: data made into the inputs of a step, tests over a dataset, and the Predictor."""
