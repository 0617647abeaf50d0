//! ARNs as the services write them.

use crate::domain::arn::partition_of;

/// `arn:<partition of the Region>:<service>:<region>:<account>:<resource>`.
pub(crate) fn arn_of(service: &str, region: &str, account: &str, resource: &str) -> String {
    format!("arn:{}:{service}:{region}:{account}:{resource}", partition_of(region))
}
