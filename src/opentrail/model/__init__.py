"""What AWS says, as data: services, operations, shapes, and facts its models leave out. Only `load` knows botocore."""
