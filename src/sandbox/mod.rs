//! The embedded AWS: one account of Kinesis, KMS and SQS, modelled from AWS documentation and recordings, for people and for tests.
