"""Bytes to calls and back: routes, signatures, codecs. Pure: no clock, disk or socket; knows no handler."""
