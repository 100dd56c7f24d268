"""What goes wrong around a trail, on a real server: nothing is lost, nothing is told twice, and the status tells it."""
