//! Open Service Broker API v2.17 over HTTP, and the platform API beside it.
