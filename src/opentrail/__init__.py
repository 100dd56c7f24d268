"""OpenTrail: an open AWS CloudTrail. Every API call becomes evidence, durable before it is answered."""

__version__ = "0.1.0"
