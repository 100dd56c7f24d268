"""The process: the road, HTTP, loops, wiring, command line. Knows every room and is known by none."""
