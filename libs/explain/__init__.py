"""Why something happened: the causal chain of an order, a rejection, an exit, or any message of the tape."""
