"""gRPC: the method table on grpc.aio, with health and reflection."""
