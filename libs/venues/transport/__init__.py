"""How the venues are reached: token buckets, HTTP that knows what may be retried, sockets that come back."""
