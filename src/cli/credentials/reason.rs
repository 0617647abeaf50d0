//! Why a provider of the SDK has no credentials, in the words of the service or in our own.

use std::error::Error;
use std::fmt::Display;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sso::operation::get_role_credentials::GetRoleCredentialsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::super::input::reason;
use super::super::visible::visible;
use crate::aws::error::Diagnosis;
use crate::aws::http::NotReached;
use crate::domain::text::error_chain;

/// What a service said to the call that would have returned credentials.
pub(super) fn diagnosis(error: &CredentialsError) -> Option<Diagnosis> {
    fn of<E>(error: &(dyn Error + 'static)) -> Option<Diagnosis>
    where
        E: Error + aws_smithy_types::error::metadata::ProvideErrorMetadata + 'static,
    {
        error.downcast_ref::<SdkError<E, HttpResponse>>().map(Diagnosis::of)
    }
    causes(error).find_map(|error| {
        of::<AssumeRoleError>(error)
            .or_else(|| of::<AssumeRoleWithWebIdentityError>(error))
            .or_else(|| of::<GetRoleCredentialsError>(error))
    })
}

/// The host that was not reached.
pub(super) fn not_reached(error: &CredentialsError) -> Option<String> {
    causes(error).find_map(|error| error.downcast_ref::<NotReached>()).map(ToString::to_string)
}

/// The reason why a file was not read.
pub(super) fn unread(error: &CredentialsError) -> Option<String> {
    causes(error).find_map(|error| error.downcast_ref::<std::io::Error>()).map(reason)
}

/// The reason in one line.
pub(super) fn of(error: &CredentialsError) -> String {
    let said = diagnosis(error).map(|diagnosis| in_words(&diagnosis));
    let text = said.or_else(|| not_reached(error)).unwrap_or_else(|| error_chain(error));
    visible(&text)
}

/// What a service said, with its code; what the network said, as it is.
pub(super) fn in_words(diagnosis: &Diagnosis) -> String {
    let Diagnosis { code, detail, .. } = diagnosis;
    if diagnosis.is_network() { detail.clone() } else { said(code, detail) }
}

fn said(code: &dyn Display, detail: &str) -> String {
    if detail.is_empty() { code.to_string() } else { format!("{code}: {detail}") }
}

fn causes<'a>(error: &'a CredentialsError) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let first: &'a (dyn Error + 'static) = error;
    std::iter::successors(Some(first), |error: &&'a (dyn Error + 'static)| (*error).source())
}
